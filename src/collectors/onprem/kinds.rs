//! The kinds of on-premises machines: those of the Python worker, and those of `system.toml`.

use std::sync::OnceLock;

use crate::{
    engine::Definitions,
    graph::{KindFile, KindSpec, Schema, SchemaError},
};

/// The kinds of the Python worker.
const KINDS: KindFile = KindFile { plugin: "onprem", json: include_str!("kinds.json") };

/// The kinds that it did not have, with their schemas.
const NEW_KINDS: (&str, &str) = ("system.toml", include_str!("system.toml"));

/// Returns all kinds.
///
/// # Errors
/// The file of a mistake.
pub(crate) fn kinds() -> Result<Vec<KindSpec>, SchemaError> {
    let malformed = |reason| SchemaError::Malformed { plugin: "onprem".to_owned(), reason };
    let mut kinds = KINDS.parse()?;
    kinds.extend(Definitions::read(&[NEW_KINDS]).map_err(malformed)?.kinds("onprem"));
    Ok(kinds)
}

/// Returns the base kinds and those of on-premises machines, read at the first call.
///
/// # Errors
/// As [`kinds`].
pub(crate) fn schema() -> Result<&'static Schema, SchemaError> {
    static SCHEMA: OnceLock<Result<Schema, SchemaError>> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::of(kinds()?)).as_ref().map_err(Clone::clone)
}
