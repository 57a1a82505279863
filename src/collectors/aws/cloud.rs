//! What the engine knows about AWS: its levels, definitions, kinds and hooks.

use std::sync::OnceLock;

use worker_proto::{Failure, FailureKind};

use super::{
    definitions::{definitions, schema},
    hooks,
    plan::ACCOUNT_KIND,
};
use crate::{
    engine::{Cloud, Level, LevelNode, LocationPart},
    graph::SchemaError,
};

/// The kind of a region's node.
const REGION: LevelNode = LevelNode { kind: "aws_region", part: LocationPart::Region };

/// The scope of the kinds that are listed once in the account, and the name of their pseudo region. Its node has the ID
/// of the region that is called for it.
pub(crate) const GLOBAL: &str = "global";

/// The scope of the kinds that are listed in each region.
pub(crate) const IN_REGION: &str = "region";

/// Returns AWS for the engine, built at the first call.
///
/// # Errors
/// The file and line of a mistake in the definitions; tests ensure that there is none.
pub(crate) fn cloud() -> Result<&'static Cloud, Failure> {
    static CLOUD: OnceLock<Result<Cloud, SchemaError>> = OnceLock::new();
    let cloud = CLOUD.get_or_init(|| {
        Ok(Cloud {
            name: "aws",
            title: "AWS",
            account: ACCOUNT_KIND,
            levels: &[
                Level { scope: GLOBAL, within: None, node: Some(REGION) },
                Level { scope: IN_REGION, within: None, node: Some(REGION) },
            ],
            definitions: definitions()?,
            schema: schema()?,
            hooks: hooks::ALL,
            change_hooks: hooks::CHANGES,
        })
    });
    cloud.as_ref().map_err(|mistake| Failure {
        kind: FailureKind::Internal,
        message: format!("AWS collector: {mistake}; please report this bug"),
    })
}
