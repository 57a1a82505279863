//! Spreads the calls of an operation over a minute, where an API limits them by operation.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// The window in which calls are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// When the calls of each operation are due. A burst of a whole window is permitted, and then one call each time that
/// its share of the window has passed.
#[derive(Default)]
pub(super) struct Pacer(Mutex<HashMap<String, Instant>>);

impl Pacer {
    /// Waits until a call of an operation may be made.
    pub(super) async fn wait(&self, operation: &str, per_minute: Option<u32>) {
        let Some(per_minute) = per_minute.filter(|calls| *calls > 0) else { return };
        sleep_until(self.due(operation, per_minute, Instant::now())).await;
    }

    /// Books a call, and returns when it may be made.
    fn due(&self, operation: &str, per_minute: u32, now: Instant) -> Instant {
        let share = WINDOW / per_minute;
        let mut booked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The time at which all booked calls would be made if there were no bursts.
        let end = booked.entry(operation.to_owned()).or_insert(now);
        *end = (*end).max(now) + share;
        end.checked_sub(WINDOW).map_or(now, |due| due.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn burst_is_followed_by_even_calls() {
        let (pacer, now) = (Pacer::default(), Instant::now());
        let due: Vec<u64> = (0..8).map(|_| (pacer.due("list", 4, now) - now).as_secs()).collect();
        assert_eq!(due, [0, 0, 0, 0, 15, 30, 45, 60]);
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
