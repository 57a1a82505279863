//! Collectors without credentials: skipped if `--collector` does not name them, and failed if it does.

use ckworker::ckcore::CoreApi;

use crate::support::{
    client::config,
    core::TestCore,
    daemon::{Daemon, have},
    graph::{cloud, deliver},
    program::{self, Output},
};

/// Runs `collect` with these arguments; the environment has no credentials. Returns its outcome, and the graph if it
/// wrote one.
fn collect(arguments: &[&str]) -> (Output, Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.ndjson");
    let output = program::run(program::command(&["collect", "--output", path.to_str().unwrap()]).args(arguments));
    (output, std::fs::read_to_string(path).ok())
}

/// The accounts of the cloud `aws` that the core has.
fn accounts_of_aws(core: &TestCore) -> Vec<String> {
    let edges = core.edges("ck").into_iter().filter(|(from, ..)| from == "aws");
    edges.map(|(_, to, _)| to).collect()
}

/// A core that has the graph of an earlier run of AWS.
async fn core_with_aws() -> TestCore {
    let core = TestCore::start(None).await;
    let mut graph = cloud(&["a1", "a2"]);
    graph.lines = graph.lines.iter().map(|line| line.replace("\"c\"", "\"aws\"")).collect();
    deliver(&CoreApi::new(config(&core)).unwrap(), graph).await.unwrap();
    assert_eq!(accounts_of_aws(&core), ["a1", "a2"]);
    core
}

#[test]
fn unnamed_collector_is_skipped_and_the_others_are_collected() {
    let (output, graph) = collect(&[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(graph.is_some_and(|graph| graph.contains("example_account") && !graph.contains("aws")));
    let lines: Vec<&str> = output.stderr.lines().filter(|line| line.contains("AWS")).collect();
    assert!(
        matches!(lines[..], [line] if line.starts_with("aws: skipped, as --collector does not name it: no usable AWS credentials")
        && line.contains("give --aws-access-key-id")),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("\nComplete: "), "{}", output.stderr);
}

#[test]
fn named_collector_fails() {
    for arguments in [&["--collector", "aws"][..], &["--collector", "aws", "--fork", "--aws-fork"]] {
        let (output, graph) = collect(arguments);
        assert_eq!((output.code, graph), (4, None), "{}", output.stderr);
        assert!(output.stderr.contains("Failed:\n  aws: no usable AWS credentials"), "{}", output.stderr);
        assert!(output.stderr.ends_with("\nNothing was collected.\n"), "{}", output.stderr);
    }
    let (output, graph) = collect(&["--collector", "aws", "example"]);
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(
        graph.is_some() && output.stderr.contains("Failed:\n  aws: no usable AWS credentials"),
        "{}",
        output.stderr
    );
}

#[test]
fn unusable_credentials_fail_an_unnamed_collector() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.ndjson");
    let mut command = program::command(&["collect", "--output", path.to_str().unwrap()]);
    command.env("AWS_ACCESS_KEY_ID", "AKIA").env("AWS_SECRET_ACCESS_KEY", "secret");
    let output = program::run(command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1").env("AWS_REGION", "us-east-1"));
    assert_eq!(output.code, 3, "{}", output.stderr);
    assert!(output.stderr.contains("Failed:\n  aws: cannot verify the AWS credentials"), "{}", output.stderr);
}

#[tokio::test]
async fn cloud_of_a_skipped_collector_stays_in_the_core() {
    let core = core_with_aws().await;
    let daemon = Daemon::start(&core, |command| command.arg("--fork"));
    assert_eq!(have(&core, "collect").await, ("action_done".to_owned(), String::new()));
    assert_eq!(accounts_of_aws(&core), ["a1", "a2"]);
    assert!(core.nodes("ck").len() > 6, "the example is there too");
    let (_, jobs) = daemon.get("/jobs").await;
    assert!(jobs.contains("\"state\": \"skipped\""), "{jobs}");
    let (_, metrics) = daemon.get("/metrics").await;
    assert!(!metrics.contains("ckworker_collect_seconds_count{collector=\"aws\"}"), "{metrics}");
    let (_, log) = daemon.stop().await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("AWS credentials")).collect();
    assert!(
        matches!(lines[..], [line] if line.contains("skipped collector without credentials") && line.contains("INFO")),
        "{log}"
    );
}

#[tokio::test]
async fn cloud_of_a_failed_collector_stays_and_its_action_fails() {
    let core = core_with_aws().await;
    let daemon = Daemon::start(&core, |command| command.args(["--collector", "aws"]));
    let (kind, error) = have(&core, "collect").await;
    assert_eq!(kind, "action_error");
    assert!(error.contains("no usable AWS credentials") && !error.contains("skipped"), "{error}");
    assert_eq!(accounts_of_aws(&core), ["a1", "a2"]);
    daemon.stop().await;
}
