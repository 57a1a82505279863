//! The schedule of actions: events and the time go in, effects come out. Pure.
//!
//! A request runs at once if the limits of its action and the exclusions allow it; otherwise it waits for its turn, in
//! the order of arrival among those that exclude each other. It is rejected if too many wait or if its time is over
//! before its turn comes. Every request gets exactly one answer: the result of its run, a rejection, or that it was
//! abandoned.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{Action, ActionLimits};

/// Additional time beyond its deadline for an action to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::supervisor) struct RequestId(pub(in crate::supervisor) u64);

/// The rules of one action.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) name: &'static str,
    pub(super) limits: ActionLimits,
    pub(super) timeout: Duration,
    pub(super) excludes: &'static [&'static str],
}

impl Rules {
    /// Returns the rules of an action, with this default timeout.
    pub(super) fn of(action: &dyn Action, timeout: Duration) -> Self {
        let limits = action.limits();
        let timeout = limits.timeout.unwrap_or(timeout);
        Self { name: action.name(), limits, timeout, excludes: action.excludes() }
    }

    fn excludes(&self, other: &Rules) -> bool {
        self.excludes.contains(&other.name) || other.excludes.contains(&self.name)
    }
}

/// An input of the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The core asks for an action, which is named by its index among the rules.
    Requested(RequestId, usize),
    /// The run of a request has ended.
    Ended(RequestId),
    /// The core no longer waits for a request.
    Cancelled(RequestId),
    /// The time of [`Scheduler::wake_at`] has come.
    Tick,
    /// The supervisor stops: nothing begins, and what runs has to end.
    Stop,
    /// The time of the stop is over.
    GiveUp,
}

/// A decision of the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Run a request until this deadline.
    Run(RequestId, Instant),
    /// Have a request that runs end.
    Cancel(RequestId),
    /// Answer a request that does not run, with this reason.
    Reject(RequestId, String),
    /// End the run of a request at once and answer it, with this reason.
    Abandon(RequestId, String),
}

/// A request that waits or runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) id: RequestId,
    /// The index of the action.
    pub(super) action: usize,
    pub(super) deadline: Instant,
    pub(super) is_cancelled: bool,
}

/// The requests that wait and run.
#[derive(Debug)]
pub(super) struct Scheduler {
    rules: Vec<Rules>,
    waiting: VecDeque<Entry>,
    running: BTreeMap<RequestId, Entry>,
    stopping: bool,
}

impl Scheduler {
    pub(super) fn new(rules: Vec<Rules>) -> Self {
        Self { rules, waiting: VecDeque::new(), running: BTreeMap::new(), stopping: false }
    }

    /// Handles one event and returns the effects to carry out.
    pub(super) fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Requested(id, action) => self.requested(id, action, now, &mut effects),
            Event::Ended(id) => _ = self.running.remove(&id),
            Event::Cancelled(id) => self.cancel(id, &mut effects),
            Event::Tick => self.tick(now, &mut effects),
            Event::Stop => self.stop(&mut effects),
            Event::GiveUp => {
                self.stop(&mut effects);
                let reason = || "ckworker was stopped before the action ended".to_owned();
                effects.extend(std::mem::take(&mut self.running).into_keys().map(|id| Effect::Abandon(id, reason())));
            }
        }
        self.start(&mut effects);
        self.reject_excess(&event, &mut effects);
        effects
    }

    /// Returns when the next tick is needed.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().map(|entry| entry.deadline);
        waiting.chain(self.running.values().map(|entry| entry.deadline + GRACE)).min()
    }

    /// Whether nothing runs or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Returns what runs, then what waits in the order of its turn.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Entry, bool)> {
        let running = self.running.values().map(|entry| (entry, true));
        running.chain(self.waiting.iter().map(|entry| (entry, false)))
    }

    fn requested(&mut self, id: RequestId, action: usize, now: Instant, effects: &mut Vec<Effect>) {
        let Some(rules) = self.rules.get(action).filter(|_| !self.stopping) else {
            return effects.push(Effect::Reject(id, "ckworker is stopping".to_owned()));
        };
        self.waiting.push_back(Entry { id, action, deadline: now + rules.timeout, is_cancelled: false });
    }

    fn cancel(&mut self, id: RequestId, effects: &mut Vec<Effect>) {
        if let Some(at) = self.waiting.iter().position(|entry| entry.id == id) {
            self.waiting.remove(at);
            effects.push(Effect::Reject(id, "stopped before it could begin".to_owned()));
        }
        if let Some(entry) = self.running.get_mut(&id).filter(|entry| !entry.is_cancelled) {
            entry.is_cancelled = true;
            effects.push(Effect::Cancel(id));
        }
    }

    fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let is_late = |entry: &Entry| entry.deadline <= now;
        let (late, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.waiting).into_iter().partition(is_late);
        self.waiting = rest;
        for entry in late {
            let Some(Rules { limits, .. }) = self.rules.get(entry.action) else { continue };
            let reason = format!(
                "timeout exceeded before it could begin, with {} in progress; {}",
                limits.running, limits.remedy
            );
            effects.push(Effect::Reject(entry.id, reason));
        }
        for (_, entry) in self.running.extract_if(.., |_, entry| entry.deadline + GRACE <= now) {
            effects.push(Effect::Abandon(entry.id, "timeout exceeded, and the action did not end".to_owned()));
        }
    }

    fn stop(&mut self, effects: &mut Vec<Effect>) {
        self.stopping = true;
        let all: Vec<RequestId> =
            self.waiting.iter().map(|entry| entry.id).chain(self.running.keys().copied()).collect();
        all.into_iter().for_each(|id| self.cancel(id, effects));
    }

    /// Runs what waits and may run. One that may not holds back those behind it that it excludes, so that none waits
    /// forever.
    fn start(&mut self, effects: &mut Vec<Effect>) {
        let mut held: Vec<usize> = Vec::new();
        for entry in std::mem::take(&mut self.waiting) {
            if held.contains(&entry.action) || !self.may_run(entry.action, &held) {
                if !held.contains(&entry.action) {
                    held.push(entry.action);
                }
                self.waiting.push_back(entry);
                continue;
            }
            self.running.insert(entry.id, entry);
            effects.push(Effect::Run(entry.id, entry.deadline));
        }
    }

    fn may_run(&self, action: usize, held: &[usize]) -> bool {
        let Some(own) = self.rules.get(action) else { return false };
        let running = || self.running.values().map(|entry| entry.action);
        let others = running().chain(held.iter().copied()).filter_map(|other| self.rules.get(other));
        running().filter(|other| *other == action).count() < own.limits.running.max(1)
            && !others.into_iter().any(|other| own.excludes(other))
    }

    /// Rejects the request that has just come if too many of its action wait.
    fn reject_excess(&mut self, event: &Event, effects: &mut Vec<Effect>) {
        let Event::Requested(id, action) = event else { return };
        let waiting = self.waiting.iter().filter(|entry| entry.action == *action).count();
        let Some(Rules { name, limits, .. }) = self.rules.get(*action) else { return };
        if waiting > limits.waiting && self.waiting.pop_back_if(|entry| entry.id == *id).is_some() {
            let running = self.running.values().filter(|entry| entry.action == *action).count();
            let reason = format!("{} requests for {name} are running or waiting already", running + limits.waiting);
            effects.push(Effect::Reject(*id, reason));
        }
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
