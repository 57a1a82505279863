//! The books of actions and answers: a pure state, tested as sequences.
//!
//! An entry is *open* while the action is in work or its answer has not reached the core; open entries are never
//! forgotten, so there is a bound for how many the ledger takes. An answer that reached the core is *kept* for a while,
//! because the core delivers the action again if it lost the answer.

use std::collections::{HashMap, VecDeque};

use super::{Action, ActionKey, ActionKind, Answer};

/// The most entries that are open at a time; a core has one per running workflow.
pub const OPEN_LIMIT: usize = 64;

/// How many answers are kept after they reached the core.
pub const KEPT_LIMIT: usize = 256;

/// What to do with an action that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Start it.
    Start,
    /// It is in work: its answer will come.
    InProgress,
    /// It was answered: the answer is to be sent (again).
    Answered,
    /// There is no room; the core delivers it again on a later connection.
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
    /// To be sent.
    Waiting(Answer),
    /// Sent on this connection; not known whether the core has it.
    Sent(Answer),
    /// The core has it, or the connection on which it was sent broke: sent again only if the core asks again.
    Kept(Answer),
}

/// Which actions are in work, which answers have to be sent, and which were.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: HashMap<ActionKey, Entry>,
    /// The keys of answers to be sent, oldest first.
    waiting: VecDeque<ActionKey>,
    /// The keys of kept answers, oldest first.
    kept: VecDeque<ActionKey>,
}

impl Ledger {
    /// The core delivered an action.
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
            // Sent on this connection: the core wrote this delivery before it read our answer.
            State::Waiting(_) | State::Sent(_) => Arrival::Answered,
            State::Kept(answer) => {
                entry.state = State::Waiting(answer.clone());
                self.kept.retain(|key| *key != action.key);
                self.waiting.push_back(action.key.clone());
                Arrival::Answered
            }
        }
    }

    /// An action in work is finished. Returns whether there is something to send; a second answer is ignored.
    pub fn answered(&mut self, key: &ActionKey, answer: Answer) -> bool {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.state == State::InProgress) else {
            return false;
        };
        entry.state = State::Waiting(answer);
        self.waiting.push_back(key.clone());
        true
    }

    /// What kind of action it is, if it is in work.
    pub fn in_progress(&self, key: &ActionKey) -> Option<ActionKind> {
        self.entries.get(key).filter(|entry| entry.state == State::InProgress).map(|entry| entry.action.kind)
    }

    /// The next answer to send, which counts as sent from now on.
    pub fn send_next(&mut self) -> Option<(Action, Answer)> {
        let key = self.waiting.pop_front()?;
        let entry = self.entries.get_mut(&key)?;
        let State::Waiting(answer) = &entry.state else { return None };
        let answer = answer.clone();
        entry.state = State::Sent(answer.clone());
        Some((entry.action.clone(), answer))
    }

    /// The answer could not be written: it is sent first on the next connection.
    pub fn not_sent(&mut self, key: &ActionKey) {
        if let Some(entry) = self.entries.get_mut(key)
            && let State::Sent(answer) = &entry.state
        {
            entry.state = State::Waiting(answer.clone());
            self.waiting.push_front(key.clone());
        }
    }

    /// The connection on which the answer was sent is over, whether or not the core took it: on the next connection the
    /// core begins with the actions for which it has no answer.
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

    /// Whether an answer has to be sent.
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
