//! Puppets: supervisors in this process whose workers are the test program that misbehaves on demand.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use ckworker::{
    collector_api::{BoxFuture, Broker, CollectContext, Collector, Concurrency, Target},
    collectors,
    delivery::{Delivered, Delivery, DeliveryError, Sink},
    graph::Spool,
    process::{Program, reaper},
    settings::{OptionSpec, Setting, Settings},
    supervisor::{
        Setup,
        policy::Policy,
        worker_session::{Limits, SessionCollector, Timeouts},
    },
    telemetry::Metrics,
};
use worker_proto::{Failure, FailureKind, Plan, Unit};

/// The setting with the behaviours.
const BEHAVIOURS: &str = "behaviours";

/// A collector whose workers are puppets. It plans one unit for each behaviour in its settings, and operations go to a
/// worker with the first one.
struct Puppets(&'static str);

/// Named as the example collector, so that it is the one for the nodes of that.
static EXAMPLE: Puppets = Puppets("example");
static FAKE: Puppets = Puppets("fake");

/// How many workers a collector of puppets has at the same time.
pub const UNITS: Concurrency = Concurrency { fork: true, pool: 8 };

impl Collector for Puppets {
    fn name(&self) -> &'static str {
        self.0
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn check(&self, _: &Settings) -> Result<(), String> {
        Ok(())
    }

    fn concurrency(&self, _: &Settings) -> Concurrency {
        UNITS
    }

    fn broker(&self, _: &Settings) -> Option<Arc<dyn Broker>> {
        None
    }

    fn plan<'a>(&'a self, context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        Box::pin(async {
            let units = context.settings().list(BEHAVIOURS).iter().map(|behaviour| Unit {
                id: "a".into(),
                label: behaviour.clone(),
                kind: "fake_account".into(),
                parts: 0,
                payload: behaviour.clone(),
            });
            Ok(Plan { units: units.collect(), gaps: Vec::new(), is_whole: true })
        })
    }

    fn collect<'a>(&'a self, _: &'a CollectContext, _: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        let failure = Failure { kind: FailureKind::Internal, message: "the puppet collects".into() };
        Box::pin(async { Err(failure) })
    }

    fn operator(&self, settings: &Settings, subject: &Target) -> Result<Unit, Failure> {
        let unit = collectors::find("example").unwrap().operator(settings, subject)?;
        Ok(Unit { payload: settings.list(BEHAVIOURS)[0].clone(), ..unit })
    }
}

fn find(name: &str) -> Option<&'static dyn Collector> {
    [&EXAMPLE, &FAKE].into_iter().find(|puppets| puppets.0 == name).map(|puppets| puppets as &dyn Collector)
}

/// Delivers nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn name(&self) -> String {
        "nowhere".to_owned()
    }

    fn deliver(&self, _: Delivery) -> BoxFuture<'static, Result<Delivered, DeliveryError>> {
        Box::pin(async { Ok(Delivered::default()) })
    }
}

/// A supervisor of the one collector of a policy, `example` or `fake`, whose puppets behave in these ways.
pub fn setup(policy: Policy, behaviours: &[String], broker: Option<Arc<dyn Broker>>) -> Setup {
    reaper::adopt_orphans();
    let mut settings = Settings::default();
    settings.set(BEHAVIOURS, Setting::List(behaviours.to_vec()));
    let collector = policy.collectors[0].name;
    Setup {
        policy,
        collectors: BTreeMap::from([(collector, SessionCollector { settings, broker })]),
        actions: Vec::new(),
        program: Program { path: path(), args: Vec::new() },
        memory_limit: 0,
        spool: Spool::new(1 << 20),
        timeouts: Timeouts::default(),
        limits: Limits::default(),
        find,
        level: worker_proto::Level::Info,
        sink: Arc::new(Nowhere),
        metrics: Arc::new(Metrics::new()),
        has_summary: false,
        on_progress: Box::new(|_| {}),
    }
}

/// The test program that stands for a worker.
fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_ckworker")).parent().unwrap().join("examples/puppet")
}

/// Fails if this process has children, running or zombies: a supervisor leaves none behind.
pub fn assert_none_left() {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists: Vec<String> = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok()).collect();
    let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let children: Vec<String> =
        lists.iter().flat_map(|list| list.split_whitespace()).map(|pid| format!("{pid} {}", name(pid))).collect();
    assert_eq!(children, Vec::<String>::new(), "nothing may be left in the process table");
}
