//! Spreads the calls of an operation over a minute, where an API limits them by operation.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// The window in which calls are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// The largest number of calls of a window that is counted. An operation with more is not limited.
const MAX_CALLS: u32 = 10_000;

/// When the last calls of each operation were or will be made: those of one window, the oldest first.
#[derive(Default)]
pub(super) struct Pacer(Mutex<HashMap<String, VecDeque<Instant>>>);

impl Pacer {
    /// Waits until a call of an operation may be made.
    pub(super) async fn wait(&self, operation: &str, per_minute: Option<u32>) {
        let Some(per_minute) = per_minute.filter(|calls| (1..=MAX_CALLS).contains(calls)) else { return };
        sleep_until(self.due(operation, per_minute as usize, Instant::now())).await;
    }

    /// Books a call, and returns when it may be made: a window after the call that is so many calls before it.
    fn due(&self, operation: &str, per_minute: usize, now: Instant) -> Instant {
        let mut booked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = booked.entry(operation.to_owned()).or_default();
        let before = if calls.len() < per_minute { None } else { calls.pop_front() };
        let due = before.map_or(now, |before| now.max(before + WINDOW));
        calls.push_back(due);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_window_has_more_calls() {
        let (pacer, now) = (Pacer::default(), Instant::now());
        let due: Vec<u64> = (0..8).map(|_| (pacer.due("list", 4, now) - now).as_secs()).collect();
        assert_eq!(due, [0, 0, 0, 0, 60, 60, 60, 60]);
        assert_eq!(pacer.due("other", 4, now), now, "operations are counted one by one");
        let later = now + Duration::from_secs(600);
        assert_eq!(pacer.due("list", 4, later), later);
    }

    #[tokio::test(start_paused = true)]
    async fn operation_without_limit_does_not_wait() {
        let (pacer, began) = (Pacer::default(), Instant::now());
        for _ in 0..1000 {
            pacer.wait("list", None).await;
        }
        assert_eq!(began, Instant::now());
    }
}
