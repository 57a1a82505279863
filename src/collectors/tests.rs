//! The kinds of all clouds against the recording of the Python worker.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::graph::{ModelKind, lean_model_json, model_json};

#[test]
fn kinds_export_recorded_fields_in_recorded_order() {
    type Recorded = BTreeMap<String, Vec<(String, String, Value)>>;
    let recorded: Recorded = serde_json::from_str(include_str!("../../tests/golden/fields.json")).unwrap();
    let schema = schema().unwrap();
    assert_eq!(recorded.len(), 179);
    // Newer kinds have their schema beside their definition.
    let listed = schema.kinds().filter(|kind| !kind.origin.contains(".toml:")).map(|kind| &kind.fqn);
    assert_eq!(listed.collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>());
    for (fqn, fields) in &recorded {
        let kind = schema.kind(fqn).unwrap();
        let ours: Vec<_> =
            kind.fields.iter().map(|field| (field.name.as_str(), field.kind.as_str(), field.default.clone())).collect();
        let theirs = fields.iter().map(|(name, model_kind, default)| {
            let parsed = ModelKind::parse(model_kind).unwrap();
            (name.as_str(), model_kind.as_str(), parsed.read(default).unwrap())
        });
        assert_eq!(ours, theirs.collect::<Vec<_>>(), "{fqn}");
    }
}

/// Whether a base of a kind, near or far, has this property.
fn inherits(schema: &Schema, fqn: &str, name: &str) -> bool {
    let bases = schema.kind(fqn).unwrap().bases.iter().filter_map(|base| schema.kind(base));
    bases.into_iter().any(|base| base.own.iter().any(|field| field.name == name) || inherits(schema, &base.fqn, name))
}

#[test]
fn lean_model_has_every_kind_without_inherited_properties() {
    let (full, lean): (Vec<Value>, Vec<Value>) = (
        serde_json::from_slice(&model_json(schema().unwrap()).unwrap()).unwrap(),
        serde_json::from_slice(&lean_model_json(schema().unwrap()).unwrap()).unwrap(),
    );
    assert_eq!(full.len(), lean.len());
    let schema = schema().unwrap();
    for kind in &lean {
        let fqn = kind["fqn"].as_str().unwrap();
        for property in kind["properties"].as_array().unwrap() {
            let name = property["name"].as_str().unwrap();
            assert!(!inherits(schema, fqn, name), "{fqn}.{name}");
        }
    }
    let has_ctime = |model: &[Value], fqn: &str| {
        let kind = model.iter().find(|kind| kind["fqn"] == fqn).unwrap();
        kind["properties"].as_array().unwrap().iter().any(|property| property["name"] == "ctime")
    };
    assert!(has_ctime(&full, "aws_region") && !has_ctime(&lean, "aws_region") && has_ctime(&lean, "resource"));
}
