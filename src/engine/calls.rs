//! The attempts of calls: permits, pauses, retries and timeouts, for the client of any cloud.
//!
//! A client makes one attempt; this loop decides whether there is another one, and when.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use worker_proto::WaitOn;

use super::{
    api::Request,
    error::{CallError, CallErrorKind, code},
    limiter::Limiter,
    retry::{Attempts, Timeouts},
};
use crate::collector_api::UnitWaits;

/// The longest pause that is kept, so that a wrong clock does not end the calls for good.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// The calls of one account: the registry of those in progress, their timeouts, and the limiters.
pub struct Calls {
    waits: UnitWaits,
    timeouts: Timeouts,
    /// By service and region.
    limiters: Mutex<HashMap<(String, String), Arc<Limiter>>>,
    /// Whether all services and regions share one limiter.
    has_one_limit: bool,
    /// Whether a connection was made.
    has_connected: AtomicBool,
}

/// The result of one attempt.
pub struct Attempt<R> {
    /// The response, or why there is none.
    pub result: Result<R, CallError>,
    /// Whether the client has corrected the cause of the failure, so that another attempt is made at once.
    pub is_corrected: bool,
}

impl<R> From<Result<R, CallError>> for Attempt<R> {
    fn from(result: Result<R, CallError>) -> Self {
        Self { result, is_corrected: false }
    }
}

impl Calls {
    /// Returns the calls of one account.
    #[must_use]
    pub fn new(waits: UnitWaits, timeouts: Timeouts) -> Self {
        Self {
            waits,
            timeouts,
            limiters: Mutex::default(),
            has_one_limit: false,
            has_connected: AtomicBool::new(false),
        }
    }

    /// Makes all services and regions share one limiter, as limits are those of the account.
    #[must_use]
    pub fn with_one_limit(self) -> Self {
        Self { has_one_limit: true, ..self }
    }

    /// Delays all calls of the request's service. Calls that may not wait so long fail at once.
    pub(crate) fn pause(&self, request: &Request<'_>, pause: Duration) {
        self.limiter(request.service, request.region).pause_until(Instant::now() + pause.min(MAX_PAUSE));
    }

    /// Returns the timeouts of a call that starts now.
    #[must_use]
    pub fn timeouts(&self, request: &Request<'_>) -> Timeouts {
        self.timeouts.now(request.limit)
    }

    /// Makes the attempts of a call.
    ///
    /// # Errors
    /// The error of the last attempt, with the name of the call.
    pub async fn run<R, A, F>(&self, request: &Request<'_>, attempt: A) -> Result<R, CallError>
    where
        A: FnMut() -> F,
        F: Future<Output = Attempt<R>>,
    {
        let Request { service, operation, region, .. } = request;
        let _call = self.waits.begin(WaitOn::Call, format!("{service} {operation} in {region}"));
        self.attempts(request, attempt).await.map_err(|error| error.of(service, operation, region))
    }

    async fn attempts<R, A, F>(&self, request: &Request<'_>, mut attempt: A) -> Result<R, CallError>
    where
        A: FnMut() -> F,
        F: Future<Output = Attempt<R>>,
    {
        let limiter = self.limiter(request.service, request.region);
        let permit = timeout(self.timeouts(request).operation, Arc::clone(&limiter).acquire(request.operation)).await;
        let _permit = permit.map_err(|_| queue_timeout())?;
        let timeouts = self.timeouts(request);
        let mut attempts = Attempts::begin(timeouts);
        let mut last = None;
        loop {
            if let Some(asked) = limiter.paused_for() {
                if asked >= attempts.left() {
                    return Err(last.unwrap_or_else(|| paused(asked)));
                }
                sleep(asked).await;
            }
            let Ok(Attempt { result, is_corrected }) = timeout(attempts.left(), attempt()).await else {
                return Err(last.unwrap_or_else(|| timed_out(timeouts)));
            };
            adjust(&limiter, request.service, &result, timeouts.operation);
            let mut error = match result {
                Ok(response) => {
                    self.has_connected.store(true, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(error) => error,
            };
            self.judge_contact(&mut error, &mut attempts);
            if is_corrected && attempts.may_correct() {
                continue;
            }
            let Some(pause) = attempts.pause(&error, fastrand::f64()) else { return Err(error) };
            if pause >= attempts.left() {
                return Err(error);
            }
            sleep(pause).await;
            last = Some(error);
        }
    }

    /// Shortens the attempts of a call that has made no connection, if none was made before: the address is probably
    /// wrong.
    fn judge_contact(&self, error: &mut CallError, attempts: &mut Attempts) {
        if self.timeouts.first_contact.is_none() {
            return;
        }
        let is_unmade = [code::CONNECTION_FAILED, code::UNKNOWN_HOST].contains(&error.code.as_str());
        if !is_unmade {
            self.has_connected.fetch_or(error.code != code::NO_CREDENTIALS, Ordering::Relaxed);
        }
        let is_first = is_unmade && !self.has_connected.load(Ordering::Relaxed);
        attempts.set_first_contact(is_first);
        if is_first && error.code == code::UNKNOWN_HOST {
            error.kind = CallErrorKind::Configuration;
        }
    }

    /// Returns the limiter of a service in a region.
    pub(crate) fn limiter(&self, service: &str, region: &str) -> Arc<Limiter> {
        let (service, region) = if self.has_one_limit { ("", "") } else { (service, region) };
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(limiters.entry((service.to_owned(), region.to_owned())).or_insert_with(|| Arc::new(Limiter::new())))
    }
}

fn queue_timeout() -> CallError {
    let message = "throttled calls of the same operation took all the time";
    CallError::new(CallErrorKind::Throttled, code::QUEUE_TIMEOUT, message)
}

/// Returns the error of a call whose service asks for a pause that is longer than the call may take.
fn paused(asked: Duration) -> CallError {
    let message = format!("the service asks for a pause of {} s, more than the call may take", asked.as_secs());
    CallError::new(CallErrorKind::Throttled, code::QUEUE_TIMEOUT, message)
}

/// Returns the error of a call that exceeded its timeout.
fn timed_out(timeouts: Timeouts) -> CallError {
    let seconds = timeouts.operation.as_secs_f32();
    let message =
        format!("no complete response in time (at most {seconds:.1} s in all, a part of the time left by --timeout)");
    CallError::new(CallErrorKind::Unavailable, code::TIMEOUT, message)
}

/// Raises or lowers the limit by the result of an attempt, and notes the pause that the service asks for.
/// That holds at most `longest`: a call that would wait longer fails anyway.
fn adjust<R>(limiter: &Arc<Limiter>, service: &str, result: &Result<R, CallError>, longest: Duration) {
    match result {
        Ok(_) => limiter.raise(),
        Err(error) if error.kind == CallErrorKind::Throttled => {
            if let Some(asked) = error.retry_after() {
                limiter.pause_until(Instant::now() + asked.min(longest));
            }
            if let Some(limit) = limiter.lower(std::time::Instant::now()) {
                tracing::debug!(service, limit, "throttled, lowering the concurrency limit");
            }
        }
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::cell::RefCell;

    use super::*;
    use crate::collector_api::Waits;

    /// Makes a call whose attempts have these results in turn; returns its result and the seconds of its attempts.
    async fn attempts(calls: &Calls, results: Vec<Attempt<u8>>) -> (Result<u8, CallError>, Vec<u64>) {
        let began = Instant::now();
        let (results, made) = (RefCell::new(results.into_iter()), RefCell::new(Vec::new()));
        let request = Request::new("compute", "list", "north");
        let attempt = async || {
            made.borrow_mut().push(began.elapsed().as_secs());
            let next = results.borrow_mut().next();
            match next {
                Some(attempt) => attempt,
                None => std::future::pending().await,
            }
        };
        (calls.run(&request, attempt).await, made.into_inner())
    }

    fn calls() -> Calls {
        Calls::new(Waits::default().unit(0), Timeouts { pause: Duration::ZERO, ..Timeouts::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn first_contact_has_few_attempts() {
        let timeouts = Timeouts { first_contact: Some(Duration::from_secs(3)), ..Timeouts::default() };
        let calls = Calls::new(Waits::default().unit(0), timeouts);
        let unmade = |code| (0..99).map(|_| Err(failed(CallErrorKind::Unavailable, code)).into()).collect();
        let (result, made) = attempts(&calls, unmade(code::UNKNOWN_HOST)).await;
        assert_eq!((result.unwrap_err().kind, made.len()), (CallErrorKind::Configuration, 1));
        let (result, made) = attempts(&calls, unmade(code::CONNECTION_FAILED)).await;
        assert_eq!(result.unwrap_err().kind, CallErrorKind::Unavailable);
        assert!(made.len() >= 3 && made.last().is_some_and(|last| *last < 6), "{made:?}");
        attempts(&calls, vec![Ok(1).into()]).await.0.unwrap();
        let (result, made) = attempts(&calls, unmade(code::UNKNOWN_HOST)).await;
        assert_eq!((result.unwrap_err().kind, made.len()), (CallErrorKind::Unavailable, 3), "a resolver may restart");
        let (_, made) = attempts(&calls, unmade(code::CONNECTION_FAILED)).await;
        assert!(made.last().is_some_and(|last| *last >= 38), "{made:?}");
    }

    fn failed(kind: CallErrorKind, code: &str) -> CallError {
        CallError::new(kind, code, "no")
    }

    fn throttled(seconds: u64) -> Attempt<u8> {
        Err(failed(CallErrorKind::Throttled, "429").with_retry_after(Duration::from_secs(seconds))).into()
    }

    #[tokio::test(start_paused = true)]
    async fn requested_pause_is_kept() {
        let (result, made) = attempts(&calls(), vec![throttled(7), throttled(20), Ok(1).into()]).await;
        assert_eq!((result.unwrap(), made), (1, vec![0, 7, 27]));
    }

    #[tokio::test(start_paused = true)]
    async fn requested_pause_delays_other_calls_of_service() {
        let calls = calls();
        let first = attempts(&calls, vec![throttled(30), Ok(1).into()]);
        let second = async {
            tokio::time::advance(Duration::from_secs(1)).await;
            attempts(&calls, vec![Ok(2).into()]).await
        };
        let (_, (result, made)) = tokio::join!(first, second);
        assert_eq!((result.unwrap(), made), (2, vec![29]), "a second after the first one");
    }

    #[tokio::test(start_paused = true)]
    async fn requested_pause_beyond_call_timeout_fails_call() {
        let (result, made) = attempts(&calls(), vec![throttled(3600)]).await;
        let error = result.unwrap_err();
        assert_eq!((error.code.as_str(), &*error.operation, made.len()), ("429", "list", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn corrected_attempt_is_made_again_at_once_and_twice_only() {
        let corrected = || Attempt { result: Err(failed(CallErrorKind::Credentials, "skewed")), is_corrected: true };
        let (result, made) = attempts(&calls(), vec![corrected(), Ok(1).into()]).await;
        assert_eq!((result.unwrap(), made), (1, vec![0, 0]));
        let (result, made) = attempts(&calls(), vec![corrected(), corrected(), corrected(), Ok(1).into()]).await;
        assert_eq!((result.unwrap_err().code.as_str(), made.len()), ("skewed", 3));
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_attempt_ends_with_the_call_and_keeps_the_last_error() {
        let (result, _) = attempts(&calls(), vec![]).await;
        assert_eq!(result.unwrap_err().code, code::TIMEOUT);
        let (result, _) = attempts(&calls(), vec![Err(failed(CallErrorKind::Unavailable, "500")).into()]).await;
        assert_eq!(result.unwrap_err().code, "500");
    }
}
