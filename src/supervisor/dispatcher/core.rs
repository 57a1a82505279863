//! Actions and tasks of the core, and their answers.

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc;

use super::{Dispatcher, SHUTDOWN};
use crate::{
    ckcore::{Action, ActionKey, Answer, CoreEvent},
    supervisor::{actions::ActionScheduler, cleanup::FINAL_REPORT_TIMEOUT, event::Event, operations::OperationPool},
};

// A cleanup that was stopped tells the core what it did, and has to be answered in time for that.
const _: () =
    assert!(FINAL_REPORT_TIMEOUT.as_millis() + 500 < SHUTDOWN.as_millis(), "a shutdown must outlast the final report");

impl Dispatcher {
    /// Starts the scheduler of cleanups and tasks, if there is a core.
    pub(super) fn start_actions(&mut self, operations: OperationPool, answers: mpsc::Sender<(ActionKey, Answer)>) {
        let Some(core) = &self.core else { return };
        let policy = self.state.policy();
        self.scheduler = Some(ActionScheduler::start(
            Arc::clone(core),
            policy,
            &self.collectors,
            (operations, &self.context),
            answers,
        ));
    }

    pub(super) fn is_over(&mut self) -> bool {
        self.ended.over && self.scheduler.as_mut().is_none_or(ActionScheduler::is_over)
    }

    pub(super) fn stop(&mut self, event: Event) {
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.stop();
        }
        self.handle(event);
    }

    pub(super) fn cleaned(&mut self, key: ActionKey, answer: Answer) {
        self.metrics.action("cleanup", if answer == Answer::Done { "done" } else { "error" });
        self.answers.push((key, answer));
    }

    pub(super) fn core_event(&mut self, event: CoreEvent) {
        match event {
            CoreEvent::Connected => self.connected(None),
            CoreEvent::Disconnected { reason } => self.connected(Some(reason)),
            CoreEvent::Action(Action { key, name: "collect", .. }) => {
                tracing::info!(peer = "work", action = %key, "received collect action");
                let run = self.new_run();
                self.actions.insert(run, key);
                self.handle(Event::Collect(run));
            }
            CoreEvent::Action(Action { key, .. }) => {
                tracing::info!(peer = "work", action = %key, "received cleanup action");
                if let Some(scheduler) = &mut self.scheduler {
                    scheduler.start_cleanup(key);
                }
            }
            CoreEvent::Abort(key) => {
                let run = self.actions.iter().find(|(_, action)| **action == key).map(|(run, _)| *run);
                let ends = self.scheduler.as_mut().is_some_and(|scheduler| scheduler.cancel(&key));
                tracing::info!(peer = "work", action = %key, ends = ends || run.is_some(), "core aborted action");
                if let Some(run) = run {
                    self.handle(Event::Abort(run));
                }
            }
            CoreEvent::Task(task) => {
                if let Some(scheduler) = &mut self.scheduler {
                    scheduler.start_task(task);
                }
            }
        }
    }

    pub(super) fn connected(&mut self, lost: Option<String>) {
        if let Some(reason) = &lost {
            // The connection has warned about it already.
            tracing::debug!(peer = "core", %reason, "not connected to the core");
        }
        self.metrics.set_core_connected(lost.is_none());
        self.jobs.core(lost);
    }

    /// Hands over what effects left: how far the run is, and answers; the connection keeps them until the core has
    /// them.
    pub(super) fn answer_open(&mut self) {
        if let Some(core) = &self.core
            && let Some((run, progress)) = self.core_progress.take_update(Instant::now())
            && let Some(key) = self.actions.get(&run)
        {
            core.progress(key, &progress);
        }
        for (key, answer) in std::mem::take(&mut self.answers) {
            if let Some(core) = &self.core {
                core.answer(&key, answer);
            }
        }
    }
}
