//! The schema of a kind beside its definition, in the short form of definitions.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value as Json;
use toml::Spanned;

use super::Definition;
use crate::graph::{FieldSpec, KindSpec};

/// The schema of a kind that is in no list of kinds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindSchema {
    /// The direct bases; `CLOUD_resource` and `resource` if absent.
    pub bases: Option<Vec<String>>,
    /// Whether nodes of this kind stand for nothing that has a price or can be deleted.
    #[serde(default)]
    pub phantom: bool,
    /// Whether the kind has no nodes of its own and is only a base of others.
    #[serde(default, rename = "abstract")]
    pub is_abstract: bool,
    /// The class in the Python worker, if that had the kind.
    #[serde(default)]
    pub python_type: String,
    /// The fields that the kind adds to those of its bases. Their order in the text is that of the model.
    #[serde(default)]
    pub fields: BTreeMap<Spanned<String>, FieldSchema>,
    /// The translations of the cloud's states, by the name of the map.
    #[serde(default)]
    pub status_maps: HashMap<String, HashMap<String, String>>,
}

/// A field: its type as a string, or a table.
#[derive(Clone, Debug)]
pub struct FieldSchema(FieldTable);

/// The table form of a field; all but the type have defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldTable {
    kind: String,
    #[serde(default)]
    default: Json,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    synthetic: Option<Vec<String>>,
}

impl<'de> Deserialize<'de> for FieldSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An untagged enum would lose line numbers and reasons.
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = FieldSchema;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a type of the model, or a table with kind, default, required, description and synthetic")
    }

    fn visit_str<E: serde::de::Error>(self, kind: &str) -> Result<FieldSchema, E> {
        Ok(FieldSchema(FieldTable { kind: kind.to_owned(), ..FieldTable::default() }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldSchema, A::Error> {
        FieldTable::deserialize(MapAccessDeserializer::new(map)).map(FieldSchema)
    }
}

impl KindSchema {
    /// Returns the kind of a definition with this schema in the form of the graph's schema.
    pub(super) fn spec(&self, cloud: &str, definition: &Definition) -> KindSpec {
        let mut fields: Vec<_> = self.fields.iter().collect();
        fields.sort_by_key(|(name, _)| name.span().start);
        let field = |(name, FieldSchema(table)): (&Spanned<String>, &FieldSchema)| {
            let FieldTable { kind, default, required, description, synthetic } = table.clone();
            FieldSpec { name: name.get_ref().clone(), kind, default, required, description, synthetic }
        };
        let bases = || vec![format!("{cloud}_resource"), "resource".to_owned()];
        KindSpec {
            fqn: definition.kind.get_ref().clone(),
            python_type: self.python_type.clone(),
            bases: self.bases.clone().unwrap_or_else(bases),
            phantom: self.phantom,
            is_abstract: self.is_abstract,
            fields: fields.into_iter().map(field).collect(),
            status_maps: self.status_maps.clone(),
            origin: definition.origin.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::super::Definitions;
    use crate::graph::{FieldSpec, KindFile, KindSpec, Schema, Value};

    /// The base of an invented cloud's kinds.
    const CLOUD: KindFile = KindFile { plugin: "x", json: r#"[{"fqn":"x_resource","bases":[]}]"# };

    /// Returns the kinds of a definition file whose only kind has this schema, which starts in line 8.
    fn read(schema: &str) -> Result<Vec<KindSpec>, String> {
        let head = "service = \"s\"\n\n# A kind.\n[[kind]]\nkind = \"x_topic\"\nscope = \"region\"\nid = \"Id\"\n";
        let text = format!("{head}{schema}");
        Ok(Definitions::read(&[("s.toml", &text)])?.kinds("x"))
    }

    fn schema(text: &str) -> Result<Schema, String> {
        let kinds = [CLOUD.parse().unwrap(), read(text)?].concat();
        Schema::of(kinds).map_err(|error| error.to_string())
    }

    #[test]
    fn empty_schema_has_defaults() {
        assert_eq!(read("").unwrap(), []);
        let kinds = read("schema = {}").unwrap();
        let expected = KindSpec {
            fqn: "x_topic".into(),
            bases: vec!["x_resource".into(), "resource".into()],
            origin: "s.toml:5".into(),
            ..KindSpec::default()
        };
        assert_eq!(kinds, [expected]);
    }

    #[test]
    fn fields_keep_the_order_of_the_text() {
        let text = r#"
            [kind.schema.fields]
            zone = "string"
            count = { kind = "int64", default = 0, description = "How many", required = true }
            arn = "string"
            labels = { kind = "dictionary[string, string]", default = {} }
            [kind.schema.status_maps.states]
            up = "running"
        "#;
        let kinds = read(text).unwrap();
        let names: Vec<_> = kinds[0].fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["zone", "count", "arn", "labels"]);
        let count = FieldSpec {
            name: "count".into(),
            kind: "int64".into(),
            default: json!(0),
            required: true,
            description: "How many".into(),
            synthetic: None,
        };
        assert_eq!(kinds[0].fields[1], count);
        let schema = schema(text).unwrap();
        let kind = schema.kind("x_topic").unwrap();
        assert_eq!(kind.map_status("states", "up"), "running");
        assert_eq!(kind.fields.last().unwrap().default, Value::Map(Vec::new()));
        assert!(kind.is_a("x_resource") && kind.is_a("resource"));
    }

    #[test]
    fn mistakes_are_reported_with_file_and_line() {
        for (text, place, reason) in [
            ("schema = { base = [] }", "s.toml: TOML parse error at line 8, ", "unknown field `base`"),
            ("schema.fields = { a = 1 }", "s.toml: TOML parse error at line 8, ", "a type of the model, or a table"),
            ("schema.fields = { a = \"text\" }", "s.toml:5: ", "field a of kind x_topic has an unknown type, text"),
            ("schema.fields = { a = { kind = \"int64\", default = \"\" } }", "s.toml:5: ", "a default of another type"),
            ("schema.bases = [\"nope\"]", "s.toml:5: ", "the bases of kind x_topic are unknown"),
            ("schema.bases = [\"x_topic\"]", "s.toml:5: ", "the bases of kind x_topic are unknown or contradict"),
        ] {
            let error = schema(text).unwrap_err();
            assert!(error.starts_with(place) && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn kind_in_list_and_definition_is_rejected() {
        let listed = KindFile { plugin: "x", json: r#"[{"fqn":"x_topic","bases":[]}]"# };
        let error = Schema::of([listed.parse().unwrap(), read("schema = {}").unwrap()].concat()).unwrap_err();
        assert_eq!(error.to_string(), "s.toml:5: the kind x_topic exists already, in the kinds of x");
    }
}
