//! The work queue: connections that take tasks and carry their results.
//!
//! A core that closes a connection after each result would lose the other tasks on it, so there are several connections
//! there, and each is made again at once; more are made while one of them has more than one task. All of them share the
//! ledger, and a task that comes back on another connection is found there.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    TaskResult, frames,
    ledger::{ConnectionId, OPEN_LIMIT, TaskArrival, TaskLedger},
};
use crate::ckcore::{
    CoreError,
    dialect::{Dialect, MAX_QUEUE_CONNECTIONS},
    error::bounded,
    event::CoreEvent,
    outbox::Outbox,
    transport::{Backoff, CoreInfo, HttpClient, Label, Received, WebSocket},
};

const QUEUE: Label = Label { connecting: "connection to the work queue", connected: "work queue" };

/// How long there are more connections after one of them had more than one task.
const CROWDED: Duration = Duration::from_secs(60);

/// The ledger of tasks, shared between the connections and whoever answers.
#[derive(Debug, Default)]
pub struct SharedTaskLedger {
    tasks: Mutex<TaskLedger>,
    changed: Notify,
    connections: AtomicU64,
    /// Until when there are more connections.
    crowded: watch::Sender<Option<Instant>>,
}

impl SharedTaskLedger {
    fn lock(&self) -> MutexGuard<'_, TaskLedger> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// A task was delivered on a connection.
    fn arrived(&self, id: &str, on: ConnectionId) -> TaskArrival {
        let mut tasks = self.lock();
        let arrival = tasks.arrived(id, on);
        if tasks.is_crowded(on) {
            self.crowded.send_replace(Some(Instant::now() + CROWDED));
        }
        arrival
    }

    /// Until when there are more connections, if that is not over.
    fn crowded_until(&self) -> Option<Instant> {
        self.crowded.borrow().filter(|until| Instant::now() < *until)
    }

    /// Returns when there are to be more connections.
    async fn crowded(&self) {
        // The sender is our own.
        let _ = self.crowded.subscribe().wait_for(|until| until.is_some_and(|until| Instant::now() < until)).await;
    }

    /// A task is done. Returns whether it was in work.
    pub fn answered(&self, id: &str, result: TaskResult) -> bool {
        let was_in_progress = self.lock().answered(id, result);
        // Each connection looks whether it is the one that waits for it.
        self.changed.notify_waiters();
        was_in_progress
    }
}

/// The owner of the connections to the work queue.
#[derive(Clone)]
pub struct TaskQueue {
    pub http: Arc<HttpClient>,
    pub ledger: Arc<SharedTaskLedger>,
    pub outbox: Outbox,
    /// The ids of the clouds whose tasks are taken; none are all.
    pub clouds: Arc<Vec<String>>,
    /// When everything must be over, once we are closing.
    pub stop: watch::Receiver<Option<Instant>>,
}

/// How a connection ended.
enum SessionEnd {
    /// The core took a result and closed, or more connections are wanted: connect at once.
    Answered,
    /// This core never wants so many connections.
    NotWanted,
    /// So many connections are not needed any more, or just now.
    Idle,
    /// It was lost or never made.
    Lost(CoreError),
    /// We are closing.
    Stopped,
}

impl TaskQueue {
    /// Keeps as many connections as the core wants, until it is stopped.
    pub async fn run(self) {
        let connections = (0..MAX_QUEUE_CONNECTIONS).map(|number| self.clone().connection(number));
        join_all(connections).await;
    }

    async fn connection(self, number: usize) {
        let timing = &self.http.config.timing;
        let limit = timing.backoff_limit;
        let mut backoff = Backoff::new(timing.backoff_first, limit);
        while self.stop.borrow().is_none() {
            let begun = Instant::now();
            match self.session(number).await {
                SessionEnd::Answered | SessionEnd::Idle => backoff.reset(),
                SessionEnd::Stopped => return,
                // Another generation may come back after a loss.
                SessionEnd::NotWanted => self.pause(limit).await,
                SessionEnd::Lost(error) => {
                    tracing::debug!(peer = "core", %error, number, "no connection to the work queue, trying again");
                    if begun.elapsed() > timing.backoff_first * 5 {
                        backoff.reset();
                    }
                    self.pause(backoff.next()).await;
                }
            }
        }
    }

    /// Waits, at most until a close is asked for.
    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = sleep(wait) => {}
            () = self.stopped() => {}
        }
    }

    /// Returns when a close was asked for.
    async fn stopped(&self) {
        // The sender is gone only together with this task.
        let _ = self.stop.clone().wait_for(Option::is_some).await;
    }

    async fn session(&self, number: usize) -> SessionEnd {
        // The action websocket finds the core and notices when it is lost.
        let core = tokio::select! {
            core = self.http.detected() => core,
            () = self.stopped() => return SessionEnd::Stopped,
        };
        let (always, crowded) = core.dialect.queue_connections();
        if number >= crowded {
            return SessionEnd::NotWanted;
        }
        let is_extra = number >= always;
        if is_extra && self.ledger.crowded_until().is_none() {
            // Whichever it is, the core is looked up again: it may be another one by then.
            return tokio::select! {
                () = self.ledger.crowded() => SessionEnd::Idle,
                () = self.http.replaced(&core) => SessionEnd::Idle,
                () = self.stopped() => SessionEnd::Stopped,
            };
        }
        let opened = tokio::select! {
            opened = self.open(&core) => opened,
            () = self.stopped() => return SessionEnd::Stopped,
        };
        match opened {
            Ok(mut socket) => {
                let connection = self.ledger.next_connection();
                let end = self.serve(&core, &mut socket, connection, is_extra).await.unwrap_or_else(SessionEnd::Lost);
                self.ledger.lock().connection_over(connection);
                end
            }
            Err(error) => SessionEnd::Lost(error),
        }
    }

    /// Connects and says which tasks we take: one core wants to hear it in the address, the other in the first frame.
    async fn open(&self, core: &CoreInfo) -> Result<WebSocket, CoreError> {
        let path = ["work", "queue"];
        if !core.dialect.closes_after_frame() {
            let mut socket = WebSocket::open(&self.http, core, &path, &[], QUEUE).await?;
            socket.send(frames::commands(&self.clouds)).await?;
            return Ok(socket);
        }
        let clouds = self.clouds.join(",");
        let mut query = vec![("task", "tag")];
        if !clouds.is_empty() {
            query.push(("cloud", &clouds));
        }
        WebSocket::open(&self.http, core, &path, &query, QUEUE).await
    }

    async fn serve(
        &self,
        core: &CoreInfo,
        socket: &mut WebSocket,
        connection: ConnectionId,
        is_extra: bool,
    ) -> Result<SessionEnd, CoreError> {
        // When the core must have closed, after a result was sent.
        let mut confirm_by = None;
        loop {
            let changed = self.ledger.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // What is answered from here on is not missed.
            changed.as_mut().enable();
            while confirm_by.is_none() {
                let next = self.ledger.lock().send_next(connection);
                let Some((id, result)) = next else { break };
                socket.send(frames::task_result(&id, &result)).await?;
                tracing::debug!(peer = "work", task = id, "answered a task");
                if core.dialect.closes_after_frame() {
                    confirm_by = Some(Instant::now() + self.http.config.timing.confirm);
                }
            }
            let idle = confirm_by.is_none();
            let stop_at = *self.stop.borrow();
            if let Some(stop_at) = stop_at
                && (Instant::now() >= stop_at || idle && !self.ledger.lock().is_awaited(connection))
            {
                socket.close().await;
                return Ok(SessionEnd::Stopped);
            }
            let spare = is_extra && idle && !self.ledger.lock().is_awaited(connection);
            let crowded = self.ledger.crowded_until();
            if spare && crowded.is_none() {
                socket.close().await;
                return Ok(SessionEnd::Idle);
            }
            let until = [confirm_by, stop_at, crowded.filter(|_| spare)].into_iter().flatten().min();
            tokio::select! {
                received = socket.next() => match received? {
                    Received::Text(text) => {
                        if let Some(refusal) = self.frame(&text, core.dialect, connection) {
                            socket.send(refusal).await?;
                        }
                    }
                    Received::Closed(true, _) if !idle => return Ok(SessionEnd::Answered),
                    Received::Closed(_, error) => return Ok(SessionEnd::Lost(error)),
                },
                () = changed, if idle => {}
                () = self.http.replaced(core) => return Err(socket.lost("another core has taken its place")),
                () = self.stopped(), if stop_at.is_none() => {}
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    if confirm_by.is_some_and(|by| Instant::now() >= by) {
                        return Err(socket.lost("the core did not say that it took a result"));
                    }
                }
            }
        }
    }

    /// Takes a frame of the core, and gives what is to be said to it at once.
    fn frame(&self, text: &str, dialect: Dialect, connection: ConnectionId) -> Option<String> {
        let task = match frames::read_task(text) {
            Ok(task) => task,
            Err(reason) => {
                tracing::warn!(peer = "core", reason = bounded(&reason), "ignored a frame of the work queue");
                return None;
            }
        };
        if self.stop.borrow().is_some() {
            tracing::info!(peer = "work", task = task.id, "ignored a task, because the worker is ending");
            return None;
        }
        let arrival = self.ledger.arrived(&task.id, connection);
        match arrival {
            TaskArrival::Start => self.outbox.push(CoreEvent::Task(task)),
            TaskArrival::InProgress => {
                tracing::info!(peer = "work", task = task.id, "a task in work was delivered again")
            }
            TaskArrival::Done => {
                tracing::info!(peer = "work", task = task.id, "a task that is done was delivered again")
            }
            TaskArrival::NoRoom if dialect.repeats_tasks() => {
                tracing::warn!(
                    peer = "core",
                    task = task.id,
                    "too many tasks at a time, left until the core gives it out again"
                );
            }
            TaskArrival::NoRoom => {
                tracing::warn!(peer = "core", task = task.id, "too many tasks at a time, refused");
                let why = format!("{OPEN_LIMIT} tasks are in work already: try it again later");
                return Some(frames::task_result(&task.id, &TaskResult::Error(why)));
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
