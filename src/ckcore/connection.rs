//! The handle of the connection.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{
    CoreApi, CoreConfig, CoreError, CoreEvent, Subscription, TaskResult,
    actions::{
        ActionKey, Answer, Connections, InfoLevel, ProgressTree, SharedLedger, Subscriber, SubscriberId, Update,
    },
    outbox::Outbox,
    tasks::{SharedTaskLedger, TaskQueue},
    transport::HttpClient,
};

/// A connection to a core. Dropping it ends its tasks.
#[derive(Debug)]
pub struct Core {
    http: Arc<HttpClient>,
    /// The ledger and the task of each subscriber.
    subscribers: BTreeMap<SubscriberId, (Arc<SharedLedger>, Running)>,
    tasks: Arc<SharedTaskLedger>,
    outbox: Outbox,
    stop: watch::Sender<Option<Instant>>,
    queue: OnceLock<Running>,
    _forwarder: Running,
}

/// A task that ends when this is dropped.
#[derive(Debug)]
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects to a core with these subscriptions and sends the events of the connection to `events`. Must be called
/// inside a runtime.
///
/// The connection is retried without end; a slow receiver of `events` does not block it.
///
/// # Errors
/// If the configuration is invalid, such as a system without certificates when TLS is used.
pub fn connect(
    config: CoreConfig,
    subscriptions: &[Subscription],
    events: mpsc::Sender<CoreEvent>,
) -> Result<Core, CoreError> {
    let http = Arc::new(HttpClient::new(Arc::new(config))?);
    let (stop, stopped) = watch::channel(None);
    let outbox = Outbox::default();
    let forwarder = Running(tokio::spawn(outbox.clone().forward(events)));
    let mut actions: BTreeMap<SubscriberId, Vec<&'static str>> = BTreeMap::new();
    for subscription in subscriptions {
        actions.entry(subscription.subscriber).or_default().push(subscription.action);
    }
    let connections = Arc::new(Connections::new(actions.keys().copied(), outbox.clone()));
    let start = |(id, actions)| {
        let ledger = Arc::<SharedLedger>::default();
        let events = (outbox.clone(), Arc::clone(&connections));
        let subscriber =
            Subscriber::new((id, actions), Arc::clone(&http), Arc::clone(&ledger), events, stopped.clone());
        (id, (ledger, Running(tokio::spawn(subscriber.run()))))
    };
    let subscribers = actions.into_iter().map(start).collect();
    let (tasks, queue) = (Arc::default(), OnceLock::new());
    Ok(Core { http, subscribers, tasks, outbox, stop, queue, _forwarder: forwarder })
}

impl Core {
    /// Queues the result of an action. A second result, and one of an unknown action, is ignored.
    ///
    /// The result is kept until the core has received it; this does not wait.
    pub fn answer(&self, key: &ActionKey, answer: Answer) {
        let ledger = self.ledger(key).filter(|ledger| ledger.lock().answered(key, answer));
        if let Some(ledger) = ledger {
            ledger.wake();
        } else {
            tracing::warn!(peer = "core", subscriber = %key.subscriber, action = %key, "ignoring result of an action that is not in progress");
        }
    }

    fn ledger(&self, key: &ActionKey) -> Option<&SharedLedger> {
        self.subscribers.get(&key.subscriber).map(|(ledger, _)| &**ledger)
    }

    fn update(&self, key: &ActionKey, update: Update) {
        if let Some(ledger) = self.ledger(key) {
            ledger.add_update(key, update);
        }
    }

    /// Connects to the work queue and accepts tasks of these names and clouds; no clouds means all. A second call has
    /// no effect.
    pub fn take_tasks(&self, names: &[&'static str], clouds: &[String]) {
        self.queue.get_or_init(|| {
            let queue = TaskQueue {
                http: Arc::clone(&self.http),
                ledger: Arc::clone(&self.tasks),
                outbox: self.outbox.clone(),
                names: Arc::new(names.to_vec()),
                clouds: Arc::new(clouds.to_vec()),
                stop: self.stop.subscribe(),
            };
            Running(tokio::spawn(queue.run()))
        });
    }

    /// Queues the result of a task. A second result, and one of an unknown task, is ignored. The result is sent again
    /// if the core redelivers the task.
    pub fn answer_task(&self, id: &str, result: TaskResult) {
        if !self.tasks.answered(id, result) {
            tracing::warn!(peer = "core", task = id, "ignoring result of a task that is not in progress");
        }
    }

    /// Queues the progress of an action, for a core that accepts it. Only the newest progress of an action is sent.
    pub fn progress(&self, key: &ActionKey, progress: &ProgressTree) {
        self.update(key, Update::Progress(progress.clone()));
    }

    /// Queues a message about an action for the core's users. Long messages are truncated.
    pub fn info(&self, key: &ActionKey, level: InfoLevel, text: &str) {
        self.update(key, Update::Info(level, text.to_owned()));
    }

    /// Returns the requests that need no websocket.
    #[must_use]
    pub fn api(&self) -> CoreApi {
        CoreApi::over(Arc::clone(&self.http))
    }

    /// Sends queued results, closes the websockets and removes the subscriptions, all until `deadline`.
    ///
    /// Results get at most half of the time, so that the subscriptions are removed in any case.
    pub async fn close(mut self, deadline: Instant) {
        let now = Instant::now();
        let answers_by = now + deadline.saturating_duration_since(now) / 2;
        self.stop.send_replace(Some(answers_by));
        let ends = async {
            if let Some(queue) = self.queue.get_mut() {
                // The task may have ended already.
                let _ = (&mut queue.0).await;
            }
            join_all(self.subscribers.values_mut().map(|(_, subscriber)| &mut subscriber.0)).await
        };
        if timeout_at(deadline, ends).await.is_err() {
            tracing::warn!(peer = "core", "cannot close the connection to the core in time");
        }
    }
}
