//! Recorded nodes of both cores, and the lines that are rebuilt from them.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;

const ACCOUNT: &str = r#"{"id": "K_29", "type": "node", "revision": "_g0000_A---", "reported": {"kind": "example_account", "id": "Example Account", "tags": {}, "name": "Example Account", "ctime": "2026-11-22T09:48:21Z", "age": "1m14s"}, "metadata": {"python_type": "cloudkeeper_plugin_example_collector.ExampleAccount", "cleaned": false, "phantom": false, "protected": false, "ancestors": {"cloud": {"name": "example", "id": "example"}}, "descendant_summary": {"example_region": 2}, "descendant_count": 6}, "kinds": ["example_account", "resource", "account"]}"#;
const INSTANCE: &str = r#"{"id": "r00Z", "type": "node", "revision": "_g0000AU---", "reported": {"kind": "example_instance", "id": "someInstance1", "tags": {"Name": "Example Instance 1", "owner": "lukas"}, "name": "someInstance1", "ctime": "2026-11-22T09:49:25Z", "instance_cores": 4.0, "instance_type": "", "gone": null, "age": "10s", "last_update": "10s", "last_access": "10s", "cloud": {"kind": "cloud"}, "zone": null}, "desired": {"clean": true}, "metadata": {"cleaned": false, "ancestors": {"cloud": {"name": "example", "id": "example"}, "account": {"name": "Example Account", "id": "Example Account"}}, "expires": "2026-11-24T09:49:25Z"}, "kinds": ["resource", "instance", "example_instance"]}"#;
const EDGE: &str = r#"{"type": "edge", "from": "K_29", "to": "r00Z"}"#;

fn carry(lines: &[&str], chunk: usize) -> Result<LastKnownAccount, CoreError> {
    let mut carrier = LastKnownReader::new("example_account", "Example Account");
    for chunk in lines.join("\n").as_bytes().chunks(chunk) {
        carrier.feed(chunk)?;
    }
    carrier.finish()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn computed_members_and_nulls_are_left_out() {
    for chunk in [1, 7, 100_000] {
        let carried = carry(&[ACCOUNT, INSTANCE, EDGE, ""], chunk).unwrap();
        assert_eq!(carried.nodes.len(), 2);
        assert!(carried.nodes[0].is_account && !carried.nodes[1].is_account);
        assert_eq!(
            json(&carried.nodes[1].line),
            json!({"id": "r00Z", "reported": {"kind": "example_instance", "id": "someInstance1",
                "tags": {"Name": "Example Instance 1", "owner": "lukas"}, "name": "someInstance1",
                "ctime": "2026-11-22T09:49:25Z", "instance_cores": 4.0, "instance_type": ""},
                "metadata": {"cleaned": false}})
        );
        let metadata = &json(&carried.nodes[0].line)["metadata"];
        assert_eq!(metadata.as_object().unwrap().len(), 4, "{metadata}");
        let edge = LastKnownEdge { from: "K_29".into(), to: "r00Z".into(), edge_type: None };
        assert_eq!(json(&edge.line()), json!({"from": "K_29", "to": "r00Z"}));
        assert_eq!((carried.edges, carried.outward), (vec![edge], vec![]));
    }
}

#[test]
fn values_stay_as_the_core_wrote_them() {
    let odd = INSTANCE.replace("4.0", "[123456789012345678901234567890, 1.50, \"\\u00e4\"]");
    let carried = carry(&[ACCOUNT, &odd], 4096).unwrap();
    let line = String::from_utf8(carried.nodes[1].line.clone()).unwrap();
    assert!(line.contains("[123456789012345678901234567890, 1.50, \"\\u00e4\"]"), "{line}");
}

#[test]
fn nodes_of_other_accounts_stay_there() {
    let foreign = INSTANCE.replace("r00Z", "other").replace("\"id\": \"Example Account\"", "\"id\": \"Other\"");
    let other = ACCOUNT.replace("K_29", "other_account").replace("Example Account", "Other");
    let edges = [EDGE, &EDGE.replace("K_29", "r00Z").replace("\"to\": \"r00Z\"", "\"to\": \"other\"")];
    let lines = [ACCOUNT, INSTANCE, &foreign, &other, edges[0], edges[1], &EDGE.replace("K_29", "other")];
    let carried = carry(&lines, 4096).unwrap();
    assert_eq!(carried.nodes.iter().map(|node| node.id.as_str()).collect::<Vec<_>>(), ["K_29", "r00Z"]);
    assert_eq!(carried.edges.len(), 1);
    assert_eq!(carried.outward, [LastKnownEdge { from: "r00Z".into(), to: "other".into(), edge_type: None }]);
}

#[test]
fn foreign_nodes_are_recognized_by_ancestors_of_both_cores() {
    let ancestors = r#""ancestors": {"account": {"reported": {"id": "Other", "name": "Other"}}}, "reported""#;
    let foreign = INSTANCE.replace("r00Z", "other").replacen("\"reported\"", ancestors, 1);
    let own = foreign.replace("other", "own").replace("\"id\": \"Other\"", "\"id\": \"Example Account\"");
    let carried = carry(&[ACCOUNT, &foreign, &own], 4096).unwrap();
    assert_eq!(carried.nodes.iter().map(|node| node.id.as_str()).collect::<Vec<_>>(), ["K_29", "own"]);
}

#[test]
fn other_edge_types_are_kept_and_the_default_is_omitted() {
    let of_type = |name: &str| EDGE.replace("\"type\": \"edge\"", &format!("\"edge_type\": \"{name}\""));
    let carried = carry(&[ACCOUNT, INSTANCE, &of_type("dependency"), &of_type("delete")], 4096).unwrap();
    assert_eq!(carried.edges[0].edge_type, None);
    assert_eq!(json(&carried.edges[1].line())["edge_type"], "delete");
}

#[test]
fn unreadable_response_is_an_error() {
    for lines in [&["{"][..], &["[]"], &["{\"id\": \"x\"}"], &["{\"id\": \"x\", \"reported\": {}}"], &[ACCOUNT, "{\"i"]]
    {
        let error = carry(lines, 4096).unwrap_err();
        assert!(!error.retryable, "{error}");
    }
    assert_eq!(carry(&[], 4096).unwrap(), LastKnownAccount::default());
}

/// A network of another account leads to it too, and the core takes the shortest way up.
#[test]
fn node_below_own_zone_is_own_whatever_account_the_core_names() {
    let of_other = |id: &str| INSTANCE.replace("r00Z", id).replace("\"id\": \"Example Account\"", "\"id\": \"Other\"");
    let zone = INSTANCE.replace("r00Z", "zone").replace("\"instance\", \"example_instance\"", "\"zone\"");
    let edge = |from: &str, to: &str| EDGE.replace("K_29", from).replace("r00Z", to);
    let lines = [
        of_other("shared"),
        of_other("foreign"),
        ACCOUNT.to_owned(),
        zone,
        edge("K_29", "zone"),
        edge("zone", "shared"),
        edge("shared", "foreign"),
    ];
    let carried = carry(&lines.each_ref().map(String::as_str), 4096).unwrap();
    let own: Vec<_> = carried.nodes.iter().map(|node| node.id.as_str()).collect();
    assert_eq!((own, carried.edges.len()), (vec!["K_29", "zone", "shared"], 2));
    assert_eq!(carried.outward, [LastKnownEdge { from: "shared".into(), to: "foreign".into(), edge_type: None }]);
    assert_eq!(carried.foreign.keys().collect::<Vec<_>>(), ["foreign"]);
}
