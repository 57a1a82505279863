//! Replaces unreadable characters by U+FFFD, so that only their value is affected and not the whole response.
//!
//! These are bytes that are not UTF-8 and, in JSON, escapes of half a surrogate pair. References in XML are resolved
//! by their parser.

use bytes::Bytes;

/// Returns a document in UTF-8.
pub(crate) fn text(body: Bytes) -> String {
    String::from_utf8(body.into()).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Returns a JSON document whose escapes are all characters.
pub(crate) fn json(text: String) -> String {
    let body = text.as_bytes();
    let mut repaired = String::new();
    let (mut rest, mut from) = (0, 0);
    while let Some(at) = body.get(rest..).and_then(|text| text.iter().position(|byte| *byte == b'\\')) {
        let escape = rest + at;
        rest = escape + 2;
        let Some(unit) = unit(body, escape) else { continue };
        rest = escape + 6;
        match unit {
            0xD800..=0xDBFF if matches!(self::unit(body, rest), Some(0xDC00..=0xDFFF)) => rest += 6,
            0xD800..=0xDFFF => {
                repaired.push_str(&text[from..escape]);
                repaired.push_str("\\ufffd");
                from = rest;
            }
            _ => {}
        }
    }
    if repaired.is_empty() {
        return text;
    }
    repaired.push_str(&text[from..]);
    repaired
}

/// Returns the UTF-16 code unit of an escape such as `\ud83d` at this position.
fn unit(body: &[u8], at: usize) -> Option<u16> {
    let digits = body.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(text: &str) -> String {
        json(text.to_owned())
    }

    #[test]
    fn half_surrogates_in_json_are_replaced() {
        for (given, expected) in [
            (r#"{"a":"\ud83d"}"#, r#"{"a":"\ufffd"}"#),
            (r#"{"a":"x\uDE00y"}"#, r#"{"a":"x\ufffdy"}"#),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, r#"{"a":"\ufffd\ud83d\ude00"}"#),
            (r#"{"a":"\ud83dx","b":"\udc00"}"#, r#"{"a":"\ufffdx","b":"\ufffd"}"#),
            (r#"{"a":"\\\udc00"}"#, r#"{"a":"\\\ufffd"}"#),
        ] {
            assert_eq!(repaired(given), expected);
            assert!(serde_json::from_str::<serde_json::Value>(&repaired(given)).is_ok(), "{given}");
        }
    }

    #[test]
    fn readable_json_is_kept() {
        for text in
            [r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\\ud83d"}"#, r#"{"a":"\u00e9\n\""}"#, "{\"a\":\"é\"}", "\\", "\\u12"]
        {
            assert_eq!(repaired(text), text);
        }
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        for (given, expected) in [
            (&b"<a>x\xffy</a>"[..], "<a>x\u{fffd}y</a>"),
            (b"<a>\xed\xa0\x80</a>", "<a>\u{fffd}\u{fffd}\u{fffd}</a>"),
            (b"<a>\xf0\x9f</a>", "<a>\u{fffd}</a>"),
            (b"<a>\xc3\xa9</a>", "<a>é</a>"),
        ] {
            assert_eq!(text(Bytes::copy_from_slice(given)), expected);
        }
    }
}
