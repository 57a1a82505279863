//! The status of the run that is under way: a table of jobs for `/jobs`, and its progress for the core.

mod core_progress;
mod jobs;
mod operations;

pub use jobs::StatusSenders;
pub(super) use {core_progress::CoreProgress, jobs::JobTable};
