//! The files of kinds against what the original exported.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use super::*;

#[test]
fn every_kind_exports_the_recorded_fields_in_the_recorded_order() {
    type Recorded = BTreeMap<String, Vec<(String, String, serde_json::Value)>>;
    let recorded: Recorded = serde_json::from_str(include_str!("../../tests/golden/fields.json")).unwrap();
    let schema = Schema::all().unwrap();
    assert_eq!(recorded.len(), 179);
    assert_eq!(schema.kinds().map(|kind| kind.fqn).collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>());
    for (fqn, fields) in &recorded {
        let kind = schema.kind(fqn).unwrap();
        let ours: Vec<_> = kind.fields.iter().map(|field| (field.name, field.kind, field.default.clone())).collect();
        let theirs = fields.iter().map(|(name, model_kind, default)| {
            let parsed = ModelKind::parse(model_kind).unwrap();
            (name.as_str(), model_kind.as_str(), parsed.read(default).unwrap())
        });
        assert_eq!(ours, theirs.collect::<Vec<_>>(), "{fqn}");
    }
}

#[test]
fn a_plugin_has_its_own_kinds_and_the_base() {
    let schema = Schema::of("aws").unwrap();
    assert!(schema.kind("aws_ec2_instance").is_some());
    assert!(schema.kind("graph_root").is_some());
    assert!(schema.kind("gcp_disk").is_none());
    assert!(std::ptr::eq(schema, Schema::of("aws").unwrap()));
    assert_eq!(Schema::of("azure").unwrap_err(), SchemaError::UnknownPlugin("azure".into()));
}

#[test]
fn a_kind_knows_its_ancestry_and_states() {
    let kind = Schema::of("aws").unwrap().kind("aws_ec2_instance").unwrap();
    for base in ["aws_ec2_instance", "aws_resource", "instance", "resource"] {
        assert!(kind.is_a(base), "{base}");
    }
    assert!(!kind.is_a("volume"));
    assert_eq!(kind.map_status("instance_status_map", "shutting-down"), "busy");
    assert_eq!(kind.map_status("instance_status_map", "on holiday"), "unknown");
    assert_eq!(kind.map_status("no such map", "running"), "unknown");
}

#[test]
fn bases_that_contradict_each_other_are_an_error() {
    let text = r#"[{"fqn":"a","python_type":"","bases":[]},{"fqn":"b","python_type":"","bases":["a"]},
        {"fqn":"c","python_type":"","bases":["a","b"]}]"#;
    assert_eq!(Schema::read(&[("x", text)]).unwrap_err(), SchemaError::Bases("c".into()));
    let unknown = r#"[{"fqn":"a","python_type":"","bases":["nope"]}]"#;
    assert_eq!(Schema::read(&[("x", unknown)]).unwrap_err(), SchemaError::Bases("a".into()));
}

#[test]
fn values_are_checked_against_their_kind() {
    let parse = |text| ModelKind::parse(text).unwrap();
    assert!(parse("double").accepts(&Value::Int(4)));
    assert!(!parse("int64").accepts(&Value::Float(4.0)));
    assert!(!parse("string[]").accepts(&Value::List(vec!["a".into(), Value::Int(1)])));
    assert!(parse("dictionary[any, any]").accepts(&Value::Map(vec![("a".into(), Value::Int(1))])));
    assert!(!parse("dictionary[string, string]").accepts(&Value::Map(vec![("a".into(), Value::Int(1))])));
    assert!(!parse("datetime").accepts(&"2021-11-01".into()));
    assert_eq!(ModelKind::parse("tuple[string]"), None);
}
