//! The model: all kinds in the form in which a core learns them.
//!
//! It has the kinds of all plugins, whichever run, as the original's had: a core that once knows a kind keeps it, and a
//! worker of another plugin may send it later.

use serde::Serialize;

use super::{Field, Schema, SchemaError, schema::Kind};

#[derive(Serialize)]
struct ModelKind<'a> {
    fqn: &'a str,
    bases: &'a [&'a str],
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
    path: &'a [&'a str],
}

/// The kinds of all plugins as a JSON list, ordered by name; always the same bytes.
///
/// # Errors
/// That the files of kinds are wrong.
pub fn model_json() -> Result<Vec<u8>, SchemaError> {
    let kinds: Vec<_> = Schema::all()?.kinds().map(model_kind).collect();
    serde_json::to_vec(&kinds)
        .map_err(|error| SchemaError::Malformed { plugin: "all".to_owned(), reason: error.to_string() })
}

fn model_kind(kind: &Kind) -> ModelKind<'_> {
    let properties = kind.own.iter().map(|field| property(field)).collect();
    ModelKind { fqn: kind.fqn, bases: &kind.bases, properties }
}

fn property(field: &Field) -> Property<'_> {
    let Field { name, kind, required, description, synthetic, .. } = field;
    let synthetic = synthetic.as_deref().map(|path| Path { path });
    Property { name, kind, required: *required, description, synthetic }
}
