//! Kinds: inheritance, states of a cloud, and values.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

/// The kinds of an invented cloud.
const CLOUD: KindFile = KindFile {
    plugin: "x",
    json: r#"[{"fqn":"x_resource","python_type":"","bases":["resource"],"abstract":true},
        {"fqn":"x_instance","python_type":"","bases":["x_resource","instance"],
         "status_maps":{"instance_status_map":{"shutting-down":"busy"}}}]"#,
};

#[test]
fn schema_has_base_kinds_and_those_of_its_files() {
    let schema = Schema::read(&[CLOUD]).unwrap();
    assert!(schema.kind("x_instance").is_some() && schema.kind("graph_root").is_some());
    let base = Schema::base().unwrap();
    assert!(base.kind("x_instance").is_none() && base.kind("graph_root").is_some());
    assert_eq!(base.require("x_instance").unwrap_err(), SchemaError::UnknownKind("x_instance".into()));
}

#[test]
fn kind_has_ancestry_and_states() {
    let schema = Schema::read(&[CLOUD]).unwrap();
    let kind = schema.kind("x_instance").unwrap();
    for base in ["x_instance", "x_resource", "instance", "resource"] {
        assert!(kind.is_a(base), "{base}");
    }
    assert!(!kind.is_a("volume"));
    assert_eq!(kind.map_status("instance_status_map", "shutting-down"), "busy");
    assert_eq!(kind.map_status("instance_status_map", "on holiday"), "unknown");
    assert_eq!(kind.map_status("no such map", "running"), "unknown");
}

fn bases(kind: &str) -> SchemaError {
    SchemaError::Bases { origin: "kinds of x".into(), kind: kind.into() }
}

#[test]
fn bases_that_contradict_each_other_are_an_error() {
    let text = r#"[{"fqn":"a","python_type":"","bases":[]},{"fqn":"b","python_type":"","bases":["a"]},
        {"fqn":"c","python_type":"","bases":["a","b"]}]"#;
    assert_eq!(Schema::read(&[KindFile { plugin: "x", json: text }]).unwrap_err(), bases("c"));
    let unknown = r#"[{"fqn":"a","python_type":"","bases":["nope"]}]"#;
    assert_eq!(Schema::read(&[KindFile { plugin: "x", json: unknown }]).unwrap_err(), bases("a"));
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

#[test]
fn property_has_one_type_in_all_kinds() {
    let schema = |first: &str, second: &str| {
        let kind = |name: &str, model_kind: &str| KindSpec {
            fqn: name.to_owned(),
            bases: vec!["resource".to_owned()],
            fields: vec![FieldSpec { name: "state".into(), kind: model_kind.into(), ..FieldSpec::default() }],
            origin: format!("{name}.toml:7"),
            ..KindSpec::default()
        };
        Schema::of(vec![kind("a", first), kind("b", second)]).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(schema("string", "string"), Ok(()));
    assert_eq!(schema("any", "string").and(schema("string", "any")), Ok(()), "any type contradicts none");
    let error = schema("string", "int64").unwrap_err();
    assert!(
        error.starts_with("b.toml:7: field state of kind b is int64, and the core has it in a as string"),
        "{error}"
    );
    assert!(schema("string[]", "string").is_err());
}
