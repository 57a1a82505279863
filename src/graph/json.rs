//! Writes JSON directly into a line. Lines are not parsed again, so no reader is needed.

use std::{fmt::Display, io::Write};

/// Appends the output of `Display`.
pub(super) fn push_display(out: &mut Vec<u8>, value: impl Display) {
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok(), "writing to memory does not fail");
}

/// Appends a finite number in a form that is read back as a float.
pub(super) fn push_float(out: &mut Vec<u8>, number: f64) {
    // `Debug` keeps the `.0` and uses an exponent for very large and very small numbers.
    push_display(out, format_args!("{number:?}"));
}

/// Appends a JSON string. Escapes only the characters that JSON requires.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..index]);
        if escape.is_empty() {
            push_display(out, format_args!("\\u{byte:04x}"));
        }
        out.extend_from_slice(escape);
        start = index + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// Appends a key and its colon.
pub(super) fn push_key(out: &mut Vec<u8>, key: &str) {
    push_text(out, key);
    out.push(b':');
}

/// Appends items in brackets, separated by commas.
pub(super) fn push_separated<T>(
    out: &mut Vec<u8>,
    open: u8,
    close: u8,
    items: &[T],
    mut push: impl FnMut(&mut Vec<u8>, &T),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_is_read_back(text: String) {
            let mut out = Vec::new();
            push_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn finite_numbers_are_read_back_with_their_type(number in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let mut out = Vec::new();
            push_float(&mut out, number);
            let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert!(read.is_f64());
            let difference = (read.as_f64().unwrap() - number).abs();
            prop_assert!(difference <= number.abs() * 1e-15);
        }
    }
}
