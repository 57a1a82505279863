//! Lists against a server: tokens that expire, and lists of single namespaces.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{collector_api::Waits, engine::Pages};

/// Access without a login.
struct Open(String);

impl AccessSource for Open {
    fn access(&self) -> BoxFuture<'_, Result<Access, Failure>> {
        let route = Route { server: self.0.clone(), ..Route::default() };
        Box::pin(async move { Ok(Access { route, login: Login::None }) })
    }

    fn renew<'a>(&'a self, rejected: &'a Access) -> BoxFuture<'a, Result<Access, Failure>> {
        Box::pin(async move { Ok(rejected.clone()) })
    }
}

type Requests = Arc<Mutex<Vec<(String, BTreeMap<String, String>)>>>;

/// Returns a client of a server that gives status and body for the number of a request, its path and its query, with the
/// requests so far.
async fn client(
    namespaces: &[&str],
    answer: impl Fn(usize, &str, &BTreeMap<String, String>) -> (u16, Value) + Send + 'static,
) -> (Client, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Requests::default();
    let log = Arc::clone(&requests);
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 8192];
            let length = stream.read(&mut head).await.unwrap();
            let text = String::from_utf8_lossy(&head[..length]).into_owned();
            let target = text.split(' ').nth(1).unwrap();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let (status, body) = answer(number, path, &query);
            log.lock().unwrap().push((path.to_owned(), query));
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n");
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let client = Client::new(ClientConfig {
        access: Arc::new(Open(url)),
        namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
        deadline: None,
        waits: Waits::default().unit(0),
    });
    (client, requests)
}

/// A page of a list with the token for the next one; the last one if it is empty.
fn page(token: &str) -> (u16, Value) {
    (200, json!({"kind": "PodList", "metadata": {"continue": token}, "items": [{"metadata": {"uid": "u"}}]}))
}

/// The answer to a token that has expired, with one for the rest unless it is empty.
fn expired(token: &str) -> (u16, Value) {
    (
        410,
        json!({"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "metadata": {"continue": token}}),
    )
}

/// Follows all pages of a list. Returns their number, or the code of the error.
async fn follow(client: &Client) -> Result<usize, String> {
    let mut pages = Pages::new(client, Request::new("v1", "list pods", "cluster"));
    let mut count = 0;
    while let Some(page) = pages.next().await {
        page.map_err(|error| error.code)?;
        count += 1;
    }
    Ok(count)
}

#[tokio::test]
async fn expired_tokens_are_bounded_for_the_whole_list() {
    let most = usize::try_from(MAX_EXPIRIES).unwrap();
    // Each page but the first expires once, and its rest is given.
    for (pages, expected) in [(1, Ok(1)), (2, Ok(2)), (most + 1, Ok(most + 1)), (most + 2, Err("Expired".to_owned()))] {
        let (client, requests) = client(&[], move |_, _, query| match query.get("continue").map(String::as_str) {
            None if pages == 1 => page(""),
            None => page("old-1"),
            Some(token) => {
                let (state, number) = token.split_once('-').unwrap();
                let number: usize = number.parse().unwrap();
                match state {
                    "old" => expired(&format!("new-{number}")),
                    _ if number + 1 == pages => page(""),
                    _ => page(&format!("old-{}", number + 1)),
                }
            }
        })
        .await;
        assert_eq!(follow(&client).await, expected, "{pages}");
        let made = requests.lock().unwrap().len();
        assert_eq!(made, if pages > most + 1 { 2 * most + 2 } else { 2 * pages - 1 }, "{pages}");
        assert!(requests.lock().unwrap().iter().all(|(_, query)| !query.contains_key(EXPIRIES)));
    }
}

#[tokio::test]
async fn list_that_always_expires_anew_ends() {
    // Without a token for the rest, the list is begun anew each time.
    let (client, requests) = client(&[], |number, _, query| match query.contains_key("continue") {
        false => page(&format!("token-{number}")),
        true => expired(""),
    })
    .await;
    assert_eq!(follow(&client).await, Err("Expired".to_owned()));
    let made = requests.lock().unwrap().len();
    assert!(made <= 2 * usize::try_from(MAX_EXPIRIES).unwrap() + 2, "{made}");
}

#[tokio::test]
async fn pages_of_a_namespace_are_followed_in_it() {
    for is_expiring in [false, true] {
        let (client, requests) = client(&["x", "a", "b"], move |_, path, query| {
            let namespace = path.split('/').nth(4).unwrap();
            if namespace == "x" {
                return (403, json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}));
            }
            match query.get("continue").map(String::as_str) {
                None => page(&format!("{namespace}1")),
                // The token of another namespace would be accepted.
                Some(token) if is_expiring && token == format!("{namespace}1") => expired(&format!("{namespace}9")),
                Some(token) if token.ends_with('1') || token.ends_with('9') => page(&format!("{namespace}2")),
                Some(_) => page(""),
            }
        })
        .await;
        assert_eq!(follow(&client).await, Ok(6));
        let made = requests.lock().unwrap().clone();
        let made: Vec<(&str, &str)> = made
            .iter()
            .map(|(path, query)| (path.split('/').nth(4).unwrap(), query.get("continue").map_or("", String::as_str)))
            .collect();
        let expected: Vec<(&str, &str)> = match is_expiring {
            false => vec![("x", ""), ("a", ""), ("a", "a1"), ("a", "a2"), ("b", ""), ("b", "b1"), ("b", "b2")],
            true => {
                let of_a = [("x", ""), ("a", ""), ("a", "a1"), ("a", "a9"), ("a", "a2")];
                [&of_a[..], &[("b", ""), ("b", "b1"), ("b", "b9"), ("b", "b2")]].concat()
            }
        };
        assert_eq!(made, expected);
    }
}
