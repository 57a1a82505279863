//! Queue of events for the dispatcher.
//!
//! The connection adds events without waiting; a task forwards them to the dispatcher. The size is bounded: the ledgers
//! bound actions and tasks, and of the connection's states only the newest is kept.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, mpsc};

use super::CoreEvent;

/// The queue of events. Clones share it.
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

    pub(super) fn pop(&self) -> Option<CoreEvent> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Forwards the events until the receiver is dropped.
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

/// Whether an event is a state of the connection.
fn is_state(event: &CoreEvent) -> bool {
    matches!(event, CoreEvent::Connected | CoreEvent::Disconnected { .. })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn outbox_keeps_only_newest_state() {
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
