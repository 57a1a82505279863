//! Results as plain data: the outcome of a run, its progress, and the state of its jobs.

mod jobs;
mod run;

pub use jobs::{ActionStatus, CoreStatus, JobState, JobStatus, OperationStatus, StatusSnapshot};
pub use run::{CollectorReport, Outcome, ProgressEvent, RunReport, UnitReport};
