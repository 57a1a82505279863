//! A log line without line breaks and of bounded length, whatever is written into it.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};

use super::log_limiter::PEER;

/// The length limit of a line in bytes, without the truncation mark.
pub const MAX_LINE: usize = 8 * 1024;

/// Text without control characters and of bounded length. Text above the limit is counted and dropped.
#[derive(Debug, Default)]
pub struct Line {
    text: String,
    cut: usize,
}

impl Line {
    /// Creates a line of this text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut line = Self::default();
        line.push(text);
        line
    }

    /// Adds text; control characters are escaped as in Rust's string literals.
    pub fn push(&mut self, text: &str) {
        for character in text.chars() {
            let room = self.cut == 0 && self.text.len() + character.len_utf8() <= MAX_LINE;
            match character {
                _ if !room => self.cut += character.len_utf8(),
                _ if is_harmful(character) => self.text.extend(character.escape_default()),
                _ => self.text.push(character),
            }
        }
    }

    /// Returns the line without a line feed, with a mark if it was truncated.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.cut > 0 {
            self.text.push_str(&format!("… ({} bytes cut)", self.cut));
        }
        self.text
    }
}

/// Whether a character can forge lines or control terminals: control characters, and marks that reverse the reading
/// direction.
fn is_harmful(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

/// The fields of an event: the message, the job, and the rest as `name=value`.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) job: String,
    message: Line,
    rest: Line,
}

impl Fields {
    /// Reads the fields of an event.
    pub(super) fn of(event: &tracing::Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    /// Returns the message, followed by all other fields.
    pub(super) fn into_text(self) -> String {
        let mut text = self.message;
        text.push(&self.rest.text);
        text.cut += self.rest.cut;
        text.finish()
    }

    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a Line cannot fail.
        let _ = match field.name() {
            "message" => self.message.write_fmt(value),
            "job" => {
                let mut job = Line::default();
                let written = job.write_fmt(value);
                self.job = job.finish();
                written
            }
            // For the limiter only.
            PEER => Ok(()),
            name => write!(self.rest, " {name}={value}"),
        };
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(Line::of("a\nb\u{1b}[2Jc\r\u{202e}é").finish(), r"a\nb\u{1b}[2Jc\r\u{202e}é");
    }

    #[test]
    fn long_line_is_truncated_at_a_character_with_mark() {
        let line = Line::of(&format!("{}é and more", "x".repeat(MAX_LINE - 1))).finish();
        assert_eq!(line, format!("{}… (11 bytes cut)", "x".repeat(MAX_LINE - 1)));
        let escaped = Line::of(&"\n".repeat(MAX_LINE)).finish();
        assert!(escaped.len() < MAX_LINE + 64, "{}", escaped.len());
    }
}
