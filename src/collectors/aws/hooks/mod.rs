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

use toml::Table;
use worker_proto::Failure;

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
use crate::{
    collector_api::BoxFuture,
    engine::{Hook, HookContext, HookValue, Tree, change::ChangeHooks},
};

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

/// The values of items that a hook returns.
type Values<'a> = BoxFuture<'a, Result<Vec<HookValue>, Failure>>;

/// A hook whose parts are constants and functions.
struct FunctionHook {
    name: &'static str,
    values: &'static [&'static str],
    kinds: &'static [&'static str],
    check: fn(&Table) -> Result<(), String>,
    values_of: for<'a> fn(HookContext<'a>, &'a [&'a Tree<'a>]) -> Values<'a>,
}

impl Hook for FunctionHook {
    fn name(&self) -> &'static str {
        self.name
    }

    fn values(&self) -> &'static [&'static str] {
        self.values
    }

    fn kinds(&self) -> &'static [&'static str] {
        self.kinds
    }

    fn check(&self, input: &Table) -> Result<(), String> {
        (self.check)(input)
    }

    fn values_of<'a>(&'a self, context: HookContext<'a>, items: &'a [&'a Tree<'a>]) -> Values<'a> {
        (self.values_of)(context, items)
    }
}

/// Checks the input of a hook that needs none.
fn no_input(input: &Table) -> Result<(), String> {
    input.keys().next().map_or(Ok(()), |name| Err(format!("there is no {name}")))
}
