//! External termination: shutdown, cancellation of a run or an attempt, and the timeouts of collection and delivery.

use std::time::{Duration, Instant};

use super::{AttemptId, Attempts, DeliveryError, Effect, Phase, Run, RunId, RunOutcome, State, StopReason, Trouble};

impl State {
    pub(super) fn stop(&mut self, grace: Duration, now: Instant, effects: &mut Vec<Effect>) {
        self.stopping = true;
        self.operations.stop(grace, now, effects);
        let stopped = self.attempts.stop_all(StopReason::Shutdown);
        effects.extend(stopped.map(|id| Effect::Stop(id, StopReason::Shutdown, grace)));
        for run in self.runs.drain(..) {
            if run.delivering {
                effects.push(Effect::CancelDelivery(run.id));
            }
            effects.push(Effect::FinishRun(run.id, RunOutcome::Refused("ckworker was stopped".into())));
        }
    }

    /// Stops a worker whose result cannot be used.
    pub(super) fn stop_attempt(
        &mut self,
        id: AttemptId,
        reason: StopReason,
        grace: Duration,
        effects: &mut Vec<Effect>,
    ) {
        if self.attempts.stop(id, reason) {
            effects.push(Effect::Stop(id, reason, grace));
        }
    }

    /// Cancels a delivery that did not end at its own deadline, such as one that hangs.
    pub(super) fn give_up_delivery(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let late = |run: &mut Run| run.delivering && run.limits.is_some_and(|limits| now >= limits.end);
        let Some(run) = self.runs.pop_front_if(late) else { return };
        effects.push(Effect::CancelDelivery(run.id));
        let message = "run timeout exceeded before the graph was delivered (--timeout)".to_owned();
        let error = DeliveryError { message, nothing: false };
        effects.push(Effect::FinishRun(run.id, RunOutcome::Ended(run.report(now), Err(error))));
    }

    /// Aborts a run; its workers get the usual grace period.
    pub(super) fn abort(&mut self, id: RunId, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.iter().position(|run| run.id == id).and_then(|at| self.runs.remove(at)) else {
            return;
        };
        let stopped = self.attempts.stop_run(id, StopReason::Abandoned).into_iter();
        effects.extend(stopped.map(|id| Effect::Stop(id, StopReason::Abandoned, self.policy.grace)));
        if run.delivering {
            effects.push(Effect::CancelDelivery(id));
        }
        effects.push(Effect::FinishRun(id, RunOutcome::Refused("the core aborted the collection".into())));
    }
}

/// Stops the workers of a run whose hard deadline has passed, and fails what has not begun.
pub(super) fn overdue(
    run: &mut Run,
    attempts: &mut Attempts,
    grace: Duration,
    now: Instant,
    effects: &mut Vec<Effect>,
) {
    // No worker is started any more, so that there are none to stop after the first time.
    if !run.overdue {
        run.overdue = true;
        let stopped = attempts.stop_run(run.id, StopReason::Deadline).into_iter();
        effects.extend(stopped.map(|id| Effect::Stop(id, StopReason::Deadline, grace)));
    }
    let late = Trouble::late();
    for collector in &mut run.collectors {
        if matches!(collector.phase, Phase::Queued(_)) {
            collector.failure = Some(late.reason.clone());
            collector.finish(now);
        }
        collector.units.fail_queued(&late, now);
    }
}
