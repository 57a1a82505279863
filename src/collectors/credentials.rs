//! A unit's credentials: kept while they are good for long enough, asked for again when they come near their end.

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

/// Credentials with less left than this are replaced before they are used.
const MARGIN: Duration = Duration::from_secs(300);

/// Credentials with less left than this are of no use any more: a call takes a while to get there.
const LEAST: Duration = Duration::from_secs(5);

/// New ones are asked for no sooner than this after the last question, and waited for no longer than this, while the old
/// ones are still of use.
const PAUSE: Duration = Duration::from_secs(60);

/// Gives a unit its credentials, fresh ones whenever the old ones come near their end.
///
/// Cloning is cheap; all clones share what was fetched, and only one of them fetches at a time. While old ones are still
/// of use, the others go on with them, and so does the one that fetches if it is in vain.
#[derive(Clone)]
pub struct CredentialSource {
    unit: u32,
    requests: mpsc::Sender<Request>,
    known: Arc<Mutex<Known>>,
    asking: Arc<tokio::sync::Mutex<()>>,
    waits: UnitWaits,
}

/// What was fetched.
#[derive(Default)]
struct Known {
    credentials: Option<Credentials>,
    /// When they were asked for last.
    asked: Option<Instant>,
}

impl Known {
    /// What can be used without asking; `unix` is the time since 1970.
    fn usable(&self, unix: Duration, now: Instant) -> Option<&Credentials> {
        let is_asked = self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < PAUSE);
        self.with_left(if is_asked { LEAST } else { MARGIN }, unix)
    }

    /// The credentials if more than this is left of them.
    fn with_left(&self, least: Duration, unix: Duration) -> Option<&Credentials> {
        let credentials = self.credentials.as_ref()?;
        let end = i64::try_from((unix + least).as_secs()).unwrap_or(i64::MAX);
        credentials.expires.is_none_or(|expires| expires > end).then_some(credentials)
    }
}

impl CredentialSource {
    /// A source for one unit that asks through `requests`.
    #[must_use]
    pub fn new(unit: u32, requests: mpsc::Sender<Request>, waits: UnitWaits) -> Self {
        Self { unit, requests, known: Arc::default(), asking: Arc::default(), waits }
    }

    /// Credentials that are good for at least five minutes, if the holder has any such, and otherwise while they last.
    ///
    /// # Errors
    /// What the holder of the credentials says, or `Cancelled` if the session is ending.
    pub async fn get(&self) -> Result<Credentials, Failure> {
        if let Some(credentials) = self.usable() {
            return Ok(credentials);
        }
        let _asking = self.asking.lock().await;
        // Somebody else may have got them meanwhile.
        if let Some(credentials) = self.usable() {
            return Ok(credentials);
        }
        let old = {
            let mut known = self.lock();
            known.asked = Some(Instant::now());
            known.with_left(LEAST, unix_time()).cloned()
        };
        let answer = match &old {
            Some(_) => tokio::time::timeout(PAUSE, self.ask()).await.unwrap_or_else(|_| Err(too_late())),
            None => self.ask().await,
        };
        match (answer, old) {
            (Ok(credentials), _) => {
                self.lock().credentials = Some(credentials.clone());
                Ok(credentials)
            }
            (Err(failure), Some(old)) if failure.kind != FailureKind::Cancelled => {
                tracing::warn!("no new credentials; going on with those at hand: {}", failure.message);
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
        self.lock().usable(unix_time(), Instant::now()).cloned()
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
    Failure { kind: FailureKind::Cancelled, message: "the worker is ending".into() }
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
    fn near_their_end_they_are_used_only_while_new_ones_were_asked_for() {
        let (unix, now) = (seconds(1_000_000), Instant::now());
        let known = |left: u64, asked: Option<Instant>| Known {
            credentials: Some(credentials("old", Some(unix + seconds(left)))),
            asked,
        };
        assert!(known(301, None).usable(unix, now).is_some());
        assert!(known(300, None).usable(unix, now).is_none());
        assert!(known(300, Some(now)).usable(unix, now + PAUSE / 2).is_some());
        assert!(known(300, Some(now)).usable(unix, now + PAUSE).is_none());
        assert!(known(5, Some(now)).usable(unix, now).is_none());
        assert!(Known { credentials: Some(credentials("eternal", None)), asked: None }.usable(unix, now).is_some());
        assert!(Known { credentials: None, asked: Some(now) }.usable(unix, now).is_none());
    }

    /// Answers each question with the next of these, and counts those that were left.
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
    async fn old_ones_are_kept_while_they_last_when_no_new_ones_come() {
        let old = credentials("old", Some(unix_time() + seconds(200)));
        let (source, mut counted) = holder(vec![Ok(old.clone()), Err(FailureKind::Unavailable)]);
        assert_eq!(source.get().await, Ok(old.clone()));
        source.lock().asked = None;
        assert_eq!(source.get().await, Ok(old.clone()), "the refusal is no loss yet");
        assert_eq!(source.clone().get().await, Ok(old), "nobody is asked again at once");
        drop(source);
        let mut asked = 0;
        while counted.recv().await.is_some() {
            asked += 1;
        }
        assert_eq!(asked, 2);
    }

    #[tokio::test]
    async fn others_go_on_while_one_asks() {
        let old = credentials("old", Some(unix_time() + seconds(200)));
        let (requests, mut asked) = mpsc::channel(1);
        let source = CredentialSource::new(7, requests, Waits::default().unit(7));
        source.lock().credentials = Some(old.clone());
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
    async fn without_any_the_failure_is_told_and_the_next_call_asks_again() {
        let new = credentials("new", None);
        let (source, _counted) = holder(vec![Err(FailureKind::Unavailable), Ok(new.clone())]);
        assert_eq!(source.get().await.map_err(|failure| failure.kind), Err(FailureKind::Unavailable));
        assert_eq!(source.get().await, Ok(new));
    }
}
