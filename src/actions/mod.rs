//! What the core may ask for beside collections: one file or folder for each action, registered in `registry`.
//!
//! `resource_graph` finds where stored resources are. An action implements
//! [`Action`](crate::supervisor::actions::Action). `docs/actions.md` says how to add one.

mod cleanup;
pub mod registry;
mod resource_graph;
mod tag;
