//! What the client sends, and responses that no service of Google's gives.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ckworker::{
    collector_api::BoxFuture,
    collectors::gcp::client::{Page, Project, Token, TokenSource},
    engine::{CallError, CallErrorKind, Timeouts, code},
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use worker_proto::{Failure, FailureKind};

use super::client::{hasty, request};
use crate::support::canned::{Canned, CannedServer, reply};
use crate::support::gcp::client;

const LINK: &str = "https://www.googleapis.com/compute/v1/projects/shop/zones/z/disks/d";

/// Tokens with numbers, or the failure to get one.
#[derive(Default)]
struct Numbered {
    renewals: AtomicUsize,
    quota_project: Option<String>,
    failure: Option<FailureKind>,
    renewal_failure: Option<FailureKind>,
}

impl Numbered {
    fn give(&self, failure: Option<FailureKind>) -> Result<Token, Failure> {
        match failure {
            Some(kind) => Err(Failure { kind, message: "no token".into() }),
            None => {
                let token = format!("secret-{}", self.renewals.load(Ordering::SeqCst));
                Ok(Token { token, quota_project: self.quota_project.clone() })
            }
        }
    }
}

impl TokenSource for Numbered {
    fn token(&self) -> BoxFuture<'_, Result<Token, Failure>> {
        Box::pin(async { self.give(self.failure) })
    }

    fn renew<'a>(&'a self, rejected: &'a Token) -> BoxFuture<'a, Result<Token, Failure>> {
        assert_eq!(rejected.token, format!("secret-{}", self.renewals.fetch_add(1, Ordering::SeqCst)));
        Box::pin(async { self.give(self.renewal_failure) })
    }
}

fn html(status: u16) -> Canned {
    (status, vec![("content-type", "text/html".into())], b"<html><title>no</title></html>".to_vec())
}

fn networks() -> Canned {
    reply(200, &json!({"kind": "compute#networkList"}))
}

async fn call(
    server: &CannedServer,
    tokens: Numbered,
    timeouts: Timeouts,
    operation: &str,
    input: Value,
) -> Result<Page, CallError> {
    let project = Some(Project { id: "shop".into(), number: None });
    client(server.url(), project, Arc::new(tokens), timeouts).call(request("compute", operation, input)).await
}

/// The result of one attempt to list networks with this response.
async fn once(response: Canned) -> Result<Page, CallError> {
    let server = CannedServer::start(vec![response]).await;
    let timeouts = Timeouts { retry: std::time::Duration::ZERO, ..hasty() };
    call(&server, Numbered::default(), timeouts, "networks.list", json!({})).await
}

#[tokio::test]
async fn headers_say_who_calls_and_who_is_charged() {
    let server = CannedServer::start(vec![networks()]).await;
    call(&server, Numbered::default(), hasty(), "networks.list", json!({})).await.unwrap();
    let tokens = Numbered { quota_project: Some("payer".into()), ..Numbered::default() };
    call(&server, tokens, hasty(), "networks.list", json!({})).await.unwrap();
    let [first, second] = &server.arrived()[..] else { panic!("{:?}", server.arrived()) };
    assert_eq!(first.line, "GET /compute.googleapis.com/compute/v1/projects/shop/global/networks");
    assert_eq!((first.header("authorization"), first.header("x-goog-user-project")), ("Bearer secret-0", ""));
    assert_eq!(second.header("x-goog-user-project"), "payer");
    let program = format!("ckworker/{} (gzip)", env!("CARGO_PKG_VERSION"));
    assert_eq!((first.header("user-agent"), first.header("accept-encoding")), (program.as_str(), "gzip"));
}

#[tokio::test]
async fn attempts_of_a_change_have_the_same_request_id() {
    let operation = |status: &str| {
        let link = "https://www.googleapis.com/compute/v1/projects/shop/zones/z/operations/o";
        reply(200, &json!({"kind": "compute#operation", "status": status, "selfLink": link}))
    };
    let failed = reply(503, &json!({"error": {"code": 503, "message": "later", "status": "UNAVAILABLE"}}));
    let server = CannedServer::start(vec![failed, operation("RUNNING"), operation("DONE")]).await;
    call(&server, Numbered::default(), hasty(), "delete", json!({"link": LINK})).await.unwrap();
    let [first, second, wait] = &server.arrived()[..] else { panic!("{:?}", server.arrived()) };
    assert!(
        first.line.starts_with("DELETE /compute.googleapis.com/compute/v1/projects/shop/zones/z/disks/d?requestId=")
    );
    assert_eq!(first.line, second.line);
    assert_eq!(wait.line, "POST /compute.googleapis.com/compute/v1/projects/shop/zones/z/operations/o/wait");
    assert_eq!((wait.header("content-length"), wait.body.as_str()), ("0", ""));
}

#[tokio::test]
async fn body_is_json() {
    let done = reply(200, &json!({"kind": "compute#operation", "status": "DONE"}));
    let server = CannedServer::start(vec![done]).await;
    let input = json!({"link": LINK, "labels": {"a": "b"}, "labelFingerprint": "42"});
    call(&server, Numbered::default(), hasty(), "setLabels", input).await.unwrap();
    let [sent] = &server.arrived()[..] else { panic!("{:?}", server.arrived()) };
    assert_eq!(sent.header("content-type"), "application/json");
    assert_eq!(
        serde_json::from_str::<Value>(&sent.body).unwrap(),
        json!({"labels": {"a": "b"}, "labelFingerprint": "42"})
    );
}

#[tokio::test]
async fn responses_of_proxies_and_portals_are_foreign() {
    let redirect = (302, vec![("location", "https://portal.example/login?token=hidden".into())], Vec::new());
    for response in [
        html(200),
        html(401),
        html(403),
        html(404),
        html(502),
        (404, vec![], b"not found".to_vec()),
        (407, vec![], Vec::new()),
        reply(404, &json!({"message": "no route"})),
        reply(200, &json!([])),
        reply(200, &json!({"error": {"code": 403}})),
        (200, vec![("content-type", "text/html".into())], br#"{"kind": "compute#networkList"}"#.to_vec()),
        (204, vec![], Vec::new()),
        redirect,
    ] {
        let error = once(response.clone()).await.unwrap_err();
        let found = (error.kind, error.code.as_str(), error.means_deleted());
        assert_eq!(found, (CallErrorKind::Unavailable, code::INVALID_RESPONSE, false), "{response:?}");
        assert!(!error.message.contains("hidden"), "{error}");
        assert_eq!(response.0 == 302, error.message.contains("a redirect to portal.example"), "{error}");
    }
}

#[tokio::test]
async fn body_is_bounded_after_decompression() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    (0..65).for_each(|_| packed.write_all(&zeros).unwrap());
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 20);
    let headers = vec![("content-type", "application/json".to_owned()), ("content-encoding", "gzip".to_owned())];
    let error = once((200, headers, packed)).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Unexpected, code::RESPONSE_TOO_LARGE));
}

#[tokio::test]
async fn requested_pause_beyond_the_call_ends_it() {
    let limited = json!({"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}});
    let (status, mut headers, body) = reply(429, &limited);
    headers.push(("retry-after", "Wed, 21 Oct 2015 09:28:00 GMT".into()));
    headers.push(("date", "Wed, 21 Oct 2015 07:28:00 GMT".into()));
    let server = CannedServer::start(vec![(status, headers, body)]).await;
    let error = call(&server, Numbered::default(), hasty(), "networks.list", json!({})).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Throttled, "RESOURCE_EXHAUSTED"));
    assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(7200)));
    assert_eq!(server.arrived().len(), 1);
}

#[tokio::test]
async fn rejected_token_is_renewed_at_once() {
    let rejected = reply(401, &json!({"error": {"code": 401, "message": "expired", "status": "UNAUTHENTICATED"}}));
    let server = CannedServer::start(vec![rejected.clone(), networks()]).await;
    call(&server, Numbered::default(), hasty(), "networks.list", json!({})).await.unwrap();
    let tokens: Vec<_> = server.arrived().iter().map(|sent| sent.header("authorization").to_owned()).collect();
    assert_eq!(tokens, ["Bearer secret-0", "Bearer secret-1"]);

    let server = CannedServer::start(vec![rejected]).await;
    let error = call(&server, Numbered::default(), hasty(), "networks.list", json!({})).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Credentials, "UNAUTHENTICATED"));
    assert_eq!(server.arrived().len(), 2);
    let tokens = Numbered { renewal_failure: Some(FailureKind::Unavailable), ..Numbered::default() };
    let error = call(&server, tokens, hasty(), "networks.list", json!({})).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Unavailable, code::NO_CREDENTIALS));
    assert_eq!(server.arrived().len(), 3);
}

#[tokio::test]
async fn call_without_token_is_not_sent() {
    let server = CannedServer::start(vec![networks()]).await;
    for (failure, kind) in
        [(FailureKind::Unavailable, CallErrorKind::Unavailable), (FailureKind::Credentials, CallErrorKind::Credentials)]
    {
        let tokens = Numbered { failure: Some(failure), ..Numbered::default() };
        let error = call(&server, tokens, hasty(), "networks.list", json!({})).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, code::NO_CREDENTIALS));
        assert!(error.message.contains("no token"), "{error}");
    }
    assert_eq!(server.arrived().len(), 0);
}

#[tokio::test]
async fn refused_connection_names_the_host_only() {
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let project = Some(Project { id: "shop".into(), number: None });
    let timeouts = Timeouts { retry: std::time::Duration::ZERO, ..hasty() };
    let client = client(&format!("http://{address}"), project, Arc::new(Numbered::default()), timeouts);
    let error = client.call(request("compute", "networks.list", json!({"filter": "hidden"}))).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Unavailable, code::CONNECTION_FAILED));
    assert!(error.message.contains("compute.googleapis.com") && !error.message.contains("hidden"), "{error}");
}
