//! The attempts of calls: permits, pauses, retries and timeouts, for the client of any cloud.
//!
//! A client makes one attempt; this loop decides whether there is another one, and when.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::{sleep, timeout};
use worker_proto::WaitOn;

use super::{
    api::Request,
    attempts::{Attempts, Timeouts},
    error::{CallError, CallErrorKind, code},
    limiter::Limiter,
};
use crate::collector_api::UnitWaits;

/// The calls of one account: the registry of those in progress, their timeouts, and the limiters.
pub struct Calls {
    waits: UnitWaits,
    timeouts: Timeouts,
    /// By service and region.
    limiters: Mutex<HashMap<(String, String), Arc<Limiter>>>,
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
        Self { waits, timeouts, limiters: Mutex::default() }
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
            let asked = limiter.paused_for(std::time::Instant::now());
            if asked.is_some_and(|asked| asked >= attempts.left()) {
                return Err(last.unwrap_or_else(queue_timeout));
            }
            sleep(asked.unwrap_or_default()).await;
            let Ok(Attempt { result, is_corrected }) = timeout(attempts.left(), attempt()).await else {
                return Err(last.unwrap_or_else(|| timed_out(timeouts)));
            };
            adjust(&limiter, request.service, &result);
            let error = match result {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
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

    /// Returns the limiter of a service in a region.
    pub(crate) fn limiter(&self, service: &str, region: &str) -> Arc<Limiter> {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(limiters.entry((service.to_owned(), region.to_owned())).or_insert_with(|| Arc::new(Limiter::new())))
    }
}

fn queue_timeout() -> CallError {
    let message = "throttled calls of the same operation took all the time";
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
fn adjust<R>(limiter: &Arc<Limiter>, service: &str, result: &Result<R, CallError>) {
    match result {
        Ok(_) => limiter.raise(),
        Err(error) if error.kind == CallErrorKind::Throttled => {
            let now = std::time::Instant::now();
            if let Some(asked) = error.retry_after() {
                limiter.pause_until(now + asked);
            }
            if let Some(limit) = limiter.lower(now) {
                tracing::debug!(service, limit, "throttled, lowering the concurrency limit");
            }
        }
        Err(_) => {}
    }
}
