//! What the engine knows about vSphere: its levels, definitions, kinds and hooks.

use std::sync::OnceLock;

use worker_proto::{Failure, FailureKind};

use super::{
    definitions::{definitions, schema},
    hooks,
};
use crate::{
    engine::{Cloud, Level, LevelNode, LocationPart, change::ChangeHooks},
    graph::SchemaError,
};

/// The kind of a server's node, which is an account.
pub(crate) const ACCOUNT_KIND: &str = "vsphere_cluster";

/// The scope of the one data center.
pub(crate) const IN_DATA_CENTER: &str = "data_center";

/// The ID of the one data center: that of the Python worker, so that IDs of nodes do not change.
pub(crate) const DATA_CENTER: &str = "dc1";

/// Returns vSphere for the engine, built at the first call.
///
/// # Errors
/// The file and line of a mistake in the definitions; tests ensure that there is none.
pub(crate) fn cloud() -> Result<&'static Cloud, Failure> {
    static CLOUD: OnceLock<Result<Cloud, SchemaError>> = OnceLock::new();
    let cloud = CLOUD.get_or_init(|| {
        const LEVELS: &[Level] = &[Level {
            scope: IN_DATA_CENTER,
            within: None,
            node: Some(LevelNode { kind: "vsphere_data_center", part: LocationPart::Region }),
        }];
        Ok(Cloud {
            name: "vsphere",
            title: "vSphere",
            account: ACCOUNT_KIND,
            levels: LEVELS,
            definitions: definitions()?,
            schema: schema()?,
            hooks: hooks::ALL,
            change_hooks: ChangeHooks { tag: &[], prepare: &[], delete: &[], revoke: &[] },
        })
    });
    cloud.as_ref().map_err(|mistake| Failure {
        kind: FailureKind::Internal,
        message: format!("vSphere collector: {mistake}; please report this bug"),
    })
}
