//! Sources of values and conditions in definitions.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::Template;
use crate::engine::Path;

/// The source of a field's value: a path as a string, or a [`SourceTable`].
#[derive(Clone, Debug, Default)]
pub struct Source(pub Box<SourceTable>);

/// The table form of a source. Exactly one of `path`, `first`, `all`, `any`, `template`, `value` and `condition` is
/// given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTable {
    /// A path; one with `[]` gives a list.
    pub path: Option<Path>,
    /// Several paths; the first that leads to a value counts.
    pub first: Option<Vec<Path>>,
    /// Several paths whose values form one list.
    pub all: Option<Vec<Path>>,
    /// Several sources; the first that has a value counts.
    pub any: Option<Vec<Source>>,
    /// A string with paths in braces; absent if one of the paths leads to nothing.
    pub template: Option<Template>,
    /// A constant.
    pub value: Option<Constant>,
    /// A condition; the value says whether it holds.
    pub condition: Option<Box<Condition>>,
    /// The path from each element of `path` to its value. `default` replaces absent ones, so that the list keeps its
    /// length.
    pub element: Option<Box<Path>>,
    /// The members that hold key and value of the structures that `path` leads to; they form a map.
    pub map: Option<Box<(String, String)>>,
    /// The kind's status map that translates the value.
    pub status: Option<String>,
    /// The condition without which the value is absent.
    pub when: Option<Box<Condition>>,
    /// The constant that replaces an absent value.
    pub default: Option<Constant>,
    /// Whether null at the end of `path` omits the field, whatever the defaults.
    #[serde(default)]
    pub nulls: bool,
}

/// A constant.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Constant {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Text(String),
}

/// A condition. All of its parts must hold; an absent value satisfies only `present = false`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The path to the value; if it leads to several, one of them must satisfy the condition.
    pub path: Path,
    /// The accepted values; all if empty.
    #[serde(default)]
    pub one_of: Vec<Constant>,
    /// A substring of the value.
    pub contains: Option<String>,
    /// Whether the value must be present or absent.
    pub present: Option<bool>,
}

impl Source {
    /// Returns its table, and those of the sources in it.
    #[must_use]
    pub fn tables(&self) -> Vec<&SourceTable> {
        let inner = self.0.any.iter().flatten().flat_map(Source::tables);
        std::iter::once(&*self.0).chain(inner).collect()
    }

    /// Returns the paths to its value, without those of conditions.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        self.tables().into_iter().flat_map(SourceTable::value_paths).collect()
    }
}

impl SourceTable {
    fn value_paths(&self) -> impl Iterator<Item = &Path> {
        let lists = self.first.iter().chain(&self.all).flatten();
        let templates = self.template.iter().flat_map(Template::paths);
        self.path.iter().chain(lists).chain(templates)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An untagged enum would lose line numbers and reasons.
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path, or a table with path, first, all, any, template, value or condition")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Source, E> {
        let path = Path::try_from(text.to_owned()).map_err(E::custom)?;
        Ok(Source(Box::new(SourceTable { path: Some(path), ..SourceTable::default() })))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
        let table = SourceTable::deserialize(MapAccessDeserializer::new(map))?;
        let paths = [table.path.is_some(), table.first.is_some(), table.all.is_some(), table.any.is_some()];
        let others = [table.template.is_some(), table.value.is_some(), table.condition.is_some()];
        if paths.iter().chain(&others).filter(|given| **given).count() != 1 {
            return Err(serde::de::Error::custom(
                "exactly one of path, first, all, any, template, value and condition must be given",
            ));
        }
        if table.any.is_some() && table.status.is_some() {
            return Err(serde::de::Error::custom("status belongs to the sources of any, as each may have another map"));
        }
        if (table.element.is_some() || table.map.is_some()) && table.path.is_none() {
            return Err(serde::de::Error::custom("element and map need path"));
        }
        Ok(Source(Box::new(table)))
    }
}
