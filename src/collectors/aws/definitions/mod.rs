//! The definitions of AWS's kinds: one TOML file per service. The format is the engine's.

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use super::services::definition_files;
use crate::{
    engine::Definitions,
    graph::{KindFile, KindSpec, Schema, SchemaError},
};

/// The kinds that have no schema beside their definition.
const KINDS: KindFile = KindFile { plugin: "aws", json: include_str!("../kinds.json") };

/// Returns the definitions, read at the first call.
///
/// # Errors
/// The file and line of a mistake.
pub(crate) fn definitions() -> Result<&'static Definitions, SchemaError> {
    static DEFINITIONS: OnceLock<Result<Definitions, String>> = OnceLock::new();
    let read = || Definitions::read(&definition_files().collect::<Vec<_>>());
    let malformed = |reason: &String| SchemaError::Malformed { plugin: "aws".to_owned(), reason: reason.clone() };
    DEFINITIONS.get_or_init(read).as_ref().map_err(malformed)
}

/// Returns the kinds of AWS: those of `kinds.json`, and those with a schema beside their definition.
///
/// # Errors
/// The file of a mistake, with the line in a definition.
pub(crate) fn kinds() -> Result<Vec<KindSpec>, SchemaError> {
    let mut kinds = KINDS.parse()?;
    kinds.extend(definitions()?.kinds("aws"));
    Ok(kinds)
}

/// Returns the base kinds and those of AWS, read at the first call.
///
/// # Errors
/// As [`kinds`].
pub(crate) fn schema() -> Result<&'static Schema, SchemaError> {
    static SCHEMA: OnceLock<Result<Schema, SchemaError>> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::of(kinds()?)).as_ref().map_err(Clone::clone)
}
