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
    json(Schema::all()?.kinds().map(|kind| model_kind(kind, |_| true)))
}

/// The same without properties that a kind has from its bases already: the newer core refuses them.
///
/// # Errors
/// That the files of kinds are wrong.
pub fn lean_model_json() -> Result<Vec<u8>, SchemaError> {
    let schema = Schema::all()?;
    json(schema.kinds().map(|kind| model_kind(kind, |name| !inherits(schema, kind, name))))
}

fn json<'a>(kinds: impl Iterator<Item = ModelKind<'a>>) -> Result<Vec<u8>, SchemaError> {
    let kinds: Vec<_> = kinds.collect();
    serde_json::to_vec(&kinds)
        .map_err(|error| SchemaError::Malformed { plugin: "all".to_owned(), reason: error.to_string() })
}

/// Whether a base of a kind, near or far, has this property.
fn inherits(schema: &Schema, kind: &Kind, name: &str) -> bool {
    let mut bases = kind.bases.iter().filter_map(|base| schema.kind(base));
    bases.any(|base| base.own.iter().any(|field| field.name == name) || inherits(schema, base, name))
}

fn model_kind(kind: &Kind, keep: impl Fn(&str) -> bool) -> ModelKind<'_> {
    let properties = kind.own.iter().filter(|field| keep(field.name)).map(|field| property(field)).collect();
    ModelKind { fqn: kind.fqn, bases: &kind.bases, properties }
}

fn property(field: &Field) -> Property<'_> {
    let Field { name, kind, required, description, synthetic, .. } = field;
    let synthetic = synthetic.as_deref().map(|path| Path { path });
    Property { name, kind, required: *required, description, synthetic }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_lean_model_says_nothing_twice_and_has_every_kind() {
        let (full, lean): (Vec<Value>, Vec<Value>) = (
            serde_json::from_slice(&model_json().unwrap()).unwrap(),
            serde_json::from_slice(&lean_model_json().unwrap()).unwrap(),
        );
        assert_eq!(full.len(), lean.len());
        let schema = Schema::all().unwrap();
        for kind in &lean {
            let fqn = kind["fqn"].as_str().unwrap();
            for property in kind["properties"].as_array().unwrap() {
                let name = property["name"].as_str().unwrap();
                assert!(!inherits(schema, schema.kind(fqn).unwrap(), name), "{fqn}.{name}");
            }
        }
        let has_ctime = |model: &[Value], fqn: &str| {
            let kind = model.iter().find(|kind| kind["fqn"] == fqn).unwrap();
            kind["properties"].as_array().unwrap().iter().any(|property| property["name"] == "ctime")
        };
        assert!(has_ctime(&full, "aws_region") && !has_ctime(&lean, "aws_region") && has_ctime(&lean, "resource"));
    }
}
