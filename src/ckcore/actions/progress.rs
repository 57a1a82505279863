//! Progress and messages that wait to be sent. Nothing depends on them, so the oldest are dropped when there are too many.

use std::collections::VecDeque;

use super::{ActionKey, ActionKind};

/// How far an action is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressTree {
    /// The action's name for people.
    pub name: String,
    /// Its parts.
    pub parts: Vec<ProgressPart>,
}

/// How far a part of an action is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressPart {
    /// The names of what it is a part of, outermost first.
    pub path: Vec<String>,
    /// Its name, unique among its neighbours.
    pub name: String,
    /// How much is done, at most `total`.
    pub current: u64,
    /// How much there is to do, at least one.
    pub total: u64,
}

/// How grave a message about an action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoLevel {
    /// Good to know.
    Info,
    /// Something was lost.
    Error,
}

/// Something about an action in work, for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// How far it is.
    Progress(ProgressTree),
    /// A message.
    Info(InfoLevel, String),
}

/// How many wait at a time.
const LIMIT: usize = 64;

/// What waits, oldest first.
#[derive(Debug, Default)]
pub struct PendingUpdates(VecDeque<(ActionKey, ActionKind, Update)>);

impl PendingUpdates {
    /// Adds a update. Of the progress of an action only the newest waits.
    pub fn push(&mut self, key: ActionKey, action: ActionKind, update: Update) {
        if matches!(update, Update::Progress(_)) {
            self.0.retain(|(old, _, update)| *old != key || !matches!(update, Update::Progress(_)));
        }
        if self.0.len() >= LIMIT {
            self.0.pop_front();
        }
        self.0.push_back((key, action, update));
    }

    /// The next update to send.
    pub fn pop(&mut self) -> Option<(ActionKey, ActionKind, Update)> {
        self.0.pop_front()
    }

    /// Drops all notes, where nobody can be told.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_progress_waits_and_the_number_is_bounded() {
        let mut notes = PendingUpdates::default();
        let key = |number: usize| ActionKey { task: number.to_string(), step: "collect".into() };
        let progress = |name: &str| Update::Progress(ProgressTree { name: name.into(), parts: vec![] });
        for name in ["first", "second"] {
            notes.push(key(0), ActionKind::Collect, progress(name));
        }
        notes.push(key(1), ActionKind::Collect, progress("other"));
        notes.push(key(0), ActionKind::Collect, Update::Info(InfoLevel::Info, "kept".into()));
        assert_eq!(notes.pop().map(|(_, _, update)| update), Some(progress("second")));
        for number in 0..1000 {
            notes.push(key(number), ActionKind::Collect, progress("many"));
        }
        assert_eq!(std::iter::from_fn(|| notes.pop()).count(), LIMIT);
    }
}
