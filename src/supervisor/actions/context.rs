//! Everything that an action may use while it carries out a request.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use tokio::sync::watch;
use worker_proto::{Failure, Outcome, Unit};

use crate::{
    ckcore::{ActionKey, Core, CoreApi, InfoLevel, ProgressTree},
    collector_api::{Collector, Target},
    settings::Settings,
    supervisor::operations::{Client, OperationPool, Request},
    telemetry::Metrics,
};

/// A collector that may be asked to change resources.
#[derive(Clone)]
pub struct TargetCollector {
    /// The collector.
    pub collector: &'static dyn Collector,
    /// Its settings, secrets left out.
    pub settings: Settings,
}

impl TargetCollector {
    /// Returns the unit whose worker carries out operations on this target.
    ///
    /// # Errors
    /// Why operations on the target are impossible.
    pub fn unit(&self, target: &Target) -> Result<Unit, Failure> {
        self.collector.operator(&self.settings, target)
    }
}

/// The collectors that may be asked, by the ID of their cloud.
pub type TargetCollectors = BTreeMap<&'static str, TargetCollector>;

/// The cancellation of a request: the core aborted it, or the supervisor stops.
#[derive(Clone, Debug)]
pub struct Cancellation(watch::Receiver<bool>);

impl Cancellation {
    /// Returns the sender that cancels when it sends true or is dropped, and the receiver.
    #[must_use]
    pub fn new(is_cancelled: bool) -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(is_cancelled);
        (sender, Self(receiver))
    }

    /// Whether the request is cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        // A sender that was dropped cancels too.
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns once the request is cancelled.
    pub async fn cancelled(&self) {
        // Both results mean the end.
        let _ = self.0.clone().wait_for(|cancelled| *cancelled).await;
    }
}

/// What an action uses: its settings, the core, operations on resources, metrics, cancellation and deadline.
#[derive(Clone)]
pub struct ActionContext {
    pub(super) settings: Arc<Settings>,
    pub(super) core: Arc<Core>,
    pub(super) operations: OperationPool,
    pub(super) client: Client,
    pub(super) targets: Arc<TargetCollectors>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) cancellation: Cancellation,
    pub(super) deadline: Instant,
    /// The step of the workflow, if the request is one.
    pub(super) key: Option<ActionKey>,
}

impl ActionContext {
    /// Returns the action's settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the requests to the core.
    #[must_use]
    pub fn core(&self) -> CoreApi {
        self.core.api()
    }

    /// Returns the collectors that may be asked to change resources.
    #[must_use]
    pub fn targets(&self) -> &Arc<TargetCollectors> {
        &self.targets
    }

    /// Returns the metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns when the request must have its result.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns the cancellation, for parts of the action.
    #[must_use]
    pub fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// Whether the action has to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Returns when the action has to end.
    pub async fn cancelled(&self) {
        self.cancellation.cancelled().await;
    }

    /// Has a worker carry out an operation, and returns its outcome. After a cancellation an operation that no worker
    /// has begun is not begun; the outcome of one that was begun is awaited. Dropping the future abandons the
    /// operation.
    pub async fn operate(&self, request: Request) -> Outcome {
        self.operations.operate(self.client, request, self.cancelled()).await
    }

    /// Reports the progress of a step to a core that accepts it.
    pub fn progress(&self, progress: &ProgressTree) {
        if let Some(key) = &self.key {
            self.core.progress(key, progress);
        }
    }

    /// Sends a message about a step to the core's users.
    pub fn info(&self, level: InfoLevel, text: &str) {
        if let Some(key) = &self.key {
            self.core.info(key, level, text);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        ckcore::{CoreConfig, connect},
        supervisor::operations::{Callers, Priority},
    };

    impl ActionContext {
        /// Returns a context of operations that get no outcome while the second value lives.
        pub fn without_outcomes(targets: TargetCollectors, deadline: Instant) -> (Self, impl Sized) {
            let config = CoreConfig::new("http://127.0.0.1:9", "ws://127.0.0.1:9").unwrap();
            let (events, received) = mpsc::channel(1);
            let core = connect(config, &[], events).unwrap();
            let (callers, operations, messages) = Callers::channel();
            let (stop, cancellation) = Cancellation::new(false);
            let context = Self {
                settings: Arc::default(),
                core: Arc::new(core),
                operations,
                client: Client { action: "test", priority: Priority::Urgent },
                targets: Arc::new(targets),
                metrics: Arc::new(Metrics::new()),
                cancellation,
                deadline,
                key: None,
            };
            (context, (callers, messages, received, stop))
        }
    }

    #[tokio::test]
    async fn dropped_sender_cancels_as_one_that_sends() {
        let (sender, cancellation) = Cancellation::new(false);
        assert!(!cancellation.is_cancelled());
        sender.send_replace(true);
        assert!(cancellation.is_cancelled());
        let (sender, cancellation) = Cancellation::new(false);
        drop(sender);
        assert!(cancellation.is_cancelled());
        cancellation.cancelled().await;
    }
}
