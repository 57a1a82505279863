//! The books of tasks from the work queue: a pure state, tested as sequences.
//!
//! A result is good only on the connection on which the task was delivered last: on another one the core ignores it, and
//! when that connection ends the core gives the task out again, under the same id. So a result is kept, and sent again
//! whenever its task comes back.

use std::collections::{HashMap, VecDeque};

use super::TaskResult;

/// The most tasks in work at a time. One command of a core gives out 100 at once and waits, or any number and does not.
pub const OPEN_LIMIT: usize = 1024;

/// How many results are kept: those of all tasks that can be in work at a time find room.
pub const KEPT_LIMIT: usize = OPEN_LIMIT;

/// One connection to the work queue, in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// What to do with a task that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskArrival {
    /// Start it.
    Start,
    /// It is in work: its result will come.
    InProgress,
    /// It was done: its result is to be sent.
    Done,
    /// There is no room.
    NoRoom,
}

#[derive(Debug)]
struct Entry {
    /// Where it was delivered last, and that this connection still waits for the result.
    waiting: Option<ConnectionId>,
    result: Option<TaskResult>,
}

/// Which tasks are in work, and the results of those that were done.
#[derive(Debug, Default)]
pub struct TaskLedger {
    entries: HashMap<String, Entry>,
    /// The ids of tasks with a result, oldest first.
    done: VecDeque<String>,
}

impl TaskLedger {
    /// The core delivered a task.
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

    /// A task in work is done. Returns whether it was in work; a second result is ignored.
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

    /// The oldest result that this connection waits for; it counts as sent.
    pub fn send_next(&mut self, on: ConnectionId) -> Option<(String, TaskResult)> {
        let is_waiting = |id: &&String| self.entries.get(*id).is_some_and(|entry| entry.waiting == Some(on));
        let id = self.done.iter().find(is_waiting)?.clone();
        let entry = self.entries.get_mut(&id)?;
        entry.waiting = None;
        Some((id, entry.result.clone()?))
    }

    /// A connection is over: what it waited for will be delivered again.
    pub fn connection_over(&mut self, on: ConnectionId) {
        for entry in self.entries.values_mut().filter(|entry| entry.waiting == Some(on)) {
            entry.waiting = None;
        }
    }

    /// Whether a connection waits for more than it can carry before it is closed with its first result.
    pub fn is_crowded(&self, on: ConnectionId) -> bool {
        self.entries.values().filter(|entry| entry.waiting == Some(on)).nth(1).is_some()
    }

    /// Whether a connection waits for something, done or not.
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
    fn a_result_goes_to_the_connection_that_waits_for_it() {
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
    fn a_task_that_comes_back_is_not_done_twice() {
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
    fn everything_is_bounded() {
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
