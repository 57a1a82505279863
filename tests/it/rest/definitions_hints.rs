//! What the log says about mistakes of a user's definitions that only responses show, and about addresses that are wrong.

use std::{net::TcpListener, path::Path, process::Command};

use serde_json::{Value, json};

use super::definitions::{collect, inventory};
use crate::support::{
    canned::{Canned, CannedServer, reply},
    program::{self, Output, Running, command},
    tls::TlsFront,
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/inventory.toml");

/// Collects with the example, in which `old` is replaced.
pub fn changed(url: &str, (old, new): (&str, &str)) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    assert!(text.contains(old), "{old}");
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, text.replacen(old, new, 1)).unwrap();
    program::run(collect(&mut command(&[]), url, &file))
}

/// The lines of a log with a text.
fn with<'l>(log: &'l str, text: &str) -> Vec<&'l str> {
    log.lines().filter(|line| line.contains(text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn path_that_leads_to_nothing_is_said_once() {
    let server = CannedServer::routed(|_, line| inventory(line)).await;
    for (change, parts) in [
        (("", ""), &[][..]),
        (("os = \"os\"", "os = \"oss\""), &["WARN", "kind=inventory_host", "path=oss", "items=250", "meant=os"]),
        (("value = \"rack.id\"", "value = \"rack.ident\""), &["WARN", "path=rack.ident", "members=id"]),
        (
            ("@details_of.owner.email", "@details_of.ownr.email"),
            &["WARN", "path=@details_of.ownr.email", "meant=owner"],
        ),
        (("interfaces[].address", "interfaces.address"), &["WARN", "a list, whose elements are []"]),
    ] {
        let output = changed(server.url(), change);
        assert_eq!(output.code, 0, "{}", output.stderr);
        let lines = with(&output.stderr, "leads to nothing");
        assert_eq!(lines.len(), usize::from(!parts.is_empty()), "{change:?}: {}", output.stderr);
        assert!(parts.iter().all(|part| lines[0].contains(part)), "{change:?}: {lines:?}");
    }
}

/// A service of the inventory.
fn service(id: Value, critical: Value) -> Value {
    json!({"id": id, "name": "S", "critical": critical})
}

/// The inventory with other services.
fn with_services(services: &Value, line: &str) -> Canned {
    match line.contains("/services?") {
        true => reply(200, &json!({"services": services, "total": services.as_array().unwrap().len()})),
        false => inventory(line),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn different_items_of_one_node_are_named() {
    let (yes, no) = (json!(true), json!(false));
    for (services, part) in [
        (
            vec![service(json!("a"), yes.clone()), service(json!("a"), no.clone()), service(json!("a"), json!(null))],
            "count=2",
        ),
        (vec![service(json!("a"), yes.clone()), service(json!("a"), yes.clone())], ""),
        (vec![service(json!("a"), yes), service(json!("b"), no)], ""),
    ] {
        let services = Value::from(services);
        let server = CannedServer::routed(move |_, line| with_services(&services, line)).await;
        let output = program::run(collect(&mut command(&[]), server.url(), Path::new(EXAMPLE)));
        assert_eq!(output.code, 0, "{}", output.stderr);
        let lines = with(&output.stderr, "different items with the same ID and name");
        assert_eq!(lines.len(), usize::from(!part.is_empty()), "{}", output.stderr);
        let parts = [part, "kind=inventory_service", "example=a"];
        assert!(lines.iter().all(|line| parts.iter().all(|part| line.contains(part))), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn list_that_ends_with_a_full_page_is_mentioned() {
    let cursor = |next: &str, size: usize| {
        let next = format!("type = \"cursor\", next = \"{next}\", parameter = \"offset\"");
        format!("pages = {{ {next}, limit = {{ parameter = \"limit\", size = {size} }} }}")
    };
    let link = "pages = { type = \"link\", limit = { parameter = \"limit\", size = 2 } }".to_owned();
    for (pages, lists) in [(cursor("meta.next", 100), 1), (cursor("meta.next", 300), 0), (link, 4)] {
        let server = CannedServer::routed(|_, line| inventory(line)).await;
        let old = "pages = { type = \"offset\", total = \"total\", limit = { parameter = \"limit\", size = 100 } }";
        let output = changed(server.url(), (old, &pages));
        assert_eq!(output.code, 0, "{}", output.stderr);
        let lines = with(&output.stderr, "a list ends with a full page");
        let of_hosts = lines.iter().filter(|line| line.contains("operation=GET /hosts")).count();
        assert!(lines.len() <= lists && of_hosts == lists.min(1), "{pages}: {lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_items_are_named_with_their_value() {
    for (item, parts) in [
        (
            service(json!(null), json!(true)),
            &["MissingId", "item 2 of a page has no ID", "at id; it has critical, id, name"][..],
        ),
        (service(json!("a"), json!("often")), &["InvalidValue", "a: field critical", "at critical: \"often\""]),
        (service(json!("a"), json!([1])), &["InvalidValue", "a: field critical", "at critical"]),
    ] {
        let services = json!([service(json!("first"), json!(true)), item]);
        let server = CannedServer::routed(move |_, line| with_services(&services, line)).await;
        let output = program::run(collect(&mut command(&[]), server.url(), Path::new(EXAMPLE)));
        assert_eq!(output.code, 3, "{}", output.stderr);
        assert!(parts.iter().all(|part| output.stderr.contains(part)), "{parts:?}: {}", output.stderr);
    }
}

fn options<'c>(command: &'c mut Command, url: &str) -> &'c mut Command {
    collect(command, url, Path::new(EXAMPLE))
}

#[tokio::test(flavor = "multi_thread")]
async fn address_that_cannot_be_reached_names_its_setting() {
    let plain = CannedServer::routed(|_, line| inventory(line)).await;
    let front = TlsFront::start(plain.url(), false).await;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let https = plain.url().replace("http:", "https:");
    let cases = [
        (front.uri(), &["invalid peer certificate", "SSL_CERT_FILE", "--inventory-do-not-verify-cert"][..]),
        (format!("http://{closed}"), &["Connection refused", "url of [api]", "--inventory-endpoint-url"]),
        (https, &["a port for http", "--inventory-endpoint-url"]),
    ];
    // Together, as they wait.
    let started = cases.map(|(url, parts)| (Running::start(options(&mut command(&[]), &url)), url, parts));
    for (running, url, parts) in started {
        let output = running.wait();
        assert!([2, 4].contains(&output.code), "{url}: {} {}", output.code, output.stderr);
        assert!(parts.iter().all(|part| output.stderr.contains(part)), "{url}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{url}");
    }
    let trusting = program::run(options(&mut command(&[]), &front.uri()).arg("--inventory-do-not-verify-cert"));
    assert_eq!(trusting.code, 0, "{}", trusting.stderr);
}
