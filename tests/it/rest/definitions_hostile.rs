//! A user's collector against servers that repeat secrets and pages, redirect without end, or say too much.

use serde_json::{Value, json};

use super::{definitions::inventory, definitions_hints::changed};
use crate::support::canned::{Canned, CannedServer, reply};

/// The inventory, whose hosts are something else.
async fn with_hosts(hosts: impl Fn(usize, &str) -> Canned + Send + Sync + 'static) -> CannedServer {
    CannedServer::routed(move |number, line| match line.contains("/hosts") {
        true => hosts(number, line),
        false => inventory(line),
    })
    .await
}

fn failed(status: u16, code: &str, message: &str) -> Canned {
    reply(status, &json!({"error": {"code": code, "message": message}}))
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_of_a_hostile_server_is_a_short_gap_without_secrets() {
    let long = "x".repeat(3 << 20);
    let deep = "[".repeat(200_000);
    let moved = |target: &str| (302, vec![("location", target.to_owned())], Vec::new());
    let page = |body: &str| (200, vec![("content-type", "application/json".to_owned())], body.as_bytes().to_vec());
    let host = json!({"id": "h1", "hostname": "one", "site": "ber"});
    let repeated = json!({"hosts": vec![host.clone(); 100], "total": 300}).to_string();
    let unknown_total = json!({"hosts": [host], "total": -1}).to_string();
    for (what, canned, named) in [
        ("token", failed(403, "t0ken-12", "no role for t0ken-12 or Bearer t0ken-12"), "no role for *** or ***"),
        ("message", failed(403, "no_access", &long), "xxx…"),
        ("code", failed(400, &long, "m"), "xxx…"),
        ("lines", failed(400, "c", "one\r\ntwo\u{1b}[31m"), "one"),
        ("depth", page(&deep), "InvalidResponse"),
        ("loop", moved("/api/v1/hosts"), "more than 5 redirects"),
        ("elsewhere", moved("http://evil.test/?t0ken-12"), "a redirect to evil.test"),
        ("pages", page(&repeated), "perhaps has no parameter offset"),
        ("total", page(&unknown_total), "no number"),
    ] {
        let server = with_hosts(move |_, _| canned.clone()).await;
        let output = changed(server.url(), ("limits = { per_minute = 300 }", "retry = 1"));
        assert_eq!(output.code, 3, "{what}: {}", output.stderr);
        assert!(output.stderr.contains(named), "{what}: {}", output.stderr);
        assert!(
            !output.stderr.contains("t0ken-12") && !output.stdout.contains("t0ken-12"),
            "{what}: {}",
            output.stderr
        );
        assert!(output.stderr.len() < 20_000 && !output.stderr.contains('\u{1b}'), "{what}: {}", output.stderr.len());
        let authorized = server.arrived();
        assert!(authorized.iter().all(|one| one.header("authorization") == "Bearer t0ken-12"), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn account_with_an_endless_id_is_refused() {
    for (company, named) in [
        (json!({"id": "x".repeat(2000), "title": "Acme"}), "an account has an ID of 2000 bytes"),
        (json!({"id": {"a": 1}}), "has no ID"),
        (Value::Null, "nothing of the right form at ."),
    ] {
        let server = CannedServer::routed(move |_, line| match line.contains("/company") {
            true => reply(200, &company),
            false => inventory(line),
        })
        .await;
        let output = changed(server.url(), ("", ""));
        assert_eq!((output.code, output.stdout.as_str()), (4, ""), "{}", output.stderr);
        assert!(output.stderr.contains(named) && output.stderr.len() < 5000, "{named}: {}", output.stderr);
    }
}

/// What replaces the token of the example.
const CLIENT_CREDENTIALS: &str = "auth = { type = \"client_credentials\", url = \"/token\" }";

#[tokio::test(flavor = "multi_thread")]
async fn secret_of_a_client_is_in_no_error() {
    for (answer, named) in [
        (failed(400, "invalid_client", "the secret t0ken-12 of me is wrong"), "the secret *** of me is wrong"),
        (failed(401, "t0ken-12", "bWU6dDBrZW4tMTI="), "***"),
        (reply(200, &json!({"error": {"message": "y".repeat(5000)}})), "has none at access_token: yyy"),
        (reply(200, &json!({"access_token": "abc", "expires_in": i64::MIN})), ""),
        (reply(200, &json!({"access_token": "abc", "expires_in": i64::MAX})), ""),
        (reply(200, &json!({"access_token": "abc"})), ""),
    ] {
        let server = CannedServer::routed(move |_, line| match line.contains("/token") {
            true => answer.clone(),
            false => inventory(line),
        })
        .await;
        let output = changed(server.url(), ("auth = { type = \"bearer\" }", CLIENT_CREDENTIALS));
        assert_eq!(output.code, if named.is_empty() { 0 } else { 4 }, "{named}: {}", output.stderr);
        assert!(output.stderr.contains(named) && output.stderr.len() < 5000, "{named}: {}", output.stderr);
        assert!(!output.stderr.contains("t0ken-12"), "{}", output.stderr);
    }
}
