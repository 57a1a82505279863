//! The pace: how many calls a service in a region is sent at the same time.
//!
//! Additive increase, multiplicative decrease, as in congestion control: an answer that asks for fewer calls halves the
//! limit, and each good answer raises it by a share of one. A call keeps its place through all its attempts and the
//! pauses between them, so that what is throttled slows down what would be throttled next.
//!
//! One call of each operation always goes on, whatever the limit: an operation that hangs or is throttled for long would
//! otherwise keep all places, and the others of its service would wait for it in vain.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

/// The most calls at the same time, and the limit of the beginning: what a region's collectors can have open at all.
const MOST: f64 = 16.0;

/// One call at a time always goes on.
const LEAST: f64 = 1.0;

/// Refusals this close together are answers to the same burst and count once.
const BURST: Duration = Duration::from_millis(200);

/// The pace of one service in one region, for one account.
pub(super) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    limit: f64,
    running: u32,
    /// By operation.
    of: HashMap<&'static str, u32>,
    /// Who waits, in the order of coming: none of them fits.
    waiting: VecDeque<(&'static str, oneshot::Sender<Turn>)>,
    lowered: Option<Instant>,
}

impl State {
    fn new() -> Self {
        Self { limit: MOST, running: 0, of: HashMap::new(), waiting: VecDeque::new(), lowered: None }
    }

    /// Whether a call of this operation can run now.
    fn fits(&self, operation: &str) -> bool {
        f64::from(self.running) + 1.0 <= self.limit || self.of.get(operation).is_none_or(|running| *running == 0)
    }

    /// Answers whether the call runs now.
    fn enter(&mut self, operation: &'static str) -> bool {
        let fits = self.fits(operation);
        if fits {
            self.running += 1;
            *self.of.entry(operation).or_default() += 1;
        }
        fits
    }

    fn leave(&mut self, operation: &'static str) {
        self.running = self.running.saturating_sub(1);
        if let Some(running) = self.of.get_mut(operation) {
            *running = running.saturating_sub(1);
        }
    }

    /// The first who waits and fits; it runs from now on.
    fn admit(&mut self) -> Option<(&'static str, oneshot::Sender<Turn>)> {
        self.waiting.retain(|(_, waiter)| !waiter.is_closed());
        let at = self.waiting.iter().position(|(operation, _)| self.fits(operation))?;
        let (operation, waiter) = self.waiting.remove(at)?;
        self.enter(operation);
        Some((operation, waiter))
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
pub(super) struct Turn(Arc<Pace>, &'static str);

impl Pace {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::new()))
    }

    /// Waits for a place for a call of this operation: first come, first served among those that fit.
    pub(super) async fn turn(self: Arc<Self>, operation: &'static str) -> Turn {
        let turn = {
            let mut state = self.lock();
            if state.enter(operation) {
                None
            } else {
                let (waiter, turn) = oneshot::channel();
                state.waiting.push_back((operation, waiter));
                Some(turn)
            }
        };
        match turn {
            None => Turn(self, operation),
            // Waiters are only dropped when nobody waits for them; if it were otherwise, one call too many would be no harm.
            Some(turn) => turn.await.unwrap_or_else(|_| Turn(Arc::clone(&self), operation)),
        }
    }

    /// The service asked for fewer calls. Answers the new limit if that lowers it.
    pub(super) fn refused(&self, now: Instant) -> Option<f64> {
        let mut state = self.lock();
        state.refused(now).then_some(state.limit)
    }

    /// The service did what was asked of it.
    pub(super) fn answered(self: &Arc<Self>) {
        self.lock().answered();
        self.admit();
    }

    /// Gives places to all who wait and fit.
    fn admit(self: &Arc<Self>) {
        loop {
            // Not in a `while let`: the lock must be free when a place is given, as it may come back at once.
            let next = self.lock().admit();
            let Some((operation, waiter)) = next else { return };
            // Whoever has given up meanwhile gives the place back by dropping it.
            let _ = waiter.send(Turn(Arc::clone(self), operation));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().leave(self.1);
        self.0.admit();
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turn").field(&self.1).finish()
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

    const ONE: &str = "DescribeVpcs";

    /// A pace that is as slow as can be.
    fn slowest() -> Arc<Pace> {
        let pace = Arc::new(Pace::new());
        let limits: Vec<f64> = (0..10).filter_map(|burst| pace.refused(Instant::now() + BURST * burst)).collect();
        assert_eq!(limits.last(), Some(&LEAST));
        pace
    }

    #[test]
    fn a_refusal_halves_the_limit_once_for_each_burst_and_never_below_one() {
        let (mut state, began) = (State::new(), Instant::now());
        assert!(state.refused(began) && !state.refused(began + BURST / 2));
        assert_eq!(state.limit, MOST / 2.0);
        for burst in 1..20 {
            assert!(state.refused(began + BURST * burst));
        }
        assert_eq!(state.limit, LEAST);
        assert!(state.fits(ONE));
    }

    #[test]
    fn good_answers_raise_the_limit_by_one_a_round_up_to_the_most() {
        let mut state = State { limit: 4.0, ..State::new() };
        (0..4).for_each(|_| state.answered());
        assert!((4.8..=5.0).contains(&state.limit), "{}", state.limit);
        (0..1000).for_each(|_| state.answered());
        assert_eq!(state.limit, MOST);
    }

    #[test]
    fn calls_wait_for_their_turn_and_fewer_run_after_a_refusal() {
        let pace = Arc::new(Pace::new());
        let turn = || Arc::clone(&pace).turn(ONE);
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
        let pace = slowest();
        let first = Arc::clone(&pace).turn(ONE).await;
        let waiting = futures_util::future::join_all((0..50).map(|_| Arc::clone(&pace).turn(ONE).map(drop)));
        let grow = async {
            (0..3).for_each(|_| pace.answered());
            drop(first);
        };
        tokio::join!(waiting, grow);
        assert_eq!(pace.lock().running, 0);
    }

    #[tokio::test]
    async fn an_operation_that_keeps_its_place_keeps_no_other_one_waiting() {
        let pace = slowest();
        let _hanging = Arc::clone(&pace).turn("DescribeHanging").await;
        let other = Arc::clone(&pace).turn(ONE).now_or_never();
        assert!(other.is_some(), "one call of each operation goes on");
        assert!(Arc::clone(&pace).turn(ONE).now_or_never().is_none(), "a second one waits");
        assert!(Arc::clone(&pace).turn("DescribeHanging").now_or_never().is_none());
    }

    #[tokio::test]
    async fn places_go_to_those_who_wait_and_not_to_whoever_comes_next() {
        let pace = slowest();
        let first = Arc::clone(&pace).turn(ONE).await;
        let mut given_up = Box::pin(Arc::clone(&pace).turn(ONE));
        let mut second = Box::pin(Arc::clone(&pace).turn(ONE));
        assert!(given_up.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(given_up);
        drop(first);
        assert!(Arc::clone(&pace).turn(ONE).now_or_never().is_none(), "another one was there before");
        let second = second.now_or_never();
        assert!(second.is_some());
        drop(second);
        assert_eq!(pace.lock().running, 0);
    }
}
