//! Kinds as data: what a kind is derived from, which fields it exports in which order, and their defaults.
//!
//! `base.json` has the kinds that all others are derived from; each cloud brings a file of its own. A kind in a file has
//! only its own fields, in the order of the model; inherited fields follow from its bases by the rules of Python's
//! dataclasses, as does the order of fields in an export.

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

/// An error in the kinds. Only an unknown kind can meet a caller: a test reads all files.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SchemaError {
    /// There is no kind of this name.
    #[error("there is no kind named {0}")]
    UnknownKind(String),
    /// A file is not what is expected.
    #[error("the kinds of {plugin} cannot be read: {reason}")]
    Malformed {
        /// The plugin.
        plugin: String,
        /// What the parser says.
        reason: String,
    },
    /// A kind has a base that does not exist, or its bases cannot be put in order.
    #[error("the bases of kind {0} are unknown or contradict each other")]
    Bases(String),
    /// A field's kind is not known.
    #[error("field {field} of kind {kind} has the unknown kind {model_kind}")]
    FieldKind {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
        /// Its kind as written.
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

/// A kind with all that it inherits.
#[derive(Debug)]
pub struct Kind {
    /// Its name in the model, such as `aws_ec2_instance`.
    pub fqn: &'static str,
    /// The class that the original had, part of a node's metadata.
    pub python_type: &'static str,
    /// What it is derived from directly.
    pub bases: Vec<&'static str>,
    /// Whether its nodes stand for nothing that costs or can be deleted, such as a quota.
    pub phantom: bool,
    /// Whether it has no nodes of its own.
    pub is_abstract: bool,
    /// All fields that its nodes export, in the order of export.
    pub fields: Vec<Arc<Field>>,
    /// The properties that it adds to the model, synthetic ones included.
    pub own: Vec<Arc<Field>>,
    /// How states of the cloud are translated, by the name of the map.
    pub status_maps: HashMap<&'static str, HashMap<&'static str, &'static str>>,
    /// Itself and all that it is derived from, nearest first.
    ancestry: Vec<&'static str>,
}

/// A field of a kind.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its kind as the model writes it, such as `dictionary[string, string]`.
    pub kind: &'static str,
    /// What values it takes.
    pub model_kind: ModelKind,
    /// The value of a node that does not set it; [`Value::Null`] if it is then left out.
    pub default: Value,
    /// Whether the core refuses nodes without it.
    pub required: bool,
    /// A text for people, mostly empty.
    pub description: &'static str,
    /// The path of the property that the core computes it from, if no node has it.
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

    /// A kind by name.
    #[must_use]
    pub fn kind(&self, fqn: &str) -> Option<&Kind> {
        self.kinds.get(fqn)
    }

    /// A kind that the caller cannot do without.
    ///
    /// # Errors
    /// [`SchemaError::UnknownKind`].
    pub fn require(&self, fqn: &str) -> Result<&Kind, SchemaError> {
        self.kind(fqn).ok_or_else(|| SchemaError::UnknownKind(fqn.to_owned()))
    }

    /// All kinds, ordered by name.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.values()
    }
}

impl Kind {
    /// Whether it is this kind or derived from it.
    #[must_use]
    pub fn is_a(&self, base: &str) -> bool {
        self.ancestry.contains(&base)
    }

    /// Translates a state of the cloud; what the map does not know is `unknown`.
    #[must_use]
    pub fn map_status<'k>(&'k self, map: &str, value: &str) -> &'k str {
        self.status_maps.get(map).and_then(|map| map.get(value)).copied().unwrap_or("unknown")
    }

    /// The place of a field in [`Kind::fields`].
    #[must_use]
    pub fn position(&self, field: &str) -> Option<usize> {
        self.fields.iter().position(|known| known.name == field)
    }
}

/// A kind as its file has it.
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

/// A field as its file has it.
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
    /// Whether nodes have it as a value of their own: neither computed by the core nor the kind's name.
    fn is_exported(&self) -> bool {
        self.synthetic.is_none() && self.name != "kind"
    }
}

/// The kind and all it is derived from in Python's order of method resolution; `None` if there is none.
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
