//! The built program as a daemon, against the test core.

use std::{fs, path::Path, process::Stdio};

use serde_json::json;

use crate::support::{
    aws::LocalAws,
    core::TestCore,
    daemon::{Daemon, SUBSCRIBER},
    program,
};

const PSK: &str = "a key for tests";

/// Starts a collection and waits for the answer: kind and error text.
async fn collect(core: &TestCore) -> (String, String) {
    let task = core.start_workflow("collect").expect("no collection runs");
    core.finished(&task).await;
    let (step, kind, error) = core.answer(&task).await;
    assert_eq!(step, "collect");
    assert_eq!(core.answers(&task).len(), 1, "exactly one answer");
    (kind, error)
}

/// The answer to a collection that lacks nothing.
fn done() -> (String, String) {
    ("action_done".into(), String::new())
}

#[tokio::test]
async fn daemon_collects_on_each_action_and_across_core_restart() {
    let mut core = TestCore::start(None).await;
    let daemon = Daemon::example(&core);
    core.connected(SUBSCRIBER).await;
    assert_eq!(collect(&core).await, done());
    assert_eq!(core.nodes("ck").len(), 9);
    core.connected(SUBSCRIBER).await;
    core.restart().await;
    core.connected(SUBSCRIBER).await;
    assert_eq!(collect(&core).await, done());
    assert_eq!(core.requests("POST /graph/ck/merge"), 2);
    let (output, log) = daemon.stop().await;
    assert_eq!(output.code, 0, "{log}");
    assert_eq!(core.subscriptions(SUBSCRIBER).unwrap_or_default(), Vec::<String>::new(), "{log}");
}

#[tokio::test]
async fn action_redelivered_during_its_run_runs_once() {
    let core = TestCore::start(None).await;
    let daemon = Daemon::example(&core);
    core.connected(SUBSCRIBER).await;
    let gate = core.hold("POST /graph/ck/merge");
    let task = core.start_workflow("collect").unwrap();
    core.requested("POST /graph/ck/merge", 1).await;
    core.drop_connections();
    core.delivered(&task, 2).await;
    gate.open();
    core.finished(&task).await;
    assert_eq!(core.answers(&task).len(), 1);
    assert_eq!(core.requests("POST /graph/ck/merge"), 1, "{}", daemon.log());
    assert_eq!(daemon.stop().await.0.code, 0);
}

/// Invariant: secrets are only in frames and in an allow-listed environment.
#[tokio::test]
async fn pre_shared_key_works_and_is_shown_nowhere() {
    let core = TestCore::start(Some(PSK)).await;
    let daemon = Daemon::start(&core, |command| {
        command.args(["-v", "--collector", "example", "--fork"]).env("CKWORKER_PSK", PSK)
    });
    core.connected(SUBSCRIBER).await;
    assert_eq!(collect(&core).await, done());
    let arguments = fs::read(format!("/proc/{}/cmdline", daemon.running.pid())).unwrap();
    let (output, log) = daemon.stop().await;
    for shown in [log, output.stdout, output.stderr, String::from_utf8(arguments).unwrap()] {
        assert!(!shown.contains(PSK), "{shown}");
    }
}

#[tokio::test]
async fn key_on_command_line_is_removed_with_warning() {
    let core = TestCore::start(Some(PSK)).await;
    let daemon = Daemon::start(&core, |command| command.args(["--collector", "example", "--ps", PSK, "-v"]));
    core.connected(SUBSCRIBER).await;
    let process = format!("/proc/{}", daemon.running.pid());
    let arguments = fs::read_to_string(format!("{process}/cmdline")).unwrap();
    assert!(!arguments.contains(PSK) && !arguments.contains("--ps"), "{arguments:?}");
    assert!(arguments.contains("--collector\0example\0-v\0"), "the rest is there: {arguments:?}");
    assert_eq!(fs::read_to_string(format!("{process}/comm")).unwrap().trim(), "ckworker");
    assert_eq!(collect(&core).await, done());
    let (output, log) = daemon.stop().await;
    assert_eq!(output.code, 0, "{log}");
    assert!(log.contains("--psk was taken off the command line") && !log.contains(PSK), "{log}");
}

#[tokio::test]
async fn hangup_reopens_log_only() {
    let core = TestCore::start(None).await;
    let daemon = Daemon::example(&core);
    core.connected(SUBSCRIBER).await;
    let moved = daemon.log_file().with_extension("1");
    fs::rename(daemon.log_file(), &moved).unwrap();
    fs::write(daemon.log_file(), "").unwrap();
    daemon.running.signal("HUP");
    daemon.logged("reopened the log file").await;
    assert_eq!(collect(&core).await, done());
    daemon.logged("collection complete").await;
    assert!(!fs::read_to_string(&moved).unwrap().contains("collection complete"));
    fs::remove_file(&moved).unwrap();
    assert_eq!(daemon.stop().await.0.code, 0);
}

#[tokio::test]
async fn failed_dump_does_not_affect_run() {
    let core = TestCore::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&core, |command| {
        command.args(["--collector", "example", "--debug-dump-json"]).current_dir(folder.path())
    });
    core.connected(SUBSCRIBER).await;
    folder.close().unwrap();
    assert_eq!(collect(&core).await, done());
    daemon.logged("--debug-dump-json: cannot write").await;
    assert_eq!(daemon.stop().await.0.code, 0);
}

#[tokio::test]
async fn wrong_key_is_reported_and_daemon_keeps_trying() {
    let core = TestCore::start(Some("another key")).await;
    let daemon = Daemon::start(&core, |command| command.args(["--collector", "example"]).env("CKWORKER_PSK", PSK));
    daemon.logged("pre-shared key").await;
    assert_eq!(daemon.get("/ready").await.0, 503);
    assert_eq!(daemon.stop().await.0.code, 0);
}

#[tokio::test]
async fn term_during_delivery_answers_unsubscribes_and_ends() {
    let core = TestCore::start(None).await;
    let daemon = Daemon::example(&core);
    core.connected(SUBSCRIBER).await;
    let _gate = core.hold("POST /graph/ck/merge");
    let task = core.start_workflow("collect").unwrap();
    core.requested("POST /graph/ck/merge", 1).await;
    let (output, log) = daemon.stop().await;
    assert_eq!(output.code, 0, "{log}");
    let (_, kind, error) = core.answer(&task).await;
    assert_eq!((kind.as_str(), error.contains("stopped")), ("action_error", true), "{error}");
    assert_eq!(core.subscriptions(SUBSCRIBER).unwrap_or_default(), Vec::<String>::new(), "{log}");
}

#[tokio::test]
async fn absent_core_is_awaited() {
    let mut core = TestCore::start(None).await;
    core.stop();
    let daemon = Daemon::example(&core);
    daemon.logged("connection to the core failed").await;
    assert_eq!(daemon.get("/ready").await.0, 503);
    assert_eq!(daemon.get("/health").await, (200, "ok\r\n".to_owned()));
    core.start_again().await;
    core.connected(SUBSCRIBER).await;
    assert_eq!(collect(&core).await, done());
    assert_eq!(daemon.stop().await.0.code, 0);
}

#[tokio::test]
async fn endpoint_shows_metrics_of_runs() {
    let core = TestCore::start(None).await;
    let daemon = Daemon::example(&core);
    core.connected(SUBSCRIBER).await;
    assert_eq!(collect(&core).await, done());
    assert_eq!(daemon.get("/ready").await.0, 200);
    let (_, metrics) = daemon.get("/metrics").await;
    for line in [
        "ckworker_core_connected 1",
        "ckworker_actions_total{action=\"collect\",result=\"done\"} 1",
        "ckworker_worker_exits_total{collector=\"example\",reason=\"finished\"} 1",
        "ckworker_uploads_total{result=\"done\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in: {metrics}");
    }
    let jobs: serde_json::Value = serde_json::from_str(&daemon.get("/jobs").await.1).unwrap();
    assert_eq!(jobs["jobs"][0]["state"], "complete", "{jobs}");
    assert_eq!(daemon.stop().await.0.code, 0);
}

/// Invariant: the core keeps an account that failed.
#[tokio::test]
async fn failed_account_stays_in_core_as_it_was() {
    let aws = LocalAws::start(2, &["us-east-1"]);
    let core = TestCore::start(None).await;
    let daemon = Daemon::start(&core, |command| {
        command.args(["--fork", "--collector", "aws", "--aws-fork", "--aws-role", "Cloudkeeper", "--aws-scrape-org"]);
        aws.serve(command.args(["--aws-region", "us-east-1", "--debug-dump-json"]).stdin(Stdio::null()))
    });
    core.connected(SUBSCRIBER).await;
    let first = collect(&core).await;
    assert_eq!(first.0, "action_done", "{first:?} {}", daemon.log());
    let before: Vec<String> = core.nodes("ck").into_keys().collect();
    aws.fault(json!({"operation": "AssumeRole", "mode": "deny"})).await;
    core.connected(SUBSCRIBER).await;
    let (kind, error) = collect(&core).await;
    assert_eq!(kind, "action_error");
    assert!(error.contains("812205225875") && error.contains("Cloudkeeper"), "{error}");
    let after: Vec<String> = core.nodes("ck").into_keys().collect();
    assert_eq!(before, after, "nothing is lost: {}", daemon.log());
    aws.reset().await;
    core.connected(SUBSCRIBER).await;
    assert_eq!(collect(&core).await.0, "action_done", "{}", daemon.log());
    assert_eq!(daemon.stop().await.0.code, 0);
}

#[tokio::test]
async fn daemon_without_core_serves_pages_and_warns() {
    let daemon = Daemon::at("", |command| command.args(["--collector", "example"]));
    daemon.logged("no core configured").await;
    assert_eq!(daemon.get("/ready").await.0, 200);
    assert_eq!(daemon.stop().await.0.code, 0);
}

#[test]
fn occupied_port_is_reported_with_its_option() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let arguments = ["--collector", "example", "--web-host", "127.0.0.1", "--web-port", &port];
    let run = program::run(&mut program::command(&arguments));
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains(&port) && run.stderr.contains("--web-port"), "{}", run.stderr);
}

#[test]
fn unwritable_log_is_reported() {
    assert!(!Path::new("/nonexistent").exists());
    let arguments = ["--collector", "example", "--logfile", "/nonexistent/log"];
    let run = program::run(&mut program::command(&arguments));
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("--logfile /nonexistent/log"), "{}", run.stderr);
}
