//! Which losses of the connection to the core are worth a log line: a pure state.
//!
//! A core may end every connection at once, for hours and with varying reasons. Each reason is logged once; after that, only
//! the 16th, 32nd, 64th… loss is logged, until a connection has held for [`STABLE`] or has carried an answer.

use std::time::Duration;

/// How long a connection must hold before it counts as one that lasts.
pub const STABLE: Duration = Duration::from_secs(60);

/// Reasons that are remembered; further ones are logged only with a count.
const MAX_REASONS: usize = 8;
/// The first loss that is logged although its reason is known.
const FIRST_REPEATED: u64 = 16;

/// The losses and failed attempts since the last connection that lasted.
#[derive(Debug, Default)]
pub struct LossLog {
    attempts: u64,
    connections: u64,
    reasons: Vec<String>,
}

/// How a loss is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogDecision {
    /// As news.
    Log,
    /// As one of many, with the number of attempts and of connections that were made and did not last.
    Summarize(u64, u64),
    /// Only for debugging.
    Suppress,
}

impl LossLog {
    /// A connection was made. Returns whether to log it.
    pub fn connected(&mut self) -> bool {
        self.connections += 1;
        self.connections == 1
    }

    /// A connection was lost or could not be made.
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

    /// The connection lasts. Returns the number of losses before it if the log does not say yet that there is a connection.
    pub fn lasts(&mut self) -> Option<u64> {
        let Self { attempts, connections, .. } = std::mem::take(self);
        // The next loss is followed by a connection that is news again.
        (connections > 1).then_some(attempts)
    }

    /// Whether nothing was lost since the last connection that lasted.
    pub fn is_empty(&self) -> bool {
        self.attempts == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_reason_is_repeated_at_growing_intervals_only() {
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
        assert!(losses.connected(), "the first one");
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
