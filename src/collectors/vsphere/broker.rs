//! The broker: it has the password, and gives each worker a session of its own. It also ends the sessions: only the
//! supervisor learns of the end of a worker in any case, also of one that was killed.
//!
//! A refused login is final until the next collection is planned: servers lock accounts after a few of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use worker_proto::{Credentials, Failure, FailureKind, Unit};

use super::{
    client::{Client, Session},
    options::{Options, PASSWORD},
};
use crate::{
    collector_api::{BoxFuture, Broker},
    engine::CallErrorKind,
    settings::Settings,
};

/// The timeout of a call of a login.
const LOGIN: Duration = Duration::from_secs(25);
/// The most sessions of a unit. Those before them were renewed, so that they have ended in all likelihood.
const MOST: usize = 3;
/// The timeout of a logout.
const LOGOUT: Duration = Duration::from_secs(5);

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

#[derive(Default)]
struct State {
    /// The sessions in use by the payload of their units: those of a collection and of operations are apart.
    sessions: HashMap<(String, String), Vec<Session>>,
    /// Why the last login was refused.
    refused: Option<Failure>,
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

    async fn issue(&self, unit: Option<&Unit>) -> Result<Credentials, Failure> {
        let (Some(_), Some(user)) = (&self.options.host, &self.options.user) else {
            let message = "there is no vCenter server; name it with --vsphere-host".to_owned();
            return Err(Failure { kind: FailureKind::NoCredentials, message });
        };
        let Some(unit) = unit else {
            self.lock().refused = None;
            return Ok(Credentials { secret: String::new(), expires: None });
        };
        let _one = self.login.lock().await;
        if let Some(failure) = self.lock().refused.clone() {
            return Err(failure);
        }
        let client = Client::without_session(&self.options.address(&unit.id), LOGIN)?;
        let session = client.log_in(user, &self.password, LOGIN).await.map_err(|error| {
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
        })?;
        let secret = serde_json::to_string(&session)
            .map_err(|_| Failure { kind: FailureKind::Internal, message: "cannot write a session as JSON".into() })?;
        let oldest = {
            let mut state = self.lock();
            let sessions = state.sessions.entry(key(unit)).or_default();
            sessions.push(session);
            (sessions.len() > MOST).then(|| sessions.remove(0))
        };
        if let Some(oldest) = oldest {
            self.end(&unit.id, &oldest).await;
        }
        Ok(Credentials { secret, expires: None })
    }

    /// Ends the sessions of a unit, or of all units.
    async fn log_out(&self, unit: Option<&Unit>) {
        // A login in progress for a worker that has ended.
        let _one = self.login.lock().await;
        let ended: Vec<((String, String), Vec<Session>)> = {
            let mut state = self.lock();
            match unit {
                Some(unit) => state.sessions.remove_entry(&key(unit)).into_iter().collect(),
                None => state.sessions.extract_if(|(_, payload), _| payload.is_empty()).collect(),
            }
        };
        let logouts =
            ended.iter().flat_map(|((host, _), sessions)| sessions.iter().map(move |session| (host, session)));
        join_all(logouts.map(|(host, session)| self.end(host, session))).await;
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
fn key(unit: &Unit) -> (String, String) {
    (unit.id.clone(), unit.payload.clone())
}

impl Broker for VsphereBroker {
    fn credentials<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        let (sessions, unit) = (Arc::clone(&self.0), unit.cloned());
        let issued = tokio::spawn(async move { sessions.issue(unit.as_ref()).await });
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
