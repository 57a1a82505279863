//! The owner of one worker process.

use std::{fmt, process::ExitStatus, time::Duration};

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{process::Child, time::timeout};

use super::reaper;

/// The time after which the owner stops waiting for a killed process.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// The reason why the supervisor stops a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The deadline of the collector has passed.
    Deadline,
    /// The supervisor is stopping.
    Shutdown,
    /// The worker sent an invalid or unexpected frame.
    Protocol,
    /// The worker sent no frame for too long.
    Silence,
    /// The worker ran, but its job made no progress.
    Stalled,
    /// The worker did not complete the handshake in time.
    Handshake,
    /// The worker sent more than the limits of a unit.
    Excess,
    /// The worker's lines could not be written to the temporary directory.
    Spool,
    /// The worker exceeded its memory limit and ended.
    Memory,
    /// The result is not needed: the rest of the collector failed, or the operations were cancelled.
    Abandoned,
    /// An operation did not end within its time.
    Overdue,
    /// The worker's session in the supervisor panicked.
    InternalError,
}

impl StopReason {
    /// Whether another worker may succeed with the same job.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Protocol | Self::Silence | Self::Stalled | Self::Handshake | Self::Overdue | Self::InternalError => {
                true
            }
            // There is no time left, the result is not needed, or the job exceeds the limits of any worker.
            Self::Deadline | Self::Shutdown | Self::Abandoned => false,
            Self::Excess | Self::Spool | Self::Memory => false,
        }
    }

    /// Returns the reason as a label of a metric.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Shutdown => "shutdown",
            Self::Protocol => "protocol",
            Self::Silence => "silence",
            Self::Stalled => "stalled",
            Self::Handshake => "handshake",
            Self::Excess => "excess",
            Self::Spool => "spool",
            Self::Memory => "memory",
            Self::Abandoned => "abandoned",
            Self::Overdue => "overdue",
            Self::InternalError => "internal_error",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "run timeout exceeded (--timeout)",
            Self::Shutdown => "ckworker is stopping",
            Self::Protocol => "worker violated the protocol",
            Self::Silence => "worker sent no frame in time",
            Self::Stalled => "worker made no progress",
            Self::Handshake => "worker was not ready in time",
            Self::Excess => "worker sent more than a unit may have",
            Self::Spool => "cannot store what the worker sent",
            Self::Memory => "worker exceeded its memory limit",
            Self::Abandoned => "worker was no longer needed",
            Self::Overdue => "worker exceeded the time limit of an operation",
            Self::InternalError => "internal error: worker session panicked; please report this bug",
        })
    }
}

/// The end of a worker process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// The process exited with this code.
    Code(i32),
    /// The process was killed by this signal.
    Signal(i32),
    /// The process could not be reaped in time; the kernel reaps it later.
    Lost,
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "signal {signal}"),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::Lost => write!(f, "a process that could not be reaped"),
        }
    }
}

impl From<ExitStatus> for ExitReason {
    fn from(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Lost,
        }
    }
}

/// The process of a worker or of a helper. Dropping it kills its group; [`stop`](Self::stop) and [`wait`](Self::wait) also
/// reap the process.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    group: Pid,
    ended: bool,
}

impl WorkerProcess {
    pub(super) fn new(child: Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
        Self { child, group: Pid::from_raw(pid), ended: pid == 0 }
    }

    /// Returns the process ID, which is also the ID of the group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        u32::try_from(self.group.as_raw()).unwrap_or_default()
    }

    /// Waits for the process to exit, then kills the rest of its group.
    pub async fn wait(&mut self) -> ExitReason {
        let status = self.child.wait().await;
        self.after_exit();
        status.map_or(ExitReason::Lost, ExitReason::from)
    }

    /// Sends TERM to the group, waits for `grace`, sends KILL to the group, and reaps the process.
    pub async fn stop(&mut self, grace: Duration) -> ExitReason {
        if self.ended {
            return self.wait().await;
        }
        if !grace.is_zero() {
            self.signal(Signal::SIGTERM);
            // A stopped process handles TERM only after it continues.
            self.signal(Signal::SIGCONT);
            if let Ok(status) = timeout(grace, self.child.wait()).await {
                self.after_exit();
                return status.map_or(ExitReason::Lost, ExitReason::from);
            }
        }
        self.signal(Signal::SIGKILL);
        let status = timeout(KILL_TIMEOUT, self.child.wait()).await;
        self.after_exit();
        match status {
            Ok(Ok(status)) => status.into(),
            Ok(Err(_)) | Err(_) => ExitReason::Lost,
        }
    }

    fn after_exit(&mut self) {
        if !self.ended {
            // Grandchildren may outlive the leader in its group.
            self.signal(Signal::SIGKILL);
            self.ended = true;
            reaper::forget(self.group);
        }
    }

    fn signal(&self, signal: Signal) {
        match killpg(self.group, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::warn!(pid = self.pid(), %error, "cannot send {signal} to a worker or a helper"),
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        if !self.ended {
            self.signal(Signal::SIGKILL);
            reaper::forget(self.group);
        }
    }
}
