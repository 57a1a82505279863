//! Sessions over in-memory streams: whatever waits for room, questions are answered, and the end is told.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use tokio::{
    io::{DuplexStream, ReadHalf, WriteHalf, duplex, split},
    task::yield_now,
    time::{sleep, timeout_at},
};
use worker_proto::{
    Counts, Credentials, Gap, JobKind, Node, Outcome, Plan, Unit, Verb, WaitOn, decode_from_worker, encode_to_worker,
};

use super::*;
use crate::collector_api::Collector;
use crate::{
    collector_api::{Broker, CollectContext, Concurrency, Shared},
    settings::{OptionSpec, Settings},
};

/// More than any session takes, in paused time.
const HANG: Duration = Duration::from_secs(3600);

/// A collector that does what the payload of its unit says.
struct Scripted;

impl Collector for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn check(&self, _: &Settings) -> Result<(), String> {
        Ok(())
    }

    fn concurrency(&self, _: &Settings) -> Concurrency {
        Concurrency { fork: true, pool: 8 }
    }

    fn broker(&self, _: &Settings) -> Option<Arc<dyn Broker>> {
        None
    }

    fn plan<'a>(&'a self, _: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        let units = (0..40).map(|seed| unit(&format!("random {seed}"))).collect();
        Box::pin(async { Ok(Plan { units, gaps: Vec::new(), is_whole: true }) })
    }

    fn collect<'a>(&'a self, context: &'a CollectContext, unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            match unit.payload.split_once(' ').unwrap_or((&unit.payload, "")) {
                ("question-last", _) => question_last(context).await,
                ("random", seed) => regions(context, seed.parse().unwrap()).await,
                ("senders", _) => try_join_all((0..20).map(|_| flood(context))).await.map(drop),
                ("pending", _) => pending().await,
                ("call", _) => {
                    let _call = context.waiting("ec2 DescribeVolumes in us-east-1");
                    pending().await
                }
                (other, _) => panic!("unknown payload {other}"),
            }
        })
    }

    fn operate<'a>(
        &'a self,
        context: &'a CollectContext,
        _: &'a Unit,
        operation: &'a Operation,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        Box::pin(async move {
            for _ in 0..operation.id % 7 {
                context.count("operations", &[], 1).await?;
                yield_now().await;
            }
            Ok(Outcome::Done)
        })
    }
}

/// Twenty senders wait for room before anybody asks.
async fn question_last(context: &CollectContext) -> Result<(), Failure> {
    let senders = (0..20).map(|_| -> BoxFuture<'_, Result<(), Failure>> { Box::pin(flood(context)) });
    let question: BoxFuture<'_, Result<(), Failure>> = Box::pin(async { context.credentials().get().await.map(drop) });
    try_join_all(senders.chain([question])).await.map(drop)
}

async fn flood(context: &CollectContext) -> Result<(), Failure> {
    for _ in 0..20 {
        context.gap(gap()).await?;
    }
    Ok(())
}

/// Seventeen regions that send, ask and wait in an order that a seed decides.
async fn regions(context: &CollectContext, seed: u64) -> Result<(), Failure> {
    let region = |region: u64| async move {
        let mut random = fastrand::Rng::with_seed(seed * 100 + region);
        for step in 0..40 {
            match random.u32(..8) {
                0 => drop(context.credentials().get().await?),
                1 => {
                    let key = format!("price {}", random.u32(..30));
                    if let Shared::Fetch(lease) = context.shared(&key).await?
                        && random.bool()
                    {
                        yield_now().await;
                        lease.publish("1".into()).await;
                    }
                }
                2 => context.gap(gap()).await?,
                3 => sleep(Duration::from_millis(random.u64(..30))).await,
                4 => yield_now().await,
                _ => context.node(node(region * 1000 + step)).await?,
            }
        }
        Ok(())
    };
    try_join_all((0..17).map(region)).await.map(drop)
}

fn gap() -> Gap {
    let text = String::new;
    let message = "m".repeat(10_000);
    Gap { account: text(), region: text(), service: text(), operation: text(), code: text(), message }
}

/// A node that fills a batch of its own.
fn node(id: u64) -> Node {
    let line = vec![b'x'; worker_proto::BATCH_BYTES];
    let (id, line) = ([id.to_le_bytes(), [0; 8]].concat().try_into().unwrap(), line.into());
    Node { id, kind: "k".into(), resource: String::new(), line }
}

fn unit(payload: &str) -> Unit {
    Unit { id: "a".into(), label: "account a".into(), kind: "k".into(), parts: 0, payload: payload.into() }
}

fn find(name: &str) -> Option<&'static dyn Collector> {
    (name == "scripted").then_some(&Scripted)
}

/// The supervisor's end of a session.
struct Supervisor {
    reader: FrameReader<ReadHalf<DuplexStream>>,
    writer: FrameWriter<WriteHalf<DuplexStream>>,
    session: JoinHandle<Result<(), SessionError>>,
    /// When the session has to be over: a session that hangs sends signs of life for ever.
    until: Instant,
    frames: u64,
    nodes: BTreeMap<u32, u64>,
    counts: BTreeMap<u32, Counts>,
}

impl Supervisor {
    async fn start(kind: JobKind) -> Self {
        let (ours, theirs) = duplex(16 * 1024);
        let (reader, writer) = split(theirs);
        let session =
            tokio::spawn(
                async move { run(reader, writer, &|job: &Job| find(&job.collector), Isolation::Thread).await },
            );
        let (reader, writer) = split(ours);
        let mut supervisor = Self {
            reader: FrameReader::new(reader),
            writer: FrameWriter::new(writer),
            session,
            until: Instant::now() + HANG,
            frames: 0,
            nodes: BTreeMap::new(),
            counts: BTreeMap::new(),
        };
        assert!(matches!(supervisor.hear().await, FromWorker::Ready { .. }));
        supervisor.say(ToWorker::Hello { version: PROTOCOL_VERSION, memory_limit: 0 }).await;
        let settings = serde_json::to_string(&Settings::default()).unwrap();
        let (name, collector) = ("scripted/a".into(), "scripted".into());
        let soft_deadline_ms = 2 * u64::try_from(HANG.as_millis()).unwrap();
        let job = Job { name, collector, kind, settings, soft_deadline_ms, level: worker_proto::Level::Info };
        supervisor.say(ToWorker::Job(job)).await;
        supervisor
    }

    async fn say(&mut self, message: ToWorker) {
        self.writer.write(&encode_to_worker(&message).unwrap()).await.unwrap();
    }

    async fn hear(&mut self) -> FromWorker {
        self.frames += 1;
        let frame = timeout_at(self.until, self.reader.read()).await.expect("the session hangs").unwrap();
        decode_from_worker(frame.expect("the stream ended early")).unwrap()
    }

    /// Answers questions until the last frame, and stops reading for a while when `pauses` says so.
    async fn serve(&mut self, mut pauses: impl FnMut(u64) -> Option<Duration>) -> FromWorker {
        loop {
            if let Some(pause) = pauses(self.frames) {
                sleep(pause).await;
            }
            match self.hear().await {
                FromWorker::NeedCredentials { unit, .. } => {
                    let credentials = Ok(Credentials { secret: "{}".into(), expires: None });
                    self.say(ToWorker::Credentials { unit, credentials }).await;
                }
                FromWorker::NeedShared { key } => self.say(ToWorker::Shared { key, value: None }).await,
                FromWorker::Nodes { unit, nodes } => *self.nodes.entry(unit).or_default() += nodes.len() as u64,
                FromWorker::UnitDone { unit, counts } => drop(self.counts.insert(unit, counts)),
                FromWorker::UnitFailed { unit, failure } => panic!("unit {unit}: {failure:?}"),
                last @ (FromWorker::Done | FromWorker::Failed(_)) => return last,
                _ => {}
            }
        }
    }

    async fn ended(self) {
        assert!(self.session.await.unwrap().is_ok());
    }
}

/// Invariant: no wait blocks the session that would end it.
#[tokio::test(start_paused = true)]
async fn question_behind_twenty_waiting_senders_is_answered() {
    let mut supervisor = Supervisor::start(JobKind::Unit { index: 0, unit: unit("question-last") }).await;
    // By then the pipe and the queue are full.
    let last = supervisor.serve(|frames| (frames == 1).then_some(Duration::from_secs(1))).await;
    assert_eq!(last, FromWorker::Done);
    supervisor.ended().await;
}

/// Invariant: no wait blocks the session that would end it.
#[tokio::test(start_paused = true)]
async fn job_ends_in_any_order_of_sending_asking_and_reading() {
    for seed in 0..30 {
        let kind = JobKind::Unit { index: 3, unit: unit(&format!("random {seed}")) };
        let mut supervisor = Supervisor::start(kind).await;
        let mut random = fastrand::Rng::with_seed(seed);
        let pauses = |_| (random.u32(..10) == 0).then(|| Duration::from_millis(random.u64(..2000)));
        assert_eq!(supervisor.serve(pauses).await, FromWorker::Done, "seed {seed}");
        assert_eq!(supervisor.counts[&3].nodes, supervisor.nodes[&3], "seed {seed}");
        supervisor.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn all_units_in_one_worker_end_with_any_pool() {
    for pool in [1, 5, 100] {
        let mut supervisor = Supervisor::start(JobKind::PlanAndCollect { pool }).await;
        let last = supervisor.serve(|frames| frames.is_multiple_of(100).then_some(Duration::from_secs(1))).await;
        assert_eq!((last, supervisor.counts.len()), (FromWorker::Done, 40), "pool {pool}");
        supervisor.ended().await;
    }
}

/// Invariant: no wait blocks the session that would end it.
#[tokio::test(start_paused = true)]
async fn operations_that_send_while_others_end_all_get_their_outcome() {
    let mut supervisor = Supervisor::start(JobKind::Operate { unit: unit("") }).await;
    for id in 0..200 {
        let verb = Verb::Delete;
        supervisor.say(ToWorker::Operate(Operation { id, verb, subject: "{}".into(), limit_ms: 1 << 30 })).await;
    }
    supervisor.say(ToWorker::Finish).await;
    sleep(Duration::from_secs(1)).await;
    let mut done = 0;
    loop {
        match supervisor.hear().await {
            FromWorker::Operated { outcome, .. } => {
                assert_eq!(outcome, Outcome::Done);
                done += 1;
            }
            FromWorker::Done => break,
            _ => {}
        }
    }
    assert_eq!(done, 200);
    supervisor.ended().await;
}

/// Invariant: no wait blocks the session that would end it.
#[tokio::test(start_paused = true)]
async fn cancelled_job_that_holds_the_queue_tells_its_end() {
    let mut supervisor = Supervisor::start(JobKind::Unit { index: 0, unit: unit("senders") }).await;
    // The worker has filled the pipe and the queue by the time it is cancelled.
    sleep(Duration::from_secs(1)).await;
    supervisor.say(ToWorker::Cancel).await;
    sleep(Duration::from_secs(1)).await;
    let FromWorker::Failed(failure) = supervisor.serve(|_| None).await else { panic!("it must have failed") };
    assert_eq!(failure.kind, FailureKind::Cancelled);
    supervisor.ended().await;
}

/// Invariant: a job without progress is reported, and fails if no event will wake it.
#[tokio::test(start_paused = true)]
async fn unit_that_nothing_will_wake_fails_and_is_named_before() {
    let mut supervisor = Supervisor::start(JobKind::Unit { index: 0, unit: unit("pending") }).await;
    let mut quiet = 0;
    let failure = loop {
        match supervisor.hear().await {
            FromWorker::Alive(activity) => {
                quiet = activity.quiet.first().map_or(0, |unit| unit.quiet_ms).max(quiet);
            }
            FromWorker::UnitFailed { unit: 0, failure } => break failure,
            _ => {}
        }
    };
    assert_eq!(failure.kind, FailureKind::Stalled);
    assert!(failure.message.contains("account a made no progress for 30 s"), "{}", failure.message);
    assert!((25_000..=30_000).contains(&quiet), "{quiet}");
    assert_eq!(supervisor.serve(|_| None).await, FromWorker::Done);
    supervisor.ended().await;
}

/// Invariant: a job without progress is reported, and fails if no event will wake it.
#[tokio::test(start_paused = true)]
async fn unit_that_waits_for_the_cloud_continues_and_names_its_call() {
    let mut supervisor = Supervisor::start(JobKind::Unit { index: 0, unit: unit("call") }).await;
    let activity = loop {
        if let FromWorker::Alive(activity) = supervisor.hear().await
            && activity.quiet_ms >= 200_000
        {
            break activity;
        }
    };
    assert_eq!(activity.loop_ms, 0, "the session runs");
    let wait = &activity.quiet[0].waits[0];
    assert_eq!((wait.on, wait.what.as_str()), (WaitOn::Call, "ec2 DescribeVolumes in us-east-1"));
    assert!(wait.for_ms >= 200_000, "{wait:?}");
}
