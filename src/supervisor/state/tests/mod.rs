//! The decisions as sequences of events.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod endings;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use worker_proto::{Failure, FailureKind, Gap, JobKind, Plan, Unit};

use super::{State, handle_event};
use crate::{
    collector_api::Concurrency,
    process::{ExitReason, StopReason},
    report::{self, RunReport},
    supervisor::{
        event::{AttemptEvent, AttemptId, AttemptOutcome, AttemptSpec, Effect, Event, RunId, RunOutcome, UnitStats},
        policy::{CollectorPolicy, Policy},
    },
};

const TIMEOUT: Duration = Duration::from_secs(1000);

/// A state with its clock; effects are looked at as they come.
struct Bench {
    state: State,
    now: Instant,
}

impl Bench {
    fn new(collectors: Vec<CollectorPolicy>, pool_size: usize) -> Self {
        Self { state: State::new(Policy::new(collectors, pool_size, TIMEOUT)), now: Instant::now() }
    }

    fn forked(accounts: usize) -> (Self, Vec<AttemptSpec>) {
        let mut bench = Self::new(vec![collector("aws", true, true, 2)], 5);
        let plan = starts(&bench.send(Event::Collect(RunId(1))));
        let specs = bench.planned(plan[0].id, units(accounts));
        (bench, specs)
    }

    /// The planner reports its plan and ends; returns what was started then.
    fn planned(&mut self, planner: AttemptId, plan: Plan) -> Vec<AttemptSpec> {
        let mut started = starts(&self.job(planner, AttemptEvent::Planned(plan)));
        started.extend(starts(&self.job(planner, AttemptEvent::Ended(AttemptOutcome::Finished))));
        started
    }

    fn send(&mut self, event: Event) -> Vec<Effect> {
        handle_event(&mut self.state, event, self.now)
    }

    fn job(&mut self, job: AttemptId, event: AttemptEvent) -> Vec<Effect> {
        self.send(Event::Attempt(job, event))
    }

    fn pass(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.send(Event::Tick)
    }

    /// Completes the unit of a started job.
    fn complete(&mut self, spec: &AttemptSpec) -> Vec<Effect> {
        let JobKind::Unit { index: unit, .. } = &spec.kind else { panic!("not a unit: {spec:?}") };
        self.job(spec.id, AttemptEvent::UnitStarted(*unit));
        self.job(spec.id, AttemptEvent::UnitComplete(*unit, UnitStats::default()));
        self.job(spec.id, AttemptEvent::Ended(AttemptOutcome::Finished))
    }
}

fn collector(name: &'static str, process: bool, fork: bool, pool: usize) -> CollectorPolicy {
    CollectorPolicy { name, is_named: true, process, units: Concurrency { fork, pool } }
}

fn units(count: usize) -> Plan {
    let unit = |index: usize| Unit {
        id: format!("account-{index}"),
        label: format!("Account {index}"),
        kind: "aws_account".into(),
        parts: 2,
        payload: String::new(),
    };
    Plan { units: (0..count).map(unit).collect(), gaps: Vec::new(), is_whole: true }
}

fn starts(effects: &[Effect]) -> Vec<AttemptSpec> {
    let specs = effects.iter().filter_map(|effect| match effect {
        Effect::Start(spec) => Some(spec.clone()),
        _ => None,
    });
    specs.collect()
}

fn delivery(effects: &[Effect]) -> Option<RunReport> {
    effects.iter().find_map(|effect| match effect {
        Effect::Deliver(_, report, _) => Some(report.clone()),
        _ => None,
    })
}

fn failure(kind: FailureKind) -> Failure {
    Failure { kind, message: "because".into() }
}

#[test]
fn forked_collector_has_one_process_per_account() {
    let mut bench = Bench::new(vec![collector("aws", true, true, 2)], 5);
    let plan = starts(&bench.send(Event::Collect(RunId(1))));
    assert!(matches!(&plan[..], [AttemptSpec { kind: JobKind::Plan, process: true, .. }]));
    let mut specs = starts(&bench.job(plan[0].id, AttemptEvent::Planned(units(3))));
    assert_eq!(specs.len(), 1, "the planner has not ended");
    specs.extend(starts(&bench.job(plan[0].id, AttemptEvent::Ended(AttemptOutcome::Finished))));
    assert_eq!(specs.len(), 2, "the pool has two places");
    assert!(specs.iter().all(|spec| spec.process));
    let third = starts(&bench.complete(&specs[0]));
    assert_eq!(third.len(), 1);
    assert!(delivery(&bench.complete(&specs[1])).is_none());
    let report = delivery(&bench.complete(&third[0])).unwrap();
    assert!(report.is_complete());
    assert_eq!(report.collectors[0].units.len(), 3);
}

#[test]
fn collector_without_fork_has_one_worker_for_all() {
    let mut bench = Bench::new(vec![collector("aws", false, false, 2)], 5);
    let whole = starts(&bench.send(Event::Collect(RunId(1))));
    assert!(matches!(&whole[..], [AttemptSpec { kind: JobKind::PlanAndCollect { pool: 2 }, process: false, .. }]));
    assert!(starts(&bench.job(whole[0].id, AttemptEvent::Planned(units(2)))).is_empty());
    for unit in 0..2 {
        bench.job(whole[0].id, AttemptEvent::UnitStarted(unit));
        assert!(delivery(&bench.job(whole[0].id, AttemptEvent::UnitComplete(unit, UnitStats::default()))).is_none());
    }
    assert!(delivery(&bench.job(whole[0].id, AttemptEvent::Ended(AttemptOutcome::Finished))).unwrap().is_complete());
}

#[test]
fn collectors_wait_for_their_pool() {
    let all = vec![collector("a", false, false, 1), collector("b", false, false, 1), collector("c", false, false, 1)];
    let mut bench = Bench::new(all, 2);
    let first = starts(&bench.send(Event::Collect(RunId(1))));
    assert_eq!(first.iter().map(|spec| spec.collector).collect::<Vec<_>>(), ["a", "b"]);
    bench.job(first[0].id, AttemptEvent::Planned(units(0)));
    let next = starts(&bench.job(first[0].id, AttemptEvent::Ended(AttemptOutcome::Finished)));
    assert_eq!(next.iter().map(|spec| spec.collector).collect::<Vec<_>>(), ["c"]);
}

/// Invariant: rejected credentials are permanent, and a crash is retried.
#[test]
fn killed_worker_is_retried_with_delay_then_fails() {
    let (mut bench, mut specs) = Bench::forked(1);
    let mut spec = specs.remove(0);
    for attempt in 1..=3 {
        bench.job(spec.id, AttemptEvent::UnitStarted(0));
        let effects = bench.job(spec.id, AttemptEvent::Ended(AttemptOutcome::Crashed(ExitReason::Signal(9))));
        assert!(starts(&effects).is_empty(), "attempt {attempt}: not at once");
        if attempt < 3 {
            let wake = bench.state.wake_at().unwrap();
            assert!(wake > bench.now);
            spec = starts(&bench.pass(wake - bench.now)).remove(0);
        } else {
            let report = delivery(&effects).unwrap();
            let unit = &report.collectors[0].units[0];
            assert_eq!(unit.attempts, 3);
            let report::Outcome::Failed { detail, .. } = &unit.outcome else { panic!("{unit:?}") };
            assert!(detail.contains("SIGKILL"), "{detail}");
        }
    }
}

#[test]
fn retry_that_came_due_after_the_last_event_is_woken() {
    let (mut bench, specs) = Bench::forked(2);
    let crashed = || AttemptEvent::Ended(AttemptOutcome::Crashed(ExitReason::Signal(9)));
    let due = bench.now + Duration::from_secs(1);
    bench.job(specs[0].id, crashed());
    // Carrying out the effects of an event takes time, in which the retry comes due.
    bench.pass(Duration::from_millis(999));
    bench.now += Duration::from_millis(2);
    assert_eq!(bench.state.wake_at(), Some(due), "the retry was not started yet");
    assert_eq!(starts(&bench.pass(Duration::ZERO)).len(), 1);
    let wake = bench.state.wake_at().unwrap();
    assert!(wake > bench.now, "nothing is left to wake for but the deadline");
}

/// Invariant: rejected credentials are permanent, and a crash is retried.
#[test]
fn rejected_credentials_are_final() {
    let mut bench = Bench::new(vec![collector("aws", true, true, 2)], 5);
    let plan = starts(&bench.send(Event::Collect(RunId(1))));
    let outcome = AttemptOutcome::Failed(failure(FailureKind::Credentials));
    let report = delivery(&bench.job(plan[0].id, AttemptEvent::Ended(outcome))).unwrap();
    assert_eq!(report.collectors[0].failure.as_deref(), Some("because"));
    assert!(!report.has_something());
}

/// Invariant: rejected credentials are permanent, and a crash is retried.
#[test]
fn plan_with_transient_failure_is_retried() {
    let mut bench = Bench::new(vec![collector("aws", true, true, 2)], 5);
    let plan = starts(&bench.send(Event::Collect(RunId(1))));
    let outcome = AttemptOutcome::Failed(failure(FailureKind::Unavailable));
    assert!(delivery(&bench.job(plan[0].id, AttemptEvent::Ended(outcome))).is_none());
    assert_eq!(starts(&bench.pass(Duration::from_secs(1))).len(), 1);
}

#[test]
fn units_of_crashed_worker_get_workers_of_their_own() {
    let mut bench = Bench::new(vec![collector("aws", true, false, 5)], 5);
    let whole = starts(&bench.send(Event::Collect(RunId(1)))).remove(0);
    bench.job(whole.id, AttemptEvent::Planned(units(2)));
    bench.job(whole.id, AttemptEvent::UnitStarted(0));
    bench.job(whole.id, AttemptEvent::UnitStarted(1));
    bench.job(whole.id, AttemptEvent::UnitComplete(0, UnitStats::default()));
    bench.job(whole.id, AttemptEvent::Ended(AttemptOutcome::Crashed(ExitReason::Signal(11))));
    let specs = starts(&bench.pass(Duration::from_secs(1)));
    assert!(matches!(&specs[..], [AttemptSpec { kind: JobKind::Unit { index: 1, .. }, process: true, .. }]));
    assert!(delivery(&bench.complete(&specs[0])).unwrap().is_complete());
}

#[test]
fn gap_of_failed_attempt_does_not_count() {
    let mut bench = Bench::new(vec![collector("aws", true, true, 1)], 5);
    let plan = starts(&bench.send(Event::Collect(RunId(1))));
    let first = bench.planned(plan[0].id, units(1)).remove(0);
    let gap = Gap {
        account: "1".into(),
        region: "r".into(),
        service: "s".into(),
        operation: "o".into(),
        code: "c".into(),
        message: "m".into(),
    };
    bench.job(first.id, AttemptEvent::Gap(0, gap.clone()));
    bench.job(first.id, AttemptEvent::Ended(AttemptOutcome::Crashed(ExitReason::Code(101))));
    let second = starts(&bench.pass(Duration::from_secs(1))).remove(0);
    let report = delivery(&bench.complete(&second)).unwrap();
    assert!(report.is_complete(), "{report:?}");
}

#[test]
fn plan_with_too_many_units_fails() {
    let mut bench = Bench::new(vec![collector("aws", true, true, 1)], 5);
    let plan = starts(&bench.send(Event::Collect(RunId(1))));
    let effects = bench.job(plan[0].id, AttemptEvent::Planned(units(100_001)));
    assert!(starts(&effects).is_empty());
    let effects = bench.job(plan[0].id, AttemptEvent::Ended(AttemptOutcome::Finished));
    assert!(delivery(&effects).unwrap().collectors[0].failure.as_ref().unwrap().contains("100000"));
}

#[test]
fn worker_with_too_many_units_is_stopped() {
    let mut bench = Bench::new(vec![collector("aws", true, false, 1)], 5);
    let whole = starts(&bench.send(Event::Collect(RunId(1)))).remove(0);
    let effects = bench.job(whole.id, AttemptEvent::Planned(units(100_001)));
    assert!(effects.iter().any(|e| matches!(e, Effect::Stop(job, StopReason::Excess, _) if *job == whole.id)));
    let effects = bench.job(whole.id, AttemptEvent::Ended(AttemptOutcome::Stopped(StopReason::Excess, String::new())));
    assert!(delivery(&effects).unwrap().collectors[0].failure.as_ref().unwrap().contains("100000"));
}

/// Invariant: excess actions are rejected, not queued without a bound.
#[test]
fn runs_are_queued_and_excess_ones_rejected() {
    let mut bench = Bench::new(vec![collector("a", false, false, 1)], 1);
    let first = starts(&bench.send(Event::Collect(RunId(0)))).remove(0);
    for run in 1..=16 {
        assert!(bench.send(Event::Collect(RunId(run))).is_empty());
    }
    let refused = bench.send(Event::Collect(RunId(17)));
    assert!(matches!(&refused[..], [Effect::FinishRun(RunId(17), RunOutcome::Refused(_))]));
    bench.job(first.id, AttemptEvent::Planned(units(0)));
    assert!(delivery(&bench.job(first.id, AttemptEvent::Ended(AttemptOutcome::Finished))).is_some());
    let effects = bench.send(Event::Delivered(RunId(0), Ok(())));
    assert!(matches!(&effects[0], Effect::FinishRun(RunId(0), RunOutcome::Ended(_, Ok(())))));
    assert!(matches!(starts(&effects)[0], AttemptSpec { run: Some(RunId(1)), .. }));
}

#[test]
fn event_of_unknown_attempt_changes_nothing() {
    let mut bench = Bench::new(vec![collector("a", false, false, 1)], 1);
    assert!(bench.job(AttemptId(99), AttemptEvent::UnitComplete(0, UnitStats::default())).is_empty());
}

/// Collects many accounts with crashes, retries and failures, and returns the report and how many units were looked at.
fn run_of(accounts: usize) -> (RunReport, usize) {
    let mut bench = Bench::new(vec![collector("aws", true, true, 50)], 5);
    let plan = starts(&bench.send(Event::Collect(RunId(1)))).remove(0);
    let mut specs = VecDeque::from(bench.planned(plan.id, units(accounts)));
    let mut crashed = vec![false; accounts];
    loop {
        let Some(spec) = specs.pop_front() else {
            let wake = bench.state.wake_at().unwrap();
            specs.extend(starts(&bench.pass(wake - bench.now)));
            continue;
        };
        let JobKind::Unit { index: unit, .. } = spec.kind else { panic!("not a unit: {spec:?}") };
        let crashes = unit % 10 == 0 && !std::mem::replace(&mut crashed[unit as usize], true);
        let mut events = vec![AttemptEvent::Started(Some(1)), AttemptEvent::UnitStarted(unit)];
        if unit % 100 == 1 {
            events.push(AttemptEvent::UnitFailed(unit, failure(FailureKind::Unavailable)));
        } else if !crashes {
            events.push(AttemptEvent::UnitComplete(unit, UnitStats::default()));
        }
        let end = if crashes { AttemptOutcome::Crashed(ExitReason::Signal(9)) } else { AttemptOutcome::Finished };
        events.push(AttemptEvent::Ended(end));
        for event in events {
            bench.now += Duration::from_micros(100);
            let effects = bench.job(spec.id, event);
            assert!(bench.state.wake_at().is_some_and(|at| at > bench.now), "something is going on");
            specs.extend(starts(&effects));
            if let Some(report) = delivery(&effects) {
                return (report, bench.state.looks());
            }
        }
    }
}

#[test]
fn units_looked_at_grow_linearly_with_accounts() {
    for accounts in [1_000, 10_000] {
        let (report, looks) = run_of(accounts);
        let failed = report.collectors[0].units.iter().filter(|unit| !unit.counts()).count();
        assert_eq!(failed, accounts / 100);
        let attempts: u32 = report.collectors[0].units.iter().map(|unit| unit.attempts).sum();
        assert_eq!(attempts as usize, accounts + accounts / 10 + 2 * accounts / 100);
        assert!(looks <= 16 * accounts, "{looks} units were looked at for {accounts} accounts");
    }
}
