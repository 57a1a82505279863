//! The broker: it has the password, and gives each worker a session of its own. It also ends the sessions: only the
//! supervisor learns of the end of a worker in any case, also of one that was killed.
//!
//! A refused login is final until the next collection is planned: servers lock accounts after a few of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{join, join_all};
use tokio::{sync::watch, time::timeout};
use worker_proto::{Credentials, Failure, FailureKind, Unit};

use super::{
    client::{Client, Session},
    options::{Options, PASSWORD},
};
use crate::{
    collector_api::{BoxFuture, Broker},
    engine::{CallError, CallErrorKind},
    settings::Settings,
};

/// The timeout of a call of a login.
const LOGIN: Duration = Duration::from_secs(25);
/// The most sessions of a unit. Those before them were renewed, so that they have ended in all likelihood.
const MOST: usize = 3;
/// The timeout of a logout.
const LOGOUT: Duration = Duration::from_secs(5);
/// How long the answer to a login is awaited whose worker has ended: less than the supervisor has after a signal.
const LATE: Duration = Duration::from_secs(3);

/// The broker of the vSphere collector. Logins and logouts go on if nobody waits for them any more, so that each session
/// is known and ended.
pub(crate) struct VsphereBroker(Arc<Sessions>);

struct Sessions {
    options: Options,
    password: String,
    /// Logins are made one after the other, so that a refused one is the last.
    login: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// The host and the payload of a unit: the sessions of a collection and of operations are apart.
type Key = (String, String);

#[derive(Default)]
struct State {
    /// The sessions in use.
    sessions: HashMap<Key, Vec<Session>>,
    /// The requests for sessions that are not answered, by number, and what tells them that their worker has ended.
    requests: HashMap<u64, (Key, watch::Sender<bool>)>,
    /// The number of the next request.
    next: u64,
    /// Why the last login was refused.
    refused: Option<Failure>,
}

/// A request for a session.
struct Pending {
    number: u64,
    /// Whether its worker has ended.
    is_over: watch::Receiver<bool>,
}

impl Pending {
    async fn over(&mut self) {
        if self.is_over.wait_for(|is_over| *is_over).await.is_err() {
            // Nobody can tell any more.
            std::future::pending().await
        }
    }
}

impl VsphereBroker {
    /// Returns a broker; contacts nothing.
    pub(crate) fn new(settings: &Settings) -> Self {
        let (options, password) = (Options::of(settings), settings.text(PASSWORD).unwrap_or_default().to_owned());
        Self(Arc::new(Sessions { options, password, login: tokio::sync::Mutex::default(), state: Mutex::default() }))
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what a plan gets, which is no session.
    fn plan(&self) -> Result<Credentials, Failure> {
        self.user()?;
        self.lock().refused = None;
        Ok(Credentials { secret: String::new(), expires: None })
    }

    fn user(&self) -> Result<&str, Failure> {
        self.options.user.as_deref().filter(|_| self.options.host.is_some()).ok_or_else(|| Failure {
            kind: FailureKind::NoCredentials,
            message: "there is no vCenter server; name it with --vsphere-host".to_owned(),
        })
    }

    /// Takes note of a request, at once: its worker may end before it is looked at.
    fn request(&self, unit: &Unit) -> Pending {
        let (sender, is_over) = watch::channel(false);
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.requests.insert(number, (key(unit), sender));
        Pending { number, is_over }
    }

    /// Logs in for a worker. If the worker ends meanwhile, no session stays.
    async fn issue(&self, unit: &Unit, pending: &mut Pending) -> Result<Credentials, Failure> {
        let user = self.user()?;
        let _one = tokio::select! {
            one = self.login.lock() => one,
            () = pending.over() => return Err(ended_worker()),
        };
        if let Some(failure) = self.lock().refused.clone() {
            return Err(failure);
        }
        let client = Client::without_session(&self.options.address(&unit.id), LOGIN)?;
        let opened = tokio::select! {
            opened = client.open(LOGIN) => opened.map_err(|error| self.failed(unit, user, &error))?,
            () = pending.over() => return Err(ended_worker()),
        };
        // The answer is awaited in any case, as there may be a session from here on.
        let session = client.log_in(opened, user, &self.password, LOGIN).await;
        let session = session.map_err(|error| self.failed(unit, user, &error))?;
        let secret = serde_json::to_string(&session);
        let superfluous = {
            let mut state = self.lock();
            if *pending.is_over.borrow() || secret.is_err() {
                Some(session)
            } else {
                let sessions = state.sessions.entry(key(unit)).or_default();
                sessions.push(session);
                (sessions.len() > MOST).then(|| sessions.remove(0))
            }
        };
        if let Some(session) = superfluous {
            self.end(&unit.id, &session).await;
        }
        if *pending.is_over.borrow() {
            return Err(ended_worker());
        }
        let secret = secret
            .map_err(|_| Failure { kind: FailureKind::Internal, message: "cannot write a session as JSON".into() })?;
        Ok(Credentials { secret, expires: None })
    }

    /// Returns the failure of a login. One that the server has refused is remembered.
    fn failed(&self, unit: &Unit, user: &str, error: &CallError) -> Failure {
        let is_refused = matches!(error.kind, CallErrorKind::Credentials | CallErrorKind::Denied);
        let remedy = match is_refused {
            true => "; correct --vsphere-user and --vsphere-password; it is not tried again in this collection",
            false => "; check --vsphere-host and --vsphere-port, and the server's certificate (--vsphere-insecure)",
        };
        let message = format!("cannot log in to {} as {user}: {error}{remedy}", unit.id);
        let failure = Failure { kind: error.kind.failure(), message };
        if is_refused {
            self.lock().refused = Some(failure.clone());
        }
        failure
    }

    /// Ends the sessions of a unit, or of all units of a collection, also those of logins that are not answered yet.
    async fn log_out(&self, unit: Option<&Unit>) {
        let is_meant = |known: &Key| unit.map_or(known.1.is_empty(), |unit| *known == key(unit));
        let (ended, late): (Vec<_>, Vec<_>) = {
            let mut state = self.lock();
            let late = state.requests.extract_if(|_, (known, _)| is_meant(known)).map(|(_, (_, sender))| sender);
            let late: Vec<watch::Sender<bool>> = late.collect();
            for sender in &late {
                sender.send_replace(true);
            }
            (state.sessions.extract_if(|known, _| is_meant(known)).collect(), late)
        };
        let ended = ended.iter().flat_map(|((host, _), sessions)| sessions.iter().map(move |session| (host, session)));
        let logouts = join_all(ended.map(|(host, session)| self.end(host, session)));
        let answers = timeout(LATE, join_all(late.iter().map(watch::Sender::closed)));
        if let (_, Err(_)) = join(logouts, answers).await {
            tracing::warn!(
                seconds = LATE.as_secs(),
                "the server does not answer a login whose worker has ended; if it makes a session later, and this program \
                 has exited by then, the session ends when the server's idle time is over"
            );
        }
    }

    /// Ends a session.
    async fn end(&self, host: &str, session: &Session) {
        let Ok(client) = Client::without_session(&self.options.address(host), LOGOUT) else { return };
        if let Err(error) = client.log_out(session, LOGOUT).await {
            tracing::warn!(host, %error, "cannot log out; the session ends when the server's idle time is over");
        }
    }
}

/// Returns the key of a unit's sessions.
fn key(unit: &Unit) -> Key {
    (unit.id.clone(), unit.payload.clone())
}

fn ended_worker() -> Failure {
    Failure { kind: FailureKind::Cancelled, message: "the worker that asked for a session has ended".to_owned() }
}

impl Broker for VsphereBroker {
    fn credentials<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        let Some(unit) = unit.cloned() else { return Box::pin(async { self.0.plan() }) };
        let (sessions, mut pending) = (Arc::clone(&self.0), self.0.request(&unit));
        let issued = tokio::spawn(async move {
            let issued = sessions.issue(&unit, &mut pending).await;
            sessions.lock().requests.remove(&pending.number);
            issued
        });
        let bug =
            |_| Failure { kind: FailureKind::Internal, message: "a login panicked; please report this bug".into() };
        Box::pin(async move { issued.await.map_err(bug)? })
    }

    fn ended<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, ()> {
        let (sessions, unit) = (Arc::clone(&self.0), unit.cloned());
        let ended = tokio::spawn(async move { sessions.log_out(unit.as_ref()).await });
        // It has logged why it failed.
        Box::pin(async move { drop(ended.await) })
    }
}
