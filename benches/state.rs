//! The decisions of one collection, for organizations of several sizes: the time per account must not grow with their
//! number.

#![expect(clippy::unwrap_used, clippy::panic, reason = "benchmarks")]

use std::{
    collections::{BTreeMap, VecDeque},
    hint::black_box,
    time::{Duration, Instant},
};

use ckworker::{
    collector_api::Concurrency,
    process::ExitReason,
    report::RunReport,
    supervisor::{
        event::{AttemptEvent, AttemptId, AttemptOutcome, AttemptSpec, Effect, Event, RunId, UnitStats},
        policy::{CollectorPolicy, Policy},
        state::{State, handle_event},
    },
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use worker_proto::{Failure, FailureKind, Gap, JobKind, Plan, Progress, Unit};

const ACCOUNTS: [u32; 4] = [1_000, 5_000, 10_000, 50_000];
const POOL: usize = 200;
/// The number of progress frames for each account, one for each region.
const REGIONS: u32 = 17;

fn plan(accounts: u32) -> Plan {
    let unit = |number: u32| Unit {
        id: format!("{number:012}"),
        label: format!("account {number}"),
        kind: "aws_account".into(),
        parts: REGIONS,
        payload: "{}".into(),
    };
    Plan { units: (0..accounts).map(unit).collect(), gaps: Vec::new(), is_whole: true }
}

fn stats() -> UnitStats {
    let nodes_by_kind = (0..20).map(|kind| (format!("aws_kind_{kind}"), 1)).collect();
    UnitStats { nodes_by_kind, edges: 20 }
}

fn gap() -> Gap {
    let text = |text: &str| text.to_owned();
    Gap {
        account: text("account"),
        region: text("us-east-1"),
        service: text("ec2"),
        operation: text("DescribeVpcs"),
        code: text("AccessDenied"),
        message: text("not allowed"),
    }
}

/// A supervisor's state, its clock and what its effects started.
struct Collection {
    state: State,
    now: Instant,
    started: VecDeque<AttemptSpec>,
    delivery: Option<RunReport>,
}

impl Collection {
    fn new() -> Self {
        let collector = CollectorPolicy {
            name: "aws",
            is_named: true,
            process: true,
            units: Concurrency { fork: true, pool: POOL },
        };
        let state = State::new(Policy::new(vec![collector], 1, Duration::from_secs(1_000_000)));
        Self { state, now: Instant::now(), started: VecDeque::new(), delivery: None }
    }

    fn send(&mut self, event: Event) {
        for effect in handle_event(&mut self.state, event, self.now) {
            match effect {
                Effect::Start(attempt) => self.started.push_back(attempt),
                Effect::Deliver(_, report, _) => self.delivery = Some(report),
                _ => {}
            }
        }
        black_box(self.state.wake_at());
        self.now += Duration::from_micros(50);
    }

    fn attempt(&mut self, id: AttemptId, event: AttemptEvent) {
        self.send(Event::Attempt(id, event));
    }

    /// Collects one account: most are complete, every tenth worker crashes once, every hundredth account fails.
    fn unit(&mut self, id: AttemptId, unit: u32, number: u32) {
        self.attempt(id, AttemptEvent::Started(Some(1)));
        self.attempt(id, AttemptEvent::UnitStarted(unit));
        for parts_done in 1..=REGIONS {
            self.attempt(id, AttemptEvent::Progress(Progress { unit, parts_done, parts: REGIONS, nodes: 1 }));
        }
        self.attempt(id, AttemptEvent::Gap(unit, gap()));
        if unit % 100 == 1 {
            let failure = Failure { kind: FailureKind::Unavailable, message: "not available".into() };
            self.attempt(id, AttemptEvent::UnitFailed(unit, failure));
        } else if !unit.is_multiple_of(10) || number > 1 {
            self.attempt(id, AttemptEvent::UnitComplete(unit, stats()));
        } else {
            return self.attempt(id, AttemptEvent::Ended(AttemptOutcome::Crashed(ExitReason::Signal(9))));
        }
        self.attempt(id, AttemptEvent::Ended(AttemptOutcome::Finished));
    }

    fn run(mut self, plan: Plan) -> RunReport {
        let mut attempts = BTreeMap::<u32, u32>::new();
        self.send(Event::Collect(RunId(1)));
        let planner = self.started.pop_front().unwrap();
        self.attempt(planner.id, AttemptEvent::Planned(plan));
        self.attempt(planner.id, AttemptEvent::Ended(AttemptOutcome::Finished));
        loop {
            if let Some(report) = self.delivery.take() {
                self.send(Event::Delivered(RunId(1), Ok(())));
                return report;
            }
            match self.started.pop_front() {
                Some(AttemptSpec { id, kind: JobKind::Unit { index: unit, .. }, .. }) => {
                    let number = *attempts.entry(unit).and_modify(|number| *number += 1).or_insert(1);
                    self.unit(id, unit, number);
                }
                Some(other) => panic!("not a unit: {other:?}"),
                None => {
                    self.now = self.state.wake_at().unwrap();
                    self.send(Event::Tick);
                }
            }
        }
    }
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("state");
    group.sample_size(10);
    for accounts in ACCOUNTS {
        group.throughput(Throughput::Elements(u64::from(accounts)));
        group.bench_with_input(BenchmarkId::from_parameter(accounts), &accounts, |bencher, accounts| {
            bencher.iter_batched(|| plan(*accounts), |plan| Collection::new().run(plan), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
