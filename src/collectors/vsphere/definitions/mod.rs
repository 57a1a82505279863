//! The definitions of vSphere's kinds, and the kinds. The format is the engine's.

use std::sync::OnceLock;

use crate::{
    engine::Definitions,
    graph::{KindFile, KindSpec, Schema, SchemaError},
};

/// The kinds of the Python worker.
const KINDS: KindFile = KindFile { plugin: "vsphere", json: include_str!("../kinds.json") };

/// The definition files: name and text.
const FILES: &[(&str, &str)] = &[("vim.toml", include_str!("vim.toml"))];

/// Returns the definitions, read at the first call.
///
/// # Errors
/// The file and line of a mistake.
pub(crate) fn definitions() -> Result<&'static Definitions, SchemaError> {
    static DEFINITIONS: OnceLock<Result<Definitions, String>> = OnceLock::new();
    let malformed = |reason: &String| SchemaError::Malformed { plugin: "vsphere".to_owned(), reason: reason.clone() };
    DEFINITIONS.get_or_init(|| Definitions::read(FILES)).as_ref().map_err(malformed)
}

/// Returns the kinds of vSphere: those of `kinds.json`, and those with a schema beside their definition.
///
/// # Errors
/// The file of a mistake, with the line in a definition.
pub(crate) fn kinds() -> Result<Vec<KindSpec>, SchemaError> {
    let mut kinds = KINDS.parse()?;
    kinds.extend(definitions()?.kinds("vsphere"));
    Ok(kinds)
}

/// Returns the base kinds and those of vSphere, read at the first call.
///
/// # Errors
/// As [`kinds`].
pub(crate) fn schema() -> Result<&'static Schema, SchemaError> {
    static SCHEMA: OnceLock<Result<Schema, SchemaError>> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::of(kinds()?)).as_ref().map_err(Clone::clone)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::collectors::vsphere::{client::operation, cloud::cloud};

    #[test]
    fn definitions_have_no_mistakes() {
        for service in &definitions().unwrap().services {
            let mistakes = cloud().unwrap().mistakes(service);
            assert!(mistakes.is_empty(), "{mistakes:?}");
        }
    }

    #[test]
    fn every_operation_exists() {
        let (_, text) = FILES[0];
        let named = text.split("operation = \"").skip(1).filter_map(|rest| rest.split('"').next());
        let known = [operation::LIST, operation::READ, operation::SET, operation::CLEAR, operation::DELETE];
        let unknown: Vec<_> = named.filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
