//! Kinds as data: bases, exported fields in their order, and defaults.
//!
//! `base.json` has the kinds that all others are derived from; each cloud has kinds of its own ([`KindSpec`]). A kind
//! as written has only its own fields, in the order of the model. Inherited fields, and the order of fields in an
//! export, follow from the bases by the rules of Python's dataclasses.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use thiserror::Error;
use worker_proto::{Failure, FailureKind};

use super::{
    kind_spec::{FieldSpec, KindFile, KindSpec},
    model_kind::ModelKind,
    value::Value,
};

/// The base of all kinds. A reference to it leads to nodes of any kind.
pub const ANY_KIND: &str = "resource";

/// The kinds that all others are derived from.
const BASE: KindFile = KindFile { plugin: "base", json: include_str!("base.json") };

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
    /// Two kinds have the same name.
    #[error("{origin}: the kind {kind} exists already, in the {other}")]
    Duplicate {
        /// Where the second one is written.
        origin: String,
        /// The kind.
        kind: String,
        /// Where the first one is written.
        other: String,
    },
    /// A kind has an unknown base, or its bases cannot be put in order.
    #[error("{origin}: the bases of kind {kind} are unknown or contradict each other")]
    Bases {
        /// Where the kind is written.
        origin: String,
        /// The kind.
        kind: String,
    },
    /// Two kinds have a field of one name and two types.
    #[error(
        "{origin}: field {field} of kind {kind} is {model_kind}, and the core has it in {other}: give it another name"
    )]
    Conflict {
        /// Where the kind is written.
        origin: String,
        /// The field.
        field: String,
        /// The kind.
        kind: String,
        /// The type.
        model_kind: String,
        /// The other kind, and its type.
        other: String,
    },
    /// The type of a field is unknown, or its default is not of the type.
    #[error("{origin}: field {field} of kind {kind} has an unknown type, {model_kind}, or a default of another type")]
    FieldKind {
        /// Where the kind is written.
        origin: String,
        /// The kind.
        kind: String,
        /// The field.
        field: String,
        /// The type as written.
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
    kinds: BTreeMap<String, Kind>,
}

/// A kind with everything that it inherits.
#[derive(Debug)]
pub struct Kind {
    /// The name in the model, such as `aws_ec2_instance`.
    pub fqn: String,
    /// The class in the Python worker, part of a node's metadata; empty if that had no such kind.
    pub python_type: String,
    /// The direct bases.
    pub bases: Vec<String>,
    /// Whether nodes of this kind, such as a quota, stand for nothing that has a price or can be deleted.
    pub phantom: bool,
    /// Whether the kind has no nodes of its own.
    pub is_abstract: bool,
    /// All fields that nodes export, in the order of export.
    pub fields: Vec<Arc<Field>>,
    /// The properties that the kind adds to the model, synthetic ones included.
    pub own: Vec<Arc<Field>>,
    /// The translations of the cloud's states, by the name of the map.
    pub status_maps: HashMap<String, HashMap<String, String>>,
    /// The file in which the kind is written, with the line if it is known.
    pub origin: String,
    /// The kind and all its bases, nearest first.
    ancestry: Vec<String>,
}

/// A field of a kind.
#[derive(Clone, Debug)]
pub struct Field {
    /// The field's name.
    pub name: String,
    /// The type in the model's notation, such as `dictionary[string, string]`.
    pub kind: String,
    /// The parsed type.
    pub model_kind: ModelKind,
    /// The value of a node that does not set the field; [`Value::Null`] if the field is then omitted.
    pub default: Value,
    /// Whether the core rejects nodes without this field.
    pub required: bool,
    /// A description for users, mostly empty.
    pub description: String,
    /// The path of the property from which the core computes the field, if nodes do not have it.
    pub synthetic: Option<Vec<String>>,
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
    /// If a file is malformed, and as [`Schema::of`].
    pub fn read(files: &[KindFile]) -> Result<Schema, SchemaError> {
        let kinds = files.iter().map(KindFile::parse).collect::<Result<Vec<_>, _>>()?;
        Schema::of(kinds.into_iter().flatten().collect())
    }

    /// Returns the base kinds and the given ones.
    ///
    /// # Errors
    /// If two kinds have the same name, a kind has unknown or contradictory bases, or a field has an unknown type.
    pub fn of(kinds: Vec<KindSpec>) -> Result<Schema, SchemaError> {
        let mut specs: Specs = BTreeMap::new();
        for kind in BASE.parse()?.into_iter().chain(kinds) {
            if let Some(other) = specs.get(&kind.fqn) {
                let (kind, origin, other) = (kind.fqn, kind.origin, other.origin.clone());
                return Err(SchemaError::Duplicate { origin, kind, other });
            }
            specs.insert(kind.fqn.clone(), kind);
        }
        let own = specs.values_mut().map(|kind| Ok((kind.fqn.clone(), take_fields(kind)?)));
        let own = own.collect::<Result<_, _>>()?;
        let mut orders = HashMap::new();
        let kinds = specs.values().map(|kind| Ok((kind.fqn.clone(), resolve(kind, &specs, &own, &mut orders)?)));
        let schema = Schema { kinds: kinds.collect::<Result<_, _>>()? };
        schema.check_types()?;
        Ok(schema)
    }

    /// Checks that a property has one type in all kinds: the cores reject a model in which it has two.
    fn check_types(&self) -> Result<(), SchemaError> {
        let mut known: HashMap<&str, (&Field, &Kind)> = HashMap::new();
        for kind in self.kinds() {
            for field in &kind.own {
                // Any type contradicts none.
                if field.model_kind == ModelKind::Any {
                    continue;
                }
                let (first, other) = *known.entry(&field.name).or_insert((field, kind));
                if first.kind != field.kind {
                    // The order of names says nothing about which one is new: the one with a line is.
                    let (kind, field, other, first) = match kind.origin.contains(".toml:") {
                        true => (kind, &**field, other, first),
                        false => (other, first, kind, &**field),
                    };
                    return Err(SchemaError::Conflict {
                        origin: kind.origin.clone(),
                        field: field.name.clone(),
                        kind: kind.fqn.clone(),
                        model_kind: field.kind.clone(),
                        other: format!("{} as {}", other.fqn, first.kind),
                    });
                }
            }
        }
        Ok(())
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
        self.ancestry.iter().any(|known| known == base)
    }

    /// Translates a state of the cloud; a state that the map lacks becomes `unknown`.
    #[must_use]
    pub fn map_status<'k>(&'k self, map: &str, value: &str) -> &'k str {
        self.status_maps.get(map).and_then(|map| map.get(value)).map_or("unknown", String::as_str)
    }

    /// Returns the index of a field in [`Kind::fields`].
    #[must_use]
    pub fn position(&self, field: &str) -> Option<usize> {
        self.fields.iter().position(|known| known.name == field)
    }
}

/// The kinds as written, by name.
type Specs = BTreeMap<String, KindSpec>;
/// The own fields of each kind.
type OwnFields = HashMap<String, Vec<Arc<Field>>>;

/// Takes the own fields of a kind out of it.
fn take_fields(kind: &mut KindSpec) -> Result<Vec<Arc<Field>>, SchemaError> {
    let fields = std::mem::take(&mut kind.fields);
    fields.into_iter().map(|spec| field(kind, spec).map(Arc::new)).collect()
}

fn field(of: &KindSpec, spec: FieldSpec) -> Result<Field, SchemaError> {
    let read = |model_kind: ModelKind| Some((model_kind.read(&spec.default)?, model_kind));
    let read = ModelKind::parse(&spec.kind).and_then(read);
    let FieldSpec { name, kind, required, description, synthetic, .. } = spec;
    match read {
        Some((default, model_kind)) => Ok(Field { name, kind, model_kind, default, required, description, synthetic }),
        None => {
            let (origin, of) = (of.origin.clone(), of.fqn.clone());
            Err(SchemaError::FieldKind { origin, kind: of, field: name, model_kind: kind })
        }
    }
}

/// Returns a kind with everything that it inherits.
fn resolve<'s>(
    kind: &'s KindSpec,
    specs: &'s Specs,
    own: &OwnFields,
    orders: &mut Orders<'s>,
) -> Result<Kind, SchemaError> {
    let bases = || SchemaError::Bases { origin: kind.origin.clone(), kind: kind.fqn.clone() };
    let ancestry = linearize(&kind.fqn, specs, orders, MAX_DEPTH).ok_or_else(bases)?;
    let mut fields: Vec<Arc<Field>> = Vec::new();
    let inherited = ancestry.iter().rev().filter_map(|base| own.get(*base)).flatten();
    for field in inherited.filter(|field| field.is_exported()) {
        match fields.iter_mut().find(|known| known.name == field.name) {
            Some(known) => *known = field.clone(),
            None => fields.push(field.clone()),
        }
    }
    let KindSpec { fqn, python_type, bases, phantom, is_abstract, status_maps, origin, .. } = kind.clone();
    Ok(Kind {
        own: own.get(&fqn).cloned().unwrap_or_default(),
        ancestry: ancestry.into_iter().map(str::to_owned).collect(),
        fqn,
        python_type,
        bases,
        phantom,
        is_abstract,
        fields,
        status_maps,
        origin,
    })
}

impl Field {
    /// Whether nodes export the field: neither computed by the core nor the kind's name.
    fn is_exported(&self) -> bool {
        self.synthetic.is_none() && self.name != "kind"
    }
}

/// The longest chain of bases; a kind with a longer one is probably its own base.
const MAX_DEPTH: usize = 32;

/// The bases of kinds in their order, by kind.
type Orders<'s> = HashMap<&'s str, Vec<&'s str>>;

/// Returns the kind and all its bases in Python's method resolution order; `None` if there is no such order. Orders are
/// kept, as most kinds have the same bases.
fn linearize<'s>(fqn: &str, specs: &'s Specs, orders: &mut Orders<'s>, depth: usize) -> Option<Vec<&'s str>> {
    if let Some(order) = orders.get(fqn) {
        return Some(order.clone());
    }
    let kind = specs.get(fqn).filter(|_| depth > 0)?;
    let linear = |base: &String| linearize(base, specs, orders, depth - 1);
    let mut lists: Vec<Vec<&str>> = kind.bases.iter().map(linear).collect::<Option<_>>()?;
    lists.push(kind.bases.iter().map(String::as_str).collect());
    let mut order = vec![kind.fqn.as_str()];
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
    orders.insert(&kind.fqn, order.clone());
    Some(order)
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
