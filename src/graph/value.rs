//! The value of a field.

use time::OffsetDateTime;

use super::{json, timestamp};

/// A value of a node's field. Numbers keep their type: `Int(4)` is written as `4`, `Float(4.0)` as `4.0`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value: the field is omitted.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number. NaN and the infinities are rejected, as JSON has none.
    Float(f64),
    /// A string.
    Text(String),
    /// A timestamp, written with its offset.
    Time(OffsetDateTime),
    /// A list.
    List(Vec<Value>),
    /// A map, in the order of insertion.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// Returns the type's name for errors.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "float",
            Value::Text(_) => "text",
            Value::Time(_) => "time",
            Value::List(_) => "list",
            Value::Map(_) => "map",
        }
    }

    /// Whether the value can be written: no number that JSON lacks, no year that ISO 8601 lacks.
    pub(super) fn is_writable(&self) -> bool {
        match self {
            Value::Float(number) => number.is_finite(),
            Value::Time(time) => timestamp::is_writable(*time),
            Value::List(list) => list.iter().all(Value::is_writable),
            Value::Map(map) => map.iter().all(|(_, value)| value.is_writable()),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Text(_) => true,
        }
    }

    /// Appends the value as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Int(number) => json::push_display(out, number),
            Value::Float(number) => json::push_float(out, *number),
            Value::Text(text) => json::push_text(out, text),
            Value::Time(time) => timestamp::push(out, *time),
            Value::List(list) => {
                json::push_separated(out, b'[', b']', list, |out, value| value.write(out));
            }
            Value::Map(map) => {
                json::push_separated(out, b'{', b'}', map, |out, (key, value)| {
                    json::push_key(out, key);
                    value.write(out);
                });
            }
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<OffsetDateTime> for Value {
    fn from(time: OffsetDateTime) -> Self {
        Value::Time(time)
    }
}

impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Value::Int(whole),
                (None, Some(number)) => Value::Float(number),
                (None, None) => Value::Null,
            },
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(list) => Value::List(list.iter().map(Value::from).collect()),
            Json::Object(map) => Value::Map(map.iter().map(|(key, value)| (key.clone(), value.into())).collect()),
        }
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(list: Vec<T>) -> Self {
        Value::List(list.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}
