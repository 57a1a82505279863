//! Texts as Python writes them, because the core's messages contain them.

use serde_json::Value;

/// A text as `repr` writes it.
pub(super) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c == quote => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// A list of texts as `repr` writes it.
pub(super) fn repr_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    format!("[{}]", texts.into_iter().map(repr).collect::<Vec<_>>().join(", "))
}

/// A value as `str` writes it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => literal(other),
    }
}

/// A value as `repr` writes it.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => repr(text),
        Value::Array(list) => format!("[{}]", list.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let members: Vec<_> = map.iter().map(|(key, value)| format!("{}: {}", repr(key), literal(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// A value as `json.dumps` writes it, but with sorted keys.
pub(super) fn dumps(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(dumps).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let members: Vec<_> =
                map.iter().map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), dumps(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}

/// The name of the type of a value.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}
