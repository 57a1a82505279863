//! Retries requests to the core while their failure may be transient.

use std::time::{Duration, Instant};

use tokio::time::{self, sleep, timeout_at};

use super::Backoff;
use crate::ckcore::CoreError;

/// The time after which a rejected key is final. Until then the core may be given the former key again, or clocks may
/// be set.
const KEY_REJECTION_LIMIT: Duration = Duration::from_secs(300);

/// Retries a request until it succeeds, fails permanently, or the deadline passes. The waits grow from the first
/// duration to the second.
///
/// # Errors
/// The permanent error; or at the deadline the last transient error, or that `what` got no response in time.
pub async fn retry<T, F: Future<Output = Result<T, CoreError>>>(
    deadline: Instant,
    (first, longest): (Duration, Duration),
    what: &'static str,
    mut ask: impl FnMut() -> F,
) -> Result<T, CoreError> {
    let mut backoff = Backoff::new(first, longest);
    let mut key_rejections = KeyRejections::default();
    let mut last: Option<CoreError> = None;
    let mut attempt = 0_u64;
    loop {
        attempt += 1;
        let error = match timeout_at(deadline.into(), ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => key_rejections.judge(error, now()),
            // The cause of the last failure is more useful than the deadline.
            Err(_) => return Err(last.unwrap_or_else(|| CoreError::at_deadline(what))),
        };
        let pause = backoff.next();
        if !error.retryable || now() + pause >= deadline {
            return Err(error);
        }
        let retry_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(peer = "core", request = what, attempt, retry_in_ms, %error, "request to the core failed; retrying");
        last = Some(error);
        sleep(pause).await;
    }
}

/// Returns the runtime's time, which tests can pause.
fn now() -> Instant {
    time::Instant::now().into_std()
}

/// The time since which the core has rejected the key without another response in between.
#[derive(Debug, Default)]
pub struct KeyRejections {
    since: Option<Instant>,
}

impl KeyRejections {
    /// Returns the error, made permanent if the core has rejected the key for too long.
    #[must_use]
    pub fn judge(&mut self, error: CoreError, now: Instant) -> CoreError {
        if !error.is_unauthorized() {
            self.since = None;
            return error;
        }
        let since = *self.since.get_or_insert(now);
        let retryable = error.retryable && now.saturating_duration_since(since) < KEY_REJECTION_LIMIT;
        CoreError { retryable, ..error }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

    fn error(retryable: bool) -> CoreError {
        CoreError { what: "query", status: None, message: "refused".into(), retryable }
    }

    /// Sends a request to a core that fails `away` times. Returns the result and the number of requests.
    async fn ask(away: usize, retryable: bool, time: Duration) -> (Result<(), CoreError>, usize) {
        let asked = Cell::new(0);
        let answer = retry(now() + time, PAUSES, "question", || {
            asked.set(asked.get() + 1);
            let answer = if asked.get() > away { Ok(()) } else { Err(error(retryable)) };
            async { answer }
        });
        let answer = answer.await;
        (answer, asked.get())
    }

    #[tokio::test(start_paused = true)]
    async fn transient_failure_is_retried_until_deadline() {
        assert_eq!(ask(4, true, LONG).await, (Ok(()), 5));
        let (answer, asked) = ask(usize::MAX, true, Duration::from_millis(100)).await;
        assert!(answer == Err(error(true)) && (2..=20).contains(&asked), "{answer:?} {asked}");
        assert_eq!(ask(1, false, LONG).await, (Err(error(false)), 1), "what cannot change is not asked again");
    }

    /// Invariant: no request to the core outlasts its deadline, and a rejected key becomes permanent.
    #[tokio::test(start_paused = true)]
    async fn request_without_response_ends_at_deadline() {
        let (began, patience) = (now(), Duration::from_millis(50));
        let answer: Result<(), CoreError> = retry(began + patience, PAUSES, "question", pending).await;
        assert!(answer.is_err_and(|error| error.to_string().contains("question failed: the deadline")));
        assert!(now() >= began + patience);
    }

    #[tokio::test(start_paused = true)]
    async fn error_at_deadline_is_the_last_failure() {
        let first = Cell::new(true);
        let answer: Result<(), CoreError> = retry(now() + PAUSES.0 * 10, PAUSES, "question", || {
            let refuses = first.replace(false);
            async move { if refuses { Err(error(true)) } else { pending().await } }
        })
        .await;
        assert_eq!(answer, Err(error(true)));
    }

    /// Invariant: no request to the core outlasts its deadline, and a rejected key becomes permanent.
    #[test]
    fn rejected_key_is_final_after_five_minutes() {
        let (mut refusals, began) = (KeyRejections::default(), Instant::now());
        let mut judge = |error, seconds| refusals.judge(error, began + Duration::from_secs(seconds)).retryable;
        let refused = || CoreError::refused("merge", 401, "");
        assert!(judge(refused(), 0) && judge(refused(), 299));
        assert!(judge(CoreError::transport("merge", "no connection"), 299), "the core restarts, perhaps with our key");
        assert!(judge(refused(), 301) && judge(refused(), 600));
        assert!(!judge(refused(), 601));
    }
}
