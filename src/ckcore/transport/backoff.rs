//! Exponential backoff with jitter, so that many workers do not reconnect at once.

use std::time::Duration;

/// An exponential backoff: each wait is between half and all of the current step, which then doubles.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    step: Duration,
}

impl Backoff {
    /// Starts at `first` and never exceeds `limit`.
    #[must_use]
    pub fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, step: first }
    }

    /// Returns the next wait.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so it is no iterator")]
    pub fn next(&mut self) -> Duration {
        let wait = self.step.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.step = (self.step * 2).min(self.limit);
        wait
    }

    /// Resets the step after a success.
    pub fn reset(&mut self) {
        self.step = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_limit_until_reset() {
        let (first, limit) = (Duration::from_millis(200), Duration::from_secs(10));
        let mut backoff = Backoff::new(first, limit);
        let waits: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits[0] >= first / 2 && waits[0] <= first);
        assert!(waits[10..].iter().all(|wait| *wait >= limit / 2 && *wait <= limit));
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
