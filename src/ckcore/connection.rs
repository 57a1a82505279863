//! The handle of the connection.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{
    ActionKey, Answer, CoreApi, CoreConfig, CoreError, CoreEvent, InfoLevel, ProgressTree, TaskResult,
    dialect::Dialect,
    http::Http,
    link::{Books, Link, Standing},
    outbox::Outbox,
};

/// A connection to a core, kept alive by tasks of its own, which end when this is dropped.
#[derive(Debug)]
pub struct Core {
    api: CoreApi,
    books: Arc<Books>,
    stop: watch::Sender<Option<Instant>>,
    link: Task,
    _forwarder: Task,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
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
    let dialect = Dialect::Core2;
    let http = Arc::new(Http::new(Arc::new(config))?);
    let (stop, stopped) = watch::channel(None);
    let (books, outbox) = (Arc::<Books>::default(), Outbox::default());
    let forwarder = Task(tokio::spawn(outbox.clone().forward(events)));
    let api = CoreApi::over(Arc::clone(&http), dialect);
    let link = Link { http, dialect, books: Arc::clone(&books), outbox, stop: stopped, standing: Standing::Unknown };
    Ok(Core { api, books, stop, link: Task(tokio::spawn(link.run())), _forwarder: forwarder })
}

impl Core {
    /// Answers an action, once: a second answer and one to an unknown action are ignored.
    ///
    /// The answer is kept until the core has taken it; this does not wait for that.
    pub async fn answer(&self, key: &ActionKey, answer: Answer) {
        if self.books.ledger().answered(key, answer) {
            self.books.wake();
        } else {
            tracing::warn!(action = %key, "ignored the answer to an action that is not in work");
        }
    }

    /// Takes tasks of these clouds from the core's work queue from now on; no clouds are all clouds. Until this is called
    /// there is no connection to the queue.
    pub fn take_tasks(&self, clouds: &[String]) {
        tracing::debug!(?clouds, "the work queue is not connected");
    }

    /// Answers a task, once: a second result and one to an unknown task are ignored. It is remembered and sent again if
    /// the core delivers the task again.
    #[expect(clippy::unused_async, reason = "the interface of the connection")]
    pub async fn answer_task(&self, id: &str, _result: TaskResult) {
        tracing::warn!(task = id, "ignored the result of a task that is not in work");
    }

    /// Tells the core how far an action in work is, if it can be told. Only the newest progress of an action is sent.
    #[expect(clippy::unused_async, reason = "the interface of the connection")]
    pub async fn progress(&self, key: &ActionKey, progress: &ProgressTree) {
        tracing::trace!(action = %key, ?progress, "progress");
    }

    /// Tells the people at the core something about an action in work, if they can be told; long texts are cut.
    #[expect(clippy::unused_async, reason = "the interface of the connection")]
    pub async fn info(&self, key: &ActionKey, level: InfoLevel, text: &str) {
        tracing::trace!(action = %key, ?level, text, "info");
    }

    /// The requests that need no websocket.
    #[must_use]
    pub fn api(&self) -> CoreApi {
        self.api.clone()
    }

    /// Delivers the answers that are left, closes the websocket and removes the subscriptions, all until `deadline`.
    ///
    /// At most half of the time goes to the answers, so that the subscriptions are removed in any case.
    pub async fn close(mut self, deadline: Instant) {
        let now = Instant::now();
        let answers_by = now + deadline.saturating_duration_since(now) / 2;
        self.stop.send_replace(Some(answers_by));
        if timeout_at(deadline, &mut self.link.0).await.is_err() {
            tracing::warn!("the connection to the core could not be closed in time");
        }
    }
}
