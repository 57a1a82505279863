//! The task behind a connection: register, connect, give actions on, deliver answers, and again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use http::Method;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{self, Bytes, Message};

use super::{
    ActionKey, Answer, Backoff, CoreError, CoreEvent, Duty,
    dialect::{Dialect, Incoming},
    error::bounded,
    http::Http,
    ledger::{Arrival, Ledger},
    outbox::Outbox,
    socket::{self, Socket},
};

/// The books, shared between the connection and whoever answers.
#[derive(Debug, Default)]
pub(super) struct Books {
    ledger: Mutex<Ledger>,
    changed: Notify,
}

impl Books {
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the connection, because there is an answer to send.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }
}

/// What the dispatcher knows of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Unknown,
    Connected,
    Lost(String),
}

/// How a connection ended.
enum End {
    /// The core took an answer and closed: connect again at once.
    Answered,
    /// It was lost or never made.
    Lost(CoreError),
    /// We are closing and have nothing left to say.
    Stopped,
}

/// What is open on a connection.
struct Session {
    socket: Socket,
    /// The answer that was sent and when the core must have closed.
    sent: Option<(ActionKey, Instant)>,
    last_heard: Instant,
    ping_due: tokio::time::Interval,
}

/// The owner of the action websocket.
pub(super) struct Link {
    pub(super) http: Arc<Http>,
    pub(super) dialect: Dialect,
    pub(super) books: Arc<Books>,
    pub(super) outbox: Outbox,
    /// When everything must be over, once we are closing.
    pub(super) stop: watch::Receiver<Option<Instant>>,
    /// What the dispatcher was told last.
    pub(super) standing: Standing,
}

impl Link {
    /// Runs until it is stopped, then removes the subscriptions.
    pub(super) async fn run(mut self) {
        let timing = &self.http.config.timing;
        let (first, limit) = (timing.backoff_first, timing.backoff_limit);
        let mut backoff = Backoff::new(first, limit);
        while !self.is_over() {
            let begun = Instant::now();
            match self.session().await {
                End::Answered => backoff.reset(),
                End::Stopped => break,
                End::Lost(error) => {
                    if begun.elapsed() > limit {
                        backoff.reset();
                    }
                    self.lost(&error, backoff.next()).await;
                }
            }
        }
        self.unsubscribe().await;
    }

    /// Whether we are closing and have nothing to deliver, or no time for it.
    fn is_over(&self) -> bool {
        let stop = *self.stop.borrow();
        stop.is_some_and(|deadline| !self.books.ledger().has_answer() || Instant::now() >= deadline)
    }

    /// Says that there is no connection, if that is news, and waits, at most until a close is asked for.
    async fn lost(&mut self, error: &CoreError, wait: Duration) {
        let reason = error.to_string();
        let news = Standing::Lost(reason.clone());
        if self.standing == news {
            tracing::debug!(reason, "still no connection to the core");
        } else {
            tracing::warn!(reason, "no connection to the core, trying again");
            self.standing = news;
            self.outbox.push(CoreEvent::Disconnected { reason });
        }
        let stop_at = *self.stop.borrow();
        let until = Instant::now() + wait;
        tokio::select! {
            () = sleep_until(stop_at.map_or(until, |stop_at| until.min(stop_at))) => {}
            () = self.stopped(), if stop_at.is_none() => {}
        }
    }

    /// Returns when a close was asked for.
    async fn stopped(&self) {
        // The sender is gone only together with this task.
        let _ = self.stop.clone().wait_for(Option::is_some).await;
    }

    async fn session(&mut self) -> End {
        let opened = tokio::select! {
            opened = self.open() => opened,
            () = self.no_need_to_connect() => return End::Stopped,
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(error) => return End::Lost(error),
        };
        if self.standing != Standing::Connected {
            tracing::info!("connected to the core");
            self.standing = Standing::Connected;
            self.outbox.push(CoreEvent::Connected);
        }
        let end = self.serve(&mut session).await;
        if let Some((key, _)) = session.sent {
            self.books.ledger().settled(&key);
        }
        end
    }

    /// Returns when a close was asked for and there is no answer to deliver, or no time left for it.
    async fn no_need_to_connect(&self) {
        self.stopped().await;
        let deadline = *self.stop.borrow();
        if let Some(deadline) = deadline.filter(|_| self.books.ledger().has_answer()) {
            sleep_until(deadline).await;
        }
    }

    async fn open(&self) -> Result<Session, CoreError> {
        let timing = &self.http.config.timing;
        self.subscribe().await?;
        let subscriber = self.dialect.subscriber(&self.http.config.subscriber_id);
        let socket = socket::open(&self.http, &subscriber).await?;
        let mut ping_due = interval_at(Instant::now() + timing.ping, timing.ping);
        ping_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Session { socket, sent: None, last_heard: Instant::now(), ping_due })
    }

    /// Registers with the same values each time: a core sends pending actions only to an unchanged registration.
    async fn subscribe(&self) -> Result<(), CoreError> {
        let config = &self.http.config;
        for duty in Duty::ALL {
            let mut url = self.subscription(duty);
            url.query_pairs_mut()
                .append_pair("timeout", &config.timeout.as_secs().to_string())
                .append_pair("wait_for_completion", "True");
            let request = self.http.request(Method::POST, url).await?;
            self.http.send_short("registration for actions", request, config.timing.request).await?;
        }
        Ok(())
    }

    fn subscription(&self, duty: Duty) -> reqwest::Url {
        let subscriber = self.dialect.subscriber(&self.http.config.subscriber_id);
        self.http.config.url(&["subscriber", &subscriber, duty.name()])
    }

    async fn serve(&mut self, session: &mut Session) -> End {
        loop {
            if let Err(error) = self.send_answer(session).await {
                return End::Lost(error);
            }
            let idle = session.sent.is_none();
            if idle && self.is_over() {
                socket::close(&mut session.socket).await;
                return End::Stopped;
            }
            let stop_at = *self.stop.borrow();
            let confirm_by = session.sent.as_ref().map_or_else(Instant::now, |(_, by)| *by);
            let confirm_by = stop_at.map_or(confirm_by, |stop_at| confirm_by.min(stop_at));
            tokio::select! {
                message = session.socket.next() => {
                    if let Some(end) = self.heard(session, message).await {
                        return end;
                    }
                }
                () = self.books.changed.notified(), if idle => {}
                () = self.stopped(), if stop_at.is_none() => {}
                () = sleep_until(confirm_by), if !idle => {
                    return End::Lost(lost("the core did not say that it took an answer"));
                }
                _ = session.ping_due.tick() => {
                    if let Err(error) = self.ping(session).await {
                        return End::Lost(error);
                    }
                }
            }
        }
    }

    /// Sends the next answer, if there is one and the connection can carry it.
    async fn send_answer(&self, session: &mut Session) -> Result<(), CoreError> {
        while session.sent.is_none() {
            let Some((action, answer)) = self.books.ledger().send_next() else { return Ok(()) };
            let frame = Message::text(self.dialect.answer(&action, &answer));
            if let Err(error) = self.write(session, frame).await {
                self.books.ledger().not_sent(&action.key);
                return Err(error);
            }
            tracing::info!(action = %action.key, done = answer == Answer::Done, "answered an action");
            if self.dialect.closes_after_frame() {
                session.sent = Some((action.key, Instant::now() + self.http.config.timing.confirm));
            } else {
                self.books.ledger().settled(&action.key);
            }
        }
        Ok(())
    }

    async fn write(&self, session: &mut Session, message: Message) -> Result<(), CoreError> {
        let limit = self.http.config.timing.request;
        match timeout(limit, session.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(lost(&error.to_string())),
            Err(_) => Err(lost("the core does not read what we send")),
        }
    }

    async fn ping(&self, session: &mut Session) -> Result<(), CoreError> {
        if session.last_heard.elapsed() >= self.http.config.timing.silence {
            return Err(lost("the core is silent and does not answer pings"));
        }
        self.write(session, Message::Ping(Bytes::from_static(b"ckworker"))).await
    }

    /// Deals with a message, or the end of the stream.
    async fn heard(&self, session: &mut Session, message: Option<Result<Message, tungstenite::Error>>) -> Option<End> {
        session.last_heard = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => self.frame(&text),
            Some(Ok(Message::Close(frame))) => {
                socket::finish(&mut session.socket).await;
                let took_answer = session.sent.is_some() && frame.as_ref().is_none_or(|f| u16::from(f.code) == 1000);
                let why = frame.map_or_else(String::new, |f| format!(" with code {} {}", f.code, bounded(&f.reason)));
                return Some(if took_answer {
                    End::Answered
                } else {
                    End::Lost(lost(&format!("the core closed the websocket{why}")))
                });
            }
            // Pings are answered by the library as soon as the next message is waited for.
            Some(Ok(_)) => {}
            Some(Err(error)) => return Some(End::Lost(lost(&error.to_string()))),
            None => return Some(End::Lost(lost("the connection ended"))),
        }
        None
    }

    fn frame(&self, text: &str) {
        let action = match self.dialect.read(text) {
            Incoming::Action(action) => action,
            Incoming::Unusable(reason) => {
                tracing::warn!(reason = bounded(&reason), "ignored a frame of the core");
                return;
            }
        };
        if self.stop.borrow().is_some() {
            tracing::info!(action = %action.key, "ignored an action, because the worker is ending");
            return;
        }
        let arrival = self.books.ledger().arrived(&action);
        match arrival {
            Arrival::Start => self.outbox.push(CoreEvent::Action(action)),
            Arrival::InWork => tracing::info!(action = %action.key, "an action in work was delivered again"),
            Arrival::Answered => tracing::info!(action = %action.key, "an answered action was delivered again"),
            Arrival::NoRoom => tracing::warn!(action = %action.key, "too many actions at a time, left for later"),
        }
    }

    /// Removes the subscriptions. Whoever closes the connection bounds the time.
    async fn unsubscribe(&self) {
        for duty in Duty::ALL {
            let removal = async {
                let request = self.http.request(Method::DELETE, self.subscription(duty)).await?;
                self.http.send_short("removal of a subscription", request, self.http.config.timing.request).await
            };
            if let Err(error) = removal.await {
                tracing::warn!(%error, event = duty.name(), "a subscription remains in the core");
                return;
            }
        }
    }
}

fn lost(why: &str) -> CoreError {
    CoreError::transport("action websocket", why)
}
