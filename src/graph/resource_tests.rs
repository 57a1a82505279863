//! Lines as the Python worker wrote them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::HashMap, sync::LazyLock};

use serde_json::Value as Json;

use super::*;
use crate::graph::{KindFile, ModelKind, Schema, UNDEFINED};

const GOLDEN: &str = include_str!("../../tests/golden/aws/graph.ndjson");

fn scope<'a>() -> Scope<'a> {
    Scope { cloud: "aws", account: "123456789012", region: "us-east-1", zone: UNDEFINED }
}

fn kind(fqn: &str) -> &'static Kind {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let json = include_str!("../collectors/aws/kinds.json");
        Schema::read(&[KindFile { plugin: "aws", json }]).unwrap()
    });
    SCHEMA.kind(fqn).unwrap()
}

fn line(node: &Node) -> Json {
    serde_json::from_slice(&node.line).unwrap()
}

/// Finds ancestors as the Python worker did during collection: account and region of a node are those on its shortest
/// way to the root. On that way the node is reached from its container, not from merely related nodes.
struct Ancestors {
    nodes: HashMap<String, Json>,
    parents: HashMap<String, Vec<String>>,
}

impl Ancestors {
    fn read() -> Self {
        let (mut nodes, mut parents) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for line in GOLDEN.lines() {
            let line: Json = serde_json::from_str(line).unwrap();
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            match line.get("from") {
                Some(_) => parents.entry(text("to")).or_default().push(text("from")),
                None => drop(nodes.insert(text("id"), line)),
            }
        }
        Self { nodes, parents }
    }

    fn find(&self, id: &str, base: &str) -> String {
        let mut level = self.parents.get(id).cloned().unwrap_or_default();
        while !level.is_empty() {
            for parent in &level {
                let reported = &self.nodes[parent]["reported"];
                if kind(reported["kind"].as_str().unwrap()).is_a(base) {
                    return reported["id"].as_str().unwrap().to_owned();
                }
            }
            level = level.iter().filter_map(|id| self.parents.get(id)).flatten().cloned().collect();
        }
        UNDEFINED.to_owned()
    }
}

/// Parses a recorded node and builds it again.
fn rebuild(node: &Json, ancestors: &Ancestors) -> Node {
    let reported = node["reported"].as_object().unwrap();
    let kind = kind(reported["kind"].as_str().unwrap());
    let mut resource = Resource::new(kind, reported["id"].as_str().unwrap());
    for field in &kind.fields {
        let value = reported.get(&field.name).unwrap_or(&Json::Null);
        let value = field.model_kind.read(value).unwrap();
        if field.name != "id" {
            resource.set(&field.name, value).unwrap();
        }
    }
    let metadata = |key: &str| node["metadata"][key].as_bool().unwrap();
    resource.cleaned(metadata("cleaned")).phantom(metadata("phantom")).protected(metadata("protected"));
    resource.replace(node["replace"].as_bool().unwrap_or(false));
    let id = node["id"].as_str().unwrap();
    let [cloud, account, region, zone] = ["cloud", "account", "region", "zone"].map(|base| ancestors.find(id, base));
    resource.finish(&Scope { cloud: &cloud, account: &account, region: &region, zone: &zone }).unwrap()
}

/// Invariant: node IDs and lines equal those of the Python worker.
#[test]
fn every_recorded_node_is_written_again_with_its_id() {
    let ancestors = Ancestors::read();
    assert_eq!(ancestors.nodes.len(), 1077);
    for (id, recorded) in &ancestors.nodes {
        let node = rebuild(recorded, &ancestors);
        assert_eq!(NodeId(node.id).to_string(), *id, "{recorded}");
        assert_eq!(line(&node), *recorded);
    }
}

#[test]
fn fields_keep_order_and_form_of_python_worker() {
    let recorded = GOLDEN.lines().find(|line| line.contains("\"kind\": \"aws_ec2_instance\"")).unwrap();
    let node = rebuild(&serde_json::from_str(recorded).unwrap(), &Ancestors::read());
    // No string in this line has a colon or a comma followed by a space.
    let compact = recorded.replace(": ", ":").replace(", ", ",");
    assert_eq!(String::from_utf8_lossy(&node.line), compact);
}

#[test]
fn new_resource_has_defaults_and_no_nulls() {
    let mut resource = Resource::new(kind("aws_ec2_volume"), "vol-1");
    resource.tag("b", "1").tag("a", "2").tag("b", "3").protected(true).clean(true);
    let node = resource.finish(&scope()).unwrap();
    assert_eq!((node.kind.as_str(), node.resource.as_str()), ("aws_ec2_volume", "vol-1"));
    let text = String::from_utf8_lossy(&node.line);
    let expected = r#""reported":{"kind":"aws_ec2_volume","id":"vol-1","tags":{"b":"3","a":"2"},"name":"vol-1","volume_size":0,"volume_type":"","volume_status":"","snapshot_before_delete":false},"metadata":{"python_type":"cloudkeeper_plugin_aws.resources.AWSEC2Volume","cleaned":false,"phantom":false,"protected":true},"desired":{"clean":true}}"#;
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn valid_tag_overrides_creation_time() {
    let created = |tag: &str| {
        let mut resource = Resource::new(kind("aws_ec2_volume"), "vol-1");
        resource.set("ctime", Value::Time(time::macros::datetime!(2021-11-01 0:00:07 UTC))).unwrap();
        resource.tag(CTIME_TAG, tag);
        line(&resource.finish(&scope()).unwrap())["reported"]["ctime"].as_str().unwrap().to_owned()
    };
    assert_eq!(created("2019-09-05T10:40:11+02:00"), "2019-09-05T10:40:11+02:00");
    assert_eq!(created("2019-09-05T10:40:11"), "2019-09-05T10:40:11+00:00");
    assert_eq!(created("last summer"), "2021-11-01T00:00:07+00:00");
}

#[test]
fn unfit_value_is_rejected_with_kind_and_field() {
    let mut resource = Resource::new(kind("aws_ec2_volume"), "vol-1");
    let text = |result: Result<&mut Resource<'_>, ResourceError>| result.unwrap_err().to_string();
    assert_eq!(text(resource.set("colour", Value::Null)), "kind aws_ec2_volume has no field colour");
    assert_eq!(text(resource.set("id", "vol-2".into())), "kind aws_ec2_volume has no field id");
    let wrong = "field volume_size of kind aws_ec2_volume takes int64, not text";
    assert_eq!(text(resource.set("volume_size", "8".into())), wrong);
    let mut stack = Resource::new(kind("aws_ec2_volume_type"), "gp2");
    for number in [f64::NAN, f64::INFINITY] {
        let refused = ResourceError::NotWritable { kind: "aws_ec2_volume_type".into(), field: "ondemand_cost".into() };
        assert_eq!(stack.set("ondemand_cost", number.into()).unwrap_err(), refused);
    }
}

#[test]
fn numbers_keep_their_type() {
    let mut resource = Resource::new(kind("aws_ec2_instance"), "i-1");
    resource.set("instance_cores", Value::Int(4)).unwrap();
    resource.set("instance_memory", Value::Float(16.0)).unwrap();
    let node = resource.finish(&scope()).unwrap();
    let text = String::from_utf8_lossy(&node.line);
    assert!(text.contains(r#""instance_cores":4,"instance_memory":16.0,"#), "{text}");
}

#[test]
fn line_above_limit_of_core_is_an_error() {
    let of_length = |extra: usize| {
        let mut resource = Resource::new(kind("aws_vpc"), "vpc-1");
        resource.tag("x", "y".repeat(extra));
        resource.finish(&scope())
    };
    let short = of_length(0).unwrap().line.len() + 1;
    assert_eq!(of_length(MAX_LINE - short).unwrap().line.len() + 1, MAX_LINE);
    let refused = ResourceError::TooLong { kind: "aws_vpc".into(), id: "vpc-1".into(), length: MAX_LINE + 1 };
    assert_eq!(of_length(MAX_LINE - short + 1).unwrap_err(), refused);
}

#[test]
fn fields_of_any_kind_are_parsed_from_json() {
    let list = ModelKind::List(Box::new(ModelKind::Any)).read(&serde_json::json!([{"Name": "InstanceId"}]));
    assert_eq!(list, Some(Value::List(vec![Value::Map(vec![("Name".into(), "InstanceId".into())])])));
    assert_eq!(ModelKind::Int.read(&serde_json::json!("8")), None);
}

#[test]
fn newer_kind_has_no_python_type_in_its_nodes() {
    static NEWER: LazyLock<Schema> = LazyLock::new(|| {
        let json = r#"[{"fqn":"x_topic","bases":["resource"]}]"#;
        Schema::read(&[KindFile { plugin: "x", json }]).unwrap()
    });
    let node = Resource::new(NEWER.kind("x_topic").unwrap(), "t").finish(&scope()).unwrap();
    let expected = serde_json::json!({"cleaned": false, "phantom": false, "protected": false});
    assert_eq!(line(&node)["metadata"], expected);
}
