//! The endpoint over real connections on the loopback interface.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{WebState, bind, serve::Limits, serve::serve};
use crate::{
    report::{CoreStatus, JobState, JobStatus, StatusSnapshot},
    telemetry::Metrics,
};

/// The time after which a hanging test fails.
const GUARD: Duration = Duration::from_secs(30);

struct Server {
    address: SocketAddr,
    status: watch::Sender<StatusSnapshot>,
    core: watch::Sender<CoreStatus>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = bind("127.0.0.1", 0).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (status, status_receiver) = watch::channel(StatusSnapshot::default());
        let (core, core_receiver) = watch::channel(CoreStatus::None);
        let state = WebState { metrics: Arc::new(Metrics::new()), status: status_receiver, core: core_receiver };
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(limits, listener, "/worker".into(), state, async {
            stopped.await.unwrap();
        }));
        Self { address, status, core, stop, serving }
    }

    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(GUARD, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str) -> (u16, String, String) {
        let answer = self.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
    }
}

fn job(state: JobState) -> JobStatus {
    JobStatus {
        name: "aws/1".into(),
        collector: "aws".into(),
        unit: Some("1".into()),
        state,
        pid: Some(42),
        started: Some(1000),
        deadline: Some(2000),
        nodes: 7,
        attempts: 2,
        waits_for: Some("ec2 DescribeVpcs in us-east-1 (12 s)".into()),
        reason: Some("deadline".into()),
    }
}

#[tokio::test]
async fn pages_are_served_at_root_and_below_web_path() {
    let server = Server::start(Limits::default()).await;
    for prefix in ["", "/worker"] {
        let (status, head, body) = server.get(&format!("{prefix}/health")).await;
        assert_eq!((status, body.as_str()), (200, "ok\r\n"));
        assert!(head.contains("content-type: text/plain"), "{head}");
        assert_eq!(server.get(&format!("{prefix}/health?x=1")).await.0, 200);
        assert!(server.get(&format!("{prefix}/")).await.2.contains("href=\"/worker/metrics\""));
        assert_eq!(server.get(&format!("{prefix}/nothing")).await.0, 404);
    }
    assert_eq!(server.get("/workers/health").await.0, 404);
}

#[tokio::test]
async fn readiness_follows_the_core() {
    let server = Server::start(Limits::default()).await;
    assert_eq!(server.get("/ready").await.0, 200);
    server.core.send(CoreStatus::Disconnected("refused".into())).unwrap();
    let (status, _, body) = server.get("/ready").await;
    assert_eq!((status, body.as_str()), (503, "not connected to ckcore: refused\r\n"));
    server.core.send(CoreStatus::Connected).unwrap();
    assert_eq!(server.get("/ready").await.0, 200);
}

#[tokio::test]
async fn jobs_and_metrics_show_the_published_state() {
    let server = Server::start(Limits::default()).await;
    server.core.send(CoreStatus::Connected).unwrap();
    let jobs = vec![job(JobState::Running), job(JobState::Failed), job(JobState::Running)];
    server.status.send(StatusSnapshot { run: Some(3), jobs, ..StatusSnapshot::default() }).unwrap();
    let (_, head, body) = server.get("/jobs").await;
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!((json["run"].as_u64(), json["jobs"][1]["state"].as_str()), (Some(3), Some("failed")));
    assert_eq!((json["jobs"][0]["pid"].as_u64(), json["jobs"][0]["unit"].as_str()), (Some(42), Some("1")));
    let (_, head, body) = server.get("/metrics").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    for line in
        ["ckworker_jobs{state=\"running\"} 2", "ckworker_jobs{state=\"waiting\"} 0", "ckworker_core_connected 1"]
    {
        assert!(body.lines().any(|other| other == line), "{line}\n{body}");
    }
}

#[tokio::test]
async fn other_methods_and_large_heads_are_rejected() {
    let server = Server::start(Limits::default()).await;
    let post = server.send("POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405") && post.contains("allow: GET, HEAD"), "{post}");
    let head = server.send("HEAD /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    let large = format!("GET /health HTTP/1.1\r\nx: {}", "y".repeat(20_000));
    assert!(server.send(&large).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET /health HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
    assert!(server.send(&many).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn silent_client_makes_room_for_next_one() {
    let limits = Limits { waiting: 1, patience: Duration::from_millis(20), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.get("/health").await.0, 200);
    let mut rest = Vec::new();
    // The server may reset a dropped connection.
    let _ = timeout(GUARD, silent.read_to_end(&mut rest)).await.unwrap();
    assert!(!String::from_utf8(rest).unwrap().contains("200"));
}

#[tokio::test]
async fn endless_head_ends_at_timeout() {
    let server = Server::start(Limits { head: Duration::from_millis(20), ..Limits::default() }).await;
    for part in ["", "GET /he", "GET /health HTTP/1.1\r\nhost: x\r\n"] {
        let answer = timeout(GUARD, server.send(part)).await.unwrap();
        assert!(!answer.contains("200 OK"), "{part:?} {answer}");
    }
}

/// Sends both probes, one after the other, this number of times; returns the longest time until a response.
async fn probe(server: &Server, times: usize) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..times {
        for path in ["/health", "/worker/ready"] {
            let begun = std::time::Instant::now();
            assert_eq!(server.get(path).await.0, 200);
            longest = longest.max(begun.elapsed());
        }
    }
    longest
}

/// Far less than a probe's timeout, and far more than a response takes on a busy machine.
const PROMPT: Duration = Duration::from_secs(2);

/// Invariant: probes are answered whatever other clients do.
#[tokio::test]
async fn probes_are_prompt_beside_idle_clients() {
    for idle in [64, 128, 300] {
        let server = Server::start(Limits::default()).await;
        let mut clients = Vec::new();
        for _ in 0..idle {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
            clients.push(stream);
        }
        let longest = probe(&server, 3).await;
        assert!(longest < PROMPT, "{idle} clients: {longest:?}");
    }
}

/// Invariant: probes are answered whatever other clients do.
#[tokio::test]
async fn probes_are_prompt_beside_reconnecting_silent_clients() {
    let server = Server::start(Limits::default()).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..130 {
        let address = server.address;
        clients.spawn(async move {
            loop {
                let Ok(mut stream) = TcpStream::connect(address).await else { continue };
                // Waits until the server drops the connection.
                let _ = stream.read(&mut [0]).await;
            }
        });
    }
    let longest = probe(&server, 3).await;
    assert!(longest < PROMPT, "{longest:?}");
}

/// A client that sends a request and does not read the response.
async fn deaf(server: &Server, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// Invariant: probes are answered whatever other clients do.
#[tokio::test]
async fn probes_are_answered_while_other_pages_are_rejected() {
    let server = Server::start(Limits { requests: 3, ..Limits::default() }).await;
    // The response exceeds the buffers of a connection, so that an unread one keeps its permit.
    let jobs = (0..40_000).map(|_| job(JobState::Running)).collect();
    server.status.send(StatusSnapshot { run: Some(1), jobs, ..StatusSnapshot::default() }).unwrap();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut stream = deaf(&server, "/jobs").await;
        stream.read_exact(&mut [0; 100]).await.unwrap();
        clients.push(stream);
    }
    let (status, head, _) = server.get("/jobs").await;
    assert!(status == 503 && head.contains("retry-after: 1"), "{head}");
    assert!(probe(&server, 2).await < PROMPT);
    drop(clients);
}

#[test]
fn limits_fit_into_few_descriptors() {
    for descriptors in [0, 1, 10, 100, 224, 1000] {
        let Limits { waiting, probes, requests, .. } = Limits::within(descriptors);
        assert!(waiting >= 2 && probes >= 2 && requests >= 2);
        assert!(waiting + probes + requests <= descriptors.clamp(10, super::usual_descriptors()), "{descriptors}");
    }
}

#[tokio::test]
async fn shutdown_ends_the_server_and_frees_the_port() {
    let server = Server::start(Limits::default()).await;
    let _open = TcpStream::connect(server.address).await.unwrap();
    server.stop.send(()).unwrap();
    timeout(GUARD, server.serving).await.unwrap().unwrap();
    drop(bind("127.0.0.1", server.address.port()).await.unwrap());
}

#[tokio::test]
async fn occupied_port_is_named_with_its_option() {
    let taken = bind("127.0.0.1", 0).await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind("127.0.0.1", address.port()).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
    assert!(error.contains("--web-port"), "{error}");
    let error = bind("192.0.2.1", 0).await.unwrap_err().to_string();
    assert!(error.contains("--web-host"), "{error}");
}

#[tokio::test]
async fn every_address_includes_ipv4() {
    let listener = bind("::", 0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (client, accepted) = tokio::join!(TcpStream::connect(("127.0.0.1", port)), listener.accept());
    client.unwrap();
    accepted.unwrap();
}
