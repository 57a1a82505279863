//! The functions that definitions name, for what calls alone cannot express.
//!
//! A hook is registered by its name, so that a kind gets special treatment in its definition and nowhere else.

use worker_proto::{Failure, Outcome};

use super::{Change, detach::Removed};
use crate::collector_api::BoxFuture;

/// Sets a tag to a value, or removes it.
type Tag = for<'c> fn(&'c Change, &'c str, Option<&'c str>) -> BoxFuture<'c, Result<Outcome, Failure>>;
/// Runs before a deletion, and prevents it by failing.
type Prepare = for<'c> fn(&'c Change) -> BoxFuture<'c, Result<(), Failure>>;
/// Deletes a resource.
type Delete = for<'c> fn(&'c Change) -> BoxFuture<'c, Result<Outcome, Failure>>;
/// Removes references to a resource, and notes what it removed.
type Revoke = for<'c> fn(&'c Change, &'c mut Removed) -> BoxFuture<'c, Result<(), Failure>>;

/// The hooks of the key `tag_hook`.
pub(crate) const TAG: &[(&str, Tag)] =
    &[("update_stack", |change, key, value| Box::pin(change.update_stack_tag(key, value)))];
/// The hooks of the key `prepare_hook`.
pub(crate) const PREPARE: &[(&str, Prepare)] = &[("snapshot_volume", |change| Box::pin(change.snapshot_if_wanted()))];
/// The hooks of the key `delete_hook`.
pub(crate) const DELETE: &[(&str, Delete)] = &[("empty_bucket", |change| Box::pin(change.delete_bucket()))];
/// The hooks of the key `revoke_hook`.
pub(crate) const REVOKE: &[(&str, Revoke)] =
    &[("security_group_rules", |change, removed| Box::pin(change.revoke_rules(&mut removed.rules)))];

/// Returns the hook that a definition names, if it names one.
///
/// # Errors
/// `Internal` if no hook has the name; a test of the definitions ensures that one has.
pub(super) fn find<H: Copy>(hooks: &[(&str, H)], name: Option<&toml::Spanned<String>>) -> Result<Option<H>, Failure> {
    let Some(name) = name.map(toml::Spanned::get_ref) else { return Ok(None) };
    let hook = hooks.iter().find(|(known, _)| known == name).map(|(_, hook)| *hook);
    hook.map(Some).ok_or_else(|| super::internal(format!("there is no hook {name}")))
}
