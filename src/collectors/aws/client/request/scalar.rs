//! Scalars of requests as strings.

use aws_smithy_types::{DateTime, date_time::Format};
use serde_json::Value;

use super::{
    super::model::{Kind, TimeForm},
    unfit,
};

/// Fails if a value does not fit a scalar kind.
pub(super) fn check(kind: &Kind, value: &Value) -> Result<(), String> {
    let fits = match kind {
        Kind::Text | Kind::Blob => value.is_string(),
        Kind::Integer => value.is_i64(),
        Kind::Float => value.is_number() || matches!(value.as_str(), Some("NaN" | "Infinity" | "-Infinity")),
        Kind::Bool => value.is_boolean(),
        Kind::Time(_) => value.is_string() || value.is_number(),
        Kind::Document => true,
        Kind::List(_) | Kind::Map(_) | Kind::Structure(_) => false,
    };
    if fits { Ok(()) } else { Err(unfit(&format!("of type {}", kind.label()), value)) }
}

/// Returns a scalar as a string; `usual` is the default format of points in time. Blobs are given in base64.
pub(super) fn text(kind: &Kind, value: &Value, usual: TimeForm) -> Result<String, String> {
    check(kind, value)?;
    match (kind, value) {
        (Kind::Time(form), _) => time(value, form.unwrap_or(usual)),
        (_, Value::String(text)) => Ok(text.clone()),
        _ => Ok(value.to_string()),
    }
}

/// Parses a point in time in ISO 8601 or seconds since 1970.
pub(super) fn time(value: &Value, form: TimeForm) -> Result<String, String> {
    let unreadable = || unfit("a time in ISO 8601 or seconds since 1970", value);
    let time = match value {
        Value::Number(number) => number.as_f64().map(DateTime::from_secs_f64),
        Value::String(text) => DateTime::from_str(text, Format::DateTimeWithOffset).ok(),
        _ => None,
    };
    let format = match form {
        TimeForm::Iso8601 => Format::DateTime,
        TimeForm::Unix => Format::EpochSeconds,
        TimeForm::Rfc822 => Format::HttpDate,
    };
    time.ok_or_else(unreadable)?.fmt(format).map_err(|_| unreadable())
}

/// Appends a string, with all but unreserved characters and those of `keep` escaped.
pub(super) fn escape(text: &str, keep: &[u8], out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}
