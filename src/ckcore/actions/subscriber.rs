//! The task that owns the action websocket: subscribes, connects, forwards actions, sends results, reconnects.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Method;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use super::{
    ActionKey, Answer, SubscriberId,
    connections::{ConnectionState, Connections},
    frames::{self, Incoming},
    ledger::{Arrival, Ledger},
    loss_log::{LogDecision, LossLog, STABLE},
    progress::{PendingUpdates, Update},
};
use crate::ckcore::{
    CoreError,
    error::bounded,
    event::CoreEvent,
    outbox::Outbox,
    transport::{Backoff, CoreInfo, HttpClient, Label, Received, WebSocket},
};

const ACTIONS: Label = Label { connecting: "connection of the action websocket", connected: "action websocket" };

/// The ledger and the queued updates, shared between the websocket task and [`Core`](crate::ckcore::Core).
#[derive(Debug, Default)]
pub struct SharedLedger {
    ledger: Mutex<Ledger>,
    updates: Mutex<PendingUpdates>,
    changed: Notify,
}

impl SharedLedger {
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn updates(&self) -> MutexGuard<'_, PendingUpdates> {
        self.updates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an update about an action, if the action is in progress.
    pub fn add_update(&self, key: &ActionKey, update: Update) {
        let action = self.lock().in_progress(key);
        if let Some(action) = action {
            self.updates().push(key.clone(), action, update);
            self.wake();
        }
    }

    /// Wakes the websocket task to send queued results and updates.
    pub fn wake(&self) {
        self.changed.notify_one();
    }
}

/// The end of a session.
enum SessionEnd {
    /// The core received a result and closed: reconnect at once.
    Answered,
    /// The connection failed.
    Lost(CoreError),
    /// ckworker is stopping, and no result is queued.
    Stopped,
}

/// An open connection.
struct Session {
    core: Arc<CoreInfo>,
    socket: WebSocket,
    /// The unacknowledged result, and when the core must have closed the websocket.
    sent: Option<(ActionKey, Instant)>,
}

/// The owner of the action websocket of one subscriber.
pub struct Subscriber {
    id: SubscriberId,
    /// The actions that it subscribes to.
    actions: Vec<&'static str>,
    http: Arc<HttpClient>,
    ledger: Arc<SharedLedger>,
    outbox: Outbox,
    /// The deadline for queued results, once ckworker is stopping.
    stop: watch::Receiver<Option<Instant>>,
    /// The state of this connection.
    connection: ConnectionState,
    /// The states of all connections.
    connections: Arc<Connections>,
    /// The failures since the last stable connection.
    losses: LossLog,
    /// Whether a subscription was sent, which has to be removed at the end.
    subscribed: AtomicBool,
}

impl Subscriber {
    /// Creates a subscriber that is not connected.
    pub fn new(
        (id, actions): (SubscriberId, Vec<&'static str>),
        http: Arc<HttpClient>,
        ledger: Arc<SharedLedger>,
        (outbox, connections): (Outbox, Arc<Connections>),
        stop: watch::Receiver<Option<Instant>>,
    ) -> Self {
        let (connection, losses, subscribed) = (ConnectionState::Unknown, LossLog::default(), AtomicBool::new(false));
        Self { id, actions, http, ledger, outbox, stop, connection, connections, losses, subscribed }
    }

    /// Runs until it is stopped, then removes the subscriptions.
    pub async fn run(mut self) {
        let timing = &self.http.config.timing;
        let (first, limit) = (timing.backoff_first, timing.backoff_limit);
        let mut backoff = Backoff::new(first, limit);
        while !self.is_over() {
            let begun = Instant::now();
            match self.session().await {
                SessionEnd::Answered => {
                    backoff.reset();
                    self.lasts();
                }
                SessionEnd::Stopped => break,
                SessionEnd::Lost(error) => {
                    // After a lasting connection the core may be back at once; repeated failures keep the backoff.
                    if self.connection == ConnectionState::Connected && begun.elapsed() > first * 5 {
                        backoff.reset();
                    }
                    self.lost(&error, backoff.next()).await;
                }
            }
        }
        self.unsubscribe().await;
    }

    /// Whether ckworker is stopping and no result is queued, or the deadline has passed.
    fn is_over(&self) -> bool {
        let stop = *self.stop.borrow();
        stop.is_some_and(|deadline| !self.ledger.lock().has_answer() || Instant::now() >= deadline)
    }

    /// Logs and reports a failure, and waits before the next attempt, at most until ckworker is stopping.
    async fn lost(&mut self, error: &CoreError, wait: Duration) {
        let reason = error.to_string();
        match self.losses.lost(&reason) {
            LogDecision::Log => {
                tracing::warn!(peer = "core", subscriber = %self.id, error = reason, "connection to the core failed; retrying")
            }
            LogDecision::Summarize(attempts, connections) => {
                let message = "connection to the core keeps failing; retrying";
                tracing::warn!(peer = "core", subscriber = %self.id, attempts, connections, error = reason, "{message}");
            }
            LogDecision::Suppress => {
                tracing::debug!(peer = "core", subscriber = %self.id, error = reason, "connection to the core failed again")
            }
        }
        self.set_connection(ConnectionState::Lost(reason));
        let stop_at = *self.stop.borrow();
        let until = Instant::now() + wait;
        tokio::select! {
            () = sleep_until(stop_at.map_or(until, |stop_at| until.min(stop_at))) => {}
            () = self.stopped(), if stop_at.is_none() => {}
        }
    }

    fn set_connection(&mut self, state: ConnectionState) {
        self.connection = state.clone();
        self.connections.set(self.id, state);
    }

    /// Returns when ckworker is stopping.
    async fn stopped(&self) {
        // The sender is dropped only together with this task.
        let _ = self.stop.clone().wait_for(Option::is_some).await;
    }

    async fn session(&mut self) -> SessionEnd {
        let known = tokio::select! {
            known = self.http.core() => known,
            () = self.no_need_to_connect() => return SessionEnd::Stopped,
        };
        let core = match known {
            Ok(core) => core,
            Err(error) => return SessionEnd::Lost(error),
        };
        let end = self.session_with(&core).await;
        if matches!(end, SessionEnd::Lost(_)) {
            self.http.forget(&core);
        }
        end
    }

    async fn session_with(&mut self, core: &Arc<CoreInfo>) -> SessionEnd {
        let opened = tokio::select! {
            opened = self.open(core) => opened,
            () = self.no_need_to_connect() => return SessionEnd::Stopped,
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(error) => return SessionEnd::Lost(error),
        };
        if self.connection != ConnectionState::Connected {
            if self.losses.connected() {
                tracing::info!(peer = "core", subscriber = %self.id, "connected to the core");
            }
            self.set_connection(ConnectionState::Connected);
        }
        let end = self.serve(&mut session).await;
        if let Some((key, _)) = session.sent {
            self.ledger.lock().settled(&key);
        }
        end
    }

    /// Logs that the connection is stable, if only failures were logged.
    fn lasts(&mut self) {
        if let Some(losses) = self.losses.lasts() {
            tracing::info!(peer = "core", subscriber = %self.id, failures = losses, "reconnected to the core");
        }
    }

    /// Returns when ckworker is stopping and no result is queued, or at the deadline.
    async fn no_need_to_connect(&self) {
        self.stopped().await;
        let deadline = *self.stop.borrow();
        if let Some(deadline) = deadline.filter(|_| self.ledger.lock().has_answer()) {
            sleep_until(deadline).await;
        }
    }

    async fn open(&self, core: &Arc<CoreInfo>) -> Result<Session, CoreError> {
        self.subscribe(core).await?;
        let path = ["subscriber", &core.subscriber(&self.http.config, self.id), "handle"];
        let socket = WebSocket::open(&self.http, core, &path, &[], ACTIONS).await?;
        Ok(Session { core: Arc::clone(core), socket, sent: None })
    }

    /// Subscribes with the same values each time: a core sends pending actions only to an unchanged subscription.
    async fn subscribe(&self, core: &CoreInfo) -> Result<(), CoreError> {
        let config = &self.http.config;
        for action in &self.actions {
            let mut url = self.subscription(core, action);
            url.query_pairs_mut()
                .append_pair("timeout", &config.timeout.as_secs().to_string())
                .append_pair("wait_for_completion", "True");
            let request = self.http.request(core, Method::POST, url).await?;
            self.subscribed.store(true, Ordering::Relaxed);
            self.http.send_short("subscription to actions", request, config.timing.request).await?;
        }
        Ok(())
    }

    fn subscription(&self, core: &CoreInfo, action: &str) -> reqwest::Url {
        self.http.config.url(&["subscriber", &core.subscriber(&self.http.config, self.id), action])
    }

    async fn serve(&mut self, session: &mut Session) -> SessionEnd {
        let stable_at = Instant::now() + STABLE;
        loop {
            if let Err(error) = self.send(session).await {
                return SessionEnd::Lost(error);
            }
            let idle = session.sent.is_none();
            if idle && self.is_over() {
                session.socket.close().await;
                return SessionEnd::Stopped;
            }
            let stop_at = *self.stop.borrow();
            let confirm_by = session.sent.as_ref().map_or_else(Instant::now, |(_, by)| *by);
            let confirm_by = stop_at.map_or(confirm_by, |stop_at| confirm_by.min(stop_at));
            tokio::select! {
                received = session.socket.next() => match received {
                    Ok(Received::Text(text)) => self.frame(&text),
                    Ok(Received::Closed(true, _)) if !idle => return SessionEnd::Answered,
                    Ok(Received::Closed(_, error)) | Err(error) => return SessionEnd::Lost(error),
                },
                () = self.ledger.changed.notified(), if idle => {}
                () = self.stopped(), if stop_at.is_none() => {}
                () = sleep_until(stable_at), if !self.losses.is_empty() => self.lasts(),
                () = sleep_until(confirm_by), if !idle => {
                    return SessionEnd::Lost(session.socket.lost("the core did not acknowledge a result"));
                }
            }
        }
    }

    /// Sends queued updates and results. A core that closes after each frame receives one result per connection.
    async fn send(&self, session: &mut Session) -> Result<(), CoreError> {
        let closes = session.core.dialect.closes_after_frame();
        if closes {
            // A core that closes after each frame does not accept updates.
            self.ledger.updates().clear();
        }
        loop {
            let next = self.ledger.updates().pop();
            let Some((key, action, update)) = next else { break };
            session.socket.send(frames::update(&key, action, &update)).await?;
        }
        while session.sent.is_none() {
            let next = self.ledger.lock().send_next();
            let Some((action, answer)) = next else { return Ok(()) };
            if let Err(error) = session.socket.send(frames::answer(&action, &answer)).await {
                self.ledger.lock().not_sent(&action.key);
                return Err(error);
            }
            tracing::info!(peer = "work", subscriber = %self.id, action = %action.key, done = answer == Answer::Done, "sent action result");
            if closes {
                session.sent = Some((action.key, Instant::now() + self.http.config.timing.confirm));
            } else {
                self.ledger.lock().settled(&action.key);
            }
        }
        Ok(())
    }

    fn frame(&self, text: &str) {
        let action = match frames::read(text, self.id, &self.actions) {
            Incoming::Action(action) => action,
            Incoming::Abort(key) => {
                tracing::info!(peer = "work", subscriber = %self.id, action = %key, "core aborted action");
                if self.ledger.lock().in_progress(&key).is_some() {
                    self.outbox.push(CoreEvent::Abort(key));
                }
                return;
            }
            Incoming::Unusable(reason) => {
                tracing::warn!(peer = "core", subscriber = %self.id, reason = bounded(&reason), "ignoring invalid frame from the core");
                return;
            }
        };
        if self.stop.borrow().is_some() {
            tracing::info!(peer = "work", subscriber = %self.id, action = %action.key, "ignoring action: shutting down");
            return;
        }
        let arrival = self.ledger.lock().arrived(&action);
        match arrival {
            Arrival::Start => self.outbox.push(CoreEvent::Action(action)),
            Arrival::InProgress => {
                tracing::info!(peer = "work", subscriber = %self.id, action = %action.key, "ignoring redelivered action: already in progress")
            }
            Arrival::Answered => {
                tracing::info!(peer = "work", subscriber = %self.id, action = %action.key, "sending result of redelivered action again")
            }
            Arrival::NoRoom => {
                tracing::warn!(peer = "core", subscriber = %self.id, action = %action.key, "too many actions in progress; leaving action for a redelivery")
            }
        }
    }

    /// Removes the subscriptions. The caller bounds the time.
    async fn unsubscribe(&self) {
        if !self.subscribed.load(Ordering::Relaxed) {
            return;
        }
        for action in &self.actions {
            let removal = async {
                let core = self.http.core().await?;
                let request = self.http.request(&core, Method::DELETE, self.subscription(&core, action)).await?;
                self.http.send_short("removal of a subscription", request, self.http.config.timing.request).await
            };
            if let Err(error) = removal.await {
                tracing::warn!(peer = "core", subscriber = %self.id, %error, event = action, "cannot remove subscription from the core");
                return;
            }
        }
    }
}
