//! Concurrency limiter (AIMD): bounds the calls in flight per account, location and service. What a service demands
//! beyond that, such as a pause, comes with its errors (`retry`).
//!
//! Additive increase, multiplicative decrease, as in congestion control: a throttled attempt halves the limit, and each
//! success raises it by a share of one. A call holds its permit through all its attempts and the pauses between them,
//! so that a throttled call delays the calls after it.
//!
//! One call of each operation is always permitted, whatever the limit. Otherwise an operation that hangs or is
//! throttled for long would hold all permits and block the other operations of its service.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

/// The initial and highest limit in calls: the most that a location's collectors have open.
const MAX_LIMIT: f64 = 16.0;

/// The lowest limit in calls.
const MIN_LIMIT: f64 = 1.0;

/// Throttled attempts this close together belong to one burst and lower the limit once.
const BURST: Duration = Duration::from_millis(200);

/// The limiter of one service in one location, for one account.
pub(crate) struct Limiter(Mutex<State>);

#[derive(Debug)]
struct State {
    limit: f64,
    /// The calls in flight.
    running: u32,
    /// The calls in flight by operation.
    by_operation: HashMap<Arc<str>, u32>,
    /// The waiting calls, first come, first served. None of them fits the limit.
    waiting: VecDeque<(Arc<str>, oneshot::Sender<Permit>)>,
    /// When the limit was last lowered.
    lowered: Option<Instant>,
    /// Until when the service asked for a pause.
    paused: Option<tokio::time::Instant>,
}

impl State {
    fn new() -> Self {
        let (by_operation, waiting) = Default::default();
        Self { limit: MAX_LIMIT, running: 0, by_operation, waiting, lowered: None, paused: None }
    }

    /// Returns whether a call of this operation can start now.
    fn fits(&self, operation: &str) -> bool {
        f64::from(self.running) + 1.0 <= self.limit
            || self.by_operation.get(operation).is_none_or(|running| *running == 0)
    }

    /// Counts a call of this operation if it can start now, and returns whether it can.
    fn enter(&mut self, operation: &Arc<str>) -> bool {
        let fits = self.fits(operation);
        if fits {
            self.running += 1;
            *self.by_operation.entry(Arc::clone(operation)).or_default() += 1;
        }
        fits
    }

    /// Returns the operation's shared name.
    fn name(&self, operation: &str) -> Arc<str> {
        self.by_operation.get_key_value(operation).map_or_else(|| operation.into(), |(name, _)| Arc::clone(name))
    }

    fn leave(&mut self, operation: &str) {
        self.running = self.running.saturating_sub(1);
        if let Some(running) = self.by_operation.get_mut(operation) {
            *running = running.saturating_sub(1);
        }
    }

    /// Removes the first waiting call that fits, and counts it.
    fn admit(&mut self) -> Option<(Arc<str>, oneshot::Sender<Permit>)> {
        self.waiting.retain(|(_, waiter)| !waiter.is_closed());
        let at = self.waiting.iter().position(|(operation, _)| self.fits(operation))?;
        let (operation, waiter) = self.waiting.remove(at)?;
        self.enter(&operation);
        Some((operation, waiter))
    }

    /// Lowers the limit after a throttled attempt, once per burst. Returns whether it did.
    fn lower(&mut self, now: Instant) -> bool {
        if self.lowered.is_some_and(|before| now.saturating_duration_since(before) < BURST) {
            return false;
        }
        self.lowered = Some(now);
        self.limit = (self.limit / 2.0).max(MIN_LIMIT);
        true
    }

    fn raise(&mut self) {
        self.limit = (self.limit + 1.0 / self.limit).min(MAX_LIMIT);
    }
}

/// The permit of a call in flight. Dropping it admits the next waiting call.
pub(super) struct Permit(Arc<Limiter>, Arc<str>);

impl Limiter {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::new()))
    }

    /// Waits for a permit for a call of this operation: first come, first served among those that fit.
    pub(super) async fn acquire(self: Arc<Self>, operation: &str) -> Permit {
        let (operation, permit) = {
            let mut state = self.lock();
            let operation = state.name(operation);
            if state.enter(&operation) {
                (operation, None)
            } else {
                let (waiter, permit) = oneshot::channel();
                state.waiting.push_back((Arc::clone(&operation), waiter));
                (operation, Some(permit))
            }
        };
        match permit {
            None => Permit(self, operation),
            // The sender is dropped only after the receiver. If it were not, one call too many would do no harm.
            Some(permit) => permit.await.unwrap_or_else(|_| Permit(self, operation)),
        }
    }

    /// Lowers the limit after a throttled attempt, and returns the new limit unless the burst has lowered it before.
    pub(super) fn lower(&self, now: Instant) -> Option<f64> {
        let mut state = self.lock();
        state.lower(now).then_some(state.limit)
    }

    /// Delays all attempts until then, as the service has asked for a pause.
    pub(super) fn pause_until(&self, until: tokio::time::Instant) {
        let mut state = self.lock();
        state.paused = state.paused.max(Some(until));
    }

    /// Returns how long the service asks for a pause from now.
    pub(super) fn paused_for(&self) -> Option<Duration> {
        let left = self.lock().paused?.saturating_duration_since(tokio::time::Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Raises the limit after a success.
    pub(super) fn raise(self: &Arc<Self>) {
        self.lock().raise();
        self.admit();
    }

    /// Gives permits to all waiting calls that fit.
    fn admit(self: &Arc<Self>) {
        loop {
            // Not `while let`: the lock must be free when a permit is sent, as the permit may be dropped at once.
            let next = self.lock().admit();
            let Some((operation, waiter)) = next else { return };
            // If the receiver has given up, dropping the permit releases it.
            let _ = waiter.send(Permit(Arc::clone(self), operation));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.lock().leave(&self.1);
        self.0.admit();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.1).finish()
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const LIST: &str = "ListDisks";

    /// Returns a limiter at its lowest limit.
    fn lowest() -> Arc<Limiter> {
        let limiter = Arc::new(Limiter::new());
        let limits: Vec<f64> = (0..10).filter_map(|burst| limiter.lower(Instant::now() + BURST * burst)).collect();
        assert_eq!(limits.last(), Some(&MIN_LIMIT));
        limiter
    }

    #[test]
    fn throttling_halves_limit_once_per_burst_down_to_one() {
        let (mut state, began) = (State::new(), Instant::now());
        assert!(state.lower(began) && !state.lower(began + BURST / 2));
        assert_eq!(state.limit, MAX_LIMIT / 2.0);
        for burst in 1..20 {
            assert!(state.lower(began + BURST * burst));
        }
        assert_eq!(state.limit, MIN_LIMIT);
        assert!(state.fits(LIST));
    }

    #[test]
    fn successes_raise_limit_by_one_per_round_to_maximum() {
        let mut state = State { limit: 4.0, ..State::new() };
        (0..4).for_each(|_| state.raise());
        assert!((4.8..=5.0).contains(&state.limit), "{}", state.limit);
        (0..1000).for_each(|_| state.raise());
        assert_eq!(state.limit, MAX_LIMIT);
    }

    #[test]
    fn calls_beyond_limit_wait() {
        let limiter = Arc::new(Limiter::new());
        let acquire = || Arc::clone(&limiter).acquire(LIST);
        let mut permits: Vec<Permit> = std::iter::from_fn(|| acquire().now_or_never()).take(100).collect();
        assert_eq!(permits.len(), 16);
        assert_eq!(limiter.lower(Instant::now()), Some(8.0));
        permits.truncate(8);
        assert!(acquire().now_or_never().is_none(), "half of the permits are still held");
        permits.pop();
        assert!(acquire().now_or_never().is_some());
    }

    #[tokio::test]
    async fn waiting_calls_are_admitted_when_limit_grows() {
        let limiter = lowest();
        let first = Arc::clone(&limiter).acquire(LIST).await;
        let waiting = futures_util::future::join_all((0..50).map(|_| Arc::clone(&limiter).acquire(LIST).map(drop)));
        let grow = async {
            (0..3).for_each(|_| limiter.raise());
            drop(first);
        };
        tokio::join!(waiting, grow);
        assert_eq!(limiter.lock().running, 0);
    }

    #[tokio::test]
    async fn hanging_operation_does_not_block_others() {
        let limiter = lowest();
        let _hanging = Arc::clone(&limiter).acquire("ListHanging").await;
        let other = Arc::clone(&limiter).acquire(LIST).now_or_never();
        assert!(other.is_some(), "one call of each operation is permitted");
        assert!(Arc::clone(&limiter).acquire(LIST).now_or_never().is_none(), "a second one waits");
        assert!(Arc::clone(&limiter).acquire("ListHanging").now_or_never().is_none());
    }

    #[tokio::test]
    async fn permits_go_to_waiting_calls_first() {
        let limiter = lowest();
        let first = Arc::clone(&limiter).acquire(LIST).await;
        let mut given_up = Box::pin(Arc::clone(&limiter).acquire(LIST));
        let mut second = Box::pin(Arc::clone(&limiter).acquire(LIST));
        assert!(given_up.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(given_up);
        drop(first);
        assert!(Arc::clone(&limiter).acquire(LIST).now_or_never().is_none(), "another call waits already");
        let second = second.now_or_never();
        assert!(second.is_some());
        drop(second);
        assert_eq!(limiter.lock().running, 0);
    }
}
