//! The callers of operations: their handle, and the dispatcher's list of those that wait for outcomes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::{mpsc, oneshot};
use worker_proto::Outcome;

use super::{
    Client, Request,
    state::{Pending, stopping},
};
use crate::supervisor::event::{OperationEvent, OperationId};

/// Requests that may wait for the dispatcher.
const QUEUE: usize = 1024;

/// A message of a caller.
#[derive(Debug)]
pub(in crate::supervisor) enum Message {
    /// Carry out a request and send its outcome.
    Submit(Pending, oneshot::Sender<Outcome>),
    /// Do not begin a request any more. If its reply channel is closed, nobody waits for the outcome.
    Cancel(OperationId),
}

/// A handle to submit operations. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct OperationPool {
    messages: mpsc::Sender<Message>,
    next: Arc<AtomicU64>,
    /// Set if the queue was full when a caller went away.
    has_unreported: Arc<AtomicBool>,
}

impl OperationPool {
    /// Carries out an operation. Once `cancelled` returns, an operation that no worker has begun is not begun; the
    /// outcome of one that was begun is awaited. Dropping the future abandons the operation.
    pub async fn operate(&self, client: Client, request: Request, cancelled: impl Future<Output = ()>) -> Outcome {
        let id = OperationId(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        if self.messages.send(Message::Submit(Pending::new(id, client, request), answer)).await.is_err() {
            return stopping();
        }
        let mut call = Call { pool: self, id, answered, is_answered: false };
        let outcome = tokio::select! {
            outcome = &mut call.answered => outcome,
            () = cancelled => {
                // A dispatcher that has exited has dropped the reply channel too.
                let _ = self.messages.send(Message::Cancel(id)).await;
                (&mut call.answered).await
            }
        };
        call.is_answered = true;
        outcome.unwrap_or_else(|_| stopping())
    }
}

/// The wait for an outcome. Abandons the operation if it is dropped before.
struct Call<'o> {
    pool: &'o OperationPool,
    id: OperationId,
    answered: oneshot::Receiver<Outcome>,
    is_answered: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        self.answered.close();
        if self.pool.messages.try_send(Message::Cancel(self.id)).is_err() {
            // The dispatcher finds the closed reply channel with one of the messages that fill the queue.
            self.pool.has_unreported.store(true, Ordering::Release);
        }
    }
}

/// The callers that wait for outcomes.
#[derive(Debug)]
pub(in crate::supervisor) struct Callers {
    replies: HashMap<OperationId, oneshot::Sender<Outcome>>,
    has_unreported: Arc<AtomicBool>,
}

impl Callers {
    /// Returns the list of callers, their handle, and their messages.
    pub(in crate::supervisor) fn channel() -> (Self, OperationPool, mpsc::Receiver<Message>) {
        let (messages, received) = mpsc::channel(QUEUE);
        let pool = OperationPool { messages, next: Arc::default(), has_unreported: Arc::default() };
        let callers = Self { replies: HashMap::new(), has_unreported: Arc::clone(&pool.has_unreported) };
        (callers, pool, received)
    }

    /// Records the caller of a message, and returns its events: abandoned operations first, before others are begun.
    pub(in crate::supervisor) fn receive(&mut self, message: Message) -> Vec<OperationEvent> {
        let mut events = Vec::new();
        if self.has_unreported.swap(false, Ordering::Acquire) {
            let gone = self.replies.extract_if(|_, answer| answer.is_closed());
            events.extend(gone.map(|(id, _)| OperationEvent::Abandoned(id)));
        }
        match message {
            // A request whose caller has gone does not begin.
            Message::Submit(_, answer) if answer.is_closed() => {}
            Message::Submit(pending, answer) => {
                self.replies.insert(pending.id(), answer);
                events.push(OperationEvent::Requested(pending));
            }
            Message::Cancel(id) => {
                if let Some(answer) = self.replies.get(&id) {
                    if answer.is_closed() {
                        self.replies.remove(&id);
                        events.push(OperationEvent::Abandoned(id));
                    } else {
                        events.push(OperationEvent::Cancelled(id));
                    }
                }
            }
        }
        events
    }

    /// Sends an outcome to its caller.
    pub(in crate::supervisor) fn reply(&mut self, id: OperationId, outcome: Outcome) {
        if let Some(answer) = self.replies.remove(&id) {
            // The caller has dropped its receiver; the send error can be ignored.
            let _ = answer.send(outcome);
        }
    }
}

#[cfg(test)]
#[path = "callers_tests.rs"]
mod tests;
