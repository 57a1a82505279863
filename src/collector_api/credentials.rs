//! Credentials of a unit, cached and refreshed before they expire.
//!
//! The lifetime is computed on receipt and then measured by the monotonic clock: a machine's wall clock may be wrong,
//! and may be corrected at any time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use worker_proto::{Credentials, Failure, FailureKind, WaitOn};

use super::{
    Request,
    lease::{Shared, SharedWaiter},
    waits::UnitWaits,
};

/// Credentials with less remaining lifetime are refreshed before they are used.
const MARGIN: Duration = Duration::from_secs(300);

/// Credentials with less remaining lifetime are not used: they may expire before a call arrives.
const LEAST: Duration = Duration::from_secs(5);

/// While the current credentials are usable: the pause between two refreshes, and the timeout of a refresh.
const PAUSE: Duration = Duration::from_secs(60);

/// The lifetime of new credentials that seem expired: then this machine's wall clock is probably wrong.
const LEAST_LIFETIME: Duration = Duration::from_secs(120);

/// The source of a unit's credentials, which refreshes them before they expire.
///
/// Cloning is cheap. All clones share the credentials, and only one refreshes them at a time. While the current ones
/// are usable, the other clones use them, and so does the refreshing one if the refresh fails.
#[derive(Clone)]
pub struct CredentialSource {
    unit: u32,
    requests: mpsc::Sender<Request>,
    known: Arc<Mutex<Known>>,
    asking: Arc<tokio::sync::Mutex<()>>,
    waits: UnitWaits,
}

/// The cached credentials.
#[derive(Default)]
struct Known {
    credentials: Option<Credentials>,
    /// The expiry; `None` if they do not expire.
    end: Option<Instant>,
    /// The time of the last request or receipt.
    asked: Option<Instant>,
}

impl Known {
    /// Caches credentials that were received at this time, `unix` since 1970.
    fn receive(&mut self, credentials: Credentials, unix: Duration, now: Instant) {
        let lifetime = |expires: i64| Duration::from_secs(u64::try_from(expires).unwrap_or(0)).saturating_sub(unix);
        // An expiry beyond the range of `Instant` counts as none.
        self.end = credentials.expires.and_then(|expires| now.checked_add(lifetime(expires).max(LEAST_LIFETIME)));
        self.credentials = Some(credentials);
        self.asked = Some(now);
    }

    /// Returns the credentials that can be used without a refresh.
    fn usable(&self, now: Instant) -> Option<&Credentials> {
        let is_asked = self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < PAUSE);
        self.with_left(if is_asked { LEAST } else { MARGIN }, now)
    }

    /// Returns the credentials if their remaining lifetime exceeds `least`.
    fn with_left(&self, least: Duration, now: Instant) -> Option<&Credentials> {
        let is_good = self.end.is_none_or(|end| end.saturating_duration_since(now) > least);
        self.credentials.as_ref().filter(|_| is_good)
    }
}

impl CredentialSource {
    /// Creates a source for one unit that sends its requests to `requests`.
    #[must_use]
    pub fn new(unit: u32, requests: mpsc::Sender<Request>, waits: UnitWaits) -> Self {
        Self { unit, requests, known: Arc::default(), asking: Arc::default(), waits }
    }

    /// Returns credentials that are valid for at least five minutes if the broker has any, otherwise the current ones.
    ///
    /// # Errors
    /// The broker's error, or `Cancelled` if the session is ending.
    pub async fn get(&self) -> Result<Credentials, Failure> {
        if let Some(credentials) = self.usable() {
            return Ok(credentials);
        }
        let _asking = self.asking.lock().await;
        // Another clone may have refreshed them.
        if let Some(credentials) = self.usable() {
            return Ok(credentials);
        }
        let old = {
            let mut known = self.lock();
            let now = Instant::now();
            known.asked = Some(now);
            known.with_left(LEAST, now).cloned()
        };
        let answer = match &old {
            Some(_) => tokio::time::timeout(PAUSE, self.ask(false)).await.unwrap_or_else(|_| Err(too_late())),
            None => self.ask(false).await,
        };
        match (answer, old) {
            (Ok(credentials), _) => {
                self.lock().receive(credentials.clone(), unix_time(), Instant::now());
                Ok(credentials)
            }
            (Err(failure), Some(old)) if failure.kind != FailureKind::Cancelled => {
                tracing::warn!(error = failure.message, "cannot refresh credentials; still using the current ones");
                Ok(old)
            }
            (Err(failure), _) => Err(failure),
        }
    }

    /// Returns other credentials than these, which the cloud has rejected before their expiry. Clones that ask at the
    /// same time share the new ones.
    ///
    /// # Errors
    /// As for [`CredentialSource::get`]. The rejected credentials stay the current ones then.
    pub async fn renew(&self, rejected: &Credentials) -> Result<Credentials, Failure> {
        let _asking = self.asking.lock().await;
        let current = self.lock().credentials.clone();
        // Another clone may have renewed them.
        if let Some(current) = current.filter(|current| current.secret != rejected.secret) {
            return Ok(current);
        }
        let credentials = self.ask(true).await?;
        self.lock().receive(credentials.clone(), unix_time(), Instant::now());
        Ok(credentials)
    }

    async fn ask(&self, rejected: bool) -> Result<Credentials, Failure> {
        let _answer = self.waits.begin(WaitOn::Answer, "credentials");
        let (waiter, receive) = oneshot::channel();
        let request = Request::Credentials { unit: self.unit, rejected, waiter };
        self.requests.send(request).await.map_err(|_| session_over())?;
        receive.await.map_err(|_| session_over())?
    }

    /// See [`super::CollectContext::shared`].
    pub(super) async fn shared(&self, key: &str) -> Result<Shared, Failure> {
        let _answer = self.waits.begin(WaitOn::Answer, format!("the shared value {key}"));
        let (waiter, answer) = SharedWaiter::new(key, self.requests.clone());
        if let Err(mpsc::error::SendError(Request::Shared(_, waiter))) =
            self.requests.send(Request::Shared(key.to_owned(), waiter)).await
        {
            waiter.forget();
            return Err(session_over());
        }
        answer.await.map_err(|_| session_over())
    }

    fn usable(&self) -> Option<Credentials> {
        self.lock().usable(Instant::now()).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn too_late() -> Failure {
    Failure { kind: FailureKind::Unavailable, message: format!("none came within {} s", PAUSE.as_secs()) }
}

pub(super) fn session_over() -> Failure {
    Failure { kind: FailureKind::Cancelled, message: "the worker is stopping".into() }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
