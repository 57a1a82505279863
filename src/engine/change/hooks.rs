//! The functions that definitions name for changes, for what calls alone cannot express.
//!
//! A cloud registers its functions by name, so that a kind gets special treatment in its definition and nowhere else.

use toml::Spanned;
use worker_proto::{Failure, FailureKind, Outcome};

use super::{Change, detach::Removed};
use crate::{collector_api::BoxFuture, engine::definition::Definition};

/// Sets a tag to a value, or removes it.
pub type Tag = for<'c> fn(&'c Change, &'c str, Option<&'c str>) -> BoxFuture<'c, Result<Outcome, Failure>>;
/// Runs before a deletion, and prevents it by failing.
pub type Prepare = for<'c> fn(&'c Change) -> BoxFuture<'c, Result<(), Failure>>;
/// Deletes a resource.
pub type Delete = for<'c> fn(&'c Change) -> BoxFuture<'c, Result<Outcome, Failure>>;
/// Removes references to a resource, and notes what it removed and how to restore it.
pub type Revoke = for<'c> fn(&'c Change, &'c mut Removed) -> BoxFuture<'c, Result<(), Failure>>;

/// The functions of a cloud by name.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChangeHooks {
    /// For the key `tag_hook`.
    pub tag: &'static [(&'static str, Tag)],
    /// For the key `prepare_hook`.
    pub prepare: &'static [(&'static str, Prepare)],
    /// For the key `delete_hook`.
    pub delete: &'static [(&'static str, Delete)],
    /// For the key `revoke_hook`.
    pub revoke: &'static [(&'static str, Revoke)],
}

impl ChangeHooks {
    /// Iterates over the names that a definition uses, with whether the cloud has such a function.
    pub(crate) fn used<'d>(&self, definition: &'d Definition) -> impl Iterator<Item = (&'d Spanned<String>, bool)> {
        fn has<H>(hooks: &[(&str, H)], name: &Spanned<String>) -> bool {
            hooks.iter().any(|(known, _)| known == name.get_ref())
        }
        let tag = definition.tag_hook.as_ref().map(|name| (name, has(self.tag, name)));
        let prepare = definition.prepare_hook.as_ref().map(|name| (name, has(self.prepare, name)));
        let delete = definition.delete_hook.as_ref().map(|name| (name, has(self.delete, name)));
        let revoke = definition.revoke_hook.as_ref().map(|name| (name, has(self.revoke, name)));
        [tag, prepare, delete, revoke].into_iter().flatten()
    }
}

/// Returns the function that a definition names, if it names one.
///
/// # Errors
/// `Internal` if there is none of this name.
pub(super) fn named<H: Copy>(hooks: &[(&str, H)], name: Option<&Spanned<String>>) -> Result<Option<H>, Failure> {
    let Some(name) = name.map(Spanned::get_ref) else { return Ok(None) };
    let hook = hooks.iter().find(|(known, _)| known == name).map(|(_, hook)| *hook);
    let message = || format!("there is no hook {name}; please report this bug");
    hook.map(Some).ok_or_else(|| Failure { kind: FailureKind::Internal, message: message() })
}
