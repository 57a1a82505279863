//! Tags of every kind, set and removed by a real worker in a local AWS, beside what the original did.

use std::collections::BTreeMap;

use ckworker::{
    collector_api::{ParentNode, Target},
    collectors,
    process::{self, Program},
    settings::Settings,
};
use serde_json::{Value, json};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use worker_proto::{
    Credentials, FrameReader, FrameWriter, FromWorker, Job, JobKind, Level, Operation, Outcome, PROTOCOL_VERSION,
    ToWorker, Unit, Verb, decode_from_worker, encode_to_worker,
};

use crate::support::{
    aws::LocalAws,
    core::{StoredNode, TestCore, in_task},
    daemon::{Daemon, SUBSCRIBER, have},
};

/// Removing a tag that is not there failed after its call, and is done here.
const MISSING_TAG: &str = "nosuch";

/// A worker process that operates, with this test as its supervisor.
struct Worker {
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
    next: u64,
    secret: String,
    _process: process::WorkerProcess,
}

impl Worker {
    async fn start(aws: &LocalAws, unit: Unit) -> Self {
        let program = Program { path: env!("CARGO_BIN_EXE_ckworker").into(), args: vec!["worker".into()] };
        let spawned = process::spawn(&program).unwrap();
        let (reader, writer) = spawned.frames.into_split();
        let (reader, writer) = (FrameReader::new(reader), FrameWriter::new(writer));
        // The worker reads no settings by itself: they come with the credentials.
        let settings = json!({ "endpoints": { "all": aws.endpoint() } });
        let secret = json!({ "access_key_id": "testing", "secret_access_key": "testing", "settings": settings });
        let mut worker = Self { reader, writer, next: 0, secret: secret.to_string(), _process: spawned.process };
        worker.say(&ToWorker::Hello { version: PROTOCOL_VERSION, memory_limit: 0 }).await;
        let job = Job {
            name: "tags".into(),
            collector: "aws".into(),
            kind: JobKind::Operate { unit },
            settings: "{}".into(),
            soft_deadline_ms: 600_000,
            level: Level::Info,
        };
        worker.say(&ToWorker::Job(job)).await;
        worker
    }

    async fn say(&mut self, message: &ToWorker) {
        self.writer.write(&encode_to_worker(message).unwrap()).await.unwrap();
    }

    async fn operate(&mut self, subject: &Target, verb: Verb) -> Outcome {
        self.next += 1;
        let subject = serde_json::to_string(subject).unwrap();
        self.say(&ToWorker::Operate(Operation { id: self.next, verb, subject, limit_ms: 60_000 })).await;
        loop {
            let frame = self.reader.read().await.unwrap().expect("the worker goes on");
            match decode_from_worker(frame).unwrap() {
                FromWorker::Operated { id, outcome } if id == self.next => return outcome,
                FromWorker::NeedCredentials { unit, .. } => {
                    let credentials = Ok(Credentials { secret: self.secret.clone(), expires: None });
                    self.say(&ToWorker::Credentials { unit, credentials }).await;
                }
                _ => {}
            }
        }
    }
}

/// A node as the supervisor describes it to a worker.
fn subject(node: &StoredNode) -> Target {
    let ancestor = |rank: &str| {
        let found = node.metadata["ancestors"][rank]["id"].as_str()?;
        Some(ParentNode { id: found.into(), name: None, reported: serde_json::Map::new() })
    };
    let text = |field: &str| node.reported[field].as_str().unwrap_or_default().to_owned();
    Target {
        kind: text("kind"),
        id: text("id"),
        name: text("name"),
        reported: node.reported.as_object().unwrap().clone(),
        cloud: "aws".into(),
        account: ancestor("account").unwrap_or(ParentNode {
            id: text("id"),
            name: None,
            reported: serde_json::Map::new(),
        }),
        region: ancestor("region"),
    }
}

/// Invariant: a task is executed once and answered within its time.
#[tokio::test]
async fn burst_of_tasks_changes_each_resource_once_despite_lost_links() {
    let aws = LocalAws::start(1, &["us-east-1"]);
    let core = TestCore::start(Some("geheim")).await;
    let daemon = Daemon::start(&core, |command| {
        command.env("CKWORKER_PSK", "geheim");
        aws.serve(command.args(["--fork", "--collector", "aws", "--aws-fork", "--aws-region", "us-east-1"]))
    });
    assert_eq!(have(&core, "collect").await.0, "action_done", "{}", daemon.log());
    let nodes = core.nodes("ck");
    let subnets: Vec<_> = nodes.iter().filter(|(_, node)| node.reported["kind"] == "aws_ec2_subnet").take(8).collect();
    assert_eq!(subnets.len(), 8);
    for (round, disturbed) in [false, true].into_iter().enumerate() {
        aws.reset().await;
        core.connected(SUBSCRIBER).await;
        core.workers(8).await;
        let hanging = aws.delay("CreateTags", 1.0).await;
        let task = |id: &str| format!("round {round}: {id}");
        for (id, node) in &subnets {
            let data = json!({"update": {"owner": format!("bob {round}")}, "node": in_task(id, node)});
            core.add_task(&task(id), &[("cloud", "aws")], data);
        }
        for (id, _) in &subnets {
            core.task_given_out(&task(id), 1).await;
        }
        if disturbed {
            // The eight connections break, are refused for a while, and the tasks come back on new ones.
            core.refuse("GET /work/queue", 4, 429, "too many");
            core.refuse("GET /work/queue", 4, 401, "401: Unauthorized");
            core.drop_connections();
            core.workers(8).await;
            core.look_at_queue();
        }
        aws.mend(hanging).await;
        for (id, _) in &subnets {
            let work = core.task_over(&task(id)).await;
            let node = work.outcome.unwrap_or_else(|| panic!("no outcome: {}", daemon.log())).unwrap();
            assert_eq!(node["reported"]["tags"]["owner"], json!(format!("bob {round}")), "{node}");
            assert!(node["reported"].get("account").is_none() && node["reported"].get("age").is_none(), "{node}");
            assert_eq!(node.as_object().unwrap().len(), 2, "id and reported, nothing that others may have changed");
            assert_eq!(work.given_out, 1 + usize::from(disturbed), "{}", daemon.log());
        }
        assert_eq!(aws.changes().await, BTreeMap::from([("CreateTags".to_owned(), 8)]), "each once");
    }
    daemon.stop().await;
}

/// The calls of the original that change something.
fn calls(case: &Value) -> Vec<&str> {
    case["calls"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn every_kind_is_tagged_by_the_calls_of_the_original() {
    let golden = std::fs::read_to_string("tests/golden/aws/tags.json").unwrap();
    let golden: Vec<Value> = serde_json::from_str(&golden).unwrap();
    let aws = LocalAws::start(1, &["us-east-1"]);
    let core = TestCore::start(None).await;
    let daemon =
        Daemon::start(&core, |command| aws.serve(command.args(["--collector", "aws", "--aws-region", "us-east-1"])));
    assert_eq!(have(&core, "collect").await.0, "action_done", "{}", daemon.log());
    daemon.stop().await;
    let nodes: Vec<StoredNode> = core.nodes("ck").into_values().collect();
    let collector = collectors::find("aws").unwrap();
    let mut workers: BTreeMap<String, Worker> = BTreeMap::new();
    let (mut wrong, mut made) = (Vec::new(), 0);
    for case in golden.iter().filter(|case| case["kind"].as_str().unwrap().starts_with("aws_")) {
        let Some(node) = nodes.iter().find(|node| node.reported["kind"] == case["kind"]) else { continue };
        let (subject, key) = (subject(node), case["key"].as_str().unwrap().to_owned());
        aws.reset().await;
        let verb = match case["change"].as_str().unwrap() {
            "update" => Verb::UpdateTag { key: key.clone(), value: "v1".into() },
            _ => Verb::DeleteTag { key: key.clone() },
        };
        let outcome = match collector.operator(&Settings::default(), &subject) {
            Ok(unit) => {
                if !workers.contains_key(&unit.id) {
                    workers.insert(unit.id.clone(), Worker::start(&aws, unit.clone()).await);
                }
                workers.get_mut(&unit.id).unwrap().operate(&subject, verb).await
            }
            Err(failure) => Outcome::Failed(failure),
        };
        let found: Vec<String> = aws.changes().await.into_keys().collect();
        let original_done = case["result"] == "done" || key == MISSING_TAG && !calls(case).is_empty();
        // The local AWS refuses to update nothing but tags of a stack.
        let stack = case["kind"] == "aws_cloudformation_stack";
        if !stack && (found != calls(case) || (outcome == Outcome::Done) != original_done) {
            wrong.push(format!("{case}: {found:?} {outcome:?}"));
        }
        made += found.len();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(made > 40, "only {made} calls");
}
