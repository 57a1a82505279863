//! The web server of the test core: authentication, faults, paths.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    Shared,
    faults::{self, Effect},
    graph::Graph,
    model::Refusal,
    query, socket,
    state::Subscription,
    work,
};

pub(super) type Answer = Response<Full<Bytes>>;

/// The largest body that is no stream of lines, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;

/// The longest line of a stream, in bytes, its newline included.
const LINE_LIMIT: usize = 131_072;

/// The connection is to break.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken by the test")
    }
}

impl std::error::Error for Broken {}

/// Serves connections until it is aborted, which breaks them all.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        connections.spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Broken> {
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let line = format!("{} {}{query}", request.method(), request.uri().path());
    let effect = shared.change(|state| {
        state.requests.push(line.clone());
        faults::take(&mut state.faults, &line)
    });
    match effect {
        Some(Effect::Refuse(status, body)) => {
            let _ = request.into_body().collect().await;
            return Ok(text(status, &body));
        }
        Some(Effect::Cut) => return Err(Broken),
        Some(Effect::Hold(mut gate)) => {
            let _ = gate.wait_for(|open| *open).await;
        }
        None => {}
    }
    let refused = shared.lock().guard.refuses(request.uri().path(), request.headers());
    match refused {
        Some(401) => Ok(text(401, "401: Unauthorized")),
        Some(status) => Ok(text(status, "500 Internal Server Error")),
        None => Ok(route(&shared, request).await),
    }
}

async fn route(shared: &Arc<Shared>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().trim_matches('/').to_owned();
    let parts: Vec<String> = path.split('/').map(unescape).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (request.method().as_str(), parts.as_slice()) {
        ("GET", ["system", "ping"]) => text(200, "pong"),
        ("GET", ["system", "ready"]) => text(200, "200: OK"),
        ("GET", ["subscribers"]) => {
            let state = shared.lock();
            let all: Vec<_> = state.subscribers.keys().map(|id| state.subscriber_json(id)).collect();
            json(200, &json!(all))
        }
        ("GET", ["subscriber", id]) => {
            let state = shared.lock();
            let known = state.subscribers.contains_key(*id);
            if known {
                json(200, &state.subscriber_json(id))
            } else {
                text(404, &format!("No subscriber with id {id}"))
            }
        }
        ("GET", ["subscriber", id, "handle"]) => socket::handle(shared, id, request),
        ("GET", ["work", "queue"]) => work::handle(shared, request),
        ("POST", ["subscriber", id, event]) => subscribe(shared, id, event, request.uri().query().unwrap_or_default()),
        ("DELETE", ["subscriber", id, event]) => shared.change(|state| {
            if let Some(events) = state.subscribers.get_mut(*id) {
                events.remove(*event);
            }
            json(200, &state.subscriber_json(id))
        }),
        ("DELETE", ["subscriber", id]) => {
            shared.change(|state| state.subscribers.remove(*id));
            text(204, "")
        }
        ("PATCH", ["model"]) => model(shared, request).await,
        (_, ["model"]) => refuse(&Refusal("HTTPMethodNotAllowed", "Method Not Allowed".to_owned())),
        ("POST", ["graph", name]) => create(shared, name),
        ("POST", ["graph", name, "merge"]) => merge(shared, name, request).await,
        ("PATCH", ["graph", name, "nodes"]) => patch(shared, name, request).await,
        ("POST", ["graph", name, "query", "graph"]) => run_query(shared, name, request).await,
        _ => refuse(&Refusal("HTTPNotFound", "Not Found".to_owned())),
    }
}

fn unescape(part: &str) -> String {
    let mut bytes = part.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<u8>| char::from(byte?).to_digit(16);
        match byte {
            b'%' => out.push(u8::try_from(hex(bytes.next()).unwrap() * 16 + hex(bytes.next()).unwrap()).unwrap()),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).unwrap()
}

fn subscribe(shared: &Shared, id: &str, event: &str, query: &str) -> Answer {
    let mut subscription = Subscription { timeout: 60.0, wait_for_completion: true };
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "timeout" => match value.parse::<i32>() {
                Ok(timeout) => subscription.timeout = f64::from(timeout),
                Err(_) => {
                    let message = format!("invalid literal for int() with base 10: '{value}'");
                    return refuse(&Refusal("ValueError", message));
                }
            },
            "wait_for_completion" => subscription.wait_for_completion = !value.eq_ignore_ascii_case("false"),
            _ => {}
        }
    }
    if id.contains([' ', '/']) {
        return refuse(&Refusal("DocumentInsertError", "[HTTP 400][ERR 1221] illegal document key".to_owned()));
    }
    shared.change(|state| {
        state.subscribers.entry(id.to_owned()).or_default().insert(event.to_owned(), subscription);
        json(200, &state.subscriber_json(id))
    })
}

fn create(shared: &Shared, name: &str) -> Answer {
    if name.contains('_') {
        return refuse(&Refusal("AttributeError", "Graph name should not have underscores!".to_owned()));
    }
    shared.change(|state| {
        let graph = state.graphs.entry(name.to_owned()).or_insert_with(Graph::new);
        let root = &graph.nodes["root"];
        let root = json!({ "id": "root", "type": "node", "revision": "_g00000D---", "reported": root.reported, "kinds": root.kinds });
        json(200, &root)
    })
}

async fn model(shared: &Shared, request: Request<Incoming>) -> Answer {
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return text(400, ""),
    };
    if body.len() > BODY_LIMIT {
        return refuse(&Refusal("HTTPRequestEntityTooLarge", "Request Entity Too Large".to_owned()));
    }
    match shared.change(|state| state.model.update(&body)) {
        Ok(()) => json(200, &json!({ "kinds": {} })),
        Err(refusal) => refuse(&refusal),
    }
}

async fn merge(shared: &Shared, name: &str, request: Request<Incoming>) -> Answer {
    if !shared.lock().graphs.contains_key(name) {
        return no_graph(name);
    }
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next() != Some("application/x-ndjson") {
        let message = "Can not read graph. Currently supported formats: json and ndjson!";
        return refuse(&Refusal("AttributeError", message.to_owned()));
    }
    let count = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let announced = (count("Cloudkeeper-Ckworker-Nodes"), count("Cloudkeeper-Ckworker-Edges"));
    shared.change(|state| state.announced = Some(announced));
    // A body that breaks off merges nothing and gets no answer.
    let Ok(body) = request.into_body().collect().await else { return text(400, "") };
    let body = body.to_bytes();
    if body.split_inclusive(|byte| *byte == b'\n').any(|line| line.len() > LINE_LIMIT) {
        return refuse(&Refusal("ValueError", "Chunk too big".to_owned()));
    }
    let merged = shared.change(|state| {
        let model = state.model.clone();
        state.graphs.get_mut(name).map(|graph| graph.merge(&body, &model))
    });
    match merged {
        Some(Ok(report)) => json(200, &report),
        Some(Err(message)) => refuse(&Refusal("ImportAborted", message)),
        None => no_graph(name),
    }
}

async fn patch(shared: &Shared, name: &str, request: Request<Incoming>) -> Answer {
    let Ok(body) = request.into_body().collect().await else { return text(400, "") };
    let body = body.to_bytes();
    let minded = shared.lock().minded.iter().find(|id| String::from_utf8_lossy(&body).contains(id.as_str())).cloned();
    if let Some(id) = minded {
        return refuse(&Refusal("AssertionError", format!("No update provided for element {id}")));
    }
    let patched = shared.change(|state| state.graphs.get_mut(name).map(|graph| graph.patch(&body)));
    match patched {
        Some(Ok(lines)) => with_type(200, "application/x-ndjson", lines),
        Some(Err(refusal)) => refuse(&refusal),
        None => no_graph(name),
    }
}

async fn run_query(shared: &Shared, name: &str, request: Request<Incoming>) -> Answer {
    let Ok(body) = request.into_body().collect().await else { return text(400, "") };
    let state = shared.lock();
    let Some(graph) = state.graphs.get(name) else { return no_graph(name) };
    match query::run(graph, &state.model, &String::from_utf8_lossy(&body.to_bytes())) {
        Ok(lines) => with_type(200, "application/x-ndjson", lines),
        Err(refusal) => refuse(&refusal),
    }
}

fn no_graph(name: &str) -> Answer {
    text(404, &format!("Error: NoSuchGraph\nMessage: No graph with this name {name}"))
}

fn refuse(Refusal(class, message): &Refusal) -> Answer {
    text(400, &format!("Error: {class}\nMessage: {message}"))
}

pub(super) fn text(status: u16, body: &str) -> Answer {
    with_type(status, "text/plain; charset=utf-8", body.to_owned())
}

fn json(status: u16, body: &serde_json::Value) -> Answer {
    with_type(status, "application/json; charset=utf-8", body.to_string())
}

fn with_type(status: u16, content_type: &str, body: String) -> Answer {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}
