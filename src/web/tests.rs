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

use super::{CoreStatus, JobState, JobStatus, StatusSnapshot, WebState, bind, serve::Limits, serve::serve_within};
use crate::telemetry::Metrics;

/// So long a test may hang before it fails.
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
        let serving = tokio::spawn(serve_within(limits, listener, "/worker".into(), state, async {
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
async fn the_pages_are_served_at_the_root_and_below_the_web_path() {
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
    server.status.send(StatusSnapshot { run: Some(3), jobs }).unwrap();
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
async fn only_reading_is_served_and_large_heads_are_refused() {
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
async fn a_silent_client_makes_room_for_the_next_one() {
    let limits = Limits { connections: 1, head: Duration::from_millis(20), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.get("/health").await.0, 200);
    let mut rest = Vec::new();
    timeout(GUARD, silent.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(!String::from_utf8(rest).unwrap().contains("200"));
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
async fn an_occupied_port_is_named_with_the_option_to_change() {
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
