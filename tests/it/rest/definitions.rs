//! A user's own collector: the example of the documentation, against a server that is what it describes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    canned::{Canned, CannedServer, reply},
    program::{self, Output, command},
};

/// The example.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/inventory.toml");

/// The number of hosts, on three pages.
const HOSTS: usize = 250;

fn host(number: usize) -> Value {
    let (site, state) = (["ber", "ams"][number % 2], ["up", "down", "retired", "lost"][number % 4]);
    json!({
        "id": format!("h{number}"), "hostname": format!("host-{number}"), "site": site, "state": state, "cpus": 4,
        "memory_gb": "16.5", "os": "Linux", "serial": null, "labels": {"team": "web"}, "created_at": "2024-01-02T03:04:05Z",
        "interfaces": [{"address": "10.0.0.1"}, {"address": "10.0.0.2"}], "rack": {"id": format!("r-{site}")},
        "services": ["s1", "gone"]
    })
}

/// The inventory. Numbers of requests count per server, and lines have method, path and query.
pub fn inventory(line: &str) -> Canned {
    let (path, query) = line.trim_start_matches("GET /api/v1").split_once('?').unwrap_or((&line[11..], ""));
    let query: BTreeMap<_, _> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let number = |name: &str| query.get(name).map_or(0, |value| value.parse::<usize>().unwrap());
    match path {
        "/company" => reply(200, &json!({"id": "acme", "title": "Acme"})),
        "/sites" => {
            let sites = json!([{"code": "ber", "city": "Berlin"}, {"code": "ams", "city": "Amsterdam"}]);
            reply(200, &json!({"sites": sites, "total": 2}))
        }
        "/hosts" => {
            let (from, limit) = (number("offset"), number("limit"));
            let hosts: Vec<Value> = (from..HOSTS.min(from + limit)).map(host).collect();
            reply(200, &json!({"hosts": hosts, "total": HOSTS}))
        }
        "/sites/ber/racks" => reply(200, &json!({"racks": [{"id": "r-ber", "label": "A1", "units": 42}], "total": 1})),
        "/sites/ams/racks" => reply(200, &json!({"racks": [], "total": 0})),
        "/services" => {
            let services = ["s1", "s2"].map(|id| json!({"id": id, "name": id.to_uppercase()}));
            reply(200, &json!({"services": services, "total": 2}))
        }
        "/services/s1" => reply(200, &json!({"owner": {"email": "a@example.test"}})),
        _ => reply(404, &json!({"error": {"code": "404", "message": "no such path"}})),
    }
}

pub fn collect<'c>(command: &'c mut Command, url: &str, file: &Path) -> &'c mut Command {
    let options = ["collect", "--output", "-", "--collector", "inventory", "--inventory-endpoint-url"];
    command.args(options).arg(format!("{url}/api/v1")).arg("--definitions").arg(file);
    command.envs(["TOKEN", "CLIENT_SECRET"].map(|name| (format!("CKWORKER_INVENTORY_{name}"), "t0ken-12")));
    command.env("CKWORKER_INVENTORY_CLIENT_ID", "me")
}

fn example(url: &str, options: &[&str]) -> Output {
    program::run(collect(&mut command(&[]), url, Path::new(EXAMPLE)).args(options))
}

/// Nodes by kind and ID.
type Nodes = BTreeMap<(String, String), Value>;

/// Nodes, and the names of the ends of edges.
fn graph(text: &str) -> (Nodes, BTreeSet<(String, String)>) {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (edges, nodes): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.get("from").is_some());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names: BTreeMap<String, String> =
        nodes.iter().map(|node| (text(&node["id"]), text(&node["reported"]["name"]))).collect();
    let edges = edges.iter().map(|edge| (names[&text(&edge["from"])].clone(), names[&text(&edge["to"])].clone()));
    let nodes = nodes.iter().map(|node| {
        let reported = &node["reported"];
        ((text(&reported["kind"]), text(&reported["id"])), reported.clone())
    });
    (nodes.clone().collect(), edges.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn example_makes_a_collector() {
    let server = CannedServer::routed(|_, line| inventory(line)).await;
    for options in [&[][..], &["--fork", "--inventory-fork"]] {
        let output = example(server.url(), options);
        assert_eq!(output.code, 0, "{}", output.stderr);
        let (nodes, edges) = graph(&output.stdout);
        let hosts = nodes.keys().filter(|(kind, _)| kind == "inventory_host").count();
        assert_eq!((hosts, nodes.len()), (HOSTS, HOSTS + 2 + 1 + 2 + 1 + 2), "{:?}", nodes.keys().last());
        let node = |kind: &str, id: &str| nodes[&(kind.to_owned(), id.to_owned())].clone();
        let first = node("inventory_host", "h0");
        let expected = json!({
            "kind": "inventory_host", "id": "h0", "name": "host-0", "tags": {"team": "web"}, "os": "Linux",
            "ctime": "2024-01-02T03:04:05+00:00", "instance_cores": 4, "instance_memory": 16.5,
            "instance_status": "running", "instance_type": "", "addresses": ["10.0.0.1", "10.0.0.2"]
        });
        assert_eq!(first, expected);
        assert_eq!(node("inventory_host", "h3")["instance_status"], "unknown");
        assert_eq!(node("inventory_service", "s1")["owner"], "a@example.test");
        assert_eq!(node("inventory_service", "s2").get("owner"), None);
        for (from, to) in [
            ("inventory", "Acme"),
            ("Acme", "Berlin"),
            ("Berlin", "host-0"),
            ("Amsterdam", "host-1"),
            ("A1", "host-0"),
            ("host-0", "S1"),
            ("Acme", "S1"),
        ] {
            assert!(edges.contains(&(from.to_owned(), to.to_owned())), "{from} {to}");
        }
    }
    let arrived = server.arrived();
    assert!(arrived.iter().all(|request| request.header("authorization") == "Bearer t0ken-12"));
    let pages: Vec<_> = arrived.iter().filter(|one| one.line.contains("/hosts")).map(|one| one.line.as_str()).collect();
    let expected = ["", "&offset=100", "&offset=200"].map(|rest| format!("GET /api/v1/hosts?limit=100{rest}"));
    assert_eq!(pages, [expected.clone(), expected].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_list_is_a_gap_with_the_advice_of_the_file() {
    let server = CannedServer::routed(|_, line| match line.contains("/hosts") {
        true => reply(403, &json!({"error": {"code": "no_access", "message": "role missing"}})),
        false => inventory(line),
    })
    .await;
    let output = example(server.url(), &[]);
    assert_eq!(output.code, 3, "{}", output.stderr);
    for part in ["GET /hosts: no_access: role missing", "ask the owners of the inventory for the role reader"] {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
}

#[test]
fn collector_without_token_says_what_to_set() {
    let mut command = command(&[]);
    let command =
        collect(&mut command, "http://127.0.0.1:9", Path::new(EXAMPLE)).env_remove("CKWORKER_INVENTORY_TOKEN");
    let output = program::run(command);
    assert_eq!(output.code, 4, "{}", output.stderr);
    assert!(output.stderr.contains("set --inventory-token or CKWORKER_INVENTORY_TOKEN"), "{}", output.stderr);
}

/// Writes the example with a change.
fn changed(folder: &Path, old: &str, new: &str) -> PathBuf {
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    assert!(text.contains(old), "{old}");
    let file = folder.join("mine.toml");
    std::fs::write(&file, text.replacen(old, new, 1)).unwrap();
    file
}

#[test]
fn mistakes_are_found_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (old, new, what) in [
        ("os = \"os\"", "ost = \"os\"", "inventory_host has no field ost; did you mean os?"),
        ("pages = { type = \"offset\"", "pages = { type = \"ofset\"", "did you mean offset?"),
        ("scope = \"site\", id", "scope = \"sites\", id", "there is no scope sites"),
        ("kind = \"inventory_rack\", attribute", "kind = \"inventory_rak\", attribute", "did you mean inventory_rack?"),
        ("{@location.code}", "{@locaton.code}", "did you mean location?"),
        ("input = { id", "input = { ident", "the parameter id of the path is not in the input"),
        ("\"GET /hosts\"", "\"POST /hosts\"", "only read"),
        ("\"GET /hosts\"", "\"DELETE /hosts\"", "neither GET nor POST"),
        ("type = \"bearer\"", "type = \"basic\", user = \"fork\"", "there are two options fork"),
        ("input = { id = \"{id}\" }", "input = { id = \"{id}\", \"@url\" = \"{id}\" }", "no parameter is called @url"),
        ("{@location.code}", "{@parent.code}", "there is no value parent"),
        ("https://inventory.example.com/api/v1\"\n#", "inventory.example.com\"\n#", "begins with https:// or http://"),
        ("collector = \"hosts\"", "collector = \"hosts\"\ntagging = true", "tagging: definitions of a user only read"),
        ("collector = \"inventory\"", "collector = \"aws\"", "inventory_company"),
        ("source = \"rest\"", "source = \"soap\"", "there is no source \"soap\""),
        ("kind = \"inventory_company\"\nlist", "kind = \"inventory_firm\"\nlist", "inventory_firm"),
        ("[account]", "[acount]", "did you mean account?"),
        ("units = \"int64\"", "units = \"int6\"", "unknown type"),
    ] {
        let file = changed(folder.path(), old, new);
        let output = program::run(collect(&mut command(&[]), "http://127.0.0.1:9", &file));
        assert_eq!(output.code, 2, "{new}: {}", output.stderr);
        let first = output.stderr.lines().find(|line| line.contains(what)).unwrap_or_default();
        assert!(first.contains("mine.toml:"), "{new}: {}", output.stderr);
    }
}

#[test]
fn unreadable_definitions_and_taken_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(EXAMPLE).unwrap().replace("inventory", "slack");
    std::fs::write(folder.path().join("taken.toml"), text).unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    for (path, what) in [
        (folder.path().to_owned(), "there is a collector slack already"),
        (empty, "no file that ends in .toml"),
        (folder.path().join("missing.toml"), "No such file"),
    ] {
        let output = program::run(collect(&mut command(&[]), "http://127.0.0.1:9", &path));
        assert_eq!(output.code, 2, "{}", output.stderr);
        assert!(output.stderr.contains(what), "{what}: {}", output.stderr);
    }
}
