//! The handle of the connection.

use std::sync::{Arc, OnceLock};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{
    CoreApi, CoreConfig, CoreError, CoreEvent, TaskResult,
    actions::{ActionKey, Answer, InfoLevel, ProgressTree, SharedLedger, Subscriber, Update},
    outbox::Outbox,
    tasks::{SharedTaskLedger, TaskQueue},
    transport::HttpClient,
};

/// A connection to a core, kept alive by tasks of its own, which end when this is dropped.
#[derive(Debug)]
pub struct Core {
    http: Arc<HttpClient>,
    ledger: Arc<SharedLedger>,
    tasks: Arc<SharedTaskLedger>,
    outbox: Outbox,
    stop: watch::Sender<Option<Instant>>,
    subscriber: Running,
    queue: OnceLock<Running>,
    _forwarder: Running,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts to connect to a core and to send what happens to `events`. Must be called inside a runtime.
///
/// The connection never gives up; a slow receiver of `events` does not disturb it.
///
/// # Errors
/// If the configuration cannot work, such as a system without certificates where TLS is wanted.
pub fn connect(config: CoreConfig, events: mpsc::Sender<CoreEvent>) -> Result<Core, CoreError> {
    let http = Arc::new(HttpClient::new(Arc::new(config))?);
    let (stop, stopped) = watch::channel(None);
    let (ledger, outbox) = (Arc::<SharedLedger>::default(), Outbox::default());
    let forwarder = Running(tokio::spawn(outbox.clone().forward(events)));
    let subscriber = Subscriber::new(Arc::clone(&http), Arc::clone(&ledger), outbox.clone(), stopped);
    let subscriber = Running(tokio::spawn(subscriber.run()));
    let (tasks, queue) = (Arc::default(), OnceLock::new());
    Ok(Core { http, ledger, tasks, outbox, stop, subscriber, queue, _forwarder: forwarder })
}

impl Core {
    /// Answers an action, once: a second answer and one to an unknown action are ignored.
    ///
    /// The answer is kept until the core has taken it; this does not wait for that.
    pub fn answer(&self, key: &ActionKey, answer: Answer) {
        if self.ledger.lock().answered(key, answer) {
            self.ledger.wake();
        } else {
            tracing::warn!(peer = "core", action = %key, "ignored the answer to an action that is not in work");
        }
    }

    /// Takes tasks of these clouds from the core's work queue from now on; no clouds are all clouds. Until this is called
    /// there is no connection to the queue; a second call changes nothing.
    pub fn take_tasks(&self, clouds: &[String]) {
        self.queue.get_or_init(|| {
            let queue = TaskQueue {
                http: Arc::clone(&self.http),
                ledger: Arc::clone(&self.tasks),
                outbox: self.outbox.clone(),
                clouds: Arc::new(clouds.to_vec()),
                stop: self.stop.subscribe(),
            };
            Running(tokio::spawn(queue.run()))
        });
    }

    /// Answers a task, once: a second result and one to an unknown task are ignored. It is remembered and sent again if
    /// the core delivers the task again.
    pub fn answer_task(&self, id: &str, result: TaskResult) {
        if !self.tasks.answered(id, result) {
            tracing::warn!(peer = "core", task = id, "ignored the result of a task that is not in work");
        }
    }

    /// Tells the core how far an action in work is, if it can be told. Only the newest progress of an action is sent.
    pub fn progress(&self, key: &ActionKey, progress: &ProgressTree) {
        self.ledger.add_update(key, Update::Progress(progress.clone()));
    }

    /// Tells the people at the core something about an action in work, if they can be told; long texts are cut.
    pub fn info(&self, key: &ActionKey, level: InfoLevel, text: &str) {
        self.ledger.add_update(key, Update::Info(level, text.to_owned()));
    }

    /// The requests that need no websocket.
    #[must_use]
    pub fn api(&self) -> CoreApi {
        CoreApi::over(Arc::clone(&self.http))
    }

    /// Delivers the answers that are left, closes the websocket and removes the subscriptions, all until `deadline`.
    ///
    /// At most half of the time goes to the answers, so that the subscriptions are removed in any case.
    pub async fn close(mut self, deadline: Instant) {
        let now = Instant::now();
        let answers_by = now + deadline.saturating_duration_since(now) / 2;
        self.stop.send_replace(Some(answers_by));
        let ends = async {
            if let Some(queue) = self.queue.get_mut() {
                // A task that ended by itself is over too.
                let _ = (&mut queue.0).await;
            }
            (&mut self.subscriber.0).await
        };
        if timeout_at(deadline, ends).await.is_err() {
            tracing::warn!(peer = "core", "the connection to the core could not be closed in time");
        }
    }
}
