//! What the connection tells the dispatcher.

use super::{
    actions::{Action, ActionKey},
    tasks::Task,
};

/// What the connection tells the dispatcher.
#[derive(Clone, Debug, PartialEq)]
pub enum CoreEvent {
    /// The action websocket is open.
    Connected,
    /// The action websocket could not be opened or was lost. Not said for the short pause after an answer.
    Disconnected {
        /// Why, for people.
        reason: String,
    },
    /// An action that was never delivered before.
    Action(Action),
    /// The core no longer wants an action that is in work. It is answered all the same.
    Abort(ActionKey),
    /// A task of the work queue that was never delivered before.
    Task(Task),
}
