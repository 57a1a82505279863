//! Values that many units need and one fetches, such as the price of an instance type (single flight).
//!
//! The first request for a key gets a lease to fetch the value; requests during the fetch wait; later ones get the
//! value. If the holder of the lease fails or ends, the lease passes to the next waiter. The supervisor keeps one
//! [`SingleFlight`] for its workers, and each worker one for its units, so that a worker requests a key once.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

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
    entries: BTreeMap<Arc<str>, Entry<W>>,
    /// The keys that each requester fetches or waits for, so that its end looks at no others.
    open: BTreeMap<u64, BTreeSet<Arc<str>>>,
    /// The memory of keys and values, in bytes.
    bytes: usize,
}

impl<W> Default for SingleFlight<W> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), open: BTreeMap::new(), bytes: 0 }
    }
}

impl<W> SingleFlight<W> {
    /// Handles a request for a key.
    pub fn ask(&mut self, key: &str, who: u64, waiter: W) -> Told<W> {
        match self.entries.get_mut(key) {
            Some(Entry::Known(value)) => vec![(waiter, Answer::Value(value.clone()))],
            Some(Entry::Fetching { waiting, .. }) => {
                waiting.push_back((who, waiter));
                self.opened(key.into(), who);
                Vec::new()
            }
            None => {
                let bytes = key.len() + ENTRY;
                if self.bytes + bytes <= MAX_BYTES {
                    self.bytes += bytes;
                    let key: Arc<str> = key.into();
                    let entry = Entry::Fetching { holder: who, waiting: VecDeque::new() };
                    self.entries.insert(Arc::clone(&key), entry);
                    self.opened(key, who);
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
                let waiting = std::mem::take(waiting);
                self.closed(key, who);
                for (waiting, _) in &waiting {
                    self.closed(key, *waiting);
                }
                let told = waiting.into_iter().map(|(_, waiter)| (waiter, Answer::Value(value.clone()))).collect();
                self.entries.insert(key.into(), Entry::Known(value));
                told
            }
            _ => {
                if !waiting.iter().any(|(waiting, _)| *waiting == who) {
                    self.closed(key, who);
                }
                self.pass_on(key)
            }
        }
    }

    /// Releases the leases of a requester; each passes to the next waiter.
    pub fn release(&mut self, who: u64) -> Told<W> {
        let mut told = Vec::new();
        for key in self.open.remove(&who).unwrap_or_default() {
            let Some(Entry::Fetching { holder, waiting }) = self.entries.get_mut(&key) else { continue };
            waiting.retain(|(waiting, _)| *waiting != who);
            if *holder == who {
                told.extend(self.pass_on(&key));
            }
        }
        told
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

    fn opened(&mut self, key: Arc<str>, who: u64) {
        self.open.entry(who).or_default().insert(key);
    }

    fn closed(&mut self, key: &str, who: u64) {
        if let Some(keys) = self.open.get_mut(&who) {
            keys.remove(key);
            if keys.is_empty() {
                self.open.remove(&who);
            }
        }
    }
}

#[cfg(test)]
#[path = "shared_values_tests.rs"]
mod tests;
