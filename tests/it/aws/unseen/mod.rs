//! Not seen is not gone: whatever a fault hides stays in the core as it was, and the answer says that it was not seen.
//!
//! Each case runs on both cores, the model of core 2.0 and the real core 4.1.

mod cases;
mod mixture;

use serde_json::json;

use crate::support::{
    aws::{ACCOUNTS, LocalAws},
    both::{Cores, Daemons, graph_of},
    core::TestCore,
    daemon::{Daemon, have},
};

const REGIONS: [&str; 2] = ["us-east-1", "us-west-2"];
/// A member of the organization of the local AWS.
const MEMBER: &str = ACCOUNTS[1];

/// Starts a daemon for each core with these options. They collect all accounts.
fn daemons(cores: &Cores, aws: &LocalAws, options: &[&str]) -> Daemons {
    cores.daemons(&|command| {
        command.args(["--fork", "--collector", "aws", "--aws-fork", "--aws-role", "Cloudkeeper"]);
        aws.serve(command.arg("--aws-scrape-org").args(options))
    })
}

#[tokio::test]
async fn accounts_outside_a_partial_plan_stay_in_core2() {
    let (aws, core) = (LocalAws::start(2, &REGIONS[..1]), TestCore::start(None).await);
    let start = |more: &[&str]| {
        Daemon::start(&core, |command| {
            command.args(["--collector", "aws", "--aws-role", "Cloudkeeper", "--aws-region", REGIONS[0]]).args(more);
            aws.serve(command)
        })
    };
    let accounts = || {
        let nodes = core.nodes("ck").into_values();
        nodes.filter(|node| node.reported["kind"] == "aws_account").count()
    };
    // Two workers with an account each, one after the other, and then the whole organization.
    for (more, expected) in [
        (&["--aws-account", MEMBER][..], 1),
        (&["--aws-account", "123456789012"], 2),
        (&["--aws-scrape-org", "--aws-scrape-exclude-account", MEMBER], 2),
        (&["--aws-scrape-org"], 2),
    ] {
        let daemon = start(more);
        assert_eq!(have(&core, "collect").await.0, "action_done", "{more:?} {}", daemon.log());
        assert_eq!(accounts(), expected, "{more:?}: {}", daemon.log());
        assert_eq!(daemon.stop().await.0.code, 0);
    }
}

#[tokio::test]
async fn kinds_and_regions_left_out_by_options_stay_if_asked_for() {
    let (aws, core) = (LocalAws::start(1, &REGIONS), TestCore::start(None).await);
    let fewer: &[&str] = &["--aws-region", REGIONS[0], "--aws-no-collect", "instances", "iam_users"];
    let collect = async |more: &[&str]| {
        let daemon = Daemon::start(&core, |command| aws.serve(command.args(["--collector", "aws"]).args(more)));
        assert_eq!(
            have(&core, "collect").await,
            ("action_done".to_owned(), String::new()),
            "{more:?} {}",
            daemon.log()
        );
        let (output, log) = daemon.stop().await;
        assert_eq!(output.code, 0);
        let named = log.contains("options leave these out") && log.contains(" aws_ec2_instance,");
        assert_eq!(named, more == fewer, "{more:?}: {log}");
        graph_of(&core)
    };
    let all: &[&str] = &["--aws-region", REGIONS[0], REGIONS[1]];
    let truth = collect(all).await;
    let kept = collect(&[fewer, &["--keep-uncollected"]].concat()).await;
    truth.assert_same(&kept, "kept");
    let forgotten = collect(fewer).await;
    assert!(forgotten.nodes.len() < truth.nodes.len() / 2 + 50, "{} of {}", forgotten.nodes.len(), truth.nodes.len());
}

/// The losses without a gap that a daemon has counted.
async fn sudden_losses(daemon: &Daemon) -> u64 {
    let (_, metrics) = daemon.get("/metrics").await;
    let counts =
        metrics.lines().filter_map(|line| line.strip_prefix("ckworker_sudden_losses_total{collector=\"aws\"} "));
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn core2_and_core4_hold_loss_without_gap_for_one_run() {
    let (aws, cores) = (LocalAws::start(2, &REGIONS[..1]), Cores::start().await);
    let start = || daemons(&cores, &aws, &["--hold-sudden-loss", "20", "--aws-region", REGIONS[0]]);
    // The nodes in both cores, after a collection that ends so in both.
    let collect = async |daemons: &Daemons, expected: &str| {
        for (kind, error) in cores.collect(daemons).await {
            assert_eq!(kind, expected, "{error}: {}", daemons.logs());
            assert_eq!(error.contains("keep their last known state"), expected == "action_error", "{error}");
        }
        cores.graphs().await.map(|graph| graph.nodes.len())
    };
    let keys: Vec<String> = (0..60).map(|number| format!("many-{number}")).collect();
    for key in &keys {
        aws.call("ec2", REGIONS[0], &[("Action", "CreateKeyPair"), ("KeyName", key)]).await;
    }
    let daemons = start();
    let before = collect(&daemons, "action_done").await;
    // A gap is no sudden loss, also of nodes that the core counts below another node of the same account.
    for (part, name) in [("service", "iam"), ("operation", "ListInstanceProfiles"), ("operation", "DescribeKeyPairs")] {
        aws.fault(json!({ part: name, "mode": "deny" })).await;
        assert_eq!(collect(&daemons, "action_error").await, before, "{name}");
        aws.reset().await;
    }
    for daemon in [&daemons.two, &daemons.four] {
        assert_eq!(sudden_losses(daemon).await, 0, "{}", daemon.log());
    }
    // What was there before is what the core has, and not what this process saw.
    cores.stop(daemons).await;
    for key in &keys {
        aws.call("ec2", REGIONS[0], &[("Action", "DeleteKeyPair"), ("KeyName", key)]).await;
    }
    let daemons = start();
    assert_eq!(collect(&daemons, "action_error").await, before);
    for daemon in [&daemons.two, &daemons.four] {
        assert!(sudden_losses(daemon).await > 0, "{}", daemon.log());
    }
    let after = collect(&daemons, "action_done").await;
    assert_eq!(after, before.map(|nodes| nodes - keys.len()), "confirmed");
    cores.stop(daemons).await;
}

#[tokio::test]
async fn core2_and_core4_forget_accounts_that_left() {
    let (aws, cores) = (LocalAws::start(2, &REGIONS[..1]), Cores::start().await);
    let daemons = daemons(&cores, &aws, &["--aws-region", REGIONS[0]]);
    let collect = async || {
        for (kind, error) in cores.collect(&daemons).await {
            assert_eq!(kind, "action_done", "{error}: {}", daemons.logs());
        }
    };
    let counts = async || {
        cores.graphs().await.map(|graph| {
            let of_kind = |kind: &str| graph.nodes.values().filter(|node| node["kind"] == kind).count();
            (of_kind("aws_account"), of_kind("aws_ec2_volume"))
        })
    };
    collect().await;
    let [both, in_core4] = counts().await;
    assert_eq!((both.0, in_core4), (2, both), "{}", daemons.logs());
    aws.leave_organization(MEMBER).await;
    collect().await;
    for (left, log) in counts().await.into_iter().zip([daemons.two.log(), daemons.four.log()]) {
        assert!(left.0 == 1 && left.1 < both.1, "{left:?} of {both:?}: {log}");
        assert!(log.contains(MEMBER) && log.contains("no longer in the cloud"), "{log}");
    }
    cores.stop(daemons).await;
}
