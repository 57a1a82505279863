//! What `/jobs` shows as sequences of events.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use worker_proto::{Failure, FailureKind, Progress, Unit};

use super::*;
use crate::{
    process::{ExitReason, StopReason},
    supervisor::{
        event::{DeliveryError, UnitStats},
        report::{CollectorReport, UnitReport},
    },
};

/// A table of jobs and what it publishes.
struct Bench {
    table: JobTable,
    status: watch::Receiver<StatusSnapshot>,
}

impl Bench {
    fn new() -> Self {
        let (status, receiver) = watch::channel(StatusSnapshot::default());
        let (core, _) = watch::channel(CoreStatus::default());
        Self { table: JobTable::new(StatusSenders { status, core }), status: receiver }
    }

    /// With two units that wait for workers.
    fn planned() -> Self {
        let mut bench = Self::new();
        bench.start(0, JobKind::Plan);
        bench.table.job_event(AttemptId(0), &AttemptEvent::Planned(plan()));
        bench.table.job_event(AttemptId(0), &AttemptEvent::Ended(AttemptOutcome::Finished));
        bench
    }

    fn start(&mut self, id: u64, kind: JobKind) {
        let name = match &kind {
            JobKind::Plan => "aws/plan".to_owned(),
            JobKind::Unit { unit, .. } => format!("aws/{}", unit.id),
            _ => "aws".to_owned(),
        };
        let soft_deadline = Instant::now() + Duration::from_secs(60);
        let (id, run, process) = (AttemptId(id), Some(RunId(1)), true);
        let spec = AttemptSpec { id, run, collector: "aws", kind, process, soft_deadline };
        self.table.job_started(&spec, name);
    }

    fn start_unit(&mut self, id: u64, index: u32) {
        self.start(id, JobKind::Unit { index, unit: plan().units.remove(index as usize) });
    }

    fn event(&mut self, id: u64, event: &AttemptEvent) {
        self.table.job_event(AttemptId(id), event);
    }

    fn retry(&mut self, unit: Option<u32>) {
        let (what, reason) = ("A name, not an id".to_owned(), "it may go better".to_owned());
        self.table.notice(&Notice::Retry { collector: "aws", unit, what, reason });
    }

    fn job(&self, name: &str) -> JobStatus {
        self.status.borrow().jobs.iter().find(|job| job.name == name).unwrap().clone()
    }

    fn states(&self) -> Vec<(String, JobState)> {
        self.status.borrow().jobs.iter().map(|job| (job.name.clone(), job.state)).collect()
    }
}

fn plan() -> Plan {
    let unit = |id: &str| Unit {
        id: id.into(),
        label: format!("Account {id}"),
        kind: "aws_account".into(),
        parts: 1,
        payload: String::new(),
    };
    Plan { units: vec![unit("1"), unit("2")], gaps: Vec::new(), is_whole: true }
}

fn failure() -> Failure {
    Failure { kind: FailureKind::Unavailable, message: "no answer".into() }
}

fn stats(nodes: u64) -> UnitStats {
    UnitStats { nodes_by_kind: BTreeMap::from([("aws_vpc".to_owned(), nodes)]), edges: 0 }
}

fn unit_report(outcome: report::Outcome, attempts: u32) -> UnitReport {
    UnitReport {
        id: String::new(),
        label: String::new(),
        kind: String::new(),
        outcome,
        attempts,
        nodes_by_kind: BTreeMap::new(),
        edges: 0,
        gaps: Vec::new(),
        kept: 0,
        took: Duration::ZERO,
    }
}

fn concluded(units: Vec<UnitReport>, failure: Option<&str>) -> RunOutcome {
    let failure = failure.map(str::to_owned);
    let collectors = vec![CollectorReport { name: "aws".into(), units, failure, ..Default::default() }];
    let error = DeliveryError { message: String::new(), nothing: true };
    RunOutcome::Ended(RunReport { collectors, ..RunReport::default() }, Err(error))
}

#[test]
fn planned_units_are_waiting() {
    let mut bench = Bench::planned();
    let expected = [("aws/plan", JobState::Complete), ("aws/1", JobState::Waiting), ("aws/2", JobState::Waiting)];
    assert_eq!(bench.states(), expected.map(|(name, state)| (name.to_owned(), state)));
    assert_eq!((bench.job("aws/2").unit.as_deref(), bench.job("aws/2").attempts), (Some("2"), 0));
    bench.start_unit(1, 1);
    assert_eq!((bench.job("aws/1").state, bench.job("aws/2").state), (JobState::Waiting, JobState::Running));
    assert_eq!(bench.status.borrow().jobs.len(), 3);
}

#[test]
fn unit_that_succeeds_on_second_attempt_is_complete() {
    let mut bench = Bench::planned();
    bench.start_unit(1, 0);
    bench.event(1, &AttemptEvent::Started(Some(7)));
    bench.event(1, &AttemptEvent::UnitFailed(0, failure()));
    bench.retry(Some(0));
    bench.event(1, &AttemptEvent::Ended(AttemptOutcome::Finished));
    let job = bench.job("aws/1");
    assert_eq!((job.state, job.pid, job.reason.as_deref()), (JobState::Waiting, None, Some("it may go better")));
    bench.start_unit(2, 0);
    assert_eq!(bench.job("aws/1").reason, None);
    bench.event(2, &AttemptEvent::UnitComplete(0, stats(5)));
    bench.event(2, &AttemptEvent::Ended(AttemptOutcome::Finished));
    let job = bench.job("aws/1");
    assert_eq!((job.state, job.attempts, job.nodes, job.reason), (JobState::Complete, 2, 5, None));
}

#[test]
fn crashed_unit_waits_for_next_attempt() {
    let mut bench = Bench::planned();
    bench.start_unit(1, 0);
    bench.event(1, &AttemptEvent::Ended(AttemptOutcome::Crashed(ExitReason::Signal(9))));
    assert_eq!(bench.job("aws/1").state, JobState::Failed);
    bench.retry(Some(0));
    assert_eq!(bench.job("aws/1").state, JobState::Waiting);
    bench.start(3, JobKind::Plan);
    bench.event(3, &AttemptEvent::Ended(AttemptOutcome::Failed(failure())));
    bench.retry(None);
    assert_eq!(bench.job("aws/plan").state, JobState::Waiting);
}

#[test]
fn worker_of_earlier_attempt_changes_nothing() {
    let mut bench = Bench::planned();
    bench.start_unit(1, 0);
    bench.event(1, &AttemptEvent::UnitFailed(0, failure()));
    bench.retry(Some(0));
    bench.start_unit(2, 0);
    bench.event(1, &AttemptEvent::Ended(AttemptOutcome::Stopped(StopReason::Silence, String::new())));
    assert_eq!((bench.job("aws/1").state, bench.job("aws/1").reason), (JobState::Running, None));
}

#[test]
fn complete_unit_stays_complete_however_its_worker_ends() {
    let mut bench = Bench::planned();
    bench.start_unit(1, 0);
    bench.event(1, &AttemptEvent::UnitComplete(0, stats(5)));
    bench.event(1, &AttemptEvent::Ended(AttemptOutcome::Crashed(ExitReason::Code(1))));
    assert_eq!((bench.job("aws/1").state, bench.job("aws/1").reason), (JobState::Complete, None));
}

#[test]
fn worker_for_all_units_is_one_job_until_it_crashes() {
    let mut bench = Bench::new();
    bench.start(0, JobKind::PlanAndCollect { pool: 2 });
    bench.event(0, &AttemptEvent::Planned(plan()));
    bench.event(0, &AttemptEvent::UnitComplete(0, stats(5)));
    bench.event(0, &AttemptEvent::Progress(Progress { unit: 1, parts_done: 0, parts: 1, nodes: 2 }));
    bench.event(0, &AttemptEvent::Progress(Progress { unit: 1, parts_done: 0, parts: 1, nodes: 3 }));
    assert_eq!((bench.status.borrow().jobs.len(), bench.job("aws").nodes), (1, 8));
    bench.event(0, &AttemptEvent::Ended(AttemptOutcome::Crashed(ExitReason::Signal(9))));
    bench.retry(Some(1));
    assert_eq!((bench.job("aws").state, bench.job("aws/2").state), (JobState::Failed, JobState::Waiting));
    assert_eq!(bench.job("aws/2").unit.as_deref(), Some("2"));
}

#[test]
fn report_of_run_decides_final_job_states() {
    let mut bench = Bench::planned();
    bench.start_unit(1, 0);
    bench.event(1, &AttemptEvent::Ended(AttemptOutcome::Crashed(ExitReason::Signal(9))));
    let failed = report::Outcome::Failed { reason: "deadline".into(), detail: "the time was over".into() };
    let units = vec![unit_report(report::Outcome::Complete, 2), unit_report(failed, 0)];
    bench.table.run_over(RunId(1), &concluded(units, None));
    assert_eq!((bench.job("aws/1").state, bench.job("aws/1").attempts), (JobState::Complete, 2));
    let job = bench.job("aws/2");
    assert_eq!((job.state, job.reason.as_deref()), (JobState::Failed, Some("the time was over")));
}

#[test]
fn no_job_waits_after_run() {
    let mut bench = Bench::planned();
    let refused = RunOutcome::Refused("ckworker was stopped".into());
    bench.table.run_over(RunId(2), &refused);
    assert_eq!(bench.job("aws/1").state, JobState::Waiting, "another run was refused");
    bench.table.run_over(RunId(1), &refused);
    assert_eq!(bench.job("aws/1").state, JobState::Failed);
    assert_eq!(bench.job("aws/1").reason.as_deref(), Some("ckworker was stopped"));

    let mut bench = Bench::new();
    bench.start(0, JobKind::Plan);
    bench.event(0, &AttemptEvent::Ended(AttemptOutcome::Failed(failure())));
    bench.retry(None);
    bench.table.run_over(RunId(1), &concluded(Vec::new(), Some("the time was over")));
    assert_eq!(bench.job("aws/plan").state, JobState::Failed);
}

#[test]
fn new_run_starts_with_empty_job_table() {
    let mut bench = Bench::planned();
    let spec = AttemptSpec {
        id: AttemptId(9),
        run: Some(RunId(2)),
        collector: "aws",
        kind: JobKind::Plan,
        process: true,
        soft_deadline: Instant::now(),
    };
    bench.table.job_started(&spec, "aws/plan".into());
    assert_eq!(bench.states(), [("aws/plan".to_owned(), JobState::Running)]);
    assert_eq!(bench.status.borrow().run, Some(2));
}
