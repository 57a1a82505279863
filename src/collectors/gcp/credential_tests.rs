//! One of the credentials: its tokens, and what becomes of its failures.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::ffi::OsString;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use super::*;

/// A server that gives tokens `t1`, `t2` and so on, each after a permit, and reports each request.
async fn server() -> (String, mpsc::Sender<bool>, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (permit, mut permits) = mpsc::channel::<bool>(16);
    let (report, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            report.send(()).unwrap();
            let (status, body) = match permits.recv().await {
                Some(true) => {
                    let token =
                        json!({ "access_token": format!("t{number}"), "token_type": "Bearer", "expires_in": 3600 });
                    ("200 OK", token.to_string())
                }
                _ => ("400 Bad Request", json!({ "error": "invalid_grant" }).to_string()),
            };
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, permit, requests)
}

fn user(url: &str) -> Credential {
    let json = json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r", "token_uri": url,
        "quota_project_id": "quota"
    });
    Credential::new(Source::Json(Key::of(json).unwrap(), 1), Variables::default())
}

async fn text(credential: &Credential, is_renewal: bool) -> Result<String, FailureKind> {
    credential.token(is_renewal).await.map(|issued| issued.token.token).map_err(|failure| failure.kind)
}

#[tokio::test]
async fn token_is_shared_and_renewed_at_most_once_a_minute() {
    let (url, permit, mut requests) = server().await;
    let credential = user(&url);
    permit.send(true).await.unwrap();
    permit.send(true).await.unwrap();
    let issued = credential.token(false).await.map_err(|failure| failure.message).unwrap();
    assert_eq!((issued.token.token.as_str(), issued.token.quota_project.as_deref()), ("t1", Some("quota")));
    assert_eq!(issued.project.as_deref(), Some("quota"));
    assert_eq!(text(&credential, false).await, Ok("t1".into()));
    assert_eq!(tokio::join!(text(&credential, true), text(&credential, true)), (Ok("t2".into()), Ok("t2".into())));
    assert_eq!(text(&credential, true).await, Ok("t2".into()));
    let mut count = 0;
    while requests.try_recv().is_ok() {
        count += 1;
    }
    assert_eq!(count, 2);
}

#[tokio::test]
async fn failure_is_shared_and_the_next_request_tries_again() {
    let (url, permit, mut requests) = server().await;
    let credential = Arc::new(user(&url));
    let waiting = [0, 1, 2].map(|_| {
        let credential = Arc::clone(&credential);
        tokio::spawn(async move { text(&credential, false).await })
    });
    requests.recv().await.unwrap();
    // All three wait by now: they were spawned before the request could be answered.
    tokio::task::yield_now().await;
    permit.send(false).await.unwrap();
    for task in waiting {
        assert_eq!(task.await.unwrap(), Err(FailureKind::Credentials));
    }
    assert!(requests.try_recv().is_err(), "one request for all");
    permit.send(true).await.unwrap();
    assert_eq!(text(&credential, false).await, Ok("t2".into()));
}

#[tokio::test]
async fn message_names_the_credentials_and_the_cause() {
    let (url, permit, _requests) = server().await;
    permit.send(false).await.unwrap();
    let failure = user(&url).token(false).await.err().unwrap();
    for part in ["value 1 of --gcp-service-account", "invalid_grant", "400 Bad Request", "; check that"] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    assert!(!failure.message.contains("future attempts"), "{}", failure.message);
}

#[tokio::test]
async fn panic_is_a_failure() {
    let panicked = isolated::<()>(async { panic!("a bug in the library") }).await;
    assert!(panicked.is_err_and(|reason| reason.contains("panicked")));
}

#[tokio::test(start_paused = true)]
async fn hanging_library_is_given_up() {
    assert!(isolated(std::future::pending::<()>()).await.is_err_and(|reason| reason.contains("within 20 s")));
}

fn variables(set: &'static [(&str, &str)]) -> Variables {
    Variables::of(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value)))
}

#[tokio::test]
async fn only_absence_of_every_source_means_no_credentials() {
    let of = async |set| Credential::new(Source::Default, variables(set)).token(false).await.err().unwrap().kind;
    assert_eq!(of(&[("NO_GCE_CHECK", "True")]).await, FailureKind::NoCredentials);
    let named = of(&[("NO_GCE_CHECK", "true"), ("GCE_METADATA_HOST", "127.0.0.1:1")]).await;
    assert_eq!(named, FailureKind::Unavailable);
    assert_eq!(of(&[("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key")]).await, FailureKind::Credentials);
}

#[tokio::test(start_paused = true)]
async fn idle_provider_is_dropped() {
    let credential = Credential::new(Source::Default, Variables::default());
    let provider = isolated(async { provider(Some(service_account()), None) }).await.unwrap();
    let live = Live { provider: provider.unwrap(), account: "a".into(), project: None, quota_project: None };
    let mut idle = {
        let mut state = credential.state.lock().await;
        state.live = Some(live);
        credential.drop_when_idle(&mut state);
        std::mem::take(&mut state.idle)
    };
    let begun = Instant::now();
    assert!(credential.state.lock().await.live.is_some());
    idle.join_next().await.unwrap().unwrap();
    assert!(begun.elapsed() >= IDLE && credential.state.lock().await.live.is_none());
}

fn service_account() -> Key {
    let pem = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
    let json = json!({
        "type": "service_account", "client_email": "a@b", "private_key_id": "1", "project_id": "p", "private_key": pem
    });
    Key::of(json).unwrap()
}
