//! The test core against what was recorded of a real one, so that tests with it say something.

use std::collections::BTreeMap;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::core::TestCore;

const ROOT: &str = r#"{"id": "root_x", "reported": {"kind": "graph_root", "id": "root_x", "name": "root_x"}}"#;
const CLOUD: &str = r#"{"id": "cl", "reported": {"kind": "cloud", "id": "cl", "name": "cl"}, "replace": true}"#;
const ACCOUNT: &str = r#"{"id": "acc", "reported": {"kind": "account", "id": "acc", "name": "acc"}}"#;
const EDGES: [&str; 3] =
    [r#"{"from": "root_x", "to": "cl"}"#, r#"{"from": "cl", "to": "acc"}"#, r#"{"from": "acc", "to": "thing"}"#];
const MERGED: &str = "\"nodes_created\"";

struct Probe {
    server: TestCore,
    client: Client,
}

impl Probe {
    async fn new() -> Self {
        let probe = Self { server: TestCore::start(None).await, client: Client::new() };
        probe.send(Method::POST, "/graph/probe", |request| request).await;
        probe.send(Method::PATCH, "/model", |request| request.body(model().to_string())).await;
        probe
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> (u16, String) {
        let request = self.client.request(method, format!("{}{path}", self.server.uri()));
        let response = with(request).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn merge(&self, lines: &[&str]) -> (u16, String) {
        let body = lines.join("\n");
        let with = |request: RequestBuilder| request.header("content-type", "application/x-ndjson").body(body);
        self.send(Method::POST, "/graph/probe/merge", with).await
    }

    /// Merges the usual graph with this line in the place of the node `thing`, and these at the end.
    async fn thing(&self, line: &str, more: &[&str]) -> (u16, String) {
        let lines: Vec<_> = [ROOT, CLOUD, ACCOUNT, line].into_iter().chain(EDGES).chain(more.iter().copied()).collect();
        self.merge(&lines).await
    }
}

fn model() -> Value {
    let property = |(name, kind): (&str, &str)| json!({"name": name, "kind": kind, "required": false});
    let required = |name: &str, kind: &str| json!({"name": name, "kind": kind, "required": true});
    let kind = |fqn: &str, bases: &[&str]| json!({"fqn": fqn, "bases": bases, "properties": []});
    let optional = [
        ("s", "string"),
        ("n32", "int32"),
        ("n64", "int64"),
        ("f", "float"),
        ("d", "double"),
        ("b", "boolean"),
        ("dt", "datetime"),
        ("da", "date"),
        ("du", "duration"),
        ("an", "any"),
        ("arr", "string[]"),
        ("arrn", "int32[]"),
        ("arrdt", "datetime[]"),
        ("arr2", "string[][]"),
        ("dict", "dictionary[string, string]"),
        ("dictn", "dictionary[string, int32]"),
        ("dicta", "dictionary[string, any[]]"),
        ("dictdt", "dictionary[string, datetime]"),
        ("nested", "probe_nested"),
        ("nesteda", "probe_nested[]"),
    ];
    let mut properties = vec![required("req", "string")];
    properties.extend(optional.map(property));
    json!([
        {"fqn": "resource", "bases": [], "properties": [required("id", "string"), property(("name", "string"))]},
        kind("graph_root", &["resource"]), kind("cloud", &["resource"]), kind("account", &["resource"]),
        {"fqn": "probe_nested", "bases": [], "properties": [required("x", "int32"), property(("y", "string"))]},
        {"fqn": "probe_thing", "bases": ["resource"], "properties": properties},
    ])
}

fn thing(more: &Value) -> String {
    let mut reported = json!({"kind": "probe_thing", "id": "thing", "name": "thing", "req": "r"});
    reported.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"id": "thing", "reported": reported}).to_string()
}

#[tokio::test]
async fn values_are_judged_as_recorded() {
    let recorded: BTreeMap<String, (u16, Option<Value>)> =
        serde_json::from_str(include_str!("../../golden/core/values.json")).unwrap();
    let probe = Probe::new().await;
    let mut wrong = Vec::new();
    for (what, (status, said)) in &recorded {
        let (name, value) = what.split_once(" = ").unwrap();
        let value: Value = serde_json::from_str(value).unwrap();
        let (got, body) = probe.thing(&thing(&json!({name: value})), &[]).await;
        let said = said.clone().unwrap_or_default();
        let right = match status {
            200 => {
                let stored = probe.server.nodes("probe").get("thing").map(|node| node.reported[name].clone());
                got == 200
                    && (stored.as_ref() == Some(&said) || said == "same" && stored == Some(value) || said.is_null())
            }
            // The objects inside a message have their keys in another order.
            _ => got == *status && body.starts_with(said.as_str().unwrap().split(": {").next().unwrap()),
        };
        if !right {
            wrong.push(format!("{what}: recorded {status} {said}, got {got} {body}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), recorded.len(), wrong.join("\n"));
}

#[tokio::test]
async fn lines_are_judged_as_recorded() {
    let good = thing(&json!({}));
    let with = |from: &str, to: &str| good.replace(from, to);
    let aborted = |text: &str| format!("Error: ImportAborted\nMessage: {text}");
    let many = "ab\u{e4}";
    let cases: Vec<(String, &[&str], String)> = vec![
        (good.clone(), &[], MERGED.into()),
        (with("probe_thing", "nope"), &[], aborted("AttributeError('No kind definition found for nope')")),
        (with("\"probe_thing\"", "null"), &[], aborted("AttributeError('No kind definition found for None')")),
        (with("probe_thing", "string"), &[], aborted("AttributeError('Expected type string but got dict')")),
        (
            with("\"req\"", "\"zzz\""),
            &[],
            aborted("AttributeError('Kind:probe_thing Property:zzz is not defined in model!')"),
        ),
        (with("\"r\"", "null"), &[], aborted("AttributeError('Required property req is undefined!')")),
        (with("\"req\":\"r\"", "\"s\":\"x\""), &[], "Property:req is required and missing in ".into()),
        (
            with("\"req\":\"r\"", "\"req\":\"r\",\"age\":\"1d\""),
            &[],
            aborted("AttributeError('Kind:predefined_properties Property:id is not defined in model!')"),
        ),
        (r#"{"id": "thing", "reported": {}}"#.into(), &[], aborted("AttributeError('No attribute kind found in {}')")),
        (
            r#"{"id": "thing", "reported": null}"#.into(),
            &[],
            aborted("TypeError(\"'NoneType' object is not subscriptable\")"),
        ),
        (
            r#"{"id": "thing", "metadata": {}}"#.into(),
            &[],
            aborted(
                "AttributeError('Format not understood! Got {\"id\": \"thing\", \"metadata\": {}} which is neither vertex nor edge.')",
            ),
        ),
        ("5".into(), &[], aborted("TypeError(\"argument of type 'int' is not iterable\")")),
        (good.replacen("\"thing\"", "null", 1), &[], aborted("ValueError('None cannot be a node')")),
        (with("\"id\":\"thing\",\"rep", &format!("\"id\":\"{many}\",\"rep")), &[], "illegal document key".into()),
        (
            good.clone(),
            &[r#"{"from": "acc", "to": "nope"}"#],
            aborted("AssertionError('nope was used in an edge definition but not provided as vertex!')"),
        ),
        (good.clone(), &[r#"{"from": "acc", "to": "thing", "edge_type": "delete"}"#], MERGED.into()),
        (
            good.clone(),
            &[r#"{"from": "acc", "to": "thing", "edge_type": "default"}"#],
            "unknown edge types! Given: ".into(),
        ),
        (good.clone(), &[r#"{"from": "thing", "to": "thing"}"#], aborted("Import process died. (ExitCode: None)")),
        (good.clone(), &[r#"{"from": "thing", "to": "acc"}"#], aborted("Import process died. (ExitCode: None)")),
        (
            good.replacen('{', "{\"replace\":true,", 1),
            &[],
            aborted("AttributeError(\"Nodes are referenced in more than one merge node: {'thing'}\")"),
        ),
    ];
    let probe = Probe::new().await;
    for (line, more, said) in cases {
        let (status, body) = probe.thing(&line, more).await;
        assert_eq!(status, if said == MERGED { 200 } else { 400 }, "{line}: {body}");
        assert!(body.contains(&said), "{line}\nrecorded {said}\ngot {body}");
    }
}

#[tokio::test]
async fn roots_and_replace_nodes_are_judged_as_recorded() {
    let probe = Probe::new().await;
    let good = thing(&json!({}));
    let no_replace = CLOUD.replace(", \"replace\": true", "");
    let text_replace = CLOUD.replace("true", "\"true\"");
    let none = "AssertionError('No replace nodes provided in the graph. Mark at least one node with replace=true!')";
    let [first, second, third] = EDGES;
    for (lines, said) in [
        (
            vec![ROOT, CLOUD, ACCOUNT, &good, first, second],
            "AssertionError(\"Given subgraph has more than one root: ['root_x', 'thing']\")",
        ),
        (vec![], "AssertionError('Given subgraph has more than one root: []')"),
        (vec![ROOT, &no_replace, first], none),
        (vec![ROOT, &text_replace, first], none),
    ] {
        assert_eq!(probe.merge(&lines).await, (400, format!("Error: ImportAborted\nMessage: {said}")));
    }
    assert_eq!(probe.merge(&[CLOUD, ACCOUNT, &good, second, third]).await.0, 200, "a root need not be the graph's");
}

#[tokio::test]
async fn replacing_keeps_and_deletes_as_recorded() {
    let probe = Probe::new().await;
    let node = |id: &str, kind: &str| json!({"id": id, "reported": {"kind": kind, "id": id, "req": "r"}});
    let build = |replace: &str, edges: &str| {
        let kind = |id: &str| match id.as_bytes()[0] {
            b'c' => "cloud",
            b'a' => "account",
            b't' => "probe_thing",
            _ => "graph_root",
        };
        let pairs: Vec<_> = edges.split(' ').filter_map(|edge| edge.split_once('>')).collect();
        let ids: std::collections::BTreeSet<_> = pairs.iter().flat_map(|(from, to)| [*from, *to]).collect();
        let nodes = ids.into_iter().map(|id| {
            let mut line = node(id, kind(id));
            if kind(id) != "probe_thing" {
                line["reported"].as_object_mut().unwrap().remove("req");
            }
            if id == replace {
                line["replace"] = json!(true);
            }
            line.to_string()
        });
        let edges = pairs.iter().map(|(from, to)| json!({"from": from, "to": to}).to_string());
        nodes.chain(edges).collect::<Vec<_>>()
    };
    let counts = |created: u64, updated: u64, deleted: u64, edges_created: u64, edges_deleted: u64| {
        json!({"nodes_created": created, "nodes_updated": updated, "nodes_deleted": deleted,
            "edges_created": edges_created, "edges_updated": 0, "edges_deleted": edges_deleted})
    };
    // The first steps of the recording, with its counts.
    let steps = [
        ("c1", "root>c1 c1>a1 c1>a2 a1>t1 a1>t2 a2>t3", Some(counts(6, 1, 0, 6, 0))),
        ("c1", "root>c1 c1>a1 c1>a2 a1>t1 a1>t2 a2>t3", Some(counts(0, 0, 0, 0, 0))),
        ("c1", "root>c1 c1>a1 a1>t1 a1>t4", Some(counts(1, 0, 3, 1, 3))),
        ("c2", "root>c2 c2>a3 a3>t5", Some(counts(3, 0, 0, 3, 0))),
        ("a1", "root>c1 c1>a1 a1>t1 a1>t6", None),
        ("a9", "root>c1 c1>a9 a9>t9", Some(counts(2, 0, 0, 2, 0))),
        ("c1", "root>c1 c1>a1 a1>t1", Some(counts(0, 0, 1, 0, 1))),
    ];
    for (replace, edges, report) in steps {
        let lines = build(replace, edges);
        let (status, body) = probe.merge(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
        match report {
            Some(report) => assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), report, "{edges}"),
            None => assert!(status == 400 && body.contains("conflicting key: t1"), "{body}"),
        }
    }
    let edges: Vec<_> = probe.server.edges("probe").iter().map(|(from, to, _)| format!("{from}->{to}")).collect();
    assert_eq!(edges, ["a1->t1", "a3->t5", "a9->t9", "c1->a1", "c1->a9", "c2->a3", "root->c1", "root->c2"]);
}

#[tokio::test]
async fn requests_are_answered_as_recorded() {
    let probe = Probe::new().await;
    let subscribed = json!({"id": "s1", "subscriptions": {"collect": {"message_type": "collect", "timeout": 100.0, "wait_for_completion": true}}});
    let cases = [
        (Method::GET, "/system/ready", 200, "200: OK"),
        (Method::GET, "/nope", 400, "Error: HTTPNotFound\nMessage: Not Found"),
        (Method::DELETE, "/model", 400, "Error: HTTPMethodNotAllowed\nMessage: Method Not Allowed"),
        (Method::GET, "/subscriber/nope", 404, "No subscriber with id nope"),
        (Method::GET, "/subscriber/w1/handle", 404, "No subscriber with this id: w1 or no subscriptions"),
        (
            Method::POST,
            "/subscriber/s1/collect?timeout=abc",
            400,
            "Error: ValueError\nMessage: invalid literal for int() with base 10: 'abc'",
        ),
        (
            Method::POST,
            "/subscriber/s1/collect?timeout=1.5",
            400,
            "Error: ValueError\nMessage: invalid literal for int() with base 10: '1.5'",
        ),
        (Method::POST, "/subscriber/s1/collect?timeout=100&wait_for_completion=True", 200, &subscribed.to_string()),
        (Method::DELETE, "/subscriber/s1/collect", 200, "{\"id\":\"s1\",\"subscriptions\":{}}"),
        (Method::DELETE, "/subscriber/s1", 204, ""),
        (
            Method::POST,
            "/graph/with_underscore",
            400,
            "Error: AttributeError\nMessage: Graph name should not have underscores!",
        ),
        (
            Method::POST,
            "/graph/doesnotexist/merge",
            404,
            "Error: NoSuchGraph\nMessage: No graph with this name doesnotexist",
        ),
        (
            Method::POST,
            "/graph/probe/merge",
            400,
            "Error: AttributeError\nMessage: Can not read graph. Currently supported formats: json and ndjson!",
        ),
    ];
    for (method, path, status, body) in cases {
        assert_eq!(probe.send(method, path, |request| request).await, (status, body.to_owned()), "{path}");
    }
    let refused = [
        (json!([{"fqn": "k", "bases": ["nope"], "properties": []}]), "Error: KeyError\nMessage: 'nope'"),
        (
            json!([{"fqn": "k", "bases": [], "properties": [{"name": "p", "kind": "nope"}]}]),
            "Error: AttributeError\nMessage: Property kind is not known: nope. Have you registered it?",
        ),
        (
            json!([{"fqn": "conflict1", "bases": [], "properties": [{"name": "name", "kind": "int32"}]}]),
            "Error: AttributeError\nMessage: Update not possible. conflict1: following properties would be non unique having the same path but different type: name (string -> int32)",
        ),
    ];
    for (kinds, said) in refused {
        let answer = probe.send(Method::PATCH, "/model", |request| request.body(kinds.to_string())).await;
        assert_eq!(answer, (400, said.to_owned()));
    }
    let query =
        |text: &'static str| probe.send(Method::POST, "/graph/probe/query/graph", move |request| request.body(text));
    let unknown = "Error: AttributeError\nMessage: Given kind does not exist: nope";
    assert_eq!(query("is(nope) and reported.id == \"x\" -[0:]->").await, (400, unknown.to_owned()));
    assert!(query("this is not ( a query").await.1.starts_with("Error: ParseError\nMessage: Can not parse query: "));
}
