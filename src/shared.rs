//! Facts that many units need and one has to fetch, such as the price of an instance type.
//!
//! Whoever asks first is told to fetch; whoever asks meanwhile waits; all others get the value. If the one that
//! fetches gives up or is gone, the next one that waits is told to fetch. A supervisor keeps one [`Leases`] for its
//! workers, and each worker one for its units, so that a worker asks for a key once.

use std::collections::{BTreeMap, VecDeque};

/// The most keys that are kept; beyond, everybody fetches for himself.
const MAX_KEYS: usize = 50_000;

/// What one who asks is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value.
    Value(String),
    /// Nobody has it: fetch it, and publish it or that it could not be had.
    Fetch,
}

/// Who has to be told what.
pub type Told<W> = Vec<(W, Answer)>;

#[derive(Debug)]
enum Entry<W> {
    Known(String),
    Fetching { holder: u64, waiting: VecDeque<(u64, W)> },
}

/// The keys that were asked for. `W` is how one who waits is told.
#[derive(Debug)]
pub struct Leases<W>(BTreeMap<String, Entry<W>>);

impl<W> Default for Leases<W> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<W> Leases<W> {
    /// Somebody asks for a key.
    pub fn ask(&mut self, key: &str, who: u64, waiter: W) -> Told<W> {
        match self.0.get_mut(key) {
            Some(Entry::Known(value)) => vec![(waiter, Answer::Value(value.clone()))],
            Some(Entry::Fetching { waiting, .. }) => {
                waiting.push_back((who, waiter));
                Vec::new()
            }
            None => {
                if self.0.len() < MAX_KEYS {
                    let entry = Entry::Fetching { holder: who, waiting: VecDeque::new() };
                    self.0.insert(key.to_owned(), entry);
                }
                vec![(waiter, Answer::Fetch)]
            }
        }
    }

    /// A key was fetched, or could not be. Said by one who was not told to fetch, it changes nothing.
    pub fn publish(&mut self, key: &str, who: u64, value: Option<String>) -> Told<W> {
        let Some(Entry::Fetching { holder, waiting }) = self.0.get_mut(key) else { return Vec::new() };
        if *holder != who {
            return Vec::new();
        }
        match value {
            Some(value) => {
                let told = std::mem::take(waiting).into_iter();
                let told = told.map(|(_, waiter)| (waiter, Answer::Value(value.clone()))).collect();
                self.0.insert(key.to_owned(), Entry::Known(value));
                told
            }
            None => self.pass_on(key),
        }
    }

    /// Somebody is gone: what he was to fetch is for the next one.
    pub fn release(&mut self, who: u64) -> Told<W> {
        let mut held = Vec::new();
        for (key, entry) in &mut self.0 {
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
        let Some(Entry::Fetching { holder, waiting }) = self.0.get_mut(key) else { return Vec::new() };
        match waiting.pop_front() {
            Some((next, waiter)) => {
                *holder = next;
                vec![(waiter, Answer::Fetch)]
            }
            None => {
                self.0.remove(key);
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
    fn one_fetches_and_the_others_wait() {
        let mut leases = Leases::default();
        assert_eq!(leases.ask("k", 1, "a"), [("a", Answer::Fetch)]);
        assert_eq!(leases.ask("k", 2, "b"), []);
        assert_eq!(leases.ask("k", 3, "c"), []);
        assert_eq!(leases.publish("k", 1, Some("v".into())), [("b", value("v")), ("c", value("v"))]);
        assert_eq!(leases.ask("k", 4, "d"), [("d", value("v"))]);
    }

    #[test]
    fn a_failed_fetch_is_for_the_next_one() {
        let mut leases = Leases::default();
        leases.ask("k", 1, "a");
        leases.ask("k", 2, "b");
        assert_eq!(leases.publish("k", 1, None), [("b", Answer::Fetch)]);
        assert_eq!(leases.publish("k", 2, None), []);
        assert_eq!(leases.ask("k", 3, "c"), [("c", Answer::Fetch)]);
    }

    #[test]
    fn one_that_is_gone_holds_nobody_up() {
        let mut leases = Leases::default();
        leases.ask("k", 1, "a");
        leases.ask("k", 2, "b");
        leases.ask("k", 3, "c");
        assert_eq!(leases.release(2), []);
        assert_eq!(leases.release(1), [("c", Answer::Fetch)]);
    }

    #[test]
    fn only_who_was_told_to_fetch_may_publish() {
        let mut leases = Leases::default();
        leases.ask("k", 1, "a");
        assert_eq!(leases.publish("k", 9, Some("forged".into())), []);
        assert_eq!(leases.publish("other", 9, Some("forged".into())), []);
        assert_eq!(leases.ask("other", 2, "b"), [("b", Answer::Fetch)]);
    }
}
