//! Retries: which failed attempts are retried, after which pause, and for how long.
//!
//! Transient failures are retried for a time and not for a number of attempts: if each attempt of a thousand calls
//! fails with a probability of one half, eight attempts are too few for some of them. The pauses are short enough for
//! some thirty attempts; the limiter reduces the rate of calls. Throttling is retried longer than other failures, as
//! the service is available.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Timeouts,
    error::{CallError, CallErrorKind, code},
};

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
}

impl Attempts {
    /// Starts the attempts of a call.
    pub(super) fn begin(timeouts: Timeouts) -> Self {
        Self { timeouts, began: Instant::now(), made: 0, corrected: 0 }
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

    /// Returns the pause before the next attempt; `None` if there is none. `random` is a number from 0 to 1.
    pub(super) fn pause(&mut self, error: &CallError, random: f64) -> Option<Duration> {
        self.made += 1;
        let is_throttled = error.kind == CallErrorKind::Throttled;
        let time = self.timeouts.retry.mul_f64(if is_throttled { 1.0 } else { FAILURE_PART });
        let is_over = match error.code.as_str() {
            _ if !error.is_retryable() || self.timeouts.retry.is_zero() => true,
            code::UNKNOWN_HOST => self.made >= LOOKUPS,
            _ => self.began.elapsed() >= time && self.made >= MIN_ATTEMPTS,
        };
        let doubled = self.timeouts.pause.saturating_mul(1 << (self.made - 1).min(16));
        let longest = doubled.min(MAX_PAUSES[usize::from(!is_throttled)]);
        (!is_over).then(|| longest.mul_f64(random.clamp(0.0, 1.0)))
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
            (Throttled, "RequestLimitExceeded", 60..64),
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
            (NotFound, "NoSuchEntity"),
            (Unexpected, "SomethingNew"),
            (Credentials, "ExpiredToken"),
            (Configuration, "InvalidAction"),
            (Throttled, "LimitExceededException"),
            (Unavailable, code::NO_CREDENTIALS),
        ] {
            let (made, _) = attempts(&failed(kind, code), Timeouts::default()).await;
            assert_eq!(made, 1, "{code}");
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
