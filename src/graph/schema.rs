//! Kinds as data: bases, exported fields in their order, and defaults.
//!
//! `base.json` has the kinds that all others are derived from; each cloud has a file of its own. A kind in a file has
//! only its own fields, in the order of the model. Inherited fields, and the order of fields in an export, follow from
//! the bases by the rules of Python's dataclasses.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use serde::Deserialize;
use thiserror::Error;
use worker_proto::{Failure, FailureKind};

use super::{model_kind::ModelKind, value::Value};

/// The kinds that all others are derived from.
const BASE: KindFile = KindFile { plugin: "base", json: include_str!("base.json") };

/// The kinds of one cloud.
#[derive(Clone, Copy, Debug)]
pub struct KindFile {
    /// The cloud's name, for errors.
    pub plugin: &'static str,
    /// A JSON list of kinds.
    pub json: &'static str,
}

/// An error in the kinds. Callers can meet only an unknown kind, because a test reads all files.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SchemaError {
    /// There is no kind with this name.
    #[error("there is no kind named {0}")]
    UnknownKind(String),
    /// A file is malformed.
    #[error("the kinds of {plugin} cannot be read: {reason}")]
    Malformed {
        /// The plugin.
        plugin: String,
        /// The parser's message.
        reason: String,
    },
    /// A kind has an unknown base, or its bases cannot be put in order.
    #[error("the bases of kind {0} are unknown or contradict each other")]
    Bases(String),
    /// The type of a field is unknown.
    #[error("field {field} of kind {kind} has the unknown kind {model_kind}")]
    FieldKind {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
        /// The type as written in the file.
        model_kind: String,
    },
}

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Self {
        Failure { kind: FailureKind::Internal, message: error.to_string() }
    }
}

/// The kinds of one plugin, or of all.
#[derive(Debug)]
pub struct Schema {
    kinds: BTreeMap<&'static str, Kind>,
}

/// A kind with everything that it inherits.
#[derive(Debug)]
pub struct Kind {
    /// The name in the model, such as `aws_ec2_instance`.
    pub fqn: &'static str,
    /// The class in the Python worker, part of a node's metadata.
    pub python_type: &'static str,
    /// The direct bases.
    pub bases: Vec<&'static str>,
    /// Whether nodes of this kind, such as a quota, stand for nothing that has a price or can be deleted.
    pub phantom: bool,
    /// Whether the kind has no nodes of its own.
    pub is_abstract: bool,
    /// All fields that nodes export, in the order of export.
    pub fields: Vec<Arc<Field>>,
    /// The properties that the kind adds to the model, synthetic ones included.
    pub own: Vec<Arc<Field>>,
    /// The translations of the cloud's states, by the name of the map.
    pub status_maps: HashMap<&'static str, HashMap<&'static str, &'static str>>,
    /// The kind and all its bases, nearest first.
    ancestry: Vec<&'static str>,
}

/// A field of a kind.
#[derive(Clone, Debug)]
pub struct Field {
    /// The field's name.
    pub name: &'static str,
    /// The type in the model's notation, such as `dictionary[string, string]`.
    pub kind: &'static str,
    /// The parsed type.
    pub model_kind: ModelKind,
    /// The value of a node that does not set the field; [`Value::Null`] if the field is then omitted.
    pub default: Value,
    /// Whether the core rejects nodes without this field.
    pub required: bool,
    /// A description for users, mostly empty.
    pub description: &'static str,
    /// The path of the property from which the core computes the field, if nodes do not have it.
    pub synthetic: Option<Vec<&'static str>>,
}

impl Schema {
    /// Returns the base kinds, parsed at the first call.
    ///
    /// # Errors
    /// If the file of the base kinds is malformed.
    pub fn base() -> Result<&'static Schema, SchemaError> {
        static BASE_ONLY: OnceLock<Result<Schema, SchemaError>> = OnceLock::new();
        BASE_ONLY.get_or_init(|| Schema::read(&[])).as_ref().map_err(Clone::clone)
    }

    /// Parses the base kinds and those of the given files.
    ///
    /// # Errors
    /// If a file is malformed, or a kind has unknown or contradictory bases.
    pub fn read(files: &[KindFile]) -> Result<Schema, SchemaError> {
        let mut raw = BTreeMap::new();
        for file in [&[BASE], files].concat() {
            let malformed = |error: serde_json::Error| SchemaError::Malformed {
                plugin: file.plugin.to_owned(),
                reason: error.to_string(),
            };
            let kinds: Vec<RawKind> = serde_json::from_str(file.json).map_err(malformed)?;
            raw.extend(kinds.into_iter().map(|kind| (kind.fqn, kind)));
        }
        let own: HashMap<_, _> = raw.values().map(|kind| Ok((kind.fqn, kind.fields()?))).collect::<Result<_, _>>()?;
        let kinds = raw.values().map(|kind| Ok((kind.fqn, kind.resolve(&raw, &own)?)));
        Ok(Schema { kinds: kinds.collect::<Result<_, _>>()? })
    }

    /// Returns a kind by name.
    #[must_use]
    pub fn kind(&self, fqn: &str) -> Option<&Kind> {
        self.kinds.get(fqn)
    }

    /// Returns a kind that the caller requires.
    ///
    /// # Errors
    /// [`SchemaError::UnknownKind`].
    pub fn require(&self, fqn: &str) -> Result<&Kind, SchemaError> {
        self.kind(fqn).ok_or_else(|| SchemaError::UnknownKind(fqn.to_owned()))
    }

    /// Returns all kinds, ordered by name.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.values()
    }
}

impl Kind {
    /// Whether this is the given kind or derived from it.
    #[must_use]
    pub fn is_a(&self, base: &str) -> bool {
        self.ancestry.contains(&base)
    }

    /// Translates a state of the cloud; a state that the map lacks becomes `unknown`.
    #[must_use]
    pub fn map_status<'k>(&'k self, map: &str, value: &str) -> &'k str {
        self.status_maps.get(map).and_then(|map| map.get(value)).copied().unwrap_or("unknown")
    }

    /// Returns the index of a field in [`Kind::fields`].
    #[must_use]
    pub fn position(&self, field: &str) -> Option<usize> {
        self.fields.iter().position(|known| known.name == field)
    }
}

/// A kind as written in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKind {
    fqn: &'static str,
    python_type: &'static str,
    #[serde(borrow)]
    bases: Vec<&'static str>,
    #[serde(default)]
    phantom: bool,
    #[serde(default, rename = "abstract")]
    is_abstract: bool,
    #[serde(default)]
    fields: Vec<RawField>,
    #[serde(default, borrow)]
    status_maps: HashMap<&'static str, HashMap<&'static str, &'static str>>,
}

/// A field as written in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawField {
    name: &'static str,
    kind: &'static str,
    #[serde(default)]
    default: serde_json::Value,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    description: &'static str,
    #[serde(default, borrow)]
    synthetic: Option<Vec<&'static str>>,
}

type Raw = BTreeMap<&'static str, RawKind>;

impl RawKind {
    fn fields(&self) -> Result<Vec<Arc<Field>>, SchemaError> {
        self.fields.iter().map(|field| field.resolve(self.fqn).map(Arc::new)).collect()
    }

    fn resolve(&self, raw: &Raw, own: &HashMap<&str, Vec<Arc<Field>>>) -> Result<Kind, SchemaError> {
        let ancestry = linearize(self.fqn, raw).ok_or_else(|| SchemaError::Bases(self.fqn.to_owned()))?;
        let mut fields: Vec<Arc<Field>> = Vec::new();
        let inherited = ancestry.iter().rev().filter_map(|base| own.get(base)).flatten();
        for field in inherited.filter(|field| field.is_exported()) {
            match fields.iter_mut().find(|known| known.name == field.name) {
                Some(known) => *known = field.clone(),
                None => fields.push(field.clone()),
            }
        }
        Ok(Kind {
            fqn: self.fqn,
            python_type: self.python_type,
            bases: self.bases.clone(),
            phantom: self.phantom,
            is_abstract: self.is_abstract,
            fields,
            own: own.get(self.fqn).cloned().unwrap_or_default(),
            status_maps: self.status_maps.clone(),
            ancestry,
        })
    }
}

impl RawField {
    fn resolve(&self, kind: &str) -> Result<Field, SchemaError> {
        let wrong = || SchemaError::FieldKind {
            kind: kind.to_owned(),
            field: self.name.to_owned(),
            model_kind: self.kind.to_owned(),
        };
        let model_kind = ModelKind::parse(self.kind).ok_or_else(wrong)?;
        let default = model_kind.read(&self.default).ok_or_else(wrong)?;
        Ok(Field {
            name: self.name,
            kind: self.kind,
            model_kind,
            default,
            required: self.required,
            description: self.description,
            synthetic: self.synthetic.clone(),
        })
    }
}

impl Field {
    /// Whether nodes export the field: neither computed by the core nor the kind's name.
    fn is_exported(&self) -> bool {
        self.synthetic.is_none() && self.name != "kind"
    }
}

/// Returns the kind and all its bases in Python's method resolution order; `None` if there is no such order.
fn linearize(fqn: &'static str, raw: &Raw) -> Option<Vec<&'static str>> {
    let kind = raw.get(fqn)?;
    let mut lists: Vec<Vec<&'static str>> =
        kind.bases.iter().map(|base| linearize(base, raw)).collect::<Option<_>>()?;
    lists.push(kind.bases.clone());
    let mut order = vec![fqn];
    while lists.iter().any(|list| !list.is_empty()) {
        let is_later = |name: &str| lists.iter().any(|list| list.iter().skip(1).any(|other| *other == name));
        let next = lists.iter().filter_map(|list| list.first().copied()).find(|name| !is_later(name))?;
        for list in &mut lists {
            if list.first() == Some(&next) {
                list.remove(0);
            }
        }
        order.push(next);
    }
    Some(order)
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
