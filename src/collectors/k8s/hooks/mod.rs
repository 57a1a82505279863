//! What definitions cannot express: selectors (`ALL`), and changes of objects (`CHANGES`).

mod object;
mod selectors;

pub(super) use object::snake;
pub(super) use selectors::{TOO_MANY_EDGES, connect, key, object};

use crate::engine::{Hook, change::ChangeHooks};

/// The hooks of collection.
pub(super) const ALL: &[&dyn Hook] = &[&selectors::SELECTED, &selectors::SELECTS];

/// The hooks of changes.
pub(super) const CHANGES: ChangeHooks = ChangeHooks {
    tag: &[("label_object", |change, key, value| Box::pin(object::label(change, key, value)))],
    prepare: &[],
    delete: &[("delete_object", |change| Box::pin(object::delete(change)))],
    revoke: &[],
};
