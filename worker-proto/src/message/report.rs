//! Reports on the work: progress, events, gaps and failures.

use serde::{Deserialize, Serialize};

/// The progress of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Index of the unit in the plan.
    pub unit: u32,
    /// The number of complete parts (regions).
    pub parts_done: u32,
    /// The number of all parts (regions); 0 if unknown.
    pub parts: u32,
    /// The number of nodes found so far.
    pub nodes: u64,
}

/// Whether a job makes progress, and otherwise the waits of its units.
///
/// A step is the end of a wait or a frame that was queued.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Time since the last step of any unit, in milliseconds.
    pub quiet_ms: u64,
    /// Time since the session's loop last ran, in milliseconds. The loop runs every few seconds unless it hangs.
    pub loop_ms: u64,
    /// Whether the queue of frames is full.
    pub queue_full: bool,
    /// Units in progress without a step for some seconds, at most [`MAX_QUIET_UNITS`](crate::MAX_QUIET_UNITS).
    pub quiet: Vec<QuietUnit>,
}

/// A unit that makes no progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietUnit {
    /// Index of the unit in the plan; `u32::MAX` stands for the collector itself.
    pub unit: u32,
    /// Time since the unit's last step, in milliseconds.
    pub quiet_ms: u64,
    /// The number of the unit's open waits.
    pub open: u32,
    /// The unit's oldest open waits, at most [`MAX_WAITS`](crate::MAX_WAITS).
    pub waits: Vec<Wait>,
}

/// A wait of a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The party that has to end the wait.
    pub on: WaitOn,
    /// A description, such as `ec2 DescribeVolumes in us-east-1`.
    pub what: String,
    /// Time since the wait began, in milliseconds.
    pub for_ms: u64,
}

/// The party that has to end a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitOn {
    /// The cloud: a call, with its retries and its place in the queue of the limiter.
    Call,
    /// The supervisor: the response to a request for credentials or a shared value.
    Answer,
    /// The supervisor: room in the queue of frames.
    Room,
}

/// A log line or a measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A log line.
    Log {
        /// The level.
        level: Level,
        /// The module that wrote it.
        target: String,
        /// The message.
        message: String,
    },
    /// A counter was incremented.
    Count {
        /// The metric's name, without prefix and suffix.
        name: String,
        /// Label names and values.
        labels: Vec<(String, String)>,
        /// The increment.
        by: u64,
    },
    /// A duration was measured.
    Duration {
        /// The metric's name, without prefix and suffix.
        name: String,
        /// The duration in seconds.
        seconds: f64,
    },
}

/// The level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Data was lost.
    Error,
    /// The work continues with less.
    Warn,
    /// Information for users.
    Info,
    /// Information for developers.
    Debug,
    /// Any detail.
    Trace,
}

/// A part of a unit that could not be collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The account's ID.
    pub account: String,
    /// The region, or empty.
    pub region: String,
    /// The service, such as `ec2`.
    pub service: String,
    /// The API call, such as `DescribeVolumes`, or empty.
    pub operation: String,
    /// The error code, such as `UnauthorizedOperation`.
    pub code: String,
    /// The error's message, without secrets.
    pub message: String,
}

/// The failure of a job or a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class, which decides about a retry.
    pub kind: FailureKind,
    /// The message: what failed, where, and the remedy.
    pub message: String,
}

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The settings are invalid. Not retried.
    Configuration,
    /// Credentials are unusable, were rejected, or are missing although their source is configured. Not retried.
    Credentials,
    /// The cloud did not respond, throttled for too long, or sent an unexpected response. Retried.
    Unavailable,
    /// The soft deadline passed, or the supervisor cancelled. Not retried.
    Cancelled,
    /// A bug in the worker. Retried.
    Internal,
    /// The unit made no progress, and nothing outside the worker would have ended its wait. Retried.
    Stalled,
    /// There are no credentials at all: no source of them is configured. Not retried. A plan that fails so skips a
    /// collector that nobody named.
    NoCredentials,
}

impl FailureKind {
    /// Returns the name of this kind in metrics and tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Credentials | Self::NoCredentials => "credentials",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "deadline",
            Self::Internal => "internal",
            Self::Stalled => "stalled",
        }
    }

    /// Returns whether another attempt may succeed.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Unavailable | Self::Internal | Self::Stalled => true,
            Self::Configuration | Self::Credentials | Self::NoCredentials | Self::Cancelled => false,
        }
    }
}
