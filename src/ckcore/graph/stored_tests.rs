//! Recorded nodes of both cores.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::json;

use super::*;

const TASKS: [(&str, &str); 2] =
    [("2.0", include_str!("../testdata/task_2.0.json")), ("4.1", include_str!("../testdata/task_4.1.json"))];

fn node(task: &str) -> StoredNode {
    let task: Value = serde_json::from_str(task).unwrap();
    StoredNode::read(&task["data"]["node"]).unwrap()
}

#[test]
fn task_node_is_equal_from_both_cores() {
    for (core, task) in TASKS {
        let node = node(task);
        assert_eq!((node.kind.as_str(), node.revision.is_some()), ("example_instance", true), "{core}");
        let mut reported = Value::Object(node.reported);
        for time in ["ctime", "mtime", "atime"] {
            assert!(reported.as_object_mut().unwrap().remove(time).is_some(), "{core}");
        }
        let tags = json!({"Name": "Example Instance 1", "expiration": "2d", "owner": "lukas"});
        let expected = json!({"kind": "example_instance", "id": "someInstance1", "tags": tags, "name": "someInstance1",
            "instance_cores": 4, "instance_memory": 32, "instance_type": "", "instance_status": "running"});
        assert_eq!(reported, expected, "{core}");
        assert_eq!(node.desired, Map::new(), "{core}");
        let mut metadata = node.metadata;
        assert!(metadata.remove("python_type").is_some());
        metadata.remove("categories");
        assert_eq!(Value::Object(metadata), json!({"cleaned": false, "phantom": false, "protected": false}), "{core}");
        let ancestors: Vec<_> = node.ancestors.iter().map(|(kind, node)| (kind.as_str(), node.id.as_str())).collect();
        assert_eq!(ancestors, [("account", "Example Account"), ("cloud", "example"), ("region", "us-west")], "{core}");
        let region = &node.ancestors["region"];
        assert_eq!(region.name.as_deref(), Some("US West"));
        assert_eq!(region.reported["tags"], json!({"Some Tag": "Some Value"}), "{core}");
        assert!(!region.reported.contains_key("age"));
    }
}

#[test]
fn nodes_to_clean_are_read_from_both_cores() {
    for (edge, answer) in [
        ("dependency", include_bytes!("../testdata/clean_2.0.ndjson").as_slice()),
        ("default", include_bytes!("../testdata/clean_4.1.ndjson")),
    ] {
        let mut reader = GraphReader::new(CLEAN_QUERY, edge, |_| true);
        for chunk in answer.chunks(1000) {
            reader.feed(chunk).unwrap();
        }
        let graph = reader.finish().unwrap();
        let wanted: Vec<_> =
            graph.nodes.iter().filter(|node| node.desired.get("clean") == Some(&json!(true))).collect();
        assert!(!wanted.is_empty() && graph.nodes.iter().any(|node| node.kind == "graph_root"), "{edge}");
        for node in wanted {
            assert_eq!(node.ancestors["cloud"].id, "example", "{edge}");
            assert!(graph.edges.iter().any(|(_, to)| *to == node.id), "{edge}");
        }
    }
}

#[test]
fn property_named_like_an_ancestor_stays() {
    let node = json!({"id": "x", "reported": {"kind": "k", "region": "here", "zone": null}});
    assert_eq!(StoredNode::read(&node).unwrap().reported, *json!({"kind": "k", "region": "here"}).as_object().unwrap());
    for no_node in
        [json!(null), json!({"id": "x"}), json!({"id": "x", "reported": {}}), json!({"reported": {"kind": "k"}})]
    {
        assert_eq!(StoredNode::read(&no_node), None);
    }
}

#[test]
fn edges_of_other_types_are_left_out() {
    let mut reader = GraphReader::new(CLEAN_QUERY, "default", |_| true);
    reader.feed(b"{\"from\":\"a\",\"to\":\"b\",\"edge_type\":\"delete\"}\n{\"from\":\"a\",\"to\":\"c\"").unwrap();
    reader.feed(b",\"edge_type\":\"default\"}").unwrap();
    assert_eq!(reader.finish().unwrap().edges, [("a".to_owned(), "c".to_owned())]);
}

#[test]
fn unusable_line_is_an_error_that_names_its_request() {
    for what in ["query of x", "query of y"] {
        for line in ["{", "[]", "{\"from\":\"a\"}", "{\"id\":\"a\",\"reported\":{}}"] {
            let read = |text: &str| {
                let mut reader = GraphReader::new(what, "default", |_| true);
                reader.feed(text.as_bytes()).and_then(|()| reader.finish())
            };
            // Only the first one ends with its line.
            for text in [format!("{line}\n"), line.to_owned()] {
                let error = read(&text).unwrap_err().to_string();
                assert!(error.contains(what) && !error.contains(CLEAN_QUERY), "{error}");
            }
        }
    }
}

#[test]
fn changes_are_grouped_by_section_once_for_each_node() {
    let map = |value: Value| value.as_object().cloned();
    let changes = [
        NodeChange {
            id: "a".into(),
            desired: map(json!({"clean": false})),
            metadata: map(json!({"cleaned": true})),
            ..NodeChange::default()
        },
        NodeChange { id: "b".into(), metadata: map(json!({"x": 1})), ..NodeChange::default() },
        NodeChange { id: "a".into(), metadata: map(json!({"y": 2})), ..NodeChange::default() },
        NodeChange { id: "c".into(), metadata: map(json!({})), ..NodeChange::default() },
    ];
    assert_eq!(
        change_bodies(&changes),
        [
            "{\"desired\":{\"clean\":false},\"id\":\"a\"}\n",
            "{\"id\":\"a\",\"metadata\":{\"cleaned\":true,\"y\":2}}\n{\"id\":\"b\",\"metadata\":{\"x\":1}}\n",
        ]
    );
    assert!(change_bodies(&[]).is_empty());
}

#[test]
fn unneeded_fields_of_node_are_dropped() {
    let node = |id: &str| {
        json!({"id": id, "revision": "r", "reported": {"kind": "k", "id": id, "name": "n", "tags": {"a": "b"}},
            "desired": {"clean": false}, "metadata": {"protected": true, "descendant_count": 1, "event_log": [1]}})
    };
    let mut reader = GraphReader::new(CLEAN_QUERY, "default", |node| node.id == "needed");
    reader.feed(format!("{}\n{}\n", node("needed"), node("other")).as_bytes()).unwrap();
    let graph = reader.finish().unwrap();
    let [needed, other] = &graph.nodes[..] else { panic!("{graph:?}") };
    assert!(needed.reported.contains_key("tags") && needed.metadata.contains_key("event_log"));
    let mut expected =
        StoredNode::read(&json!({"id": "other", "reported": {"kind": "k", "id": "other", "name": "n"}})).unwrap();
    expected.metadata.insert("protected".into(), true.into());
    assert_eq!(*other, expected);
}
