//! Connections to the work queue, which receive tasks and send their results.
//!
//! A core that closes a connection after each result redelivers the other tasks on it. For such a core there are
//! several connections, each is reopened at once, and more are opened while one of them has more than one task. All
//! share the ledger, which recognizes a task that is redelivered on another connection.

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

/// The time for which the additional connections stay open after one had more than one task.
const CROWDED: Duration = Duration::from_secs(60);

/// The ledger of tasks, shared between the connections and [`Core`](crate::ckcore::Core).
#[derive(Debug, Default)]
pub struct SharedTaskLedger {
    tasks: Mutex<TaskLedger>,
    changed: Notify,
    connections: AtomicU64,
    /// The time at which the additional connections are no longer needed.
    crowded: watch::Sender<Option<Instant>>,
}

impl SharedTaskLedger {
    fn lock(&self) -> MutexGuard<'_, TaskLedger> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// Records a task that was received on a connection.
    fn arrived(&self, id: &str, on: ConnectionId) -> TaskArrival {
        let mut tasks = self.lock();
        let arrival = tasks.arrived(id, on);
        if tasks.is_crowded(on) {
            self.crowded.send_replace(Some(Instant::now() + CROWDED));
        }
        arrival
    }

    /// Returns when the additional connections are no longer needed, if that is in the future.
    fn crowded_until(&self) -> Option<Instant> {
        self.crowded.borrow().filter(|until| Instant::now() < *until)
    }

    /// Returns when additional connections are needed.
    async fn crowded(&self) {
        // `self` holds the sender.
        let _ = self.crowded.subscribe().wait_for(|until| until.is_some_and(|until| Instant::now() < until)).await;
    }

    /// Records the result of a task. Returns whether the task was in progress.
    pub fn answered(&self, id: &str, result: TaskResult) -> bool {
        let was_in_progress = self.lock().answered(id, result);
        // Each connection checks whether it waits for this result.
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
    /// The names of accepted tasks.
    pub names: Arc<Vec<&'static str>>,
    /// The IDs of the clouds whose tasks are accepted; empty means all.
    pub clouds: Arc<Vec<String>>,
    /// The deadline for queued results, once ckworker is stopping.
    pub stop: watch::Receiver<Option<Instant>>,
}

/// The end of a connection.
enum SessionEnd {
    /// The core received a result and closed: reconnect at once.
    Answered,
    /// This core never needs this connection.
    NotWanted,
    /// The connection is not needed at the moment.
    Idle,
    /// The connection failed.
    Lost(CoreError),
    /// ckworker is stopping.
    Stopped,
}

impl TaskQueue {
    /// Maintains the connections that the core needs, until ckworker is stopping.
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
                // The core may be replaced by one of another generation.
                SessionEnd::NotWanted => self.pause(limit).await,
                SessionEnd::Lost(error) => {
                    tracing::debug!(peer = "core", %error, number, "connection to the work queue failed; retrying");
                    if begun.elapsed() > timing.backoff_first * 5 {
                        backoff.reset();
                    }
                    self.pause(backoff.next()).await;
                }
            }
        }
    }

    /// Waits, at most until ckworker is stopping.
    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = sleep(wait) => {}
            () = self.stopped() => {}
        }
    }

    /// Returns when ckworker is stopping.
    async fn stopped(&self) {
        // The sender is dropped only together with this task.
        let _ = self.stop.clone().wait_for(Option::is_some).await;
    }

    async fn session(&self, number: usize) -> SessionEnd {
        // The subscriber detects the core, and notices when its connection fails.
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
            // In either case the core is looked up again: it may have been replaced.
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

    /// Connects and names the accepted tasks: one generation reads them from the URL, the other from the first frame.
    async fn open(&self, core: &CoreInfo) -> Result<WebSocket, CoreError> {
        let path = ["work", "queue"];
        if !core.dialect.closes_after_frame() {
            let mut socket = WebSocket::open(&self.http, core, &path, &[], QUEUE).await?;
            socket.send(frames::commands(&self.names, &self.clouds)).await?;
            return Ok(socket);
        }
        let (names, clouds) = (self.names.join(","), self.clouds.join(","));
        let mut query = vec![("task", names.as_str())];
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
        // The deadline for the core to close the websocket after a result.
        let mut confirm_by = None;
        loop {
            let changed = self.ledger.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Results that are recorded from here on wake this loop.
            changed.as_mut().enable();
            while confirm_by.is_none() {
                let next = self.ledger.lock().send_next(connection);
                let Some((id, result)) = next else { break };
                socket.send(frames::task_result(&id, &result)).await?;
                tracing::debug!(peer = "work", task = id, "sent task result");
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
                () = self.http.replaced(core) => return Err(socket.lost("the core was replaced by one of another generation")),
                () = self.stopped(), if stop_at.is_none() => {}
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    if confirm_by.is_some_and(|by| Instant::now() >= by) {
                        return Err(socket.lost("the core did not acknowledge a result"));
                    }
                }
            }
        }
    }

    /// Handles a frame, and returns the frame to send at once, if any.
    fn frame(&self, text: &str, dialect: Dialect, connection: ConnectionId) -> Option<String> {
        let task = match frames::read_task(text) {
            Ok(task) => task,
            Err(reason) => {
                tracing::warn!(peer = "core", reason = bounded(&reason), "ignoring invalid frame from the work queue");
                return None;
            }
        };
        if self.stop.borrow().is_some() {
            tracing::info!(peer = "work", task = task.id, "ignoring task: shutting down");
            return None;
        }
        let arrival = self.ledger.arrived(&task.id, connection);
        match arrival {
            TaskArrival::Start => self.outbox.push(CoreEvent::Task(task)),
            TaskArrival::InProgress => {
                tracing::info!(peer = "work", task = task.id, "ignoring redelivered task: already in progress")
            }
            TaskArrival::Done => {
                tracing::info!(peer = "work", task = task.id, "sending result of redelivered task again")
            }
            TaskArrival::NoRoom if dialect.repeats_tasks() => {
                tracing::warn!(
                    peer = "core",
                    task = task.id,
                    "too many tasks in progress; leaving task for a redelivery"
                );
            }
            TaskArrival::NoRoom => {
                tracing::warn!(peer = "core", task = task.id, "too many tasks in progress; rejecting task");
                let why = format!("{OPEN_LIMIT} tasks are already in progress; try again later");
                return Some(frames::task_result(&task.id, &TaskResult::Error(why)));
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
