//! Timestamps in the form that both cores read: ISO 8601 with an offset.

use std::io::Write;

use time::{Date, OffsetDateTime, PrimitiveDateTime, format_description::well_known::Iso8601};

/// Whether the year has four digits, as ISO 8601 and the cores require.
pub(super) fn is_writable(time: OffsetDateTime) -> bool {
    (1..=9999).contains(&time.year())
}

/// Reads an ISO 8601 timestamp or date; UTC without an offset.
pub(super) fn parse(text: &str) -> Option<OffsetDateTime> {
    // Python accepts any character between date and time, and people write a space.
    let text = match text.as_bytes().get(10) {
        Some(b' ') => format!("{}T{}", text.get(..10)?, text.get(11..)?),
        _ => text.to_owned(),
    };
    OffsetDateTime::parse(&text, &Iso8601::PARSING)
        .or_else(|_| PrimitiveDateTime::parse(&text, &Iso8601::PARSING).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| Date::parse(&text, &Iso8601::PARSING).map(|date| date.midnight().assume_utc()))
        .ok()
        .filter(|time| is_writable(*time))
}

/// Appends a JSON string in the format of Python's `isoformat`: microseconds only if there are any.
pub(super) fn push(out: &mut Vec<u8>, time: OffsetDateTime) {
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, micro) = time.to_hms_micro();
    let mut written = write!(out, "\"{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", u8::from(month));
    if micro != 0 {
        written = written.and_then(|()| write!(out, ".{micro:06}"));
    }
    let (hours, minutes, seconds) = time.offset().as_hms();
    let sign = if time.offset().is_negative() { '-' } else { '+' };
    written = written.and_then(|()| write!(out, "{sign}{:02}:{:02}", hours.abs(), minutes.abs()));
    if seconds != 0 {
        written = written.and_then(|()| write!(out, ":{:02}", seconds.abs()));
    }
    debug_assert!(written.is_ok(), "writing to memory does not fail");
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> Option<String> {
        let mut out = Vec::new();
        push(&mut out, parse(text)?);
        String::from_utf8(out).ok().map(|text| text.trim_matches('"').to_owned())
    }

    #[test]
    fn times_are_written_as_python_writes_them() {
        for (text, expected) in [
            ("2021-11-01T00:00:07+00:00", "2021-11-01T00:00:07+00:00"),
            ("2021-11-01T00:00:07Z", "2021-11-01T00:00:07+00:00"),
            ("2021-11-01 00:00:07.5+02:00", "2021-11-01T00:00:07.500000+02:00"),
            ("2021-11-01T00:00:07.123456-09:30", "2021-11-01T00:00:07.123456-09:30"),
            ("2021-11-01T00:00:07", "2021-11-01T00:00:07+00:00"),
            ("2021-11-01T10:20", "2021-11-01T10:20:00+00:00"),
            ("2021-11-01", "2021-11-01T00:00:00+00:00"),
        ] {
            assert_eq!(round(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn invalid_timestamp_is_none() {
        for text in ["", "yesterday", "2021-13-01", "2021-11-01T25:00:00", "1635724800", "-0001-01-01", "2021-11-01é00"]
        {
            assert_eq!(round(text), None, "{text}");
        }
    }
}
