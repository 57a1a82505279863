//! How a definition says where a value comes from.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::path::{Path, Template};

/// Where the value of a field comes from: a path as plain text, or a table of [`Rule`].
#[derive(Clone, Debug)]
pub(crate) struct Source(pub(crate) Rule);

/// All that a table may say; exactly one of `path`, `first`, `all`, `text`, `value` and `is` names the source.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// A path; one with `[]` makes a list.
    pub(crate) path: Option<Path>,
    /// The first of these paths that leads to something.
    pub(crate) first: Option<Vec<Path>>,
    /// What all of these paths lead to, as one list.
    pub(crate) all: Option<Vec<Path>>,
    /// A text with paths in braces; absent if any of them leads to nothing.
    pub(crate) text: Option<Template>,
    /// Always this.
    pub(crate) value: Option<Constant>,
    /// Whether this holds.
    pub(crate) is: Option<Condition>,
    /// From each value that `path` leads to: the value down there, or `otherwise`, so that the list keeps its length.
    pub(crate) each: Option<Path>,
    /// Makes a map of the structures that `path` leads to: the members that hold key and value.
    pub(crate) map: Option<(String, String)>,
    /// The kind's status map that translates the value.
    pub(crate) status: Option<String>,
    /// The value is absent unless this holds.
    pub(crate) when: Option<Condition>,
    /// What stands in for an absent value.
    pub(crate) otherwise: Option<Constant>,
}

/// A constant.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Constant {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
}

/// Something that holds or not. All that is given must hold; an absent value holds for nothing but `present = false`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    /// The value it is about; any of several will do.
    pub(crate) path: Path,
    /// It is one of these.
    #[serde(default)]
    pub(crate) one_of: Vec<Constant>,
    /// Its text contains this.
    pub(crate) contains: Option<String>,
    /// It is there, or not.
    pub(crate) present: Option<bool>,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand and not as an untagged enum: that would lose the line numbers and the reasons.
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path, or a table with path, first, all, text, value or is")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Source, E> {
        let path = Path::try_from(text.to_owned()).map_err(E::custom)?;
        Ok(Source(Rule { path: Some(path), ..Rule::default() }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
        let rule = Rule::deserialize(MapAccessDeserializer::new(map))?;
        let paths = [rule.path.is_some(), rule.first.is_some(), rule.all.is_some()];
        let others = [rule.text.is_some(), rule.value.is_some(), rule.is.is_some()];
        if paths.iter().chain(&others).filter(|given| **given).count() != 1 {
            return Err(serde::de::Error::custom("exactly one of path, first, all, text, value and is must be given"));
        }
        if (rule.each.is_some() || rule.map.is_some()) && rule.path.is_none() {
            return Err(serde::de::Error::custom("each and map need path"));
        }
        Ok(Source(rule))
    }
}
