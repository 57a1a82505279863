//! Spreads the calls of an operation over a minute, where an API limits them by operation.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};

/// The window in which calls are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// The largest number of calls of a window that is counted. An operation with more is not limited.
const MAX_CALLS: u32 = 10_000;

/// The calls of each operation.
#[derive(Default)]
pub(super) struct Pacer(Mutex<HashMap<String, Arc<Paced>>>);

/// The calls of one operation.
#[derive(Default)]
struct Paced {
    /// When the last calls were or will be made: those of one window, the oldest first.
    made: Mutex<VecDeque<Instant>>,
    /// Where new calls wait in turn. Retries, which have little time, are booked before all of them.
    turn: tokio::sync::Mutex<()>,
}

impl Pacer {
    /// Waits until a new call of an operation may be made; `false` if that takes longer than `longest`.
    pub(super) async fn wait(&self, operation: &str, per_minute: Option<u32>, longest: Duration) -> bool {
        let Some((paced, per_minute)) = self.paced(operation, per_minute) else { return true };
        let made = async {
            let _turn = paced.turn.lock().await;
            while let Err(due) = paced.count(per_minute, Instant::now()) {
                sleep_until(due).await;
            }
        };
        timeout(longest, made).await.is_ok()
    }

    /// Waits until a call may be repeated.
    pub(super) async fn wait_again(&self, operation: &str, per_minute: Option<u32>) {
        let Some((paced, per_minute)) = self.paced(operation, per_minute) else { return };
        sleep_until(paced.book(per_minute, Instant::now())).await;
    }

    fn paced(&self, operation: &str, per_minute: Option<u32>) -> Option<(Arc<Paced>, usize)> {
        let per_minute = per_minute.filter(|calls| (1..=MAX_CALLS).contains(calls))?;
        let mut operations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let paced = operations.entry(operation.to_owned()).or_default();
        Some((Arc::clone(paced), usize::try_from(per_minute).ok()?))
    }
}

impl Paced {
    /// Counts a call that is made now.
    ///
    /// # Errors
    /// When it may be made.
    fn count(&self, per_minute: usize, now: Instant) -> Result<(), Instant> {
        let mut calls = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let due = due(&calls, per_minute, now);
        if due > now {
            return Err(due);
        }
        add(&mut calls, per_minute, now);
        Ok(())
    }

    /// Counts a call, and returns when it may be made.
    fn book(&self, per_minute: usize, now: Instant) -> Instant {
        let mut calls = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let due = due(&calls, per_minute, now);
        add(&mut calls, per_minute, due);
        due
    }
}

/// Returns when a call may be made: a window after the call that is so many calls before it.
fn due(calls: &VecDeque<Instant>, per_minute: usize, now: Instant) -> Instant {
    let before = calls.front().filter(|_| calls.len() >= per_minute);
    before.map_or(now, |before| now.max(*before + WINDOW))
}

fn add(calls: &mut VecDeque<Instant>, per_minute: usize, made: Instant) {
    calls.push_back(made);
    while calls.len() > per_minute {
        calls.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// Makes calls of an operation at the same time; returns the seconds of each.
    async fn seconds(pacer: &Pacer, operation: &str, calls: usize, longest: Duration) -> Vec<(bool, u64)> {
        let began = Instant::now();
        let call = || async {
            let may = pacer.wait(operation, Some(4), longest).await;
            (may, began.elapsed().as_secs())
        };
        join_all((0..calls).map(|_| call())).await
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_has_more_calls() {
        let pacer = Pacer::default();
        let made = seconds(&pacer, "list", 9, LONG).await;
        assert_eq!(made, [0, 0, 0, 0, 60, 60, 60, 60, 120].map(|second| (true, second)));
        assert_eq!(seconds(&pacer, "other", 1, LONG).await, [(true, 0)], "operations are counted one by one");
    }

    #[tokio::test(start_paused = true)]
    async fn call_that_waits_too_long_does_not_count() {
        let pacer = Pacer::default();
        let made = seconds(&pacer, "list", 10, Duration::from_secs(50)).await;
        assert_eq!(made.iter().filter(|(may, _)| *may).count(), 4, "{made:?}");
        assert!(made.iter().all(|(_, second)| *second <= 50), "{made:?}");
        let later = seconds(&pacer, "list", 4, Duration::from_secs(50)).await;
        assert_eq!(later, [(true, 10); 4], "those that gave up take no place");
    }

    #[tokio::test(start_paused = true)]
    async fn retry_is_made_before_new_calls_that_wait() {
        let (pacer, began) = (Pacer::default(), Instant::now());
        let retry = async {
            tokio::task::yield_now().await;
            pacer.wait_again("list", Some(4)).await;
            began.elapsed().as_secs()
        };
        let (made, retried) = tokio::join!(seconds(&pacer, "list", 40, LONG), retry);
        assert_eq!((retried, made.last()), (60, Some(&(true, 600))));
    }

    #[tokio::test(start_paused = true)]
    async fn operation_without_limit_does_not_wait() {
        let (pacer, began) = (Pacer::default(), Instant::now());
        for per_minute in [None, Some(0), Some(MAX_CALLS + 1)] {
            for _ in 0..1000 {
                assert!(pacer.wait("list", per_minute, LONG).await);
            }
        }
        assert_eq!(began, Instant::now());
    }
}
