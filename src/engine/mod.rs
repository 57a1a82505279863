//! The engine: collects and changes the resources of any cloud by definitions.
//!
//! A cloud gives it an [`Api`] (calls and their responses as trees), definitions of its kinds, the locations of an
//! account, and hooks for what a definition cannot express. It knows no cloud itself.
//!
//! * `definition` has the format, with paths (`path`), sources and templates; `eval` and `fill` evaluate them
//! * `collect` collects one account: its locations, and in each the kinds with their details, nodes and edges
//! * `change` changes tags and deletes resources
//! * `calls` makes the attempts of a call for a cloud's client, with `limiter` and `retry` (which failures are retried);
//!   `pages` follows pages; `breaker` skips calls that keep failing; `error` says what a failed call means, `http` makes
//!   connections and `causes` says why one failed; `repair` replaces unreadable characters in responses

mod api;
mod breaker;
mod calls;
pub(crate) mod causes;
pub mod change;
mod cloud;
pub mod collect;
pub mod definition;
mod error;
pub mod eval;
pub(crate) mod fill;
mod hook;
pub(crate) mod http;
mod json;
mod limiter;
mod pages;
pub mod path;
pub(crate) mod repair;
mod retry;
mod slots;
mod tree;

pub use api::{Api, Body, Next, Partial, Request, Response};
pub use calls::{Attempt, Calls};
pub use cloud::{Cloud, Level, LevelNode, LocationPart};
pub use definition::Definitions;
pub use error::{CallError, CallErrorKind, ErrorFacts, call_failure, code};
pub use hook::{FunctionHook, Hook, HookContext, HookValue, HookValues, no_input};
pub use pages::Pages;
pub use path::Path;
pub use retry::Timeouts;
pub use slots::Slots;
pub use tree::Tree;
