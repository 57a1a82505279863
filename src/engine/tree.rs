//! A response as a tree that borrows from the response's bytes; its keys are the member names of the service's API.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::Path;

/// A value in a response.
///
/// Members that the service omitted are absent: there are no `Null`s among the members of a structure.
#[derive(Clone, Default, PartialEq)]
pub enum Tree<'a> {
    /// Null: an item of a JSON list, or an empty body.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// A point in time.
    Time(OffsetDateTime),
    /// Bytes.
    Blob(Vec<u8>),
    /// A list of values of one kind.
    List(Vec<Tree<'a>>),
    /// The members of a structure, or the entries of a map, in the order of the response.
    Map(Vec<(Cow<'a, str>, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    /// Returns a member of a structure or the value of a map's key. Null counts as absent.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Tree<'a>> {
        let found = self.entries().iter().find(|(known, _)| known == key).map(|(_, value)| value);
        found.filter(|value| !matches!(value, Self::Null))
    }

    /// Returns all values at a [`Path`] that is a literal in the code.
    #[must_use]
    pub fn path(&self, path: &'static str) -> Vec<&Tree<'a>> {
        Path::literal(path).values(self)
    }

    /// Returns the first value at a path, see [`Tree::path`].
    #[must_use]
    pub fn at(&self, path: &'static str) -> Option<&Tree<'a>> {
        self.path(path).into_iter().next()
    }

    /// Returns a string.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns an integer.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns a number.
    #[must_use]
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            #[expect(clippy::cast_precision_loss, reason = "what a reader of a float asks for")]
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// Returns a boolean.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns a point in time.
    #[must_use]
    pub fn time(&self) -> Option<OffsetDateTime> {
        match self {
            Self::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// Returns the items of a list; empty for anything else.
    #[must_use]
    pub fn list(&self) -> &[Tree<'a>] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the members of a structure or the entries of a map; empty for anything else.
    #[must_use]
    pub fn entries(&self) -> &[(Cow<'a, str>, Tree<'a>)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns whether it is null, an empty string, or has no items or entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            Self::Blob(bytes) => bytes.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
            _ => false,
        }
    }
}

impl From<Value> for Tree<'static> {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Tree::Null,
            Value::Bool(value) => Tree::Bool(value),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Tree::Int(number),
                (None, Some(number)) => Tree::Float(number),
                (None, None) => Tree::Null,
            },
            Value::String(text) => Tree::Text(Cow::Owned(text)),
            Value::Array(items) => Tree::List(items.into_iter().map(Self::from).collect()),
            Value::Object(members) => {
                Tree::Map(members.into_iter().map(|(name, value)| (Cow::Owned(name), value.into())).collect())
            }
        }
    }
}

/// JSON: points in time as strings in ISO 8601, bytes in base64.
impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Time(time) => match time.format(&Rfc3339) {
                Ok(text) => serializer.serialize_str(&text),
                // A year with more or less than four digits.
                Err(_) => serializer.serialize_i64(time.unix_timestamp()),
            },
            Self::Blob(bytes) => serializer.serialize_str(&STANDARD.encode(bytes)),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl fmt::Debug for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(text) => fmt::Debug::fmt(text, f),
            Self::Time(time) => write!(f, "{time}"),
            Self::Blob(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => f.debug_map().entries(entries.iter().map(|(key, value)| (key, value))).finish(),
        }
    }
}
