//! The pace: how many calls a service in a region is sent at the same time.
//!
//! Additive increase, multiplicative decrease, as in congestion control: an answer that asks for fewer calls halves the
//! limit, and each good answer raises it by a share of one. A call keeps its place through all its attempts and the
//! pauses between them, so that what is throttled slows down what would be throttled next.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// The most calls at the same time, and the limit of the beginning: what a region's collectors can have open at all.
const MOST: f64 = 16.0;

/// One call at a time always goes on.
const LEAST: f64 = 1.0;

/// Refusals this close together are answers to the same burst and count once.
const BURST: Duration = Duration::from_millis(200);

/// The pace of one service in one region, for one account.
pub(super) struct Pace {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: f64,
    running: u32,
    lowered: Option<Instant>,
}

impl State {
    fn has_room(&self) -> bool {
        f64::from(self.running) + 1.0 <= self.limit
    }

    /// The service asked for fewer calls. Answers whether that lowers the limit.
    fn refused(&mut self, now: Instant) -> bool {
        if self.lowered.is_some_and(|before| now.saturating_duration_since(before) < BURST) {
            return false;
        }
        self.lowered = Some(now);
        self.limit = (self.limit / 2.0).max(LEAST);
        true
    }

    fn answered(&mut self) {
        self.limit = (self.limit + 1.0 / self.limit).min(MOST);
    }
}

/// A place among the calls that run. Dropping it gives it to the next one.
pub(super) struct Turn(Arc<Pace>);

impl Pace {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { limit: MOST, running: 0, lowered: None }), freed: Notify::new() }
    }

    /// Waits for a place, first come, first served.
    pub(super) async fn turn(self: Arc<Self>) -> Turn {
        loop {
            if self.enter() {
                return Turn(self);
            }
            self.freed.notified().await;
        }
    }

    /// The service asked for fewer calls. Answers the new limit if that lowers it.
    pub(super) fn refused(&self, now: Instant) -> Option<f64> {
        let mut state = self.lock();
        state.refused(now).then_some(state.limit)
    }

    /// The service did what was asked of it.
    pub(super) fn answered(&self) {
        self.lock().answered();
    }

    fn enter(&self) -> bool {
        let mut state = self.lock();
        let has_room = state.has_room();
        state.running += u32::from(has_room);
        // A limit that has grown has room for more than the one that is woken for each place that is given back.
        if has_room && state.has_room() {
            self.freed.notify_one();
        }
        has_room
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running = state.running.saturating_sub(1);
        if state.has_room() {
            self.0.freed.notify_one();
        }
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn state() -> State {
        State { limit: MOST, running: 0, lowered: None }
    }

    #[test]
    fn a_refusal_halves_the_limit_once_for_each_burst_and_never_below_one() {
        let (mut state, began) = (state(), Instant::now());
        assert!(state.refused(began) && !state.refused(began + BURST / 2));
        assert_eq!(state.limit, MOST / 2.0);
        for burst in 1..20 {
            assert!(state.refused(began + BURST * burst));
        }
        assert_eq!(state.limit, LEAST);
        assert!(state.has_room());
    }

    #[test]
    fn good_answers_raise_the_limit_by_one_a_round_up_to_the_most() {
        let mut state = State { limit: 4.0, ..state() };
        (0..4).for_each(|_| state.answered());
        assert!((4.8..=5.0).contains(&state.limit), "{}", state.limit);
        (0..1000).for_each(|_| state.answered());
        assert_eq!(state.limit, MOST);
    }

    #[test]
    fn calls_wait_for_their_turn_and_fewer_run_after_a_refusal() {
        let pace = Arc::new(Pace::new());
        let turn = || Arc::clone(&pace).turn();
        let mut turns: Vec<Turn> = std::iter::from_fn(|| turn().now_or_never()).take(100).collect();
        assert_eq!(turns.len(), 16);
        assert_eq!(pace.refused(Instant::now()), Some(8.0));
        turns.truncate(8);
        assert!(turn().now_or_never().is_none(), "the places of the first half are gone");
        turns.pop();
        assert!(turn().now_or_never().is_some());
    }

    #[tokio::test]
    async fn all_who_wait_get_their_turn_when_the_limit_grows() {
        let pace = Arc::new(Pace::new());
        let limits: Vec<f64> = (0..10).filter_map(|burst| pace.refused(Instant::now() + BURST * burst)).collect();
        assert_eq!(limits.last(), Some(&LEAST));
        let first = Arc::clone(&pace).turn().await;
        let waiting = futures_util::future::join_all((0..50).map(|_| Arc::clone(&pace).turn().map(drop)));
        let grow = async {
            (0..3).for_each(|_| pace.answered());
            drop(first);
        };
        tokio::join!(waiting, grow);
        assert_eq!(pace.lock().running, 0);
    }
}
