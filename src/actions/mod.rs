//! What the core may ask for beside collections: one file or folder for each action, registered in `registry`.
//!
//! An action implements [`Action`](crate::supervisor::actions::Action). `docs/actions.md` says how to add one.

mod cleanup;
mod location;
pub mod registry;
mod tag;
