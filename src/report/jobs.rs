//! The state of jobs and of the core connection, as snapshots for the web endpoint.

use serde::Serialize;

/// The state of all jobs at one moment; `/jobs` shows it as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatusSnapshot {
    /// The number of the current or last run, if there was any.
    pub run: Option<u64>,
    /// The jobs of that run.
    pub jobs: Vec<JobStatus>,
    /// The actions of the core beside collections that run or wait, in this order.
    pub actions: Vec<ActionStatus>,
    /// The workers that carry out operations.
    pub operations: Vec<OperationStatus>,
}

/// An action or a task of the core that runs or waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActionStatus {
    /// The action's name, such as `cleanup`.
    pub name: String,
    /// The ID of the core's workflow or task.
    pub task: String,
    /// Waiting, running or stopping.
    pub state: JobState,
    /// The start, in seconds since 1970.
    pub started: Option<u64>,
    /// The deadline, in seconds since 1970.
    pub deadline: u64,
}

/// A worker that carries out operations in one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationStatus {
    /// The worker's name in logs, such as `aws/123456789012/operations`.
    pub name: String,
    /// The collector's name.
    pub collector: String,
    /// The account's ID.
    pub unit: String,
    /// Running, waiting for operations, or stopping.
    pub state: JobState,
    /// The worker's PID, if the worker is a process.
    pub pid: Option<u32>,
    /// The start of the worker, in seconds since 1970.
    pub started: u64,
    /// The number of operations in progress.
    pub open: usize,
    /// The names of the actions that these operations belong to.
    pub actions: Vec<String>,
}

/// The state of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobStatus {
    /// The job's name in logs, such as `aws/123456789012`.
    pub name: String,
    /// The collector's name.
    pub collector: String,
    /// The unit's ID; `None` for a plan, and for all units of a collector.
    pub unit: Option<String>,
    /// The job's state.
    pub state: JobState,
    /// The worker's PID, if the worker is a process.
    pub pid: Option<u32>,
    /// The start of the current attempt, in seconds since 1970.
    pub started: Option<u64>,
    /// The deadline, in seconds since 1970.
    pub deadline: Option<u64>,
    /// The number of nodes so far.
    pub nodes: u64,
    /// The number of attempts.
    pub attempts: u32,
    /// The waits of a job without progress.
    pub waits_for: Option<String>,
    /// The reason of the last failure.
    pub reason: Option<String>,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// The job waits for a worker, for its next attempt, or for its turn.
    Waiting,
    /// A worker executes the job.
    Running,
    /// The job's worker is being terminated.
    Stopping,
    /// The job is complete.
    Complete,
    /// The job failed after all attempts.
    Failed,
    /// The collector was not named, and there are no credentials.
    Skipped,
}

impl JobState {
    /// All states with their names in metrics.
    pub const ALL: [(JobState, &'static str); 6] = [
        (JobState::Waiting, "waiting"),
        (JobState::Running, "running"),
        (JobState::Stopping, "stopping"),
        (JobState::Complete, "complete"),
        (JobState::Failed, "failed"),
        (JobState::Skipped, "skipped"),
    ];
}

impl StatusSnapshot {
    /// Returns the number of jobs in each state.
    pub fn jobs_by_state(&self) -> [(&'static str, usize); 6] {
        JobState::ALL.map(|(state, name)| (name, self.jobs.iter().filter(|job| job.state == state).count()))
    }
}

/// The state of the connection to the core.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CoreStatus {
    /// No core is configured.
    #[default]
    None,
    /// The core is connected, and the actions are subscribed to.
    Connected,
    /// The core is not connected, with the reason.
    Disconnected(String),
}
