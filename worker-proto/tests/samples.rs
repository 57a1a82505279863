//! One message of each kind, for the golden bytes and as seeds.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_bytes::ByteBuf;
use worker_proto::{
    Activity, Counts, Credentials, Deferred, EdgeList, Event, Failure, FailureKind, FromWorker, Gap, Job, JobKind,
    Level, Missing, MissingEdge, Name, Node, Operation, Outcome, PROTOCOL_VERSION, Plan, Progress, QuietUnit, Selector,
    ToWorker, Unit, Verb, Wait, WaitOn, Why, decode_from_worker, decode_to_worker, encode_from_worker,
    encode_to_worker,
};

fn unit() -> Unit {
    Unit {
        id: "123456789012".into(),
        label: "main (123456789012)".into(),
        kind: "aws_account".into(),
        parts: 2,
        payload: r#"{"role":"Cloudkeeper"}"#.into(),
    }
}

fn gap() -> Gap {
    Gap {
        account: "123456789012".into(),
        region: "us-east-1".into(),
        service: "ec2".into(),
        operation: "DescribeVolumes".into(),
        code: "UnauthorizedOperation".into(),
        message: "not allowed".into(),
    }
}

fn failure() -> Failure {
    Failure { kind: FailureKind::Credentials, message: "denied".into() }
}

fn job(kind: JobKind) -> ToWorker {
    ToWorker::Job(Job {
        name: "aws/123456789012".into(),
        collector: "aws".into(),
        kind,
        settings: r#"{"aws-fork":true}"#.into(),
        soft_deadline_ms: 9_000_000,
        level: Level::Info,
    })
}

fn operation(verb: Verb) -> ToWorker {
    ToWorker::Operate(Operation { id: 7, verb, subject: r#"{"kind":"aws_vpc"}"#.into(), limit_ms: 30_000 })
}

fn to_worker() -> Vec<ToWorker> {
    let credentials = Credentials { secret: "{}".into(), expires: Some(1_700_000_000) };
    vec![
        ToWorker::Hello { version: PROTOCOL_VERSION, memory_limit: 1 << 31 },
        job(JobKind::Plan),
        job(JobKind::Unit { index: 3, unit: unit() }),
        job(JobKind::PlanAndCollect { pool: 5 }),
        ToWorker::Credentials { unit: 3, credentials: Ok(credentials) },
        ToWorker::Credentials { unit: u32::MAX, credentials: Err(failure()) },
        ToWorker::Cancel,
        job(JobKind::Operate { unit: unit() }),
        operation(Verb::UpdateTag { key: "owner".into(), value: "me".into() }),
        operation(Verb::DeleteTag { key: "owner".into() }),
        operation(Verb::PreDelete),
        operation(Verb::Delete),
        ToWorker::Finish,
        ToWorker::Shared { key: "price".into(), value: Some("1".into()) },
        ToWorker::Shared { key: "price".into(), value: None },
    ]
}

fn missing() -> Vec<Missing> {
    let edge = MissingEdge { outgoing: true, kind: "aws_ec2_instance".into() };
    vec![
        Missing::Kind {
            below: [1; 16],
            scope: "us-east-1".into(),
            kind: "aws_eks_cluster".into(),
            with: vec!["aws_eks_nodegroup".into()],
            why: Why::Unseen,
        },
        Missing::Kind {
            below: [1; 16],
            scope: "global".into(),
            kind: "aws_s3_bucket".into(),
            with: vec![],
            why: Why::NotInUse { service: "s3".into(), operation: "ListBuckets".into() },
        },
        Missing::Parts { nodes: vec![[2; 16]], properties: vec!["users".into()], edges: vec![edge.clone()] },
        Missing::Edges { edge, attribute: "id".into(), ends: vec![([3; 16], [4; 16])] },
        Missing::KindInAll {
            below: [5; 16],
            places: "kubernetes_namespace".into(),
            kind: "kubernetes_ck_test_widget".into(),
            why: Why::Kept,
        },
    ]
}

fn activity() -> Activity {
    let wait = |on, what: &str| Wait { on, what: what.into(), for_ms: 1500 };
    let waits = vec![
        wait(WaitOn::Call, "ec2 DescribeVolumes in us-east-1"),
        wait(WaitOn::Answer, "credentials"),
        wait(WaitOn::Room, "nodes"),
    ];
    Activity {
        quiet_ms: 5,
        loop_ms: 6,
        queue_full: true,
        quiet: vec![QuietUnit { unit: 3, quiet_ms: 9000, open: 40, waits }],
    }
}

fn from_worker() -> Vec<FromWorker> {
    let mut edges = EdgeList::default();
    edges.push([1; 16], [2; 16]);
    let node = Node {
        id: [7; 16],
        kind: "aws_vpc".into(),
        resource: "vpc-1".into(),
        line: ByteBuf::from(br#"{"id":"BwcHBwcHBwcHBwcHBwcHBw"}"#.to_vec()),
    };
    let from = Selector::Resource { kind: "aws_vpc".into(), id: "vpc-1".into() };
    let named =
        Selector::Attribute { kind: "aws_vpc".into(), attribute: "arn".into(), value: "arn:aws:ec2:vpc-2".into() };
    let labels = vec![("account".into(), "123456789012".into())];
    vec![
        FromWorker::Ready { version: PROTOCOL_VERSION },
        FromWorker::Plan(Plan { units: vec![unit()], gaps: vec![gap()], is_whole: true }),
        FromWorker::UnitStarted { unit: 3 },
        FromWorker::Progress(Progress { unit: 3, parts_done: 1, parts: 2, nodes: 270 }),
        FromWorker::Nodes { unit: 3, nodes: vec![node] },
        FromWorker::Edges { unit: 3, edges },
        FromWorker::Deferred { unit: 3, edges: vec![Deferred { from, to: Selector::Node([9; 16]) }] },
        FromWorker::Deferred { unit: 3, edges: vec![Deferred { from: Selector::Node([9; 16]), to: named }] },
        FromWorker::Names { unit: 3, names: vec![Name { key: [5; 16], node: [7; 16] }] },
        FromWorker::Event(Event::Log { level: Level::Warn, target: "aws".into(), message: "odd".into() }),
        FromWorker::Event(Event::Count { name: "exceptions".into(), labels, by: 1 }),
        FromWorker::Event(Event::Duration { name: "collect".into(), seconds: 1.5 }),
        FromWorker::Gap { unit: 3, gap: gap() },
        FromWorker::Missing { unit: 3, missing: missing() },
        FromWorker::Kinds { unit: 3, kinds: vec!["{\"fqn\":\"x_widget\",\"bases\":[\"resource\"]}".into()] },
        FromWorker::NeedCredentials { unit: 3, rejected: false },
        FromWorker::NeedCredentials { unit: u32::MAX, rejected: true },
        FromWorker::UnitDone { unit: 3, counts: Counts { nodes: 1, edges: 2, deferred: 3, names: 4 } },
        FromWorker::UnitFailed { unit: 3, failure: failure() },
        FromWorker::Done,
        FromWorker::Failed(failure()),
        FromWorker::Failed(Failure { kind: FailureKind::NoCredentials, message: "none".into() }),
        FromWorker::Alive(Activity::default()),
        FromWorker::Alive(activity()),
        FromWorker::Operated { id: 7, outcome: Outcome::Done },
        FromWorker::Operated { id: 8, outcome: Outcome::Nothing("gone".into()) },
        FromWorker::Operated { id: 9, outcome: Outcome::Failed(failure()) },
        FromWorker::Operated { id: 10, outcome: Outcome::Detached(vec!["DetachRolePolicy".into()]) },
        FromWorker::Operated { id: 11, outcome: Outcome::Changed(vec![("label_fingerprint".into(), "7".into())]) },
        FromWorker::NeedShared { key: "price".into() },
        FromWorker::Publish { key: "price".into(), value: Some("1".into()) },
        FromWorker::Publish { key: "price".into(), value: None },
    ]
}

/// Returns every message of this version in the order above, each as a line of hexadecimal bytes.
fn rendered() -> String {
    let to = to_worker().into_iter().map(|message| ("to", encode_to_worker(&message).unwrap()));
    let from = from_worker().into_iter().map(|message| ("from", encode_from_worker(&message).unwrap()));
    to.chain(from).fold(String::new(), |mut text, (direction, bytes)| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        text.push_str(&format!("{direction} {hex}\n"));
        text
    })
}

#[test]
fn bytes_of_this_version_do_not_change() {
    let path = format!("{}/testdata/v{PROTOCOL_VERSION}.hex", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        std::fs::write(&path, rendered()).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(rendered(), golden, "a changed message needs a new PROTOCOL_VERSION and new golden bytes");
}

#[test]
fn every_message_comes_back_as_it_was() {
    for message in to_worker() {
        assert_eq!(decode_to_worker(&encode_to_worker(&message).unwrap()).unwrap(), message);
    }
    for message in from_worker() {
        assert_eq!(decode_from_worker(&encode_from_worker(&message).unwrap()).unwrap(), message);
    }
}

#[test]
fn prefix_or_extension_of_message_is_malformed() {
    for message in from_worker() {
        let mut bytes = encode_from_worker(&message).unwrap();
        for length in 0..bytes.len() {
            assert!(decode_from_worker(&bytes[..length]).is_err(), "{message:?} cut to {length}");
        }
        bytes.push(0);
        assert!(decode_from_worker(&bytes).is_err(), "{message:?} and one byte more");
    }
}

#[test]
fn credentials_do_not_show() {
    let message =
        ToWorker::Credentials { unit: 0, credentials: Ok(Credentials { secret: "do not tell".into(), expires: None }) };
    assert!(!format!("{message:?}").contains("do not tell"));
}
