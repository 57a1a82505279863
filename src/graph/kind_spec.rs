//! Kinds as written: in a cloud's list of kinds, or beside the definition of one kind.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::SchemaError;

/// The origin of kinds that are known only at run time.
const AT_RUN_TIME: &str = "a unit";

/// The kinds of one cloud as a file.
#[derive(Clone, Copy, Debug)]
pub struct KindFile {
    /// The cloud's name, for errors.
    pub plugin: &'static str,
    /// A JSON list of kinds.
    pub json: &'static str,
}

/// A kind with only its own fields, in the order of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindSpec {
    /// The name in the model.
    pub fqn: String,
    /// The class in the Python worker, part of a node's metadata; empty if that had no such kind.
    #[serde(default)]
    pub python_type: String,
    /// The direct bases.
    pub bases: Vec<String>,
    /// Whether nodes of this kind stand for nothing that has a price or can be deleted.
    #[serde(default)]
    pub phantom: bool,
    /// Whether the kind has no nodes of its own.
    #[serde(default, rename = "abstract")]
    pub is_abstract: bool,
    /// The fields that the kind adds to those of its bases.
    #[serde(default)]
    pub fields: Vec<FieldSpec>,
    /// The translations of the cloud's states, by the name of the map.
    #[serde(default)]
    pub status_maps: HashMap<String, HashMap<String, String>>,
    /// The file, with the line if it is known, for errors.
    #[serde(skip)]
    pub origin: String,
}

/// A field of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldSpec {
    /// The name.
    pub name: String,
    /// The type in the model's notation.
    pub kind: String,
    /// The value of a node that does not set the field; null if the field is then omitted.
    #[serde(default)]
    pub default: Json,
    /// Whether the core rejects nodes without this field.
    #[serde(default)]
    pub required: bool,
    /// A description for users.
    #[serde(default)]
    pub description: String,
    /// The path of the property from which the core computes the field, if nodes do not have it.
    #[serde(default)]
    pub synthetic: Option<Vec<String>>,
}

impl KindSpec {
    /// Parses a kind that is known only at run time.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(json: &str) -> Result<Self, SchemaError> {
        let mut kind: Self = serde_json::from_str(json)
            .map_err(|error| SchemaError::Malformed { plugin: AT_RUN_TIME.to_owned(), reason: error.to_string() })?;
        kind.origin = AT_RUN_TIME.to_owned();
        Ok(kind)
    }
}

impl KindFile {
    /// Parses the kinds.
    ///
    /// # Errors
    /// [`SchemaError::Malformed`].
    pub fn parse(&self) -> Result<Vec<KindSpec>, SchemaError> {
        let mut kinds: Vec<KindSpec> = serde_json::from_str(self.json)
            .map_err(|error| SchemaError::Malformed { plugin: self.plugin.to_owned(), reason: error.to_string() })?;
        for kind in &mut kinds {
            kind.origin = format!("kinds of {}", self.plugin);
        }
        Ok(kinds)
    }
}
