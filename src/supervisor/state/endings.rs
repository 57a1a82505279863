//! Ends that come from outside: of the supervisor, and of a single run.

use std::time::Duration;

use super::{Conclusion, Effect, RunId, State, StopReason};

impl State {
    pub(super) fn stop(&mut self, grace: Duration, effects: &mut Vec<Effect>) {
        self.stopping = true;
        for (id, job) in &mut self.jobs {
            job.stopped = Some(StopReason::Shutdown);
            effects.push(Effect::Stop(*id, StopReason::Shutdown, grace));
        }
        for run in self.runs.drain(..) {
            if run.delivering {
                effects.push(Effect::CancelDelivery(run.id));
            }
            effects.push(Effect::Conclude(run.id, Conclusion::Refused("ckworker was stopped".into())));
        }
    }

    /// Gives up a run; its workers get the usual grace.
    pub(super) fn abort(&mut self, id: RunId, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.iter().position(|run| run.id == id).and_then(|at| self.runs.remove(at)) else {
            return;
        };
        for (job, assignment) in self.jobs.iter_mut().filter(|(_, job)| job.run == id && job.stopped.is_none()) {
            assignment.stopped = Some(StopReason::Abandoned);
            effects.push(Effect::Stop(*job, StopReason::Abandoned, self.policy.grace));
        }
        if run.delivering {
            effects.push(Effect::CancelDelivery(id));
        }
        effects.push(Effect::Conclude(id, Conclusion::Refused("the core called the collection off".into())));
    }
}
