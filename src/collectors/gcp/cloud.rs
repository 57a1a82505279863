//! What the engine knows about GCP: its levels, definitions, kinds and hooks.

use std::sync::OnceLock;

use worker_proto::{Failure, FailureKind};

use super::{
    definitions::{definitions, schema},
    hooks,
};
use crate::{
    engine::{Cloud, Level, LevelNode, LocationPart},
    graph::SchemaError,
};

/// The kind of a project's node, which is an account.
pub(crate) const PROJECT_KIND: &str = "gcp_project";

/// The scope of the kinds that are listed once in the project, with resources of all locations.
pub(crate) const GLOBAL: &str = "global";

/// The scope of regions.
pub(crate) const IN_REGION: &str = "region";

/// The scope of zones.
pub(crate) const IN_ZONE: &str = "zone";

/// Returns GCP for the engine, built at the first call.
///
/// # Errors
/// The file and line of a mistake in the definitions; tests ensure that there is none.
pub(crate) fn cloud() -> Result<&'static Cloud, Failure> {
    static CLOUD: OnceLock<Result<Cloud, SchemaError>> = OnceLock::new();
    let cloud = CLOUD.get_or_init(|| {
        Ok(Cloud {
            name: "gcp",
            title: "GCP",
            account: PROJECT_KIND,
            levels: &[
                Level { scope: GLOBAL, within: None, node: None },
                Level {
                    scope: IN_REGION,
                    within: None,
                    node: Some(LevelNode { kind: "gcp_region", part: LocationPart::Region }),
                },
                Level {
                    scope: IN_ZONE,
                    within: Some(IN_REGION),
                    node: Some(LevelNode { kind: "gcp_zone", part: LocationPart::Zone }),
                },
            ],
            definitions: definitions()?,
            schema: schema()?,
            hooks: hooks::ALL,
            change_hooks: hooks::CHANGES,
        })
    });
    cloud.as_ref().map_err(|mistake| Failure {
        kind: FailureKind::Internal,
        message: format!("GCP collector: {mistake}; please report this bug"),
    })
}
