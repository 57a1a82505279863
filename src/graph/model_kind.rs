//! The types of fields in the model, and the values that they accept.

use time::{OffsetDateTime, UtcOffset};

use super::{timestamp, value::Value};

/// The number below which a float holds each whole number exactly.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// A string.
    Text,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// True or false.
    Bool,
    /// A point in time.
    Time,
    /// A duration, which only the core computes.
    Duration,
    /// Any value.
    Any,
    /// A list.
    List(Box<ModelKind>),
    /// A map with string keys.
    Map(Box<ModelKind>),
}

impl ModelKind {
    /// Parses the model's notation, such as `string[]`; `None` if the notation is unknown.
    #[must_use]
    pub fn parse(text: &str) -> Option<ModelKind> {
        let boxed = |inner: &str| ModelKind::parse(inner).map(Box::new);
        Some(match text {
            "string" => ModelKind::Text,
            "int64" | "int32" => ModelKind::Int,
            "double" | "float" => ModelKind::Float,
            "boolean" => ModelKind::Bool,
            "datetime" => ModelKind::Time,
            "trafo.duration_to_datetime" => ModelKind::Duration,
            "any" => ModelKind::Any,
            _ => match text.strip_suffix("[]") {
                Some(item) => ModelKind::List(boxed(item)?),
                None => {
                    let (_key, value) = text.strip_prefix("dictionary[")?.strip_suffix(']')?.split_once(", ")?;
                    ModelKind::Map(boxed(value)?)
                }
            },
        })
    }

    /// Converts a value that means one of this type in another notation: strings that hold times or numbers, times in
    /// seconds since 1970, and whole floats. Other values stay as they are.
    #[must_use]
    pub fn convert(&self, value: Value) -> Value {
        match (self, value) {
            (ModelKind::Time, Value::Text(text)) => {
                // It keeps its offset, but a core must be able to convert it.
                let time = timestamp::parse(&text).filter(|time| time.checked_to_offset(UtcOffset::UTC).is_some());
                time.map_or(Value::Text(text), Value::Time)
            }
            (ModelKind::Time, Value::Int(seconds)) => {
                OffsetDateTime::from_unix_timestamp(seconds).map_or(Value::Int(seconds), Value::Time)
            }
            (ModelKind::Int, Value::Text(text)) => text.parse().map_or(Value::Text(text), Value::Int),
            (ModelKind::Float, Value::Text(text)) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Float(number),
                _ => Value::Text(text),
            },
            #[expect(clippy::cast_possible_truncation, reason = "whole numbers that a float holds exactly")]
            (ModelKind::Int, Value::Float(number)) if number.fract() == 0.0 && number.abs() < MAX_EXACT => {
                Value::Int(number as i64)
            }
            (ModelKind::List(item), Value::List(items)) => {
                Value::List(items.into_iter().map(|value| item.convert(value)).collect())
            }
            (ModelKind::Map(item), Value::Map(members)) => {
                Value::Map(members.into_iter().map(|(name, value)| (name, item.convert(value))).collect())
            }
            (_, value) => value,
        }
    }

    /// Whether a value is of this type. Null is of any type, and a whole number is a number.
    #[must_use]
    pub fn accepts(&self, value: &Value) -> bool {
        match (self, value) {
            (ModelKind::Any, _)
            | (_, Value::Null)
            | (ModelKind::Text, Value::Text(_))
            | (ModelKind::Int, Value::Int(_))
            | (ModelKind::Float, Value::Int(_) | Value::Float(_))
            | (ModelKind::Bool, Value::Bool(_))
            | (ModelKind::Time, Value::Time(_)) => true,
            (ModelKind::List(item), Value::List(list)) => list.iter().all(|value| item.accepts(value)),
            (ModelKind::Map(item), Value::Map(map)) => map.iter().all(|(_, value)| item.accepts(value)),
            _ => false,
        }
    }

    /// Reads a value of this type from JSON; `None` if the JSON is not of this type. Times are strings in JSON.
    #[must_use]
    pub fn read(&self, value: &serde_json::Value) -> Option<Value> {
        use serde_json::Value as Json;
        let value = match (value, self) {
            (Json::Null, _) => Value::Null,
            (Json::String(text), ModelKind::Time) => Value::Time(timestamp::parse(text)?),
            (Json::String(text), _) => Value::Text(text.clone()),
            (Json::Bool(value), _) => Value::Bool(*value),
            (Json::Number(number), _) => match number.as_i64() {
                Some(whole) => Value::Int(whole),
                None => Value::Float(number.as_f64()?),
            },
            (Json::Array(list), ModelKind::List(item)) => items(list, item)?,
            (Json::Array(list), _) => items(list, &ModelKind::Any)?,
            (Json::Object(map), ModelKind::Map(item)) => entries(map, item)?,
            (Json::Object(map), _) => entries(map, &ModelKind::Any)?,
        };
        self.accepts(&value).then_some(value)
    }
}

fn items(list: &[serde_json::Value], kind: &ModelKind) -> Option<Value> {
    list.iter().map(|value| kind.read(value)).collect::<Option<_>>().map(Value::List)
}

fn entries(map: &serde_json::Map<String, serde_json::Value>, kind: &ModelKind) -> Option<Value> {
    let entry = |(key, value): (&String, &_)| Some((key.clone(), kind.read(value)?));
    map.iter().map(entry).collect::<Option<_>>().map(Value::Map)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn other_notations_are_converted() {
        let time = || Value::Time(OffsetDateTime::from_unix_timestamp(1_583_204_583).unwrap());
        for (kind, given, expected) in [
            ("datetime", text("2020-03-03T03:03:03Z"), time()),
            ("datetime", text("2020-03-03T05:03:03+02:00"), time()),
            ("datetime", Value::Int(1_583_204_583), time()),
            ("int64", text("12"), Value::Int(12)),
            ("int64", Value::Float(12.0), Value::Int(12)),
            ("double", text("0.5"), Value::Float(0.5)),
            ("int64[]", Value::List(vec![text("1"), Value::Int(2)]), Value::List(vec![Value::Int(1), Value::Int(2)])),
        ] {
            assert_eq!(ModelKind::parse(kind).unwrap().convert(given.clone()), expected, "{kind} {given:?}");
        }
    }

    #[test]
    fn other_values_stay() {
        for (kind, value) in [
            ("datetime", text("yesterday")),
            ("datetime", text("9999-12-31T23:59:59-01:00")),
            ("datetime", Value::Int(i64::MAX)),
            ("int64", text("12 GB")),
            ("int64", Value::Float(0.5)),
            ("int64", Value::Float(1e300)),
            ("double", text("NaN")),
            ("string", Value::Int(1)),
            ("boolean", text("true")),
            ("any", text("1")),
        ] {
            assert_eq!(ModelKind::parse(kind).unwrap().convert(value.clone()), value, "{kind}");
        }
    }
}
