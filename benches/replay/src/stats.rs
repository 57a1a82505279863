//! Counts of requests, for tests and for `/_ctl/stats`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// The most requests without a recording that are listed.
const MAX_LISTED: usize = 100;
/// The most characters of one of them.
const MAX_LISTED_LENGTH: usize = 2000;

/// The counts since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// The number of answered requests.
    pub total: u64,
    /// Answered requests by service and operation, such as `ec2:DescribeVpcs`.
    pub by: BTreeMap<String, u64>,
    /// Answered requests by account ID.
    pub by_account: BTreeMap<String, u64>,
    /// The most requests that were in flight at the same time.
    pub peak_in_flight: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// The most connections that were open at the same time.
    pub peak_connections: u64,
    /// Requests without a recording.
    pub unmatched: u64,
    /// The first distinct ones of them: region, account, service, operation and body.
    pub unmatched_requests: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    stats: Stats,
    in_flight: u64,
    open: u64,
}

/// The counts of a running server.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<State>);

impl Counts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a copy of the counts.
    pub(crate) fn stats(&self) -> Stats {
        self.state().stats.clone()
    }

    /// Resets all counts. Requests in flight and open connections count for the new peaks.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        let (peak_in_flight, peak_connections) = (state.in_flight, state.open);
        state.stats = Stats { peak_in_flight, peak_connections, ..Stats::default() };
    }

    /// Counts a request until the result is dropped.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        let mut state = self.state();
        state.in_flight += 1;
        state.stats.peak_in_flight = state.stats.peak_in_flight.max(state.in_flight);
        InFlight(self)
    }

    /// Counts an answered request.
    pub(crate) fn answered(&self, name: &str, account: &str) {
        let mut state = self.state();
        state.stats.total += 1;
        count(&mut state.stats.by, name);
        count(&mut state.stats.by_account, account);
    }

    /// Counts a request without a recording.
    pub(crate) fn unmatched(&self, mut request: String) {
        request.truncate(request.floor_char_boundary(MAX_LISTED_LENGTH));
        let stats = &mut self.state().stats;
        stats.unmatched += 1;
        if stats.unmatched_requests.len() < MAX_LISTED && !stats.unmatched_requests.contains(&request) {
            stats.unmatched_requests.push(request);
        }
    }

    /// Counts a connection until the result is dropped.
    pub(crate) fn connected(self: std::sync::Arc<Self>) -> Open {
        let mut state = self.state();
        state.open += 1;
        state.stats.connections += 1;
        state.stats.peak_connections = state.stats.peak_connections.max(state.open);
        drop(state);
        Open(self)
    }
}

/// Adds one, without a new string for a name that is known.
fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => _ = counts.insert(name.to_owned(), 1),
    }
}

/// A request that is in flight.
pub(crate) struct InFlight<'c>(&'c Counts);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

/// A connection that is open.
pub(crate) struct Open(std::sync::Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state().open -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_keeps_only_what_is_in_flight() {
        let counts = Counts::default();
        let first = counts.begin();
        drop(counts.begin());
        drop(counts.begin());
        counts.answered("ec2:DescribeVpcs", "123456789012");
        assert_eq!((counts.stats().peak_in_flight, counts.stats().total), (2, 1));
        counts.reset();
        assert_eq!(counts.stats(), Stats { peak_in_flight: 1, ..Stats::default() });
        drop(first);
    }

    #[test]
    fn listed_requests_are_bounded() {
        let counts = Counts::default();
        for number in 0..2 * MAX_LISTED {
            counts.unmatched(format!("{number} {}", "x".repeat(2 * MAX_LISTED_LENGTH)));
        }
        counts.unmatched("0".into());
        let stats = counts.stats();
        assert_eq!((stats.unmatched, stats.unmatched_requests.len()), (2 * MAX_LISTED as u64 + 1, MAX_LISTED));
        assert!(stats.unmatched_requests.iter().all(|request| request.len() <= MAX_LISTED_LENGTH));
    }
}
