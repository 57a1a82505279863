//! Delivery account by account, against a stub of core 4.1 that rejects what it is told to: the edges between accounts.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ckworker::{
    ckcore::{CoreApi, CoreConfig},
    collectors::{Registry, schema, schema_with},
    delivery::{CoreSink, Delivered, Delivery, DeliveryError, Sink},
    graph::{Account, CompleteUnit, NodeId, Spool, UnitStore},
    report::{CollectorReport, Outcome, RunReport, UnitReport},
    telemetry::Metrics,
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use worker_proto::{Deferred, Node, Selector};

use crate::support::core4::HANG_GUARD;

const ACCOUNT: &str = "example_account";
const INSTANCE: &str = "example_instance";

/// A delivery of the accounts 1, 2 and 3, and what is wrong with it.
#[derive(Clone, Debug, Default)]
struct Case {
    /// The account whose merge the core rejects.
    refused: Option<u8>,
    /// Whether account 4 failed.
    has_failed: bool,
    /// Whether the plan lacks account 5.
    is_partial: bool,
    /// Whether the core rejects queries of accounts.
    is_unreadable: bool,
    /// Whether the delivery belongs to no task.
    is_without_task: bool,
}

/// The requests that the stub got.
#[derive(Default)]
struct Requests {
    /// The accounts that arrived, with the start of their edges to other accounts.
    merges: Vec<(String, BTreeSet<String>)>,
    /// The queries of accounts and of what is below them.
    queries: usize,
}

fn instance(account: u8) -> [u8; 16] {
    [account + 10; 16]
}

/// The ID of the node from which an account had an edge when it was last sent.
fn old(account: &str) -> String {
    format!("old-{account}")
}

async fn respond(
    request: Request<Incoming>,
    case: Case,
    requests: Arc<Mutex<Requests>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let answer =
        |status: u16, text: String| Ok(Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap());
    if path == "/system/ready" {
        return answer(200, "ok".to_owned());
    }
    if path.ends_with("/merge") {
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let account = lines.iter().find(|line| line["metadata"]["replace"] == true).unwrap();
        let account = account["reported"]["id"].as_str().unwrap().to_owned();
        if case.refused.is_some_and(|refused| refused.to_string() == account) {
            return answer(400, "Error: ImportAborted\nMessage: KeyError('x')".to_owned());
        }
        let from = lines.iter().filter_map(|line| line["from_selector"]["node_id"].as_str()).map(str::to_owned);
        requests.lock().unwrap().merges.push((account, from.collect()));
        return answer(204, String::new());
    }
    if !path.contains("/search/") {
        return answer(200, "{}".to_owned());
    }
    let id = text.split("/reported.id == \"").nth(1).and_then(|rest| rest.split('"').next());
    let is_list = text.starts_with("is(account) and /ancestors") && !text.contains(" in ");
    if !is_list && (id.is_none() || text.contains(" in ")) {
        return answer(200, String::new());
    }
    requests.lock().unwrap().queries += 1;
    if case.is_unreadable {
        return answer(400, "Error: QueryFailed\nMessage: no".to_owned());
    }
    let account = |id: &str| {
        json!({"id": format!("account-{id}"), "type": "node", "reported": {"kind": ACCOUNT, "id": id},
            "kinds": [ACCOUNT, "account"]})
    };
    let lines = match id {
        Some(id) => vec![
            account(id),
            json!({"id": old(id), "type": "node", "reported": {"kind": INSTANCE, "id": "i"}, "kinds": [INSTANCE],
                "ancestors": {"account": {"reported": {"id": id}}}}),
            json!({"type": "edge", "from": format!("account-{id}"), "to": old(id)}),
            json!({"type": "edge", "from": old(id), "to": "far"}),
        ],
        None => (1..=5_u8).map(|id| account(&id.to_string())).collect(),
    };
    answer(200, lines.iter().map(|line| format!("{line}\n")).collect())
}

/// Starts a stub, and returns its address.
async fn start(case: Case, requests: Arc<Mutex<Requests>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (case, requests) = (case.clone(), Arc::clone(&requests));
            let service = service_fn(move |request| respond(request, case.clone(), Arc::clone(&requests)));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    uri
}

fn unit(number: u8, spool: &Spool) -> CompleteUnit {
    let id = number.to_string();
    let mut store = UnitStore::new(Account { kind: ACCOUNT.into(), id: id.clone(), label: id.clone() }, spool);
    let node = |key: [u8; 16], kind: &str, id: &str| {
        let line = json!({"id": NodeId(key).to_string(), "reported": {"kind": kind, "id": id}}).to_string();
        Node { id: key, kind: kind.into(), resource: id.into(), line: line.into_bytes().into() }
    };
    store.nodes(&[node([number; 16], ACCOUNT, &id), node(instance(number), INSTANCE, "i")]).unwrap();
    let to = Selector::Attribute { kind: INSTANCE.into(), attribute: "name".into(), value: "far".into() };
    store.deferred(vec![Deferred { from: Selector::Node(instance(number)), to }]);
    let counts = store.counts();
    store.complete(counts).unwrap()
}

fn report(case: &Case) -> RunReport {
    let failed = || Outcome::Failed { reason: "deadline".into(), detail: String::new() };
    let unit = |number: u8| UnitReport {
        id: number.to_string(),
        label: number.to_string(),
        kind: ACCOUNT.into(),
        outcome: if number == 4 { failed() } else { Outcome::Complete },
        attempts: 1,
        nodes_by_kind: Default::default(),
        edges: 0,
        gaps: Vec::new(),
        kept: 0,
        took: Duration::ZERO,
    };
    let mut units: Vec<UnitReport> = (1..=4).map(unit).collect();
    units.truncate(if case.has_failed { 4 } else { 3 });
    let (name, is_whole) = ("example".to_owned(), !case.is_partial);
    RunReport {
        collectors: vec![CollectorReport { name, units, is_whole, ..CollectorReport::default() }],
        ..RunReport::default()
    }
}

async fn deliver(case: &Case) -> (Result<Delivered, DeliveryError>, Requests) {
    let requests = Arc::default();
    let uri = start(case.clone(), Arc::clone(&requests)).await;
    let sink = CoreSink {
        api: CoreApi::new(CoreConfig::new(&uri, &uri.replacen("http", "ws", 1)).unwrap()).unwrap(),
        registry: Registry { find: |_| None, schema, schema_with },
        ignore_deferred: false,
        dump: None,
        metrics: Arc::new(Metrics::new()),
        hold_sudden_loss: None,
        losses: Arc::default(),
        uncollected: Vec::new(),
    };
    let spool = Spool::new(1 << 20);
    let units = (1..=3).map(|number| ("example", unit(number, &spool))).collect();
    let task = (!case.is_without_task).then(|| "task".to_owned());
    let delivery = Delivery { report: report(case), units, spool, deadline: Instant::now() + HANG_GUARD, task };
    let delivered = sink.deliver(delivery).await;
    let requests = std::mem::take(&mut *requests.lock().unwrap());
    (delivered, requests)
}

#[tokio::test]
async fn edges_arrive_once_with_those_of_accounts_not_sent() {
    let new = |accounts: &[u8]| accounts.iter().map(|number| NodeId(instance(*number)).to_string()).collect::<Vec<_>>();
    let failed = || Case { has_failed: true, ..Case::default() };
    let cases = [
        (Case::default(), new(&[1, 2, 3]), 1),
        (failed(), [new(&[1, 2, 3]), vec![old("4")]].concat(), 2),
        (Case { refused: Some(1), ..Case::default() }, [new(&[2, 3]), vec![old("1")]].concat(), 1),
        (Case { refused: Some(2), ..failed() }, [new(&[1, 3]), vec![old("2"), old("4")]].concat(), 2),
        (Case { is_partial: true, ..Case::default() }, [new(&[1, 2, 3]), vec![old("4"), old("5")]].concat(), 3),
        (Case { is_partial: true, ..failed() }, [new(&[1, 2, 3]), vec![old("4"), old("5")]].concat(), 3),
        // Without a task the core removes no edges.
        (Case { is_without_task: true, ..failed() }, new(&[1, 2, 3]), 1),
        // If none of the edges arrives, the core removes none.
        (Case { refused: Some(3), ..Case::default() }, vec![], 0),
        (Case { is_unreadable: true, ..failed() }, vec![], 1),
    ];
    for (case, expected, queries) in cases {
        let (delivered, requests) = deliver(&case).await;
        let expected: BTreeSet<String> = expected.into_iter().collect();
        let last = requests.merges.len() - 1;
        for (number, (account, edges)) in requests.merges.iter().enumerate() {
            let expected = if number == last { &expected } else { &BTreeSet::new() };
            assert_eq!(edges, expected, "{case:?}: account {account}");
        }
        assert_eq!(requests.merges.len(), 3 - usize::from(case.refused.is_some()), "{case:?}");
        let left_out = delivered.unwrap().left_out;
        assert_eq!(!left_out.is_empty(), case.refused.is_some() || case.is_unreadable, "{case:?}: {left_out:?}");
        assert_eq!(requests.queries, queries, "{case:?}");
    }
}
