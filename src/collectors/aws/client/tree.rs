//! A reply as a tree that borrows from the reply's bytes; its keys are the member names of the service's model.

use std::{borrow::Cow, fmt};

use aws_smithy_types::{DateTime, base64, date_time::Format};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::Path;

/// A value in a reply.
///
/// What a service left out is not there: a structure has the members that came, and no `Null`s among them.
#[derive(Clone, Default, PartialEq)]
pub enum Tree<'a> {
    /// Nothing: an item of a JSON list that was `null`, or an empty body.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Characters.
    Text(Cow<'a, str>),
    /// A point in time.
    Time(DateTime),
    /// Bytes.
    Blob(Vec<u8>),
    /// Many of one kind.
    List(Vec<Tree<'a>>),
    /// The members of a structure, or the entries of a map, in the order in which they came.
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

    /// The characters of a text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// A number, whole or not.
    #[must_use]
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            #[expect(clippy::cast_precision_loss, reason = "what a reader of a float asks for")]
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// True or false.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A point in time.
    #[must_use]
    pub fn time(&self) -> Option<DateTime> {
        match self {
            Self::Time(time) => Some(*time),
            _ => None,
        }
    }

    /// The items of a list; empty for anything else.
    #[must_use]
    pub fn list(&self) -> &[Tree<'a>] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The members of a structure or the entries of a map; empty for anything else.
    #[must_use]
    pub fn entries(&self) -> &[(Cow<'a, str>, Tree<'a>)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Whether there is nothing in it: null, no characters, no items, no entries.
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

/// As JSON: points in time as text in ISO 8601, bytes in base64.
impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Time(time) => match time.fmt(Format::DateTime) {
                Ok(text) => serializer.serialize_str(&text),
                Err(_) => serializer.serialize_f64(time.as_secs_f64()),
            },
            Self::Blob(bytes) => serializer.serialize_str(&base64::encode(bytes)),
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
