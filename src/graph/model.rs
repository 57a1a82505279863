//! The model: all kinds in the form that a core expects.
//!
//! A core never forgets a kind. The Python worker sends the kinds of all its plugins, enabled or not, and so does
//! ckworker.

use serde::Serialize;

use super::{Field, Schema, SchemaError, schema::Kind};

#[derive(Serialize)]
struct ModelKind<'a> {
    fqn: &'a str,
    bases: &'a [String],
    properties: Vec<Property<'a>>,
}

#[derive(Serialize)]
struct Property<'a> {
    name: &'a str,
    kind: &'a str,
    required: bool,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    synthetic: Option<Path<'a>>,
}

#[derive(Serialize)]
struct Path<'a> {
    path: &'a [String],
}

/// Returns the kinds of a schema as a JSON list, ordered by name. The bytes are always the same.
///
/// # Errors
/// If a kind cannot be written as JSON.
pub fn model_json(schema: &Schema) -> Result<Vec<u8>, SchemaError> {
    json(schema.kinds().map(|kind| model_kind(kind, |_| true)))
}

/// Returns the same list without properties that a kind inherits from its bases, because the newer core rejects these.
///
/// # Errors
/// If a kind cannot be written as JSON.
pub fn lean_model_json(schema: &Schema) -> Result<Vec<u8>, SchemaError> {
    json(schema.kinds().map(|kind| model_kind(kind, |name| !inherits(schema, kind, name))))
}

fn json<'a>(kinds: impl Iterator<Item = ModelKind<'a>>) -> Result<Vec<u8>, SchemaError> {
    let kinds: Vec<_> = kinds.collect();
    serde_json::to_vec(&kinds)
        .map_err(|error| SchemaError::Malformed { plugin: "all".to_owned(), reason: error.to_string() })
}

/// Whether a direct or indirect base of a kind has this property.
fn inherits(schema: &Schema, kind: &Kind, name: &str) -> bool {
    let mut bases = kind.bases.iter().filter_map(|base| schema.kind(base));
    bases.any(|base| base.own.iter().any(|field| field.name == name) || inherits(schema, base, name))
}

fn model_kind(kind: &Kind, keep: impl Fn(&str) -> bool) -> ModelKind<'_> {
    let properties = kind.own.iter().filter(|field| keep(&field.name)).map(|field| property(field)).collect();
    ModelKind { fqn: &kind.fqn, bases: &kind.bases, properties }
}

fn property(field: &Field) -> Property<'_> {
    let Field { name, kind, required, description, synthetic, .. } = field;
    let synthetic = synthetic.as_deref().map(|path| Path { path });
    Property { name, kind, required: *required, description, synthetic }
}
