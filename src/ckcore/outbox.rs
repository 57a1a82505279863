//! Events on their way to the dispatcher.
//!
//! The connection puts events here and never waits; a task of its own gives them to the dispatcher, however slow that is.
//! The size is bounded: the ledgers bound actions and tasks, and of the states of the connection only the newest is kept.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, mpsc};

use super::CoreEvent;

/// Where the connection puts its events. Clones share the queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    queue: Arc<Mutex<VecDeque<CoreEvent>>>,
    wake: Arc<Notify>,
}

impl Outbox {
    pub(super) fn push(&self, event: CoreEvent) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if is_state(&event) {
            queue.retain(|old| !is_state(old));
        }
        queue.push_back(event);
        self.wake.notify_one();
    }

    fn pop(&self) -> Option<CoreEvent> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Gives the events to `events` until nobody receives them.
    pub(super) async fn forward(self, events: mpsc::Sender<CoreEvent>) {
        loop {
            while let Some(event) = self.pop() {
                if events.send(event).await.is_err() {
                    return;
                }
            }
            self.wake.notified().await;
        }
    }
}

/// Whether an event says how the connection is.
fn is_state(event: &CoreEvent) -> bool {
    matches!(event, CoreEvent::Connected | CoreEvent::Disconnected { .. })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn only_the_newest_state_waits() {
        let outbox = Outbox::default();
        for reason in ["1", "2"] {
            outbox.push(CoreEvent::Disconnected { reason: reason.into() });
        }
        outbox.push(CoreEvent::Connected);
        let (sender, mut events) = mpsc::channel(8);
        let task = tokio::spawn(outbox.forward(sender));
        assert_eq!(events.recv().await.unwrap(), CoreEvent::Connected);
        assert!(events.try_recv().is_err());
        task.abort();
    }
}
