//! Definition files: parsed with the file and line of each mistake, and the name that was probably meant.

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, Deserializer},
};

use super::source::{HEAD, Head};
use crate::{
    engine::definition::{Mistake, Service},
    settings::nearest,
};

/// A file: its name for messages, and its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct File<'f> {
    pub(super) name: &'f str,
    pub(super) text: &'f str,
}

/// A parsed file.
#[derive(Debug)]
pub(super) struct Parsed<'f> {
    pub(super) file: File<'f>,
    pub(super) head: Head,
    pub(super) service: Service,
}

impl<'f> File<'f> {
    /// Parses the file.
    ///
    /// # Errors
    /// The file and line of the first mistake.
    pub(super) fn parse(self) -> Result<Parsed<'f>, String> {
        let table = DeTable::parse(self.text).map_err(|error| self.mistake(&error))?;
        let span = table.span();
        let (head, rest): (Vec<_>, Vec<_>) =
            table.into_inner().into_iter().partition(|(key, _)| HEAD.contains(&key.get_ref().as_ref()));
        let of = |entries| Deserializer::from(Spanned::new(span.clone(), DeTable::from_iter(entries)));
        // First, as a misspelt key of the head is an unknown one here, and only a missing one there.
        let service = Service::deserialize(of(rest)).map_err(|error| self.mistake(&error))?;
        let head = Head::deserialize(of(head)).map_err(|error| self.mistake(&error))?;
        let service = service.with_defaults().map_err(|mistake| self.located(&mistake))?;
        Ok(Parsed { file: self, head, service: service.from_file(self.name, self.text) })
    }

    /// Parses the head alone.
    ///
    /// # Errors
    /// As [`File::parse`].
    pub(super) fn head(self) -> Result<Head, String> {
        let table = DeTable::parse(self.text).map_err(|error| self.mistake(&error))?;
        let span = table.span();
        let head = table.into_inner().into_iter().filter(|(key, _)| HEAD.contains(&key.get_ref().as_ref()));
        let head = Deserializer::from(Spanned::new(span, DeTable::from_iter(head)));
        Head::deserialize(head).map_err(|error| self.mistake(&error))
    }

    /// Returns a mistake with file and line.
    pub(super) fn located(&self, mistake: &Mistake) -> String {
        self.at(mistake.at, &mistake.what)
    }

    /// Returns a sentence with the file and the line of a position.
    pub(super) fn at(&self, position: usize, what: &str) -> String {
        let before = self.text.as_bytes().get(..position).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        format!("{}:{line}: {what}", self.name)
    }

    fn mistake(&self, error: &toml::de::Error) -> String {
        let at = error.span().map_or(0, |span| span.start);
        self.at(at, &explained(error.message().trim()))
    }
}

/// Returns a parser's message, with the name that was probably meant.
fn explained(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let is_unknown = message.starts_with("unknown field") || message.starts_with("unknown variant");
    match quoted.next().filter(|_| is_unknown).and_then(|name| nearest(name, quoted.chain(HEAD))) {
        Some(meant) => format!("{message}; did you mean {meant}?"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TEXT: &str = r#"source = "rest"
collector = "inv"
service = "inv"

[defaults]
scope = "account"

[[kind]]
kind = "inv_host"
id = "id"
"#;

    fn parse(text: &str) -> Result<(), String> {
        File { name: "inv.toml", text }.parse().map(|_| ())
    }

    #[test]
    fn mistakes_have_file_line_and_the_nearest_name() {
        parse(TEXT).unwrap();
        for (old, new, line, what) in [
            ("id = \"id\"", "propertes = {}", 10, "did you mean properties?"),
            ("collector =", "colector =", 2, "did you mean collector?"),
            ("id = \"id\"", "id = \"a..b\"", 10, "invalid"),
            ("id = \"id\"", "name = \"id\"", 9, "inv_host has no id"),
            ("scope = \"account\"", "scpe = \"account\"", 6, "did you mean scope?"),
            ("[[kind]]", "[[kind]", 8, ""),
        ] {
            let error = parse(&TEXT.replacen(old, new, 1)).unwrap_err();
            assert!(error.starts_with(&format!("inv.toml:{line}: ")) && error.contains(what), "{error}");
        }
    }

    #[test]
    fn unknown_key_of_head_is_named() {
        let error = parse(&TEXT.replacen("collector", "collectr", 1)).unwrap_err();
        assert!(error.starts_with("inv.toml:2: ") && error.ends_with("did you mean collector?"), "{error}");
    }
}
