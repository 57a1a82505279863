//! Events from the core connection to the dispatcher.

use super::{
    actions::{Action, ActionKey},
    tasks::Task,
};

/// An event of the connection to the core.
#[derive(Clone, Debug, PartialEq)]
pub enum CoreEvent {
    /// The action websocket is open.
    Connected,
    /// The action websocket could not be opened or was lost. Not sent for the short pause after a result.
    Disconnected {
        /// The reason.
        reason: String,
    },
    /// A new action.
    Action(Action),
    /// The core aborts an action in progress. The action still gets its result.
    Abort(ActionKey),
    /// A new task of the work queue.
    Task(Task),
}
