//! Credentials of a unit, cached and refreshed before they expire.
//!
//! The lifetime is computed on receipt and then measured by the monotonic clock: a machine's wall clock may be wrong, and
//! may be corrected at any time.

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
/// Cloning is cheap. All clones share the credentials, and only one refreshes them at a time. While the current ones are
/// usable, the other clones use them, and so does the refreshing one if the refresh fails.
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
            Some(_) => tokio::time::timeout(PAUSE, self.ask()).await.unwrap_or_else(|_| Err(too_late())),
            None => self.ask().await,
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

    async fn ask(&self) -> Result<Credentials, Failure> {
        let _answer = self.waits.begin(WaitOn::Answer, "credentials");
        let (answer, receive) = oneshot::channel();
        self.requests.send(Request::Credentials(self.unit, answer)).await.map_err(|_| session_over())?;
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
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{super::waits::Waits, *};

    fn credentials(secret: &str, expires: Option<Duration>) -> Credentials {
        Credentials { secret: secret.into(), expires: expires.map(|expires| expires.as_secs().try_into().unwrap()) }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn expiring_credentials_are_used_only_during_refresh() {
        let now = Instant::now();
        let known = |left: u64, asked: Option<Instant>| Known {
            credentials: Some(credentials("old", None)),
            end: Some(now + seconds(left)),
            asked,
        };
        assert!(known(301, None).usable(now).is_some());
        assert!(known(300, None).usable(now).is_none());
        assert!(known(300, Some(now)).usable(now + PAUSE / 2).is_some());
        assert!(known(300, Some(now)).usable(now + PAUSE).is_none());
        assert!(known(5, Some(now)).usable(now).is_none());
        assert!(Known { credentials: Some(credentials("eternal", None)), ..Known::default() }.usable(now).is_some());
        assert!(Known { asked: Some(now), ..Known::default() }.usable(now).is_none());
    }

    #[test]
    fn lifetime_is_measured_from_receipt_by_monotonic_clock() {
        let (unix, now) = (seconds(1_000_000), Instant::now());
        let received = |expires: Duration| {
            let mut known = Known::default();
            known.receive(credentials("new", Some(expires)), unix, now);
            known
        };
        let hour = received(unix + seconds(3600));
        assert!(hour.usable(now + seconds(3299)).is_some());
        assert!(hour.usable(now + seconds(3301)).is_none());
        // The clock is an hour ahead, or more: they seem to have ended long ago.
        for expires in [unix, unix - seconds(3600), Duration::ZERO] {
            let known = received(expires);
            assert!(known.usable(now).is_some() && known.usable(now + PAUSE - seconds(1)).is_some());
            assert!(known.usable(now + PAUSE).is_none(), "a refresh is due");
            assert!(known.with_left(LEAST, now + PAUSE).is_some(), "and they stay usable");
        }
    }

    /// Answers each request with the next of these, and counts the requests.
    fn holder(answers: Vec<Result<Credentials, FailureKind>>) -> (CredentialSource, mpsc::Receiver<()>) {
        let (requests, mut asked) = mpsc::channel(1);
        let (count, counted) = mpsc::channel(16);
        tokio::spawn(async move {
            for answer in answers {
                let Some(Request::Credentials(7, waiter)) = asked.recv().await else { return };
                let answer = answer.map_err(|kind| Failure { kind, message: "no".into() });
                waiter.send(answer).unwrap();
                count.send(()).await.unwrap();
            }
        });
        (CredentialSource::new(7, requests, Waits::default().unit(7)), counted)
    }

    #[tokio::test]
    async fn current_credentials_are_used_when_refresh_fails() {
        let old = credentials("old", Some(unix_time() + seconds(200)));
        let (source, mut counted) = holder(vec![Ok(old.clone()), Err(FailureKind::Unavailable)]);
        assert_eq!(source.get().await, Ok(old.clone()));
        source.lock().asked = None;
        assert_eq!(source.get().await, Ok(old.clone()), "the failed refresh loses nothing");
        assert_eq!(source.clone().get().await, Ok(old), "no second refresh at once");
        drop(source);
        let mut asked = 0;
        while counted.recv().await.is_some() {
            asked += 1;
        }
        assert_eq!(asked, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn seemingly_expired_credentials_are_refreshed_once_a_minute() {
        let past = || Ok(credentials("new", Some(unix_time() - seconds(3600))));
        let (source, mut counted) = holder((0..5).map(|_| past()).collect());
        for _ in 0..2000 {
            assert!(source.get().await.is_ok());
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        drop(source);
        let mut asked = 0;
        while counted.recv().await.is_some() {
            asked += 1;
        }
        assert_eq!(asked, 4, "in 200 seconds");
    }

    #[tokio::test]
    async fn current_credentials_stay_usable_during_refresh() {
        let old = credentials("old", Some(unix_time() + seconds(200)));
        let (requests, mut asked) = mpsc::channel(1);
        let source = CredentialSource::new(7, requests, Waits::default().unit(7));
        source.lock().receive(old.clone(), unix_time(), Instant::now());
        source.lock().asked = None;
        let asking = tokio::spawn({
            let source = source.clone();
            async move { source.get().await }
        });
        let Some(Request::Credentials(_, waiter)) = asked.recv().await else { unreachable!() };
        assert_eq!(source.get().await, Ok(old));
        let new = credentials("new", Some(unix_time() + seconds(3600)));
        waiter.send(Ok(new.clone())).unwrap();
        assert_eq!(asking.await.unwrap(), Ok(new.clone()));
        assert_eq!(source.get().await, Ok(new));
    }

    #[tokio::test]
    async fn failure_without_credentials_is_returned_and_retried() {
        let new = credentials("new", None);
        let (source, _counted) = holder(vec![Err(FailureKind::Unavailable), Ok(new.clone())]);
        assert_eq!(source.get().await.map_err(|failure| failure.kind), Err(FailureKind::Unavailable));
        assert_eq!(source.get().await, Ok(new));
    }
}
