//! Values that many units need and one fetches, such as the price of an instance type (single flight).
//!
//! The first request for a key gets a lease to fetch the value; requests during the fetch wait; later ones get the value.
//! If the holder of the lease fails or ends, the lease passes to the next waiter. The supervisor keeps one
//! [`SingleFlight`] for its workers, and each worker one for its units, so that a worker requests a key once.

use std::collections::{BTreeMap, VecDeque};

/// The limit of a key, in bytes.
pub const MAX_KEY: usize = 1024;
/// The limit of a value, in bytes; a longer one counts as a failed fetch.
pub const MAX_VALUE: usize = 64 * 1024;
/// The limit of keys and values together, in bytes; above it each request gets a lease.
const MAX_BYTES: usize = 64 << 20;
/// The memory of a key beside its string: its entry and its share of the map.
const ENTRY: usize = 128;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value.
    Value(String),
    /// A lease: fetch the value, and publish it or the failure.
    Fetch,
}

/// Answers and the waiters that get them.
pub type Told<W> = Vec<(W, Answer)>;

#[derive(Debug)]
enum Entry<W> {
    Known(String),
    Fetching { holder: u64, waiting: VecDeque<(u64, W)> },
}

/// The requested keys. `W` is a waiter.
#[derive(Debug)]
pub struct SingleFlight<W> {
    entries: BTreeMap<String, Entry<W>>,
    /// The memory of keys and values, in bytes.
    bytes: usize,
}

impl<W> Default for SingleFlight<W> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), bytes: 0 }
    }
}

impl<W> SingleFlight<W> {
    /// Handles a request for a key.
    pub fn ask(&mut self, key: &str, who: u64, waiter: W) -> Told<W> {
        match self.entries.get_mut(key) {
            Some(Entry::Known(value)) => vec![(waiter, Answer::Value(value.clone()))],
            Some(Entry::Fetching { waiting, .. }) => {
                waiting.push_back((who, waiter));
                Vec::new()
            }
            None => {
                let bytes = key.len() + ENTRY;
                if self.bytes + bytes <= MAX_BYTES {
                    self.bytes += bytes;
                    let entry = Entry::Fetching { holder: who, waiting: VecDeque::new() };
                    self.entries.insert(key.to_owned(), entry);
                }
                vec![(waiter, Answer::Fetch)]
            }
        }
    }

    /// Records a value or a failed fetch. Ignored unless `who` holds the lease.
    pub fn publish(&mut self, key: &str, who: u64, value: Option<String>) -> Told<W> {
        let Some(Entry::Fetching { holder, waiting }) = self.entries.get_mut(key) else { return Vec::new() };
        if *holder != who {
            return Vec::new();
        }
        match value.filter(|value| value.len() <= MAX_VALUE) {
            Some(value) if self.bytes + value.len() <= MAX_BYTES => {
                self.bytes += value.len();
                let told = std::mem::take(waiting).into_iter();
                let told = told.map(|(_, waiter)| (waiter, Answer::Value(value.clone()))).collect();
                self.entries.insert(key.to_owned(), Entry::Known(value));
                told
            }
            _ => self.pass_on(key),
        }
    }

    /// Releases the leases of a requester; each passes to the next waiter.
    pub fn release(&mut self, who: u64) -> Told<W> {
        let mut held = Vec::new();
        for (key, entry) in &mut self.entries {
            if let Entry::Fetching { holder, waiting } = entry {
                waiting.retain(|(waiting, _)| *waiting != who);
                if *holder == who {
                    held.push(key.clone());
                }
            }
        }
        held.iter().flat_map(|key| self.pass_on(key)).collect()
    }

    fn pass_on(&mut self, key: &str) -> Told<W> {
        let Some(Entry::Fetching { holder, waiting }) = self.entries.get_mut(key) else { return Vec::new() };
        match waiting.pop_front() {
            Some((next, waiter)) => {
                *holder = next;
                vec![(waiter, Answer::Fetch)]
            }
            None => {
                self.entries.remove(key);
                self.bytes -= key.len() + ENTRY;
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Answer {
        Answer::Value(text.into())
    }

    #[test]
    fn first_requester_fetches_and_others_wait() {
        let mut leases = SingleFlight::default();
        assert_eq!(leases.ask("k", 1, "a"), [("a", Answer::Fetch)]);
        assert_eq!(leases.ask("k", 2, "b"), []);
        assert_eq!(leases.ask("k", 3, "c"), []);
        assert_eq!(leases.publish("k", 1, Some("v".into())), [("b", value("v")), ("c", value("v"))]);
        assert_eq!(leases.ask("k", 4, "d"), [("d", value("v"))]);
    }

    #[test]
    fn failed_fetch_passes_lease_to_next_waiter() {
        let mut leases = SingleFlight::default();
        leases.ask("k", 1, "a");
        leases.ask("k", 2, "b");
        assert_eq!(leases.publish("k", 1, None), [("b", Answer::Fetch)]);
        assert_eq!(leases.publish("k", 2, None), []);
        assert_eq!(leases.ask("k", 3, "c"), [("c", Answer::Fetch)]);
    }

    #[test]
    fn released_lease_passes_to_next_waiter() {
        let mut leases = SingleFlight::default();
        leases.ask("k", 1, "a");
        leases.ask("k", 2, "b");
        leases.ask("k", 3, "c");
        assert_eq!(leases.release(2), []);
        assert_eq!(leases.release(1), [("c", Answer::Fetch)]);
    }

    /// Invariant: a worker cannot exhaust the supervisor's memory.
    #[test]
    fn memory_of_shared_values_is_bounded() {
        let mut leases = SingleFlight::default();
        let large = "v".repeat(MAX_VALUE);
        for key in 0..2000 {
            assert_eq!(leases.ask(&key.to_string(), 1, key), [(key, Answer::Fetch)]);
            leases.publish(&key.to_string(), 1, Some(large.clone()));
        }
        assert!(leases.bytes <= MAX_BYTES, "{}", leases.bytes);
        assert!((1000..1024).contains(&leases.entries.len()), "{}", leases.entries.len());
        let mut leases = SingleFlight::default();
        leases.ask("k", 1, 0);
        assert_eq!(leases.publish("k", 1, Some(large + "v")), []);
        assert_eq!(leases.bytes, 0, "too long to be kept");
        assert_eq!(leases.ask("k", 2, 0), [(0, Answer::Fetch)]);
        leases.release(2);
        assert_eq!(leases.bytes, 0);
    }

    #[test]
    fn only_lease_holder_may_publish() {
        let mut leases = SingleFlight::default();
        leases.ask("k", 1, "a");
        assert_eq!(leases.publish("k", 9, Some("forged".into())), []);
        assert_eq!(leases.publish("other", 9, Some("forged".into())), []);
        assert_eq!(leases.ask("other", 2, "b"), [("b", Answer::Fetch)]);
    }
}
