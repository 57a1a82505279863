//! Scalars from strings, as in XML and headers.

use std::borrow::Cow;

use aws_smithy_types::{DateTime, base64, date_time::Format};

use time::OffsetDateTime;

use super::super::model::{Kind, TimeForm};
use crate::engine::Tree;

/// Parses a scalar; an empty string is `Null` where it is no value.
pub(super) fn value<'a>(text: Cow<'a, str>, kind: &Kind) -> Result<Tree<'a>, String> {
    let trimmed = text.trim();
    match kind {
        Kind::Text | Kind::Document => return Ok(Tree::Text(text)),
        Kind::Blob => {
            let bytes = base64::decode(trimmed).map_err(|_| "bytes that are not base64".to_owned())?;
            return Ok(Tree::Blob(bytes));
        }
        _ if trimmed.is_empty() => return Ok(Tree::Null),
        _ => {}
    }
    match kind {
        Kind::Bool => Ok(Tree::Bool(trimmed.eq_ignore_ascii_case("true"))),
        Kind::Integer => integer(trimmed).map(Tree::Int).ok_or_else(|| unfit("a whole number", trimmed)),
        Kind::Float => trimmed.parse().map(Tree::Float).map_err(|_| unfit("a number", trimmed)),
        Kind::Time(_) => time(trimmed).map(instant).ok_or_else(|| unfit("a time", trimmed)),
        _ => Err(unfit(kind.label(), trimmed)),
    }
}

/// Parses a member from a header; lists are separated by commas.
pub(super) fn header<'a>(text: &'a str, kind: &Kind) -> Result<Tree<'a>, String> {
    match kind {
        Kind::List(list) => {
            let is_date = matches!(list.item, Kind::Time(None | Some(TimeForm::Rfc822)));
            let items = items(text, usize::from(is_date)).into_iter().map(|item| value(item, &list.item));
            Ok(Tree::List(items.collect::<Result<_, _>>()?))
        }
        _ => value(Cow::Borrowed(text), kind),
    }
}

/// Splits a list in a header into its items. Each contains `commas` commas or is in quotes.
fn items(text: &str, commas: usize) -> Vec<Cow<'_, str>> {
    let mut items = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (item, after) = rest.strip_prefix('"').map_or_else(
            || {
                let end = rest.match_indices(',').nth(commas).map_or(rest.len(), |(at, _)| at);
                (Cow::Borrowed(rest[..end].trim()), &rest[end..])
            },
            unquoted,
        );
        items.push(item);
        rest = after.trim_start().strip_prefix(',').unwrap_or_default().trim_start();
    }
    items
}

/// Splits a string after its opening quote into the unescaped content and the rest after the closing quote.
fn unquoted(text: &str) -> (Cow<'_, str>, &str) {
    let mut item = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (item.into(), &text[at + 1..]),
            '\\' => item.extend(characters.next().map(|(_, escaped)| escaped)),
            other => item.push(other),
        }
    }
    (item.into(), "")
}

fn unfit(wanted: &str, found: &str) -> String {
    let found: String = found.chars().take(40).collect();
    format!("{found:?} is not {wanted}")
}

/// Parses an integer, also one with a fraction of zero.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let (whole, fraction) = text.split_once('.')?;
        fraction.bytes().all(|digit| digit == b'0').then(|| whole.parse().ok())?
    })
}

/// Converts a point in time; one beyond the year 9999 is `Null`.
pub(super) fn instant(time: DateTime) -> Tree<'static> {
    OffsetDateTime::from_unix_timestamp_nanos(time.as_nanos()).map_or(Tree::Null, Tree::Time)
}

/// Parses a point in time in any format of the services: ISO 8601 with or without zone, seconds since 1970, RFC 822.
pub(super) fn time(text: &str) -> Option<DateTime> {
    let bytes = text.as_bytes();
    if text.is_ascii() && bytes.len() >= 19 && bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-') {
        return iso8601(text);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(DateTime::from_secs(seconds));
    }
    match text.parse::<f64>() {
        Ok(value) => seconds(value),
        Err(_) => DateTime::from_str(text, Format::HttpDate).ok().or_else(|| date(text)),
    }
}

/// Converts seconds since 1970 to the nearest microsecond, as a binary fraction is rarely exact. Halves are rounded to
/// even, as in the Python worker.
pub(super) fn seconds(value: f64) -> Option<DateTime> {
    let whole = value.floor();
    let micros = ((value - whole) * 1e6).round_ties_even();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1,000,000")]
    let micros = micros as u32;
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    let whole = whole as i64;
    let (whole, micros) = if micros < 1_000_000 { (whole, micros) } else { (whole.saturating_add(1), 0) };
    value.is_finite().then(|| DateTime::from_secs_and_nanos(whole, micros * 1000))
}

/// Parses ISO 8601; a space may replace the `T`, and no zone means UTC.
fn iso8601(text: &str) -> Option<DateTime> {
    if text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T') {
        return DateTime::from_str(text, Format::DateTime).ok();
    }
    let mut text = text.to_owned();
    text.replace_range(10..11, "T");
    let zoned = text.get(19..)?.contains(['Z', '+', '-']);
    if !zoned {
        text.push('Z');
    }
    // `+0000` without a colon is valid ISO 8601 too.
    if let Some(zone) = text.rfind(['+', '-']).filter(|at| *at >= 19 && text.len() == at + 5) {
        text.insert(zone + 3, ':');
    }
    DateTime::from_str(&text, Format::DateTimeWithOffset).ok()
}

/// Parses a date without a time.
fn date(text: &str) -> Option<DateTime> {
    let day = text.len() == 10 && text.as_bytes().get(4) == Some(&b'-');
    day.then(|| DateTime::from_str(&format!("{text}T00:00:00Z"), Format::DateTime).ok())?
}
