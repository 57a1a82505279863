//! What the endpoint shows of the rest of the program: snapshots, published by whoever knows.

use serde::Serialize;

/// The state of all jobs at one moment; `/jobs` shows it as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatusSnapshot {
    /// The number of the run that is under way or was the last one, if there was any.
    pub run: Option<u64>,
    /// The jobs of that run.
    pub jobs: Vec<JobStatus>,
}

/// The state of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JobStatus {
    /// Its name in logs, such as `aws/123456789012`.
    pub name: String,
    /// Its collector.
    pub collector: String,
    /// Its unit's id; `None` if it does more or less than one unit.
    pub unit: Option<String>,
    /// Where it is.
    pub state: JobState,
    /// Its process, if it has one of its own.
    pub pid: Option<u32>,
    /// When it began, in seconds since 1970.
    pub started: Option<u64>,
    /// When it must have ended, in seconds since 1970.
    pub deadline: Option<u64>,
    /// Nodes found so far.
    pub nodes: u64,
    /// How often it was begun.
    pub attempts: u32,
    /// What it waits for, if it makes no progress.
    pub waits_for: Option<String>,
    /// Why it was ended or tried again, at last.
    pub reason: Option<String>,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// For its turn, or for its next attempt.
    Waiting,
    /// A worker does it.
    Running,
    /// Its worker was told to end.
    Stopping,
    /// It is done.
    Complete,
    /// It is given up.
    Failed,
}

impl JobState {
    /// All states with their names in metrics.
    pub const ALL: [(JobState, &'static str); 5] = [
        (JobState::Waiting, "waiting"),
        (JobState::Running, "running"),
        (JobState::Stopping, "stopping"),
        (JobState::Complete, "complete"),
        (JobState::Failed, "failed"),
    ];
}

impl StatusSnapshot {
    /// How many jobs are in each state.
    pub fn jobs_by_state(&self) -> [(&'static str, usize); 5] {
        JobState::ALL.map(|(state, name)| (name, self.jobs.iter().filter(|job| job.state == state).count()))
    }
}

/// Whether ckcore can give work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CoreStatus {
    /// There is none by configuration.
    #[default]
    None,
    /// It is connected, and the actions are subscribed to.
    Connected,
    /// It is not, and why.
    Disconnected(String),
}
