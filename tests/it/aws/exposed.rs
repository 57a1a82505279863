//! What the endpoint exposes after runs in which things failed: all of it is documented, and all that is documented
//! counts.

use std::collections::{BTreeMap, BTreeSet};

use ckworker::telemetry::Announced;
use serde_json::{Value, json};

use crate::support::{
    aws::{ACCOUNTS, LocalAws},
    core::TestCore,
    daemon::{Daemon, SUBSCRIBER, have},
};

/// How many accounts the organization has: one that is collected, one that refuses, one that answers rubbish.
const MEMBERS: usize = 3;

/// What does not happen here: nothing is deleted, and no worker counts what it should not.
const ZERO: &[&str] = &[
    "ckworker_log_lines_suppressed_total",
    "cloudkeeper_resource_cleanup_seconds",
    "resource_cleanup_exceptions_total",
    "resource_pre_cleanup_exceptions_total",
    "ckworker_measurements_dropped_total",
    "ckworker_sudden_losses_total",
];

/// The measurements by name, each with its samples as (labels, value).
fn families(text: &str) -> BTreeMap<&str, Vec<(&str, f64)>> {
    let mut families: BTreeMap<&str, Vec<(&str, f64)>> = BTreeMap::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            name = family.split(' ').next().unwrap();
            families.entry(name).or_default();
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(sample.starts_with(name), "{sample} is below {name}");
            families.get_mut(name).unwrap().push((&sample[name.len()..], value.parse().unwrap()));
        }
    }
    families
}

/// The names in the tables of measurements, `<x>` and `*` for any text.
fn documented() -> BTreeSet<&'static str> {
    let text = include_str!("../../../docs/operations.md");
    let section = text.split("\n## Metrics\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.map(|name| name.split('{').next().unwrap()).collect()
}

fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once("<x>").or_else(|| pattern.split_once('*')) {
        Some((begin, end)) => name.starts_with(begin) && name.ends_with(end),
        None => name == pattern,
    }
}

/// The metrics of collectors that do not run here.
fn announced_by_others() -> Vec<String> {
    let others = ckworker::collectors::all().iter().filter(|collector| collector.name() != "aws");
    let announced = others.flat_map(|collector| collector.metrics());
    let name = |one| match one {
        Announced::Counter { name, .. } => name,
        Announced::Summary { name, .. } => format!("cloudkeeper_{name}_seconds"),
    };
    announced.map(name).collect()
}

fn is_counted(samples: &[(&str, f64)]) -> bool {
    samples.iter().any(|(_, value)| *value > 0.0)
}

fn value(families: &BTreeMap<&str, Vec<(&str, f64)>>, name: &str, labels: &[&str]) -> f64 {
    let samples = families.get(name).into_iter().flatten();
    samples.filter(|(found, _)| labels.iter().all(|label| found.contains(label))).map(|(_, value)| value).sum()
}

/// A daemon that has collected with two broken accounts, then with a broken organization, and has done the rest.
async fn busy(aws: &LocalAws, core: &TestCore) -> Daemon {
    aws.fault(json!({"operation": "AssumeRole", "account": ACCOUNTS[1], "mode": "deny"})).await;
    let refused = json!({"operation": "ListAccountAliases", "account": ACCOUNTS[2], "mode": "throttle", "code": "ValidationError"});
    aws.fault(refused).await;
    aws.fault(json!({"operation": "DescribeKeyPairs", "account": ACCOUNTS[0], "mode": "deny"})).await;
    let daemon = Daemon::start(core, |command| {
        command.args(["--fork", "--cleanup", "--collector", "aws", "example", "--aws-fork", "--aws-scrape-org"]);
        aws.serve(command.args(["--aws-role", "Cloudkeeper", "--aws-region", "us-east-1"]))
    });
    core.connected(SUBSCRIBER).await;
    let node = json!({ "id": "t", "reported": { "kind": "example_instance", "id": "t" } });
    let task = json!({ "update": { "owner": "bob" }, "node": node });
    core.add_task("t", &[("cloud", "example"), ("account", "1")], task);
    core.task_over("t").await;
    daemon
}

#[tokio::test]
async fn metrics_and_their_documentation_agree() {
    let aws = LocalAws::start(MEMBERS, &["us-east-1"]);
    let core = TestCore::start(None).await;
    let daemon = busy(&aws, &core).await;
    assert_eq!(have(&core, "collect").await.0, "action_error", "{}", daemon.log());
    jobs_say_what_became_of_each_account(&daemon.get("/jobs").await.1);
    let text = daemon.get("/metrics").await.1;
    let failed = families(&text);
    let reasons = [(ACCOUNTS[1], "credentials", 1.0), (ACCOUNTS[2], "unavailable", 3.0)];
    for (account, reason, attempts) in reasons {
        let labels = [account, reason].map(|text| format!("\"{text}\""));
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        assert!(value(&failed, "ckworker_unit_failures_total", &labels) == 1.0, "{text}");
        let name = "cloudkeeper_plugin_aws_unhandled_account_exceptions_total";
        assert!(value(&failed, name, &[&format!("({account})\"")]) == 1.0, "{text}");
        assert!(value(&failed, "ckworker_job_nodes", &labels[..1]) == 0.0, "{text}");
        assert!(daemon.log().matches(account).count() as f64 >= attempts, "{}", daemon.log());
    }
    assert!(value(&failed, "ckworker_job_nodes", &[ACCOUNTS[0]]) > 100.0, "{text}");
    assert!(value(&failed, "ckworker_job_restarts_total", &["aws"]) == 2.0, "{text}");

    aws.fault(json!({"operation": "ListAccounts", "mode": "deny"})).await;
    core.connected(SUBSCRIBER).await;
    assert_eq!(have(&core, "collect").await.0, "action_error", "{}", daemon.log());
    core.connected(SUBSCRIBER).await;
    assert_eq!(have(&core, "cleanup").await.0, "action_done", "{}", daemon.log());
    let later = daemon.get("/metrics").await.1;
    let later = families(&later);
    assert!(value(&later, "ckworker_job_nodes", &[ACCOUNTS[0]]) == 0.0, "only the last run's accounts have values");

    let documented = documented();
    let of_others = announced_by_others();
    for (name, samples) in failed.iter().chain(&later) {
        assert!(documented.iter().any(|pattern| fits(name, pattern)), "docs/operations.md does not describe {name}");
        let other = [&failed, &later].iter().any(|families| families.get(name).is_some_and(|all| is_counted(all)));
        let is_of_other = of_others.contains(&(*name).to_owned());
        assert!(
            is_counted(samples) || other || is_of_other || ZERO.contains(name),
            "nothing is ever counted as {name}"
        );
    }
    for pattern in documented {
        assert!(
            later.keys().any(|name| fits(name, pattern)),
            "docs/operations.md describes {pattern}, which is not there"
        );
    }
    assert_eq!(daemon.stop().await.0.code, 0);
}

fn jobs_say_what_became_of_each_account(text: &str) {
    let jobs: Value = serde_json::from_str(text).unwrap();
    let jobs = jobs["jobs"].as_array().unwrap();
    for (account, state, attempts) in
        [(ACCOUNTS[0], "complete", 1), (ACCOUNTS[1], "failed", 1), (ACCOUNTS[2], "failed", 3)]
    {
        let job = jobs.iter().find(|job| job["unit"] == account).unwrap_or_else(|| panic!("{account} in {text}"));
        assert_eq!((&job["state"], &job["attempts"]), (&json!(state), &json!(attempts)), "{text}");
        assert_eq!(job["reason"].is_null(), state == "complete", "{text}");
    }
    assert!(jobs.iter().all(|job| job["state"] == "complete" || job["state"] == "failed"), "{text}");
}
