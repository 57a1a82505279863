//! What definitions cannot express: values that code adds to items (`ALL`), and changes that take more than a call
//! (`CHANGES`).

mod bucket;
mod group_rules;
mod metrics;
mod price_list;
mod prices;
mod quotas;
pub(super) mod stack;
mod target_groups;
mod types;
pub(super) mod volume;

use self::{
    bucket::Bucket,
    group_rules::SecurityGroup,
    metrics::{DATABASE_USE, VOLUME_USE},
    quotas::SERVICE_QUOTA,
    stack::TaggedStack,
    target_groups::{BACKENDS, TARGETS},
    types::{INSTANCE_TYPES, VOLUME_TYPES},
    volume::Volume,
};
use crate::engine::{Hook, change::ChangeHooks};

/// The hooks of collection.
pub(super) const ALL: &[&dyn Hook] =
    &[&INSTANCE_TYPES, &VOLUME_TYPES, &VOLUME_USE, &DATABASE_USE, &TARGETS, &BACKENDS, &SERVICE_QUOTA];

/// The names that select what hooks do beyond the kinds of their definitions.
pub(super) const SELECTABLE: [&str; 2] = [types::RESERVATIONS, quotas::OPTION];

/// The hooks of changes.
pub(super) const CHANGES: ChangeHooks = ChangeHooks {
    tag: &[("update_stack", |change, key, value| {
        Box::pin(async move { TaggedStack(change).update_tag(key, value).await })
    })],
    prepare: &[("snapshot_volume", |change| Box::pin(async move { Volume(change).snapshot_if_wanted().await }))],
    delete: &[("empty_bucket", |change| Box::pin(async move { Bucket(change).delete().await }))],
    revoke: &[("security_group_rules", |change, removed| {
        Box::pin(async move { SecurityGroup(change).revoke_rules(&mut removed.undo).await })
    })],
};
