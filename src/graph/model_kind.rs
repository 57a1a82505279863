//! The types of fields in the model, and the values that they accept.

use super::{timestamp, value::Value};

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
