//! Actions and tasks of the core, and their answers.

use std::time::Instant;

use tokio::sync::mpsc;

use super::{Dispatcher, SHUTDOWN};
use crate::{
    ckcore::{Action, ActionKey, CoreEvent},
    supervisor::{
        COLLECT,
        actions::{ActionEnd, ActionRunner, EnabledAction, FINAL_REPORT_TIMEOUT, Request},
        event::Event,
        operations::OperationPool,
    },
};

// An action that was stopped tells the core what it did, and has to be answered in time for that.
const _: () =
    assert!(FINAL_REPORT_TIMEOUT.as_millis() + 500 < SHUTDOWN.as_millis(), "a shutdown must outlast the final report");

impl Dispatcher {
    /// Starts the runner of actions, if there is a core.
    pub(super) fn start_actions(
        &mut self,
        actions: Vec<EnabledAction>,
        operations: OperationPool,
        ended: mpsc::Sender<ActionEnd>,
    ) {
        let Some(core) = self.core.clone() else { return };
        let actions = (actions, self.state.policy());
        let runner = ActionRunner::start(core, actions, &self.collectors, (operations, &self.context), ended);
        self.actions = Some(runner);
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended.over && self.actions.as_ref().is_none_or(ActionRunner::is_idle)
    }

    pub(super) fn stop(&mut self, event: Event) {
        if let Some(actions) = &mut self.actions {
            actions.stop();
            self.status_due = true;
        }
        self.handle(event);
    }

    pub(super) fn action_ended(&mut self, end: ActionEnd) {
        if let Some(actions) = &mut self.actions {
            actions.ended(end);
            self.status_due = true;
        }
    }

    pub(super) fn core_event(&mut self, event: CoreEvent) {
        match event {
            CoreEvent::Connected => self.connected(None),
            CoreEvent::Disconnected { reason } => self.connected(Some(reason)),
            CoreEvent::Action(action) => {
                let ActionKey { subscriber, .. } = &action.key;
                tracing::info!(peer = "work", %subscriber, action = %action.key, "received {} action", action.name);
                let Action { key, name, .. } = &action;
                if (key.subscriber, *name) == (COLLECT.subscriber, COLLECT.action) {
                    self.collect(Some(action.key));
                } else {
                    self.request(Request::Action(action));
                }
            }
            CoreEvent::Abort(key) => {
                let run = self.runs.iter().find(|(_, run)| run.action.as_ref() == Some(&key)).map(|(run, _)| *run);
                self.status_due = true;
                let ends = self.actions.as_mut().is_some_and(|actions| actions.cancel(&key));
                tracing::info!(peer = "work", subscriber = %key.subscriber, action = %key, ends = ends || run.is_some(), "core aborted action");
                if let Some(run) = run {
                    self.handle(Event::Abort(run));
                }
            }
            CoreEvent::Task(task) => self.request(Request::Task(task)),
        }
    }

    fn request(&mut self, request: Request) {
        if let Some(actions) = &mut self.actions {
            actions.request(request);
            self.status_due = true;
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

    /// Shows operations and actions on `/jobs`, if something of them may have changed.
    pub(super) fn show_operations(&mut self) {
        if std::mem::take(&mut self.status_due) {
            let actions = self.actions.iter().flat_map(ActionRunner::views);
            self.jobs.show_operations(self.state.operation_workers(), actions);
        }
    }

    /// Tells the core how far the run is.
    pub(super) fn report_progress(&mut self) {
        if let Some(core) = &self.core
            && let Some((run, progress)) = self.core_progress.take_update(Instant::now())
            && let Some(key) = self.runs.get(&run).and_then(|run| run.action.as_ref())
        {
            core.progress(key, &progress);
        }
    }
}
