//! Real processes that misbehave: the rest is collected, the reason is named, and nothing is left behind.
//!
//! Invariant: every child leads a process group and has one owner, and no process is left after a run.

mod floods;
mod stops;

use std::{
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ckworker::{
    collector_api::{BoxFuture, Broker},
    delivery::{Delivered, Delivery, DeliveryError, Sink},
    graph::Spool,
    report::{CoreStatus, Outcome, ProgressEvent, RunReport, StatusSnapshot, UnitReport},
    supervisor::{
        self, Ended, Setup, Source, StatusSenders,
        policy::{CollectorPolicy, Policy},
        worker_session::{Limits, Timeouts},
    },
    telemetry::Metrics,
};
use futures_util::{Stream, stream};
use tokio::sync::watch;
use worker_proto::{Credentials, Failure, Unit};

use crate::support::puppet;

/// Longer than any test takes, so that a hang is a failure and not a timeout of the runner.
const HANG: Duration = Duration::from_secs(60);

/// Keeps what was to be delivered.
#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl Sink for Kept {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<Delivered, DeliveryError>> {
        *self.0.lock().unwrap() = delivery.units.iter().map(|(_, unit)| unit.account().label.clone()).collect();
        Box::pin(async { Ok(Delivered::default()) })
    }
}

/// One supervisor with puppets.
struct Play {
    policy: Policy,
    timeouts: Timeouts,
    limits: Limits,
    spool: Spool,
    memory_limit: u64,
    broker: Option<Arc<dyn Broker>>,
    behaviours: Vec<String>,
    delivery: Arc<Kept>,
    /// In the place of that one.
    other_delivery: Option<Arc<dyn Sink>>,
    metrics: Arc<Metrics>,
    /// How many units have begun.
    begun: watch::Sender<usize>,
}

impl Play {
    fn new(behaviours: &[&str]) -> Self {
        let collector = CollectorPolicy { name: "fake", is_named: true, process: false, units: puppet::UNITS };
        let mut policy = Policy::new(vec![collector], 5, HANG);
        policy.attempts = 1;
        policy.grace = Duration::from_secs(1);
        Self {
            policy,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            spool: Spool::new(1 << 20),
            memory_limit: 0,
            broker: None,
            behaviours: behaviours.iter().map(|behaviour| (*behaviour).to_owned()).collect(),
            delivery: Arc::default(),
            other_delivery: None,
            metrics: Arc::new(Metrics::new()),
            begun: watch::Sender::new(0),
        }
    }

    async fn run(&self, signals: impl Stream<Item = i32> + Unpin) -> Ended {
        let sink = self.other_delivery.clone().unwrap_or_else(|| Arc::clone(&self.delivery) as Arc<dyn Sink>);
        let begun = self.begun.clone();
        let setup = Setup {
            memory_limit: self.memory_limit,
            spool: self.spool.clone(),
            timeouts: self.timeouts,
            limits: self.limits,
            sink,
            metrics: Arc::clone(&self.metrics),
            on_progress: Box::new(move |event| {
                if matches!(event, ProgressEvent::UnitStarted { .. }) {
                    begun.send_modify(|begun| *begun += 1);
                }
            }),
            ..puppet::setup(self.policy.clone(), &self.behaviours, self.broker.clone())
        };
        let (status, _status) = watch::channel(StatusSnapshot::default());
        let (core, _core) = watch::channel(CoreStatus::default());
        let run = supervisor::run(setup, Source::Once, signals, StatusSenders { status, core });
        let ended = tokio::time::timeout(HANG, run).await.expect("the run must end by itself");
        puppet::assert_none_left();
        ended
    }

    async fn report(&self) -> RunReport {
        self.run(stream::pending()).await.report.unwrap()
    }

    /// The one bad unit beside a good one, and its reason.
    async fn fails_alone(&self) -> (String, String) {
        let report = self.report().await;
        let units = &report.collectors[0].units;
        assert!(units[1].counts(), "the other unit must be complete: {report:#?}");
        assert_eq!(*self.delivery.0.lock().unwrap(), [units[1].label.as_str()], "only the complete unit is delivered");
        reason(&units[0])
    }

    fn exits(&self, reason: &str) -> bool {
        self.exits_times(reason, 1)
    }

    fn exits_times(&self, reason: &str, times: usize) -> bool {
        let line = format!("ckworker_worker_exits_total{{collector=\"fake\",reason=\"{reason}\"}} {times}");
        self.metrics.encode().lines().any(|found| found == line)
    }
}

fn reason(unit: &UnitReport) -> (String, String) {
    match &unit.outcome {
        Outcome::Failed { reason, detail } => (reason.clone(), detail.clone()),
        Outcome::Complete => panic!("{unit:?} should have failed"),
    }
}

#[tokio::test]
async fn puppets_that_behave_are_complete() {
    let play = Play::new(&["well", "well", "well"]);
    assert!(play.report().await.is_complete());
    assert_eq!(*play.delivery.0.lock().unwrap(), ["well", "well", "well"]);
}

#[tokio::test]
async fn worker_ended_by_signal_is_named_by_it() {
    let play = Play::new(&["die", "well"]);
    let (_, detail) = play.fails_alone().await;
    assert!(detail.contains("SIGKILL"), "{detail}");
    assert!(play.exits("signal"));
}

/// Invariant: nodes of a unit count only after `UnitDone` with matching counts.
#[tokio::test]
async fn worker_exiting_without_result_does_not_count() {
    for behaviour in ["panic", "no-done", "exit-at-once", "half-frame"] {
        let (label, detail) = Play::new(&[behaviour, "well"]).fails_alone().await;
        assert_eq!(label, "crashed", "{behaviour}: {detail}");
    }
}

/// Invariant: nodes of a unit count only after `UnitDone` with matching counts.
#[tokio::test]
async fn protocol_violation_ends_the_worker() {
    for behaviour in ["garbage", "huge-frame", "wrong-counts", "foreign-unit", "twice"] {
        let play = Play::new(&[behaviour, "well"]);
        let (label, detail) = play.fails_alone().await;
        assert_eq!(label, "protocol", "{behaviour}: {detail}");
        assert!(play.exits("protocol"), "{behaviour}");
    }
}

/// Invariant: another version of the protocol is a named and permanent failure.
#[tokio::test]
async fn other_protocol_version_is_named_and_not_retried() {
    let mut play = Play::new(&["other-version", "well"]);
    play.policy.attempts = 3;
    let (label, detail) = play.fails_alone().await;
    assert_eq!(label, "version");
    assert!(detail.contains("the binary was replaced"), "{detail}");
    assert!(play.exits("version"), "one attempt only");
}

/// Invariant: the supervisor never relies on a worker to exit by itself.
#[tokio::test]
async fn hanging_or_stopped_worker_is_ended_at_deadline() {
    for behaviour in ["hang", "stop", "ignore-term"] {
        let mut play = Play::new(&[behaviour, "well"]);
        play.policy.timeout = Duration::from_secs(4);
        let began = Instant::now();
        let (label, detail) = play.fails_alone().await;
        assert_eq!(label, "deadline", "{behaviour}: {detail}");
        assert!(detail.contains("--timeout"), "{detail}");
        assert!(began.elapsed() >= Duration::from_secs(2), "{behaviour}: not before its time");
        assert!(play.exits("deadline"), "{behaviour}");
    }
}

/// Invariant: a silent worker is killed long before the deadline.
#[tokio::test]
async fn silent_worker_is_ended_long_before_deadline() {
    for (behaviour, label) in [("mute", "handshake"), ("hang", "silence"), ("stop", "silence")] {
        let mut play = Play::new(&[behaviour, "well"]);
        play.timeouts.handshake = Duration::from_secs(1);
        play.timeouts.silence = Duration::from_secs(1);
        assert_eq!(play.fails_alone().await.0, label, "{behaviour}");
        assert!(play.exits(label), "{behaviour}");
    }
}

/// Invariant: a job without progress is reported, and fails if no event will wake it.
#[tokio::test]
async fn worker_that_runs_without_progress_is_stalled_and_not_silent() {
    for (behaviour, named) in [("stall", "ec2 DescribeVolumes"), ("stuck", "session did not run")] {
        let mut play = Play::new(&[behaviour, "well"]);
        play.policy.attempts = 2;
        let (label, detail) = play.fails_alone().await;
        assert_eq!(label, "stalled", "{behaviour}: {detail}");
        assert!(detail.contains(named), "{behaviour}: {detail}");
        assert!(play.exits_times("stalled", 2), "{behaviour}: another worker may do better");
    }
}

#[tokio::test]
async fn worker_that_waits_for_a_call_is_named_and_continues() {
    let play = Play::new(&["quiet", "well"]);
    assert!(play.report().await.is_complete());
}

/// Invariant: the log of a worker is bounded in length and rate.
#[tokio::test]
async fn flood_of_log_lines_is_harmless() {
    for behaviour in ["flood-log", "endless-line"] {
        assert!(Play::new(&[behaviour, "well"]).report().await.is_complete(), "{behaviour}");
    }
}

#[tokio::test]
async fn flood_of_frames_is_ended_at_deadline() {
    let mut play = Play::new(&["flood-frames", "well"]);
    play.policy.timeout = Duration::from_secs(3);
    assert_eq!(play.fails_alone().await.0, "deadline");
}

/// Invariant: every child leads a process group and has one owner, and no process is left after a run.
#[tokio::test]
async fn processes_left_by_worker_are_swept() {
    assert!(Play::new(&["grandchild", "well"]).report().await.is_complete());
}

/// Invariant: the supervisor never relies on a worker to exit by itself.
#[tokio::test]
async fn worker_lingering_after_done_is_killed_and_its_result_kept() {
    let mut play = Play::new(&["linger", "well"]);
    play.timeouts.exit = Duration::from_millis(200);
    assert!(play.report().await.is_complete());
}

#[tokio::test]
async fn rejected_credentials_are_not_retried() {
    let mut play = Play::new(&["deny", "well"]);
    play.policy.attempts = 3;
    let report = play.report().await;
    assert_eq!(report.collectors[0].units[0].attempts, 1);
    assert_eq!(reason(&report.collectors[0].units[0]), ("credentials".into(), "role denied".into()));
}

#[tokio::test]
async fn crashed_worker_is_retried_and_attempts_are_counted() {
    let mut play = Play::new(&["die", "well"]);
    play.policy.attempts = 2;
    play.policy.retry_delay = Duration::from_millis(10);
    let report = play.report().await;
    assert_eq!(report.collectors[0].units[0].attempts, 2);
    assert!(play.metrics.encode().contains("ckworker_job_restarts_total{collector=\"fake\"} 1"));
}

/// Invariant: the memory of a worker is limited, and a worker that needs more fails with that reason.
#[tokio::test]
async fn worker_above_memory_limit_is_named_by_it() {
    let mut play = Play::new(&["allocate", "well"]);
    play.memory_limit = 64 << 20;
    play.policy.attempts = 3;
    let (label, detail) = play.fails_alone().await;
    assert_eq!(label, "memory", "{detail}");
    assert!(detail.contains("64 MiB"), "{detail}");
    assert!(play.exits("memory"), "it would need as much the next time");
}

#[tokio::test]
async fn unusable_temporary_directory_is_reported_with_remedy() {
    let mut play = Play::new(&["well"]);
    play.spool = Spool::in_folder(0, "/nonexistent");
    let report = play.report().await;
    let (label, detail) = reason(&report.collectors[0].units[0]);
    assert_eq!(label, "spool", "{detail}");
    assert!(detail.contains("/nonexistent") && detail.contains("TMPDIR"), "{detail}");
    assert!(play.exits("spool"));
}

/// Panics when it is asked.
struct Panicking;

impl Broker for Panicking {
    fn credentials<'a>(&'a self, _: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        Box::pin(async { panic!("the broker panics") })
    }
}

#[tokio::test]
async fn panic_of_broker_fails_the_requesting_unit() {
    let mut play = Play::new(&["ask-for-credentials", "well"]);
    play.broker = Some(Arc::new(Panicking));
    play.timeouts.exit = Duration::from_millis(200);
    let (label, detail) = play.fails_alone().await;
    assert_eq!(label, "internal_error", "{detail}");
    assert!(detail.contains("panicked") && detail.contains("please report"), "{detail}");
}

/// Does not deliver.
enum Faulty {
    Hangs,
    Panics,
}

impl Sink for Faulty {
    fn name(&self) -> String {
        "faulty".to_owned()
    }

    fn deliver(&self, _: Delivery) -> BoxFuture<'static, Result<Delivered, DeliveryError>> {
        match self {
            Self::Hangs => Box::pin(std::future::pending()),
            Self::Panics => Box::pin(async { panic!("the delivery panics") }),
        }
    }
}

/// Invariant: no delivery outlasts its run, and no panic blocks a run.
#[tokio::test]
async fn hanging_or_panicking_delivery_ends_with_its_run() {
    for (faulty, message) in [(Faulty::Hangs, "--timeout"), (Faulty::Panics, "panicked")] {
        let mut play = Play::new(&["well"]);
        play.policy.timeout = Duration::from_secs(5);
        play.other_delivery = Some(Arc::new(faulty));
        let began = Instant::now();
        let ended = play.run(stream::pending()).await;
        let error = ended.delivery.unwrap_err();
        assert!(error.message.contains(message), "{error:?}");
        assert!(ended.report.is_some_and(|report| report.is_complete()), "what was collected is reported");
        assert!(message == "panicked" || began.elapsed() >= Duration::from_secs(4), "not before its time");
    }
}
