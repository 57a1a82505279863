//! Ledger of tasks from the work queue and their results, a pure state machine.
//!
//! The core accepts a result only on the connection of the last delivery. When that connection ends, it redelivers the
//! task under the same ID. So a result is kept, and sent again whenever its task is redelivered.

use std::collections::{HashMap, VecDeque};

use super::TaskResult;

/// The limit of tasks in progress. A command of the core issues 100 at once and waits, or any number without waiting.
pub const OPEN_LIMIT: usize = 1024;

/// The number of kept results: enough for all tasks in progress.
pub const KEPT_LIMIT: usize = OPEN_LIMIT;

/// A connection to the work queue, numbered in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// The handling of a received task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskArrival {
    /// The task is new: start it.
    Start,
    /// The task is in progress: its result will follow.
    InProgress,
    /// The task is done: send its result.
    Done,
    /// The ledger is full.
    NoRoom,
}

#[derive(Debug)]
struct Entry {
    /// The connection of the last delivery, while it waits for the result.
    waiting: Option<ConnectionId>,
    result: Option<TaskResult>,
}

/// Tasks in progress, and the results of completed ones.
#[derive(Debug, Default)]
pub struct TaskLedger {
    entries: HashMap<String, Entry>,
    /// The IDs of tasks with a result, oldest first.
    done: VecDeque<String>,
}

impl TaskLedger {
    /// Records a received task.
    pub fn arrived(&mut self, id: &str, on: ConnectionId) -> TaskArrival {
        let open = self.open();
        if let Some(entry) = self.entries.get_mut(id) {
            entry.waiting = Some(on);
            return if entry.result.is_some() { TaskArrival::Done } else { TaskArrival::InProgress };
        }
        if open >= OPEN_LIMIT {
            return TaskArrival::NoRoom;
        }
        self.entries.insert(id.to_owned(), Entry { waiting: Some(on), result: None });
        TaskArrival::Start
    }

    /// Records the result of a task. Returns whether the task was in progress; a second result is ignored.
    pub fn answered(&mut self, id: &str, result: TaskResult) -> bool {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.result.is_none()) else { return false };
        entry.result = Some(result);
        self.done.push_back(id.to_owned());
        while self.done.len() > KEPT_LIMIT {
            if let Some(oldest) = self.done.pop_front() {
                self.entries.remove(&oldest);
            }
        }
        true
    }

    /// Returns the oldest result that this connection waits for, and marks it as sent.
    pub fn send_next(&mut self, on: ConnectionId) -> Option<(String, TaskResult)> {
        let is_waiting = |id: &&String| self.entries.get(*id).is_some_and(|entry| entry.waiting == Some(on));
        let id = self.done.iter().find(is_waiting)?.clone();
        let entry = self.entries.get_mut(&id)?;
        entry.waiting = None;
        Some((id, entry.result.clone()?))
    }

    /// Records the end of a connection: the core redelivers the tasks that it waited for.
    pub fn connection_over(&mut self, on: ConnectionId) {
        for entry in self.entries.values_mut().filter(|entry| entry.waiting == Some(on)) {
            entry.waiting = None;
        }
    }

    /// Whether a connection waits for more than one result, although the core closes it after the first.
    pub fn is_crowded(&self, on: ConnectionId) -> bool {
        self.entries.values().filter(|entry| entry.waiting == Some(on)).nth(1).is_some()
    }

    /// Whether a connection waits for a result.
    pub fn is_awaited(&self, on: ConnectionId) -> bool {
        self.entries.values().any(|entry| entry.waiting == Some(on))
    }

    fn open(&self) -> usize {
        self.entries.len() - self.done.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ONE: ConnectionId = ConnectionId(1);
    const TWO: ConnectionId = ConnectionId(2);

    fn done(number: usize) -> TaskResult {
        TaskResult::Done(json!(number))
    }

    #[test]
    fn result_is_sent_on_the_connection_that_waits() {
        let mut tasks = TaskLedger::default();
        assert_eq!(tasks.arrived("a", ONE), TaskArrival::Start);
        assert_eq!(tasks.arrived("b", TWO), TaskArrival::Start);
        assert!(tasks.answered("a", done(1)) && tasks.answered("b", done(2)));
        assert_eq!(tasks.send_next(TWO), Some(("b".into(), done(2))));
        assert_eq!(tasks.send_next(TWO), None);
        assert_eq!(tasks.send_next(ONE), Some(("a".into(), done(1))));
        assert_eq!(tasks.send_next(ONE), None);
    }

    #[test]
    fn redelivered_task_is_not_done_twice() {
        let mut tasks = TaskLedger::default();
        tasks.arrived("a", ONE);
        assert!(!tasks.is_crowded(ONE));
        tasks.connection_over(ONE);
        assert!(!tasks.is_awaited(ONE));
        assert_eq!(tasks.arrived("a", TWO), TaskArrival::InProgress);
        assert!(tasks.answered("a", done(1)));
        assert!(!tasks.answered("a", done(2)), "the first result counts");
        tasks.connection_over(TWO);
        assert_eq!(tasks.send_next(TWO), None);
        for connection in [ConnectionId(3), ConnectionId(4)] {
            assert_eq!(tasks.arrived("a", connection), TaskArrival::Done);
            assert_eq!(tasks.send_next(connection), Some(("a".into(), done(1))));
        }
    }

    #[test]
    fn unknown_tasks_have_no_result() {
        assert!(!TaskLedger::default().answered("a", done(1)));
    }

    #[test]
    fn ledger_is_bounded() {
        let mut tasks = TaskLedger::default();
        for number in 0..OPEN_LIMIT {
            assert_eq!(tasks.arrived(&number.to_string(), ONE), TaskArrival::Start);
        }
        assert_eq!(tasks.arrived("more", ONE), TaskArrival::NoRoom);
        assert!(tasks.is_crowded(ONE) && !tasks.is_crowded(TWO));
        assert!(tasks.answered("0", done(0)));
        assert_eq!(tasks.arrived("more", ONE), TaskArrival::Start);
        for number in OPEN_LIMIT..OPEN_LIMIT + 2 * KEPT_LIMIT {
            tasks.answered("more", done(number));
            tasks.answered(&(number - 1).to_string(), done(number));
            tasks.arrived(&number.to_string(), ONE);
        }
        assert!(tasks.done.len() <= KEPT_LIMIT && tasks.entries.len() <= KEPT_LIMIT + OPEN_LIMIT);
    }
}
