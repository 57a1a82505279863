//! Asks the core again, as long as that may help.

use std::time::{Duration, Instant};

use tokio::time::{self, sleep, timeout_at};

use super::Backoff;
use crate::ckcore::CoreError;

/// How long it is hoped that the core accepts our key after all: that it is given the old one again, or that clocks are
/// set. A wrong key does not mend itself.
const KEY_REJECTION_LIMIT: Duration = Duration::from_secs(300);

/// Asks until there is an answer, until the refusal is one that does not pass, or until the deadline, with pauses from
/// the first to the second length.
///
/// # Errors
/// The refusal that does not pass; or at the deadline the last one that was retryable, and if there was none, that the
/// time was over for `what`.
pub async fn retry<T, F: Future<Output = Result<T, CoreError>>>(
    deadline: Instant,
    (first, longest): (Duration, Duration),
    what: &'static str,
    mut ask: impl FnMut() -> F,
) -> Result<T, CoreError> {
    let mut backoff = Backoff::new(first, longest);
    let mut key_rejections = KeyRejections::default();
    let mut refusal: Option<CoreError> = None;
    loop {
        let error = match timeout_at(deadline.into(), ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => key_rejections.judge(error, now()),
            // Why it had to be asked again says more than that the time was over then.
            Err(_) => return Err(refusal.unwrap_or_else(|| CoreError::at_deadline(what))),
        };
        let pause = backoff.next();
        if !error.retryable || now() + pause >= deadline {
            return Err(error);
        }
        tracing::warn!(peer = "core", %error, pause_ms = pause.as_millis(), "the core did not do what it was asked, trying again");
        refusal = Some(error);
        sleep(pause).await;
    }
}

/// The time as the runtime has it, which tests can let pass.
fn now() -> Instant {
    time::Instant::now().into_std()
}

/// Since when the core has refused our key, without anything else in between.
#[derive(Debug, Default)]
pub struct KeyRejections {
    since: Option<Instant>,
}

impl KeyRejections {
    /// The error, which is not retryable if it is one refusal of the key too many.
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

    /// Asks a core that is away so often before it answers; how often it was asked.
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
    async fn a_core_that_is_away_for_a_while_is_asked_until_the_deadline() {
        assert_eq!(ask(4, true, LONG).await, (Ok(()), 5));
        let (answer, asked) = ask(usize::MAX, true, Duration::from_millis(100)).await;
        assert!(answer == Err(error(true)) && (2..=20).contains(&asked), "{answer:?} {asked}");
        assert_eq!(ask(1, false, LONG).await, (Err(error(false)), 1), "what cannot change is not asked again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_core_that_does_not_answer_is_not_waited_for_beyond_the_deadline() {
        let (began, patience) = (now(), Duration::from_millis(50));
        let answer: Result<(), CoreError> = retry(began + patience, PAUSES, "question", pending).await;
        assert!(answer.is_err_and(|error| error.to_string().contains("question failed: the deadline")));
        assert!(now() >= began + patience);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_refusal_says_why_there_was_no_answer_in_time() {
        let first = Cell::new(true);
        let answer: Result<(), CoreError> = retry(now() + PAUSES.0 * 10, PAUSES, "question", || {
            let refuses = first.replace(false);
            async move { if refuses { Err(error(true)) } else { pending().await } }
        })
        .await;
        assert_eq!(answer, Err(error(true)));
    }

    #[test]
    fn a_key_that_is_refused_for_minutes_is_refused_for_good() {
        let (mut refusals, began) = (KeyRejections::default(), Instant::now());
        let mut judge = |error, seconds| refusals.judge(error, began + Duration::from_secs(seconds)).retryable;
        let refused = || CoreError::refused("merge", 401, "");
        assert!(judge(refused(), 0) && judge(refused(), 299));
        assert!(judge(CoreError::transport("merge", "no connection"), 299), "the core restarts, perhaps with our key");
        assert!(judge(refused(), 301) && judge(refused(), 600));
        assert!(!judge(refused(), 601));
    }
}
