//! Which worker carries out which operation: a pure state, tested as sequences of events.
//!
//! A worker serves one account of one collector and has that account's credentials only. A collector has as many of
//! them as it has workers that collect; an account that finds no room waits until another one's worker is idle. The
//! operations of a worker that died are given to a new one, once: all of them bear being done twice.
//!
//! An operation that is called off is not begun; one that a worker has begun already goes on, as long as somebody waits
//! for its outcome. A worker whose operations nobody waits for is ended, and its account gets no other one before.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use worker_proto::{Failure, FailureKind, JobKind, Operation, Outcome, Unit, Verb};

use crate::{
    process::StopReason,
    supervisor::event::{self, AttemptId, AttemptSpec, RunId},
};

/// Operations that one worker has open at the same time.
const PER_WORKER: usize = 64;
/// How often an operation is given to a worker.
const ATTEMPTS: u32 = 2;

/// How long workers live.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    /// A worker without operations ends after this.
    pub idle: Duration,
    /// A worker gets no new operations after this, so that its soft deadline, twice this, meets none.
    pub age: Duration,
    /// What a worker has beyond an operation's limit to say that the operation failed.
    pub grace: Duration,
    /// From TERM to KILL.
    pub stop_grace: Duration,
}

/// How many workers a collector may have, and where they run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) workers: usize,
    pub(super) process: bool,
}

/// What is to be done to a resource, and how long it may take.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The collector whose worker does it.
    pub collector: &'static str,
    /// The account whose worker does it.
    pub unit: Unit,
    /// What to do.
    pub verb: Verb,
    /// The resource, as JSON of a subject.
    pub subject: String,
    /// The most that a worker may take for it; waiting for a worker does not count.
    pub limit: Duration,
    /// When it must be over, the waiting included.
    pub deadline: Instant,
}

/// A wish in the pool.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) id: u64,
    pub(super) wish: Box<Wish>,
    /// How often it was given to a worker.
    attempts: u32,
    /// When the worker that has it must be done with it.
    until: Instant,
    /// It is not to be begun again.
    called_off: bool,
    /// Nobody waits for its outcome.
    forsaken: bool,
}

impl Wanted {
    pub(super) fn new(id: u64, wish: Wish) -> Self {
        let until = wish.deadline;
        Self { id, wish: Box::new(wish), attempts: 0, until, called_off: false, forsaken: false }
    }
}

/// What happened.
#[derive(Debug)]
pub(super) enum Input {
    Wanted(Wanted),
    /// It is not to be begun any more.
    CalledOff(u64),
    /// Nobody waits for it any more.
    Forsaken(u64),
    Operated(AttemptId, u64, Outcome),
    Ended(AttemptId, event::AttemptOutcome),
    Tick,
    /// To end everything, with this time until KILL.
    Stop(Duration),
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Act {
    Start(AttemptSpec),
    Send(AttemptId, Operation),
    Finish(AttemptId),
    Kill(AttemptId, StopReason, Duration),
    Answer(u64, Outcome),
}

struct Worker {
    collector: &'static str,
    unit: Unit,
    open: BTreeMap<u64, Wanted>,
    born: Instant,
    idle_since: Instant,
    /// It was told to end, and when it must have.
    ending: Option<Instant>,
}

/// All workers and what waits for them.
pub(super) struct Pool {
    limits: BTreeMap<&'static str, Limit>,
    lives: Lives,
    workers: BTreeMap<AttemptId, Worker>,
    waiting: VecDeque<Wanted>,
    next_job: u64,
    stopped: bool,
}

impl Pool {
    pub(super) fn new(limits: BTreeMap<&'static str, Limit>, lives: Lives) -> Self {
        Self { limits, lives, workers: BTreeMap::new(), waiting: VecDeque::new(), next_job: 0, stopped: false }
    }

    /// Whether everything has ended after a stop.
    pub(super) fn is_over(&self) -> bool {
        self.stopped && self.workers.is_empty()
    }

    pub(super) fn step(&mut self, input: Input, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        match input {
            Input::Wanted(wanted) if self.stopped => acts.push(Act::Answer(wanted.id, stopping())),
            Input::Wanted(wanted) => self.waiting.push_back(wanted),
            Input::CalledOff(id) => self.called_off(id, &mut acts),
            Input::Forsaken(id) => self.forsaken(id, now, &mut acts),
            Input::Operated(job, id, outcome) => self.operated(job, id, outcome, now, &mut acts),
            Input::Ended(job, outcome) => self.ended(job, &outcome, now, &mut acts),
            Input::Tick => self.tick(now, &mut acts),
            Input::Stop(grace) => self.stop(grace, now, &mut acts),
        }
        self.assign(now, &mut acts);
        acts
    }

    /// When the next tick is needed.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let workers = self.workers.values().filter_map(|worker| {
            let limits = worker.open.values().map(|wanted| wanted.until + self.lives.grace).min();
            let idle = worker.open.is_empty().then(|| worker.idle_since + self.lives.idle);
            worker.ending.or(limits).or(idle)
        });
        workers.chain(self.waiting.iter().map(|wanted| wanted.wish.deadline)).min()
    }

    fn called_off(&mut self, id: u64, acts: &mut Vec<Act>) {
        let before = self.waiting.len();
        self.waiting.retain(|wanted| wanted.id != id);
        if self.waiting.len() < before {
            acts.push(Act::Answer(id, cancelled("it was called off before it could begin")));
        }
        if let Some(open) = self.workers.values_mut().find_map(|worker| worker.open.get_mut(&id)) {
            open.called_off = true;
        }
    }

    fn forsaken(&mut self, id: u64, now: Instant, acts: &mut Vec<Act>) {
        self.waiting.retain(|wanted| wanted.id != id);
        let Some((job, worker)) = self.workers.iter_mut().find(|(_, worker)| worker.open.contains_key(&id)) else {
            return;
        };
        if let Some(open) = worker.open.get_mut(&id) {
            open.forsaken = true;
        }
        if worker.ending.is_none() && worker.open.values().all(|wanted| wanted.forsaken) {
            acts.push(Act::Kill(*job, StopReason::Abandoned, self.lives.stop_grace));
            worker.ending = Some(now + self.lives.stop_grace * 2);
        }
    }

    fn operated(&mut self, job: AttemptId, id: u64, outcome: Outcome, now: Instant, acts: &mut Vec<Act>) {
        let grace = self.lives.stop_grace;
        let Some(worker) = self.workers.get_mut(&job) else { return };
        if worker.open.remove(&id).is_none() {
            worker.ending.get_or_insert(now + grace * 2);
            return acts.push(Act::Kill(job, StopReason::Protocol, Duration::ZERO));
        }
        worker.idle_since = now;
        acts.push(Act::Answer(id, outcome));
    }

    fn ended(&mut self, job: AttemptId, outcome: &event::AttemptOutcome, now: Instant, acts: &mut Vec<Act>) {
        let Some(worker) = self.workers.remove(&job) else { return };
        let (failure, again) = why(outcome);
        for (id, wanted) in worker.open.into_iter().rev() {
            let wants_another = !(self.stopped || wanted.called_off || wanted.forsaken);
            if again && wants_another && wanted.attempts < ATTEMPTS && now < wanted.wish.deadline {
                self.waiting.push_front(wanted);
            } else {
                acts.push(Act::Answer(id, Outcome::Failed(failure.clone())));
            }
        }
    }

    fn tick(&mut self, now: Instant, acts: &mut Vec<Act>) {
        for (job, worker) in &mut self.workers {
            let late = worker.open.values().any(|wanted| wanted.until + self.lives.grace <= now);
            match worker.ending {
                Some(end) if end <= now => {
                    acts.push(Act::Kill(*job, StopReason::Deadline, Duration::ZERO));
                    worker.ending = Some(now + self.lives.stop_grace * 2);
                }
                Some(_) => {}
                None if late => {
                    acts.push(Act::Kill(*job, StopReason::Overdue, self.lives.stop_grace));
                    worker.ending = Some(now + self.lives.stop_grace * 2);
                }
                None if worker.open.is_empty() && worker.idle_since + self.lives.idle <= now => {
                    acts.push(Act::Finish(*job));
                    worker.ending = Some(now + self.lives.grace);
                }
                None => {}
            }
        }
    }

    fn stop(&mut self, grace: Duration, now: Instant, acts: &mut Vec<Act>) {
        self.stopped = true;
        acts.extend(self.waiting.drain(..).map(|wanted| Act::Answer(wanted.id, stopping())));
        for (job, worker) in &mut self.workers {
            acts.extend(std::mem::take(&mut worker.open).into_keys().map(|id| Act::Answer(id, stopping())));
            acts.push(Act::Kill(*job, StopReason::Shutdown, grace));
            worker.ending = Some(now + self.lives.stop_grace * 2);
        }
    }

    /// Gives what waits to workers, oldest first.
    fn assign(&mut self, now: Instant, acts: &mut Vec<Act>) {
        for mut wanted in std::mem::take(&mut self.waiting) {
            if wanted.wish.deadline <= now {
                acts.push(Act::Answer(wanted.id, cancelled("its time was over before it could begin")));
                continue;
            }
            let Some(job) = self.worker_for(&wanted.wish, now, acts) else {
                self.waiting.push_back(wanted);
                continue;
            };
            let Some(worker) = self.workers.get_mut(&job) else { continue };
            wanted.attempts += 1;
            wanted.until = wanted.wish.deadline.min(now + wanted.wish.limit);
            let limit = wanted.until.saturating_duration_since(now).as_millis();
            let operation = Operation {
                id: wanted.id,
                verb: wanted.wish.verb.clone(),
                subject: wanted.wish.subject.clone(),
                limit_ms: u64::try_from(limit).unwrap_or(u64::MAX),
            };
            worker.open.insert(wanted.id, wanted);
            acts.push(Act::Send(job, operation));
        }
    }

    /// A worker that has room, started if there is room for it.
    fn worker_for(&mut self, wanted: &Wish, now: Instant, acts: &mut Vec<Act>) -> Option<AttemptId> {
        let limit = self.limits.get(wanted.collector).copied()?;
        let of_collector = || self.workers.iter().filter(|(_, worker)| worker.collector == wanted.collector);
        let takes_more = |worker: &Worker| worker.ending.is_none() && now < worker.born + self.lives.age;
        let own = of_collector().find(|(_, worker)| worker.unit == wanted.unit && takes_more(worker));
        if let Some((job, worker)) = own {
            return (worker.open.len() < PER_WORKER).then_some(*job);
        }
        // Nobody else begins while a worker that gets nothing more, old or being ended, may be at work in the account.
        if of_collector().any(|(_, worker)| worker.unit == wanted.unit && !worker.open.is_empty()) {
            return None;
        }
        if of_collector().count() < limit.workers {
            return Some(self.start(wanted, limit, now, acts));
        }
        let idle = of_collector().find(|(_, worker)| worker.ending.is_none() && worker.open.is_empty());
        if let Some(job) = idle.map(|(job, _)| *job) {
            acts.push(Act::Finish(job));
            if let Some(worker) = self.workers.get_mut(&job) {
                worker.ending = Some(now + self.lives.grace);
            }
        }
        None
    }

    fn start(&mut self, wanted: &Wish, limit: Limit, now: Instant, acts: &mut Vec<Act>) -> AttemptId {
        let id = AttemptId(self.next_job);
        self.next_job += 1;
        let Wish { collector, unit, .. } = wanted;
        let worker =
            Worker { collector, unit: unit.clone(), open: BTreeMap::new(), born: now, idle_since: now, ending: None };
        self.workers.insert(id, worker);
        acts.push(Act::Start(AttemptSpec {
            id,
            run: RunId(0),
            collector,
            kind: JobKind::Operate { unit: unit.clone() },
            process: limit.process,
            soft_deadline: now + self.lives.age * 2,
        }));
        id
    }
}

/// The outcome of what is not done because everything ends.
pub(super) fn stopping() -> Outcome {
    cancelled("ckworker is stopping")
}

fn cancelled(why: &str) -> Outcome {
    Outcome::Failed(Failure { kind: FailureKind::Cancelled, message: why.to_owned() })
}

/// What the end of a worker means for its open operations, and whether another worker may do better.
fn why(outcome: &event::AttemptOutcome) -> (Failure, bool) {
    use event::AttemptOutcome as Ended;
    let internal = |message: String| Failure { kind: FailureKind::Internal, message };
    match outcome {
        Ended::Finished => (internal("its worker ended without an answer".into()), true),
        Ended::Failed(failure) => {
            (failure.clone(), matches!(failure.kind, FailureKind::Internal | FailureKind::Unavailable))
        }
        Ended::Stopped(reason, detail) => {
            let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
            (internal(format!("its worker was ended because {reason}{detail}")), reason.is_retryable())
        }
        Ended::Crashed(exit) => (internal(format!("its worker ended by {exit}")), true),
        Ended::NotStarted(reason) => (internal(format!("no worker could be started: {reason}")), true),
        Ended::Version(reason) => (internal(reason.clone()), false),
    }
}
