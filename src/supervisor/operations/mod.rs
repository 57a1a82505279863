//! Operations: changes of resources, carried out by workers that live as long as they have work.
//!
//! `state` decides, as a part of the supervisor's state; `assignment` chooses the worker of an operation, and `room` those
//! that leave. This file is the way to them: a handle for callers, and the dispatcher's list of callers that wait. Every request gets exactly one
//! outcome: from its worker, or because the worker ended, its deadline passed, or the supervisor stops.

mod assignment;
mod room;
mod state;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use worker_proto::{Outcome, Unit, Verb};

use self::state::stopping;
pub use self::state::{Pending, WorkerLifetimes};
pub(super) use self::{state::Operations, worker::OperationWorker};
use super::event::{OperationEvent, OperationId};

/// Requests that may wait for the dispatcher.
const QUEUE: usize = 1024;

/// How urgent an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody waits for the outcome, for seconds.
    Urgent,
    /// The operation may take long.
    Background,
}

/// On whose behalf an operation is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The name of the action.
    pub action: &'static str,
    /// The priority of its operations.
    pub priority: Priority,
}

/// An operation on a resource, and its time limits.
#[derive(Clone, Debug)]
pub struct Request {
    /// The collector.
    pub collector: &'static str,
    /// The account.
    pub unit: Unit,
    /// The operation.
    pub verb: Verb,
    /// The resource, as JSON of a target.
    pub target: String,
    /// The time limit of the worker; the wait for a worker does not count.
    pub limit: Duration,
    /// When the operation must have ended, the wait included.
    pub deadline: Instant,
}

/// A message of a caller.
#[derive(Debug)]
pub(super) enum Message {
    /// Carry out a request and send its outcome.
    Submit(Pending, oneshot::Sender<Outcome>),
    /// Do not begin a request any more.
    Cancel(OperationId),
}

/// A handle to submit operations. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct OperationPool {
    messages: mpsc::Sender<Message>,
    next: Arc<AtomicU64>,
}

impl OperationPool {
    /// Carries out an operation. Once `cancelled` returns, an operation that no worker has begun is not begun; the
    /// outcome of one that was begun is awaited. Dropping the future abandons the operation.
    pub async fn operate(&self, client: Client, request: Request, cancelled: impl Future<Output = ()>) -> Outcome {
        let id = OperationId(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, mut answered) = oneshot::channel();
        if self.messages.send(Message::Submit(Pending::new(id, client, request), answer)).await.is_err() {
            return stopping();
        }
        let _guard = ReplyGuard { messages: &self.messages, id };
        let outcome = tokio::select! {
            outcome = &mut answered => outcome,
            () = cancelled => {
                // A dispatcher that has exited has dropped the reply channel too.
                let _ = self.messages.send(Message::Cancel(id)).await;
                answered.await
            }
        };
        outcome.unwrap_or_else(|_| stopping())
    }
}

/// Cancels its request when it is dropped.
struct ReplyGuard<'o> {
    messages: &'o mpsc::Sender<Message>,
    id: OperationId,
}

impl Drop for ReplyGuard<'_> {
    fn drop(&mut self) {
        // With a full queue, the dispatcher finds the closed reply channel by itself.
        let _ = self.messages.try_send(Message::Cancel(self.id));
    }
}

/// The callers that wait for outcomes.
#[derive(Debug, Default)]
pub(super) struct Callers {
    replies: HashMap<OperationId, oneshot::Sender<Outcome>>,
}

impl Callers {
    /// Returns the way of callers to the dispatcher: a handle, and the messages.
    pub(super) fn channel() -> (OperationPool, mpsc::Receiver<Message>) {
        let (messages, received) = mpsc::channel(QUEUE);
        (OperationPool { messages, next: Arc::default() }, received)
    }

    /// Records the caller of a message, and returns its event.
    pub(super) fn receive(&mut self, message: Message) -> OperationEvent {
        match message {
            Message::Submit(pending, answer) if answer.is_closed() => OperationEvent::Cancelled(pending.id()),
            Message::Submit(pending, answer) => {
                self.replies.insert(pending.id(), answer);
                OperationEvent::Requested(pending)
            }
            Message::Cancel(id) => OperationEvent::Cancelled(id),
        }
    }

    /// Sends an outcome to its caller.
    pub(super) fn reply(&mut self, id: OperationId, outcome: Outcome) {
        if let Some(answer) = self.replies.remove(&id) {
            // The caller has dropped its receiver; the send error can be ignored.
            let _ = answer.send(outcome);
        }
    }

    /// Forgets the callers that have gone, and returns their requests.
    pub(super) fn take_abandoned(&mut self) -> Vec<OperationId> {
        self.replies.extract_if(|_, answer| answer.is_closed()).map(|(id, _)| id).collect()
    }
}
