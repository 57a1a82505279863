//! Strings with paths in braces.

use std::fmt;

use serde::Deserialize;

use crate::engine::Path;

/// A string with paths in braces, such as `{Endpoint.Address}:{Endpoint.Port}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(pub Vec<Part>);

impl Template {
    /// Iterates over its paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|part| if let Part::Path(path) = part { Some(path) } else { None })
    }
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A literal.
    Text(String),
    /// A path, replaced by the value to which it leads.
    Path(Path),
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Path(path) => write!(f, "{{{path}}}"),
        })
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (path, after) = after.split_once('}').ok_or_else(|| format!("{text:?}: a brace is not closed"))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Path(Path::parse(path)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn templates_mix_text_and_paths() {
        let template = Template::try_from("{A.B}:{C}/x".to_owned()).unwrap();
        assert_eq!(template.0.len(), 4);
        assert!(Template::try_from("{A".to_owned()).is_err());
    }
}
