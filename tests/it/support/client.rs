//! A client of the test core: the connection of the crate, and what it reported.

use std::time::Duration;

use ckworker::ckcore::{
    Action, Answer, Core, CoreConfig, CoreEvent, SubscriberId, Subscription, Task, Timing, connect,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::core::{HANG_GUARD, TestCore};

/// What a daemon subscribes to.
pub const SUBSCRIPTIONS: [Subscription; 2] = [
    Subscription { subscriber: SubscriberId::Worker, action: "collect" },
    Subscription { subscriber: SubscriberId::Worker, action: "cleanup" },
];

/// A client of the test core, and what it said.
pub struct Client {
    /// The connection.
    pub core: Core,
    /// What it reported and nobody has looked at.
    pub events: mpsc::Receiver<CoreEvent>,
}

impl Client {
    /// A client of this core.
    pub fn new(server: &TestCore) -> Self {
        Self::with(config(server), 16)
    }

    /// A client whose queue of events has so much room.
    pub fn with(config: CoreConfig, queue: usize) -> Self {
        Self::subscribing(config, &SUBSCRIPTIONS, queue)
    }

    /// A client with these subscriptions.
    pub fn subscribing(config: CoreConfig, subscriptions: &[Subscription], queue: usize) -> Self {
        let (sender, events) = mpsc::channel(queue);
        Self { core: connect(config, subscriptions, sender).unwrap(), events }
    }

    /// The next event.
    pub async fn event(&mut self) -> CoreEvent {
        timeout(HANG_GUARD, self.events.recv()).await.expect("an event").unwrap()
    }

    /// The next action.
    pub async fn action(&mut self) -> Action {
        loop {
            if let CoreEvent::Action(action) = self.event().await {
                return action;
            }
        }
    }

    /// Why the connection was lost or not made.
    pub async fn disconnected(&mut self) -> String {
        loop {
            if let CoreEvent::Disconnected { reason } = self.event().await {
                return reason;
            }
        }
    }

    /// The next task.
    pub async fn task(&mut self) -> Task {
        loop {
            if let CoreEvent::Task(task) = self.event().await {
                return task;
            }
        }
    }

    /// Answers an action.
    pub async fn done(&self, action: &Action) {
        self.core.answer(&action.key, Answer::Done);
    }

    /// Ends the connection in order.
    pub async fn close(self) {
        self.core.close(Instant::now() + HANG_GUARD).await;
    }
}

/// A configuration for the test core, with short waits.
pub fn config(server: &TestCore) -> CoreConfig {
    let mut config = CoreConfig::new(&server.uri(), &server.ws_uri()).unwrap();
    config.timing = Timing {
        backoff_first: Duration::from_millis(5),
        backoff_limit: Duration::from_millis(50),
        ..Timing::default()
    };
    config
}
