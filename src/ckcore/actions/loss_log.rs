//! Decides which connection failures are logged, a pure state machine.
//!
//! A core may close every connection at once, for hours and with varying reasons. Each reason is logged once; after
//! that only the 16th, 32nd, 64th, … failure is logged, until a connection has lasted [`STABLE`] or has carried a
//! result.

use std::time::Duration;

/// The time after which a connection counts as stable.
pub const STABLE: Duration = Duration::from_secs(60);

/// The limit of remembered reasons; further ones are only counted.
const MAX_REASONS: usize = 8;
/// The first failure that is logged although its reason is known.
const FIRST_REPEATED: u64 = 16;

/// The failures since the last stable connection.
#[derive(Debug, Default)]
pub struct LossLog {
    attempts: u64,
    connections: u64,
    reasons: Vec<String>,
}

/// The logging of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDecision {
    /// As a warning of its own.
    Log,
    /// As a summary: the number of failures, and of connections that were made and did not last.
    Summarize(u64, u64),
    /// At level DEBUG.
    Suppress,
}

impl LossLog {
    /// Records a connection. Returns whether to log it.
    pub fn connected(&mut self) -> bool {
        self.connections += 1;
        self.connections == 1
    }

    /// Records a failure.
    pub fn lost(&mut self, reason: &str) -> LogDecision {
        self.attempts += 1;
        if self.reasons.len() < MAX_REASONS && !self.reasons.iter().any(|known| known == reason) {
            self.reasons.push(reason.to_owned());
            return LogDecision::Log;
        }
        if self.attempts >= FIRST_REPEATED && self.attempts.is_power_of_two() {
            return LogDecision::Summarize(self.attempts, self.connections);
        }
        LogDecision::Suppress
    }

    /// Records that the connection is stable. Returns the number of failures before it, unless the connection was
    /// logged.
    pub fn lasts(&mut self) -> Option<u64> {
        let Self { attempts, connections, .. } = std::mem::take(self);
        // The connection after the next failure is logged again.
        (connections > 1).then_some(attempts)
    }

    /// Whether there was no failure since the last stable connection.
    pub fn is_empty(&self) -> bool {
        self.attempts == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_reason_is_logged_at_growing_intervals() {
        let mut losses = LossLog::default();
        let said: Vec<LogDecision> = (0..500).map(|_| losses.lost("closed")).collect();
        assert_eq!(said[0], LogDecision::Log);
        let repeated: Vec<LogDecision> =
            said.into_iter().skip(1).filter(|said| *said != LogDecision::Suppress).collect();
        assert_eq!(repeated, [16, 32, 64, 128, 256].map(|attempts| LogDecision::Summarize(attempts, 0)));
    }

    #[test]
    fn alternating_reasons_are_each_logged_once() {
        let mut losses = LossLog::default();
        let news = (0..500).filter(|number| losses.lost(["reset", "closed"][number % 2]) == LogDecision::Log).count();
        assert_eq!(news, 2);
        let mut losses = LossLog::default();
        let logged = (0..500).filter(|number| losses.lost(&number.to_string()) != LogDecision::Suppress).count();
        assert!(logged <= MAX_REASONS + 5, "{logged}");
    }

    #[test]
    fn short_connections_are_logged_once_until_one_lasts() {
        let mut losses = LossLog::default();
        assert!(losses.connected(), "the first connection");
        for _ in 0..15 {
            losses.lost("closed");
            assert!(!losses.connected());
        }
        assert_eq!(losses.lost("closed"), LogDecision::Summarize(16, 16));
        losses.connected();
        assert_eq!(losses.lasts(), Some(16));
        assert!(losses.is_empty());
        assert_eq!(losses.lost("closed"), LogDecision::Log);
        assert!(losses.connected());
        assert_eq!(losses.lasts(), None, "it was logged when it was made");
    }
}
