//! One-shot collections of Slack and OneLogin with the built program and real child processes, compared with the graphs
//! that the Python worker made of the same data.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{
    compare,
    poll::becomes,
    program::{self, Output, Running, command},
    saas::LocalSaas,
};

const SLACK: &str = include_str!("../../golden/slack/graph.ndjson");
const ONELOGIN: &str = include_str!("../../golden/onelogin/graph.ndjson");
const SLACK_LARGE: &[u8] = include_bytes!("../../golden/slack/seed-1.ndjson.gz");
const ONELOGIN_LARGE: &[u8] = include_bytes!("../../golden/onelogin/seed-1.ndjson.gz");

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

fn collect(server: &LocalSaas, collector: &str, options: &[&str]) -> Output {
    let mut command = command(&["collect", "--output", "-"]);
    program::run(server.serve(&mut command, collector).args(options))
}

/// Both ways to collect: in one process, and with a process for the collector and each account.
fn ways(collector: &str) -> [Vec<String>; 2] {
    [Vec::new(), vec!["--fork".to_owned(), format!("--{collector}-fork")]]
}

/// Collects in both ways, and returns what is different from the golden graph.
async fn differences(collector: &'static str, seed: u32, golden: &str, code: i32) -> [Vec<String>; 2] {
    let runs = ways(collector).map(|options| async move {
        let server = LocalSaas::start(seed, &[]).await;
        let run = move || {
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            collect(&server, collector, &options)
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    });
    let [one, forked] = runs;
    let (one, forked) = tokio::join!(one, forked);
    [one, forked].map(|output| {
        assert_eq!(output.code, code, "{}", output.stderr);
        compare::graphs(golden, &output.stdout, None)
    })
}

/// Conversations have the time of their creation, the number of users in a group of seed 0 is a number, as the model
/// says, and members are from all pages.
#[tokio::test(flavor = "multi_thread")]
async fn slack_equals_the_golden_graph() {
    for found in differences("slack", 0, SLACK, 3).await {
        let about = |what: &str| found.iter().filter(|one| one.contains(what)).count();
        let counts = ["reported.ctime ", "user_count", "extra edge: slack_user"].map(about);
        assert_eq!((counts, found.len()), ([5, 1, 2], 8), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_slack_equals_the_golden_graph() {
    for mut found in differences("slack", 1, &unpacked(SLACK_LARGE), 3).await {
        found.retain(|one| !one.contains("reported.ctime "));
        compare::assert_none(&found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn onelogin_equals_the_golden_graph() {
    for found in differences("onelogin", 0, ONELOGIN, 0).await {
        compare::assert_none(&found);
    }
}

/// The ID of a manager is a text, and attributes have no nulls: the core takes nothing that contradicts the model.
#[tokio::test(flavor = "multi_thread")]
async fn large_onelogin_equals_the_golden_graph() {
    for found in differences("onelogin", 1, &unpacked(ONELOGIN_LARGE), 0).await {
        let about = |field: &str| found.iter().filter(|one| one.contains(field)).count();
        let (managers, attributes) = (about("manager_user_id"), about("custom_attributes"));
        assert_eq!((managers, attributes, found.len()), (51, 47, 98));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_channel_of_slack_is_a_gap_that_names_it() {
    let server = LocalSaas::start(0, &[]).await;
    let output = collect(&server, "slack", &[]);
    assert!(output.stderr.contains("conversations.members: internal_error: channel=C004"), "{}", output.stderr);
    let asked = server.log();
    assert!(asked.contains("exclude_archived=1") && !asked.contains("exclude_archived=0"), "{asked}");
    let output = collect(&server, "slack", &["--slack-include-archived", "--slack-no-collect", "members"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(server.log().contains("exclude_archived=0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_all_calls_may_be_limited() {
    let every_other = |call: &str| (1..200).step_by(2).map(|n| format!("{call}=429@{n}")).collect::<Vec<_>>();
    for (collector, calls) in [("slack", &["users.list", "conversations.members"][..]), ("onelogin", &["users"])] {
        let faults: Vec<String> = calls.iter().flat_map(|call| every_other(call)).collect();
        let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
        let seed = if collector == "slack" { 0 } else { 1 };
        let plain = LocalSaas::start(seed, &[]).await;
        let whole = collect(&plain, collector, &[]);
        let limited = plain.with(seed, &faults).await;
        let output = collect(&limited, collector, &[]);
        assert_eq!(output.code, whole.code, "{}", output.stderr);
        compare::assert_none(&compare::graphs(&whole.stdout, &output.stdout, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_credentials_name_the_option() {
    for (collector, fault, option) in [
        ("slack", "team.info=invalid_auth", "--slack-bot-token"),
        ("slack", "team.info=token_revoked", "--slack-bot-token"),
        ("onelogin", "token=401", "the client ID and its secret"),
        ("onelogin", "token=400", "the client ID and its secret"),
    ] {
        let server = LocalSaas::start(0, &[fault]).await;
        let output = collect(&server, collector, &[]);
        assert!(output.code != 0 && output.stdout.is_empty(), "{fault}: {}", output.stderr);
        assert!(output.stderr.contains(option), "{fault}: {}", output.stderr);
        assert!(!output.stderr.contains("xoxb-test") && !output.stderr.contains("hidden"), "{}", output.stderr);
    }
}

/// The token was revoked early: a new one is fetched once, and the page is asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_token_of_onelogin_is_renewed_once() {
    for options in ways("onelogin") {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let server = LocalSaas::start(1, &["users=401@2"]).await;
        let output = collect(&server, "onelogin", &options);
        assert!(output.stderr.contains("131"), "{}", output.stderr);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!((server.calls("/auth/oauth2/v2/token"), server.calls("/api/2/users")), (2, 4));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn token_of_a_whole_organization_is_refused_by_name() {
    let faults = ["users.list", "usergroups.list", "conversations.list"].map(|call| format!("{call}=missing_argument"));
    let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
    let server = LocalSaas::start(0, &faults).await;
    let output = collect(&server, "slack", &[]);
    assert_eq!(output.code, 4, "{}", output.stderr);
    assert!(output.stderr.contains("missing_argument"), "{}", output.stderr);
}

/// The killed worker is tried again, and nothing is missing.
#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_are_tried_again() {
    for (collector, server, path, options) in [
        ("slack", LocalSaas::start(0, &["conversations.members=429@1"]).await, "/api/conversations.members", &[][..]),
        ("onelogin", LocalSaas::start(1, &["users=429@2"]).await, "/api/2/users", &[]),
        (
            "github",
            LocalSaas::github(&["--fault", "/orgs/org0=secondary@1"]).await,
            "/orgs/org0",
            &["--github-org", "org0", "org1"],
        ),
    ] {
        let fork = format!("--{collector}-fork");
        let mut whole = command(&["collect", "--output", "-"]);
        let mut killed = command(&["collect", "--output", "-", "--fork", &fork]);
        let running = Running::start(server.serve(&mut killed, collector).args(options));
        assert!(becomes(async || server.calls(path) > 0).await);
        let workers = running.children();
        assert!(!workers.is_empty());
        workers.into_iter().for_each(|pid| program::signal(pid, "KILL"));
        let output = tokio::task::spawn_blocking(|| running.wait()).await.unwrap();
        assert!(output.stderr.contains("KILL"), "{}", output.stderr);
        let whole = program::run(server.serve(&mut whole, collector).args(options));
        assert_eq!(output.code, whole.code, "{}", output.stderr);
        compare::assert_none(&compare::graphs(&whole.stdout, &output.stdout, None));
    }
}

#[test]
fn region_of_onelogin_is_a_part_of_a_host() {
    for region in ["us.evil.test/", "us/../x", "eu@host", ""] {
        let mut command =
            command(&["collect", "--output", "-", "--collector", "onelogin", "--onelogin-region", region]);
        let output = program::run(&mut command);
        assert_eq!(output.code, 2, "{region}: {}", output.stderr);
        assert!(output.stderr.contains("--onelogin-region"), "{}", output.stderr);
    }
}

/// Nothing is configured: nothing is delivered.
#[test]
fn missing_credentials_are_said() {
    for (collector, variable) in [("slack", "CKWORKER_SLACK_BOT_TOKEN"), ("onelogin", "CKWORKER_ONELOGIN_CLIENT_ID")] {
        let output = program::run(&mut command(&["collect", "--output", "-", "--collector", collector]));
        assert_eq!((output.code, output.stdout.as_str()), (4, ""), "{}", output.stderr);
        assert!(output.stderr.contains(variable), "{}", output.stderr);
    }
}

/// Fields that are null in the API are absent, and empty ones are not.
#[tokio::test(flavor = "multi_thread")]
async fn nulls_are_absent_and_empty_values_are_kept() {
    let server = LocalSaas::start(1, &[]).await;
    let output = collect(&server, "onelogin", &[]);
    let users: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let with = |test: &dyn Fn(&Value) -> bool| users.iter().filter(|user| test(&user["reported"])).count();
    assert!(with(&|user| user.get("phone").is_none() && user["kind"] == "onelogin_user") > 0);
    assert!(with(&|user| user["role_ids"].as_array().is_some_and(Vec::is_empty)) > 0);
    assert!(with(&|user| user["custom_attributes"] == serde_json::json!({"a": "1"})) > 0);
}
