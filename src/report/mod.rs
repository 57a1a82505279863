//! Results as plain data: the outcome of a run, its progress, and the state of its jobs.

mod jobs;
mod run;

pub use jobs::{CoreStatus, JobState, JobStatus, StatusSnapshot};
pub use run::{CollectorReport, Outcome, ProgressEvent, RunReport, UnitReport};
