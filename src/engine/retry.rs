//! Retries: which failed attempts are retried, after which pause, and for how long.
//!
//! Transient failures are retried for a time and not for a number of attempts: if each attempt of a thousand calls
//! fails with a probability of one half, eight attempts are too few for some of them. The pauses are short enough for
//! some thirty attempts; the limiter reduces the rate of calls. Throttling is retried longer than other failures, as
//! the service is available.

use std::time::Duration;

use tokio::time::Instant;

use super::error::{CallError, CallErrorKind, code};

/// The timeouts of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The timeout of a connection attempt.
    pub connect: Duration,
    /// The timeout of an attempt, from sending to the last byte.
    pub attempt: Duration,
    /// The timeout of a call with all its attempts and the pauses between them.
    pub operation: Duration,
    /// The longest pause before the second attempt. It doubles with each attempt, up to a few seconds.
    pub pause: Duration,
    /// The time after its start in which a throttled call may start another attempt; other transient failures have two
    /// thirds of it. Zero means no retries.
    pub retry: Duration,
    /// The same for failures other than throttling, if they have not two thirds of it.
    pub retry_failures: Option<Duration>,
    /// The same for connections that cannot be made, as long as none was made: the address is probably wrong. An unknown
    /// host is looked up once then.
    pub first_contact: Option<Duration>,
    /// When the unit must end. A call may take only a part of the time left until then, so that a hanging one leaves
    /// time for others.
    pub deadline: Option<Instant>,
}

/// The divisor of the time left that gives the timeout of a call with all its attempts.
const OPERATION_PART: u32 = 5;

/// The divisor of a call's timeout that gives the timeout of an attempt.
const ATTEMPT_PART: u32 = 2;

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let (connect, attempt, operation) = (seconds(5), seconds(60), seconds(300));
        Self {
            connect,
            attempt,
            operation,
            pause: seconds(1),
            retry: seconds(60),
            retry_failures: None,
            first_contact: None,
            deadline: None,
        }
    }
}

impl Timeouts {
    /// Returns the timeouts of a call that starts now and may take at most `limit`.
    #[must_use]
    pub fn now(self, limit: Option<Duration>) -> Self {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()) / OPERATION_PART);
        let Some(limit) = left.into_iter().chain(limit).min() else { return self };
        let operation = self.operation.min(limit);
        let attempt = self.attempt.min(operation / ATTEMPT_PART);
        Self { connect: self.connect.min(attempt), attempt, operation, ..self }
    }
}

/// The longest pause between two attempts, after a throttled one and after any other.
const MAX_PAUSES: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(2)];

/// The part of the time for retries that failures other than throttling have.
const FAILURE_PART: f64 = 2.0 / 3.0;

/// The least number of attempts, even if each takes long.
const MIN_ATTEMPTS: u32 = 3;

/// The lookups of an unknown host: a resolver may be restarting.
const LOOKUPS: u32 = 3;

/// The most retries because of clock skew.
const CORRECTIONS: u32 = 2;

/// The attempts of one call.
pub(super) struct Attempts {
    timeouts: Timeouts,
    began: Instant,
    made: u32,
    corrected: u32,
    is_first_contact: bool,
}

impl Attempts {
    /// Starts the attempts of a call.
    pub(super) fn begin(timeouts: Timeouts) -> Self {
        Self { timeouts, began: Instant::now(), made: 0, corrected: 0, is_first_contact: false }
    }

    /// Returns the time that the call has left.
    pub(super) fn left(&self) -> Duration {
        self.timeouts.operation.saturating_sub(self.began.elapsed())
    }

    /// Returns whether an attempt with clock skew is retried; at once, as the clock is corrected by now.
    pub(super) fn may_correct(&mut self) -> bool {
        self.corrected += 1;
        self.corrected <= CORRECTIONS
    }

    /// Says whether the last attempt made no connection, and none was made before.
    pub(super) fn set_first_contact(&mut self, is_first_contact: bool) {
        self.is_first_contact = is_first_contact;
    }

    /// Returns the pause before the next attempt; `None` if there is none. `random` is a number from 0 to 1. A pause
    /// that the service asks for is kept.
    pub(super) fn pause(&mut self, error: &CallError, random: f64) -> Option<Duration> {
        self.made += 1;
        let is_throttled = error.kind == CallErrorKind::Throttled;
        let at_first = self.timeouts.first_contact.filter(|_| self.is_first_contact);
        let failures = at_first.or(self.timeouts.retry_failures).unwrap_or(self.timeouts.retry.mul_f64(FAILURE_PART));
        let time = if is_throttled { self.timeouts.retry } else { failures };
        let is_over = match error.code.as_str() {
            _ if !error.is_retryable() || self.timeouts.retry.is_zero() => true,
            code::UNKNOWN_HOST => self.made >= LOOKUPS,
            _ => self.began.elapsed() >= time && self.made >= MIN_ATTEMPTS,
        };
        let doubled = self.timeouts.pause.saturating_mul(1 << (self.made - 1).min(16));
        let longest = doubled.min(MAX_PAUSES[usize::from(!is_throttled)]);
        let asked = error.retry_after().unwrap_or_default();
        (!is_over).then(|| longest.mul_f64(random.clamp(0.0, 1.0)).max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: CallErrorKind, code: &str) -> CallError {
        CallError::new(kind, code, "")
    }

    /// Returns the number of attempts if each fails at once with this error, and how long they take.
    async fn attempts(error: &CallError, timeouts: Timeouts) -> (u32, Duration) {
        let mut random = fastrand::Rng::with_seed(7);
        let (began, mut attempts) = (Instant::now(), Attempts::begin(timeouts));
        while let Some(pause) = attempts.pause(error, random.f64()) {
            tokio::time::advance(pause).await;
        }
        (attempts.made, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn transient_errors_are_retried_for_a_time() {
        use CallErrorKind::{Throttled, Unavailable};
        for (kind, code, time) in [
            (Throttled, "RateExceeded", 60..64),
            (Unavailable, "500", 40..42),
            (Unavailable, code::CONNECTION_LOST, 40..42),
            (Unavailable, code::CONNECTION_FAILED, 40..42),
            (Unavailable, code::INVALID_RESPONSE, 40..42),
        ] {
            let (made, took) = attempts(&failed(kind, code), Timeouts::default()).await;
            assert!((25..60).contains(&made), "{code}: {made}");
            assert!(time.contains(&took.as_secs()), "{code}: {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_host_fails_within_seconds() {
        let (made, took) = attempts(&failed(CallErrorKind::Unavailable, code::UNKNOWN_HOST), Timeouts::default()).await;
        assert_eq!(made, 3);
        assert!(took < Duration::from_secs(3), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn final_errors_have_one_attempt() {
        use CallErrorKind::{Configuration, Credentials, Denied, NotFound, Throttled, Unavailable, Unexpected};
        for (kind, code) in [
            (Denied, "AccessDenied"),
            (NotFound, "NotFound"),
            (Unexpected, "SomethingNew"),
            (Credentials, "ExpiredToken"),
            (Configuration, "InvalidAction"),
            (Unavailable, code::NO_CREDENTIALS),
        ] {
            let (made, _) = attempts(&failed(kind, code), Timeouts::default()).await;
            assert_eq!(made, 1, "{code}");
        }
        let mut quota = failed(Throttled, "QuotaExceeded");
        quota.facts.is_final = true;
        assert_eq!(attempts(&quota, Timeouts::default()).await.0, 1);
    }

    #[test]
    fn pause_is_at_least_the_requested_one() {
        for asked in [Duration::from_secs(1), Duration::from_secs(30)] {
            let error = failed(CallErrorKind::Throttled, "429").with_retry_after(asked);
            let pause = Attempts::begin(Timeouts::default()).pause(&error, 0.0);
            assert_eq!(pause, Some(asked));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_attempts_are_at_least_three() {
        let (error, mut attempts) =
            (failed(CallErrorKind::Unavailable, code::TIMEOUT), Attempts::begin(Timeouts::default()));
        let mut made = 1;
        tokio::time::advance(Duration::from_secs(61)).await;
        while attempts.pause(&error, 0.5).is_some() {
            tokio::time::advance(Duration::from_secs(61)).await;
            made += 1;
        }
        assert_eq!(made, 3);
        assert_eq!(attempts.left(), Duration::from_secs(300 - 3 * 61));
    }

    #[test]
    fn wrong_time_is_corrected_twice() {
        let mut attempts = Attempts::begin(Timeouts::default());
        assert!(attempts.may_correct() && attempts.may_correct());
        assert!(!attempts.may_correct());
    }
}
