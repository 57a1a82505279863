//! What the dispatcher holds of runs and attempts: one handle each. Dropping it is the cleaning.

use std::sync::Arc;

use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    ckcore::ActionKey,
    delivery::Delivered,
    supervisor::{
        abort_on_drop::AbortOnDrop,
        event::{AttemptSpec, RunId},
        worker_session::{Command, SessionContext},
    },
};

/// What the sessions of a run leave in shared tables. The last owner removes it: the run, or a worker that outlives it.
pub(super) struct RunData {
    run: RunId,
    context: Arc<SessionContext>,
}

impl Drop for RunData {
    fn drop(&mut self) {
        self.context.completed_units.take_run(self.run);
        self.context.shared_values.remove_run(self.run);
    }
}

/// One attempt and the session with its worker, which ends with it.
pub(super) struct AttemptHandle {
    pub(super) spec: AttemptSpec,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) session: AbortOnDrop,
    /// Held until the worker has ended.
    pub(super) _run: Option<Arc<RunData>>,
}

/// One run. Its tasks end with it.
pub(super) struct RunHandle {
    pub(super) data: Arc<RunData>,
    /// The action that the run is the result of.
    pub(super) action: Option<ActionKey>,
    /// What names at the start of the run what it will lose.
    pub(super) announcements: JoinSet<()>,
    /// The delivery in progress.
    pub(super) delivery: Option<AbortOnDrop>,
    /// What was delivered.
    pub(super) delivered: Option<Delivered>,
}

impl RunHandle {
    pub(super) fn new(run: RunId, action: Option<ActionKey>, context: &Arc<SessionContext>) -> Self {
        let data = Arc::new(RunData { run, context: Arc::clone(context) });
        Self { data, action, announcements: JoinSet::new(), delivery: None, delivered: None }
    }
}
