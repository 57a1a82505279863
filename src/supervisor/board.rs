//! The state of every job as `/jobs` shows it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

use super::event::{JobEvent, JobId, JobOrder, Outcome, Shown, Work};
use crate::web::{CoreStatus, JobState, JobStatus, StatusSnapshot};

/// Where the board is published.
pub struct Notices {
    /// The jobs.
    pub status: watch::Sender<StatusSnapshot>,
    /// The core.
    pub core: watch::Sender<CoreStatus>,
}

/// All jobs of the run that is under way or was the last one.
pub(super) struct Board {
    notices: Notices,
    run: Option<u64>,
    jobs: BTreeMap<String, JobStatus>,
    names: BTreeMap<JobId, String>,
}

impl Board {
    pub(super) fn new(notices: Notices) -> Self {
        Self { notices, run: None, jobs: BTreeMap::new(), names: BTreeMap::new() }
    }

    pub(super) fn core(&self, lost: Option<String>) {
        let status = lost.map_or(CoreStatus::Connected, CoreStatus::Disconnected);
        self.notices.core.send_replace(status);
    }

    /// A worker is being started; a later attempt takes the place of an earlier one.
    pub(super) fn job_started(&mut self, order: &JobOrder, name: String) {
        if self.run != Some(order.run.0) {
            self.run = Some(order.run.0);
            self.jobs.clear();
        }
        let job = self.jobs.entry(name.clone()).or_insert_with(|| JobStatus {
            name: name.clone(),
            collector: order.collector.to_owned(),
            unit: match &order.work {
                Work::Unit(_, unit) | Work::Operate(unit) => Some(unit.id.clone()),
                Work::Plan | Work::Whole(_) => None,
            },
            state: JobState::Running,
            pid: None,
            started: None,
            deadline: None,
            nodes: 0,
            attempts: 0,
            reason: None,
        });
        job.state = JobState::Running;
        job.started = Some(epoch(Duration::ZERO));
        job.deadline = Some(epoch(order.soft_deadline.saturating_duration_since(Instant::now())));
        job.attempts += 1;
        self.names.insert(order.id, name);
        self.publish();
    }

    pub(super) fn job_event(&mut self, id: JobId, event: &JobEvent) {
        let Some(job) = self.names.get(&id).and_then(|name| self.jobs.get_mut(name)) else { return };
        match event {
            JobEvent::Started(pid) => job.pid = *pid,
            JobEvent::Progress(progress) => job.nodes = progress.nodes,
            JobEvent::UnitComplete(_, stats) => job.nodes = stats.nodes_by_kind.values().sum(),
            JobEvent::UnitFailed(_, failure) => job.reason = Some(failure.message.clone()),
            JobEvent::Ended(outcome) => {
                job.pid = None;
                job.state = if *outcome == Outcome::Finished && job.reason.is_none() {
                    JobState::Complete
                } else {
                    JobState::Failed
                };
                if let Some(reason) = reason(outcome) {
                    job.reason = Some(reason);
                }
                self.names.remove(&id);
            }
            JobEvent::Planned(_) | JobEvent::UnitStarted(_) | JobEvent::Gap(..) | JobEvent::Operated(..) => return,
        }
        self.publish();
    }

    pub(super) fn job_stopping(&mut self, id: JobId) {
        if let Some(job) = self.names.get(&id).and_then(|name| self.jobs.get_mut(name)) {
            job.state = JobState::Stopping;
            self.publish();
        }
    }

    /// What is to be tried again waits.
    pub(super) fn shown(&mut self, shown: &Shown) {
        if let Shown::Retry { collector, what, reason } = shown
            && let Some(job) =
                self.jobs.values_mut().find(|job| job.collector == *collector && job.unit.as_ref() == Some(what))
        {
            job.state = JobState::Waiting;
            job.reason = Some(reason.clone());
            self.publish();
        }
    }

    fn publish(&self) {
        let jobs = self.jobs.values().cloned().collect();
        self.notices.status.send_replace(StatusSnapshot { run: self.run, jobs });
    }
}

fn reason(outcome: &Outcome) -> Option<String> {
    Some(match outcome {
        Outcome::Finished => return None,
        Outcome::Failed(failure) => failure.message.clone(),
        Outcome::Stopped(reason, detail) if detail.is_empty() => reason.to_string(),
        Outcome::Stopped(reason, detail) => format!("{reason}: {detail}"),
        Outcome::Crashed(exit) => format!("ended by {exit}"),
        Outcome::NotStarted(reason) | Outcome::Version(reason) => reason.clone(),
    })
}

/// Seconds since 1970, so much later than now.
fn epoch(later: Duration) -> u64 {
    (SystemTime::now() + later).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
