//! Registry of the waits of a job's units, which names the reason why a unit makes no progress.
//!
//! Each wait for something outside the worker holds a [`Waiting`]. The end of a wait, and each queued frame, is a step;
//! a unit without steps is quiet. The job's units share the registry, which is locked for each wait.
//!
//! Time without progress is counted in ticks of the session, rounded down. So time in which a collector computes, or in
//! which the worker gets no processor, does not count.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use worker_proto::{Activity, MAX_QUIET_UNITS, MAX_WAITS, QuietUnit, Wait, WaitOn};

/// The interval of ticks.
pub const TICK: Duration = Duration::from_secs(5);
/// The time without a step after which a unit is reported as quiet.
const QUIET: Duration = TICK;

/// The open waits of all units of a job. Clones share them.
#[derive(Clone, Default)]
pub struct Waits(Arc<Mutex<Registry>>);

#[derive(Default)]
struct Registry {
    /// The units that are in progress.
    units: BTreeMap<u32, UnitState>,
    /// The number for the next wait.
    next: u64,
    /// The number of ticks.
    ticks: u64,
    /// The tick of the last step of any unit.
    last_step: u64,
    /// The tick in which the session's loop ran last.
    last_beat: u64,
}

struct UnitState {
    /// The tick of the unit's last step.
    last_step: u64,
    /// The open waits by number, oldest first.
    open: BTreeMap<u64, OpenWait>,
}

struct OpenWait {
    on: WaitOn,
    what: String,
    since: Instant,
}

impl Waits {
    /// Registers a unit as in progress, and returns its handle.
    #[must_use]
    pub fn unit(&self, unit: u32) -> UnitWaits {
        let mut registry = self.lock();
        let last_step = registry.step();
        registry.units.entry(unit).or_insert_with(|| UnitState { last_step, open: BTreeMap::new() });
        drop(registry);
        UnitWaits { unit, waits: self.clone() }
    }

    /// Removes a unit that has ended.
    pub fn end(&self, unit: u32) {
        let mut registry = self.lock();
        registry.units.remove(&unit);
        registry.step();
    }

    /// Counts a tick and returns the report for the supervisor: the quiet units, at most [`MAX_QUIET_UNITS`], with
    /// their oldest waits.
    #[must_use]
    pub fn tick(&self, queue_full: bool) -> Activity {
        let mut registry = self.lock();
        registry.ticks += 1;
        let (registry, now) = (&*registry, Instant::now());
        let quiet = registry.units.iter().filter(|(_, state)| registry.since(state.last_step) >= QUIET);
        let mut quiet: Vec<_> = quiet.collect();
        // Waits for the cloud first: one of them suffices for the job not to be stalled.
        quiet.sort_by_key(|(_, state)| !state.open.values().any(|open| open.on == WaitOn::Call));
        let quiet = quiet.into_iter().take(MAX_QUIET_UNITS).map(|(unit, state)| QuietUnit {
            unit: *unit,
            quiet_ms: millis(registry.since(state.last_step)),
            open: u32::try_from(state.open.len()).unwrap_or(u32::MAX),
            waits: state.oldest().take(MAX_WAITS).map(|open| open.report(now)).collect(),
        });
        let (quiet_ms, loop_ms) = (registry.since(registry.last_step), registry.since(registry.last_beat));
        Activity { quiet_ms: millis(quiet_ms), loop_ms: millis(loop_ms), queue_full, quiet: quiet.collect() }
    }

    /// Records that the session's loop runs.
    pub fn beat(&self) {
        let mut registry = self.lock();
        registry.last_beat = registry.ticks;
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn step(&mut self) -> u64 {
        self.last_step = self.ticks;
        self.ticks
    }

    /// Returns the time since a tick, rounded down.
    fn since(&self, tick: u64) -> Duration {
        let ticks = (self.ticks - tick).saturating_sub(1);
        TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
    }
}

impl UnitState {
    /// Returns the open waits, those for the cloud first, and each group oldest first.
    fn oldest(&self) -> impl Iterator<Item = &OpenWait> {
        let (calls, others) = (self.open.values(), self.open.values());
        calls.filter(|open| open.on == WaitOn::Call).chain(others.filter(|open| open.on != WaitOn::Call))
    }
}

impl OpenWait {
    fn report(&self, now: Instant) -> Wait {
        Wait { on: self.on, what: self.what.clone(), for_ms: millis(now - self.since) }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The waits of one unit. Clones share them.
#[derive(Clone)]
pub struct UnitWaits {
    unit: u32,
    waits: Waits,
}

impl UnitWaits {
    /// Registers a wait until the guard is dropped.
    pub fn begin(&self, on: WaitOn, what: impl Into<String>) -> Waiting {
        let mut registry = self.waits.lock();
        let id = registry.next;
        registry.next += 1;
        if let Some(state) = registry.units.get_mut(&self.unit) {
            state.open.insert(id, OpenWait { on, what: what.into(), since: Instant::now() });
        }
        Waiting { id, of: self.clone() }
    }

    /// Records progress.
    pub fn step(&self) {
        let mut registry = self.waits.lock();
        let tick = registry.step();
        if let Some(state) = registry.units.get_mut(&self.unit) {
            state.last_step = tick;
        }
    }

    /// Returns when the unit has made no progress for `limit` and waits for nothing outside the worker, so that nothing
    /// will wake it.
    pub async fn stalled(&self, limit: Duration) {
        loop {
            sleep(TICK).await;
            let registry = self.waits.lock();
            let Some(state) = registry.units.get(&self.unit) else { continue };
            let waits_outside = state.open.values().any(|open| open.on != WaitOn::Room);
            if !waits_outside && registry.since(state.last_step) >= limit {
                return;
            }
        }
    }
}

/// An open wait. Dropping it ends the wait.
#[must_use = "the wait ends when this is dropped"]
pub struct Waiting {
    id: u64,
    of: UnitWaits,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(state) = self.of.waits.lock().units.get_mut(&self.of.unit) {
            state.open.remove(&self.id);
        }
        self.of.step();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "tests")]

    use super::*;

    /// Lets the session tick, as its writer does.
    async fn ticks(waits: &Waits, ticks: u32) -> Activity {
        let mut last = Activity::default();
        for _ in 0..ticks {
            tokio::time::advance(TICK).await;
            waits.beat();
            last = waits.tick(false);
        }
        last
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_unit_is_named_with_its_oldest_waits() {
        let waits = Waits::default();
        let (busy, idle) = (waits.unit(0), waits.unit(1));
        let open: Vec<_> = (0..10).map(|n| idle.begin(WaitOn::Call, format!("call {n}"))).collect();
        ticks(&waits, 2).await;
        busy.step();
        let activity = ticks(&waits, 1).await;
        assert_eq!((activity.quiet_ms, activity.loop_ms), (0, 0), "another unit makes progress: {activity:?}");
        let [quiet] = activity.quiet.as_slice() else { panic!("{activity:?}") };
        assert_eq!((quiet.unit, quiet.quiet_ms, quiet.open), (1, 10_000, 10));
        assert_eq!(quiet.waits.len(), MAX_WAITS);
        assert_eq!((quiet.waits[0].what.as_str(), quiet.waits[0].for_ms), ("call 0", 15_000));
        drop(open);
        busy.step();
        assert_eq!(ticks(&waits, 1).await.quiet, [], "the end of a wait is progress");
        waits.end(0);
        assert_eq!(ticks(&waits, 1).await.quiet.len(), 1, "a unit that has ended is not quiet");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_cloud_are_named_first() {
        let waits = Waits::default();
        let asking: Vec<_> = (0..40).map(|unit| waits.unit(unit).begin(WaitOn::Answer, "a price")).collect();
        let unit = waits.unit(40);
        let others: Vec<_> = (0..9).map(|_| unit.begin(WaitOn::Answer, "a price")).collect();
        let call = unit.begin(WaitOn::Call, "pricing GetProducts");
        let activity = ticks(&waits, 3).await;
        assert_eq!((activity.quiet[0].unit, activity.quiet[0].waits[0].on), (40, WaitOn::Call));
        drop((asking, others, call));
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_ticks_does_not_count() {
        let waits = Waits::default();
        let _computing = waits.unit(0);
        tokio::time::advance(TICK * 100).await;
        let activity = waits.tick(true);
        assert_eq!((activity.quiet_ms, activity.loop_ms, activity.quiet.len()), (0, 0, 0));
        assert!(activity.queue_full);
        (0..7).for_each(|_| drop(waits.tick(false)));
        assert_eq!(waits.tick(false).loop_ms, 40_000, "the loop did not run meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_unit_that_nothing_will_wake_is_stalled() {
        let waits = Waits::default();
        let unit = waits.unit(0);
        let limit = TICK * 6;
        let ticking = tokio::spawn({
            let waits = waits.clone();
            async move { ticks(&waits, 10_000).await }
        });
        for on in [WaitOn::Call, WaitOn::Answer] {
            let wait = unit.begin(on, "outside");
            assert!(tokio::time::timeout(limit * 10, unit.stalled(limit)).await.is_err(), "{on:?}");
            drop(wait);
        }
        let _room = unit.begin(WaitOn::Room, "nodes");
        assert!(tokio::time::timeout(limit * 10, unit.stalled(limit)).await.is_ok());
        ticking.abort();
    }
}
