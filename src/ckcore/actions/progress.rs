//! Queue of progress reports and messages for the core. It drops the oldest when it is full: no result depends on them.

use std::collections::VecDeque;

use super::ActionKey;

/// The progress of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressTree {
    /// The action's display name.
    pub name: String,
    /// The parts of the action.
    pub parts: Vec<ProgressPart>,
}

/// The progress of a part of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressPart {
    /// The names of the enclosing parts, outermost first.
    pub path: Vec<String>,
    /// The part's name, unique among its siblings.
    pub name: String,
    /// The completed steps, at most `total`.
    pub current: u64,
    /// The total number of steps, at least one.
    pub total: u64,
}

/// The severity of a message about an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoLevel {
    /// Informational.
    Info,
    /// Data was lost.
    Error,
}

/// An update about an action in progress.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The action's progress.
    Progress(ProgressTree),
    /// A message for the core's users.
    Info(InfoLevel, String),
}

/// The limit of queued updates.
const LIMIT: usize = 64;

/// Queued updates, oldest first.
#[derive(Debug, Default)]
pub struct PendingUpdates(VecDeque<(ActionKey, &'static str, Update)>);

impl PendingUpdates {
    /// Adds an update. Of an action's progress only the newest is kept.
    pub fn push(&mut self, key: ActionKey, action: &'static str, update: Update) {
        if matches!(update, Update::Progress(_)) {
            self.0.retain(|(old, _, update)| *old != key || !matches!(update, Update::Progress(_)));
        }
        if self.0.len() >= LIMIT {
            self.0.pop_front();
        }
        self.0.push_back((key, action, update));
    }

    /// Returns the next update to send.
    pub fn pop(&mut self) -> Option<(ActionKey, &'static str, Update)> {
        self.0.pop_front()
    }

    /// Drops all updates, for a core that does not accept any.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_updates_keep_newest_progress_and_are_bounded() {
        let mut notes = PendingUpdates::default();
        let key = |number: usize| ActionKey {
            subscriber: crate::ckcore::SubscriberId::Worker,
            task: number.to_string(),
            step: "collect".into(),
        };
        let progress = |name: &str| Update::Progress(ProgressTree { name: name.into(), parts: vec![] });
        for name in ["first", "second"] {
            notes.push(key(0), "collect", progress(name));
        }
        notes.push(key(1), "collect", progress("other"));
        notes.push(key(0), "collect", Update::Info(InfoLevel::Info, "kept".into()));
        assert_eq!(notes.pop().map(|(_, _, update)| update), Some(progress("second")));
        for number in 0..1000 {
            notes.push(key(number), "collect", progress("many"));
        }
        assert_eq!(std::iter::from_fn(|| notes.pop()).count(), LIMIT);
    }
}
