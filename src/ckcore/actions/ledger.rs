//! Ledger of the core's actions and their results, a pure state machine.
//!
//! An entry is *open* while its action is in progress or its result has not reached the core. Open entries are never
//! dropped, so their number is bounded. A delivered result is *kept* for a while, because the core redelivers an action
//! whose result it lost.

use std::collections::{HashMap, VecDeque};

use super::{Action, ActionKey, Answer};

/// The limit of open entries; a core has one per running workflow.
pub const OPEN_LIMIT: usize = 64;

/// The number of results that are kept after their delivery.
pub const KEPT_LIMIT: usize = 256;

/// The handling of a received action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The action is new: start it.
    Start,
    /// The action is in progress: its result will follow.
    InProgress,
    /// The action was answered: send its result again.
    Answered,
    /// The ledger is full; the core redelivers the action on a later connection.
    NoRoom,
}

#[derive(Debug)]
struct Entry {
    action: Action,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    InProgress,
    /// The result is queued.
    Waiting(Answer),
    /// The result was sent on this connection; the core has not acknowledged it.
    Sent(Answer),
    /// The core has the result, or the connection broke after it was sent: sent again only if the action is
    /// redelivered.
    Kept(Answer),
}

/// Actions in progress, queued results and delivered results.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: HashMap<ActionKey, Entry>,
    /// The keys of queued results, oldest first.
    waiting: VecDeque<ActionKey>,
    /// The keys of kept results, oldest first.
    kept: VecDeque<ActionKey>,
}

impl Ledger {
    /// Records a received action.
    pub fn arrived(&mut self, action: &Action) -> Arrival {
        let open = self.open();
        let Some(entry) = self.entries.get_mut(&action.key) else {
            if open >= OPEN_LIMIT {
                return Arrival::NoRoom;
            }
            self.entries.insert(action.key.clone(), Entry { action: action.for_answer(), state: State::InProgress });
            return Arrival::Start;
        };
        match &entry.state {
            State::InProgress => Arrival::InProgress,
            // The core sent this delivery before it read the result on the same connection.
            State::Waiting(_) | State::Sent(_) => Arrival::Answered,
            State::Kept(answer) => {
                entry.state = State::Waiting(answer.clone());
                self.kept.retain(|key| *key != action.key);
                self.waiting.push_back(action.key.clone());
                Arrival::Answered
            }
        }
    }

    /// Records the result of an action in progress. Returns whether it was queued; a second result is ignored.
    pub fn answered(&mut self, key: &ActionKey, answer: Answer) -> bool {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.state == State::InProgress) else {
            return false;
        };
        entry.state = State::Waiting(answer);
        self.waiting.push_back(key.clone());
        true
    }

    /// Returns the name of an action in progress.
    pub fn in_progress(&self, key: &ActionKey) -> Option<&'static str> {
        self.entries.get(key).filter(|entry| entry.state == State::InProgress).map(|entry| entry.action.name)
    }

    /// Returns the next result to send, and marks it as sent.
    pub fn send_next(&mut self) -> Option<(Action, Answer)> {
        let key = self.waiting.pop_front()?;
        let entry = self.entries.get_mut(&key)?;
        let State::Waiting(answer) = &entry.state else { return None };
        let answer = answer.clone();
        entry.state = State::Sent(answer.clone());
        Some((entry.action.clone(), answer))
    }

    /// Requeues a result that could not be written: the next connection sends it first.
    pub fn not_sent(&mut self, key: &ActionKey) {
        if let Some(entry) = self.entries.get_mut(key)
            && let State::Sent(answer) = &entry.state
        {
            entry.state = State::Waiting(answer.clone());
            self.waiting.push_front(key.clone());
        }
    }

    /// Marks a sent result as kept, because its connection ended: on the next connection the core first redelivers the
    /// actions whose results it lacks.
    pub fn settled(&mut self, key: &ActionKey) {
        if let Some(entry) = self.entries.get_mut(key)
            && let State::Sent(answer) = &entry.state
        {
            entry.state = State::Kept(answer.clone());
            self.kept.push_back(key.clone());
        }
        while self.kept.len() > KEPT_LIMIT {
            if let Some(oldest) = self.kept.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }

    /// Whether a result is queued.
    pub fn has_answer(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn open(&self) -> usize {
        self.entries.len() - self.kept.len()
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
