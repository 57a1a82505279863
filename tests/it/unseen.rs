//! Not seen is not gone: whatever a fault hides stays in the core as it was, and the answer says that it was not seen.
//!
//! Each case runs on both cores: the first collection is complete, the next one meets the fault. Afterwards the core has the
//! same nodes, properties and edges.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    aws::LocalAws,
    core::TestCore,
    core4::LocalCore,
    daemon::{Daemon, SUBSCRIBER, have},
};

const REGIONS: [&str; 2] = ["us-east-1", "us-west-2"];
/// A member of the organization of the local AWS.
const MEMBER: &str = "812205225875";

/// What a core has: what was reported of each node, and the edges.
#[derive(Debug, PartialEq)]
struct Graph {
    nodes: BTreeMap<String, Value>,
    edges: BTreeSet<(String, String)>,
}

impl Graph {
    /// Fails with what is different, if anything is.
    fn assert_same(&self, other: &Graph, what: &str) {
        let name = |id: &String, nodes: &BTreeMap<String, Value>| {
            nodes.get(id).map_or_else(|| id.clone(), |node| format!("{} {}", node["kind"], node["id"]))
        };
        let all: BTreeSet<&String> = self.nodes.keys().chain(other.nodes.keys()).collect();
        let mut different: Vec<String> = all
            .into_iter()
            .filter(|id| self.nodes.get(*id) != other.nodes.get(*id))
            .map(|id| format!("node {:?}\n    is now {:?}", self.nodes.get(id), other.nodes.get(id)))
            .collect();
        let edge = |(from, to): &(String, String)| format!("{} -> {}", name(from, &self.nodes), name(to, &self.nodes));
        different.extend(self.edges.difference(&other.edges).map(|lost| format!("edge lost: {}", edge(lost))));
        different.extend(other.edges.difference(&self.edges).map(|new| format!("edge made: {}", edge(new))));
        assert!(
            different.is_empty(),
            "{what}: {} differences\n  {}",
            different.len(),
            different[..different.len().min(12)].join("\n  ")
        );
    }
}

/// Without members that are computed from the time. Of the time of the last use it counts whether there is one.
fn reported(node: &Value) -> Value {
    let mut reported = node.clone();
    if let Some(members) = reported.as_object_mut() {
        members.retain(|name, _| !["age", "last_update", "last_access", "mtime", "ctime"].contains(&name.as_str()));
        members.entry("atime").and_modify(|time| *time = json!(true));
    }
    reported
}

fn daemon(uri: &str, aws: &LocalAws) -> Daemon {
    Daemon::at(uri, |command: &mut Command| {
        command.args(["--fork", "--collector", "aws", "--aws-fork", "--aws-role", "Cloudkeeper", "--aws-scrape-org"]);
        aws.serve(command.arg("--aws-region").args(REGIONS))
    })
}

/// Faults, and what the answer has to name of them.
fn cases() -> Vec<(&'static str, Vec<Value>, &'static str)> {
    let deny = |fault: Value| {
        let mut fault = fault;
        fault["mode"] = json!("deny");
        fault
    };
    let services = ["autoscaling", "cloudformation", "cloudwatch", "ec2", "eks", "elb", "elbv2", "iam", "rds", "s3"];
    vec![
        (
            "one kind in one region",
            vec![deny(json!({"operation": "DescribeInstances", "region": "us-west-2"}))],
            "DescribeInstances",
        ),
        (
            "a kind that others lead to",
            vec![deny(json!({"operation": "DescribeVpcs", "account": MEMBER}))],
            "DescribeVpcs",
        ),
        ("one region", vec![deny(json!({"region": "us-west-2", "account": MEMBER}))], "us-west-2"),
        (
            "the calls for items",
            vec![
                deny(json!({"operation": "DescribeNodegroup"})),
                deny(json!({"operation": "DescribeTags", "service": "elbv2"})),
                deny(json!({"operation": "DescribeTargetHealth"})),
                deny(json!({"operation": "ListServiceQuotas"})),
                deny(json!({"operation": "GetMetricData"})),
            ],
            "more; ",
        ),
        ("IAM", vec![deny(json!({"service": "iam", "account": MEMBER}))], "iam"),
        (
            "all calls of one account",
            services.iter().map(|service| deny(json!({"service": service, "account": MEMBER}))).collect(),
            MEMBER,
        ),
    ]
}

#[tokio::test]
async fn core2_keeps_what_a_fault_hides() {
    let (aws, core) = (LocalAws::start(2, &REGIONS), TestCore::start(None).await);
    let daemon = daemon(&core.uri(), &aws);
    let graph = || Graph {
        nodes: core.nodes("ck").into_iter().map(|(id, node)| (id, reported(&node.reported))).collect(),
        edges: core.edges("ck").into_iter().map(|(from, to, _)| (from, to)).collect(),
    };
    core.connected(SUBSCRIBER).await;
    assert_eq!(have(&core, "collect").await.0, "action_done", "{}", daemon.log());
    let truth = graph();
    for (what, faults, named) in cases() {
        for fault in faults {
            aws.fault(fault).await;
        }
        let (kind, error) = have(&core, "collect").await;
        assert_eq!(kind, "action_error", "{what}");
        assert!(error.contains("incomplete") && error.contains(named), "{what}: {error}");
        truth.assert_same(&graph(), what);
        aws.reset().await;
    }
    assert_eq!(have(&core, "collect").await.0, "action_done", "{}", daemon.log());
    truth.assert_same(&graph(), "without a fault");
    assert_eq!(daemon.stop().await.0.code, 0);
}

/// The target of a fault, and how it fails.
fn random_fault(random: &mut fastrand::Rng) -> Value {
    let targets = [
        json!({"operation": "DescribeInstances"}),
        json!({"operation": "DescribeVolumes", "region": REGIONS[0]}),
        json!({"operation": "DescribeSecurityGroups", "account": MEMBER}),
        json!({"operation": "ListServiceQuotas"}),
        json!({"operation": "GetProducts"}),
        json!({"service": "iam", "account": MEMBER}),
        json!({"service": "s3"}),
        json!({"service": "eks"}),
        json!({"service": "elbv2", "region": REGIONS[1]}),
        json!({"service": "rds"}),
    ];
    let modes = [
        ("deny", 1.0),
        ("empty", 1.0),
        ("page", 1.0),
        ("redirect", 1.0),
        ("garbage", 1.0),
        ("error500", 1.0),
        ("throttle", 0.5),
        ("disconnect", 0.5),
    ];
    let (mode, ratio) = modes[random.usize(..modes.len())];
    let mut fault = targets[random.usize(..targets.len())].clone();
    fault["mode"] = json!(mode);
    fault["ratio"] = json!(ratio);
    fault
}

#[tokio::test]
async fn random_faults_over_ten_collections_end_with_the_truth() {
    let (aws, core) = (LocalAws::start(2, &REGIONS), TestCore::start(None).await);
    // A call that fails to the end has a fifth of what is left of this.
    let started = |core: &TestCore| {
        Daemon::start(core, |command| {
            command.args([
                "--fork",
                "--collector",
                "aws",
                "--aws-fork",
                "--aws-role",
                "Cloudkeeper",
                "--aws-scrape-org",
            ]);
            aws.serve(command.args(["--timeout", "60", "--aws-region"]).args(REGIONS))
        })
    };
    let graph = |core: &TestCore| Graph {
        nodes: core.nodes("ck").into_iter().map(|(id, node)| (id, reported(&node.reported))).collect(),
        edges: core.edges("ck").into_iter().map(|(from, to, _)| (from, to)).collect(),
    };
    let daemon = started(&core);
    assert_eq!(have(&core, "collect").await.0, "action_done", "{}", daemon.log());
    let before = graph(&core);
    let mut random = fastrand::Rng::with_seed(20_211_101);
    for round in 0..10 {
        let faults: Vec<Value> = (0..random.usize(1..4)).map(|_| random_fault(&mut random)).collect();
        for fault in &faults {
            aws.fault(fault.clone()).await;
        }
        // What is new may be seen or not; what was there stays.
        aws.call("ec2", REGIONS[0], &[("Action", "CreateKeyPair"), ("KeyName", &format!("new-{round}"))]).await;
        have(&core, "collect").await;
        aws.reset().await;
        let after = graph(&core);
        let lost: Vec<_> = before.nodes.keys().filter(|id| !after.nodes.contains_key(*id)).collect();
        assert!(lost.is_empty(), "round {round} with {faults:?} lost {lost:?}: {}", daemon.log());
        let lost: Vec<_> = before.edges.difference(&after.edges).collect();
        assert!(lost.is_empty(), "round {round} with {faults:?} lost edges {lost:?}: {}", daemon.log());
    }
    assert_eq!(have(&core, "collect").await.0, "action_done", "{}", daemon.log());
    let fresh = TestCore::start(None).await;
    let other = started(&fresh);
    assert_eq!(have(&fresh, "collect").await.0, "action_done", "{}", other.log());
    graph(&fresh).assert_same(&graph(&core), "after ten collections with faults");
    assert_eq!(daemon.stop().await.0.code, 0);
    assert_eq!(other.stop().await.0.code, 0);
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
        Graph {
            nodes: core.nodes("ck").into_iter().map(|(id, node)| (id, reported(&node.reported))).collect(),
            edges: core.edges("ck").into_iter().map(|(from, to, _)| (from, to)).collect(),
        }
    };
    let all: &[&str] = &["--aws-region", REGIONS[0], REGIONS[1]];
    let truth = collect(all).await;
    let kept = collect(&[fewer, &["--keep-uncollected"]].concat()).await;
    truth.assert_same(&kept, "kept");
    let forgotten = collect(fewer).await;
    assert!(forgotten.nodes.len() < truth.nodes.len() / 2 + 50, "{} of {}", forgotten.nodes.len(), truth.nodes.len());
}

#[tokio::test]
async fn core2_and_core4_hold_loss_without_gap_for_one_run() {
    let aws = LocalAws::start(1, &REGIONS[..1]);
    let (core2, core4) = (TestCore::start(None).await, LocalCore::start(&[]));
    let start = |uri: &str| {
        Daemon::at(uri, |command| {
            command.args(["--collector", "aws", "--hold-sudden-loss", "20", "--aws-region", REGIONS[0]]);
            aws.serve(command)
        })
    };
    // The nodes in both cores, after a collection that ends so in both.
    let collect = async |daemons: &[Daemon; 2], expected: &str| {
        let (kind, error) = have(&core2, "collect").await;
        assert_eq!(kind, format!("action_{expected}"), "{}", daemons[0].log());
        assert_eq!(error.contains("keep their last known state"), expected == "error", "{error}");
        connected(&core4).await;
        run_workflow(&core4).await;
        let (_, metrics) = daemons[1].get("/metrics").await;
        let line = format!("ckworker_actions_total{{action=\"collect\",result=\"{expected}\"}} 1");
        assert!(metrics.contains(&line), "{}", daemons[1].log());
        [core2.nodes("ck").len(), core4.nodes().await.len()]
    };
    let keys: Vec<String> = (0..60).map(|number| format!("many-{number}")).collect();
    for key in &keys {
        aws.call("ec2", REGIONS[0], &[("Action", "CreateKeyPair"), ("KeyName", key)]).await;
    }
    let daemons = [start(&core2.uri()), start(&core4.uri)];
    let before = collect(&daemons, "done").await;
    // What was there before is what the core has, and not what this process saw.
    for daemon in daemons {
        assert_eq!(daemon.stop().await.0.code, 0);
    }
    for key in &keys {
        aws.call("ec2", REGIONS[0], &[("Action", "DeleteKeyPair"), ("KeyName", key)]).await;
    }
    let daemons = [start(&core2.uri()), start(&core4.uri)];
    assert_eq!(collect(&daemons, "error").await, before);
    for daemon in &daemons {
        let (_, metrics) = daemon.get("/metrics").await;
        assert!(metrics.contains("ckworker_sudden_losses_total{collector=\"aws\"}"), "{}", daemon.log());
    }
    assert_eq!(collect(&daemons, "done").await, before.map(|nodes| nodes - keys.len()), "confirmed");
    for daemon in daemons {
        assert_eq!(daemon.stop().await.0.code, 0);
    }
}

#[tokio::test]
async fn core2_and_core4_forget_accounts_that_left() {
    let (core2, core4) = (TestCore::start(None).await, LocalCore::start(&[]));
    let aws = LocalAws::start(2, &REGIONS[..1]);
    let two = daemon(&core2.uri(), &aws);
    let four = daemon(&core4.uri, &aws);
    connected(&core4).await;
    let collect = async || {
        assert_eq!(have(&core2, "collect").await.0, "action_done", "{}", two.log());
        run_workflow(&core4).await;
    };
    let counts = async || {
        let in_core2 = core2.nodes("ck").into_values().map(|node| node.reported).collect::<Vec<_>>();
        let in_core4 = core4.nodes().await.into_iter().map(|node| node["reported"].clone()).collect();
        [in_core2, in_core4].map(|nodes: Vec<Value>| {
            let of_kind = |kind: &str| nodes.iter().filter(|node| node["kind"] == kind).count();
            (of_kind("aws_account"), of_kind("aws_ec2_volume"))
        })
    };
    collect().await;
    let [both, in_core4] = counts().await;
    assert_eq!((both.0, in_core4), (2, both), "{}", four.log());
    aws.leave_organization(MEMBER).await;
    collect().await;
    for (left, log) in counts().await.into_iter().zip([two.log(), four.log()]) {
        assert!(left.0 == 1 && left.1 < both.1, "{left:?} of {both:?}: {log}");
        assert!(log.contains(MEMBER) && log.contains("no longer in the cloud"), "{log}");
    }
    assert_eq!(two.stop().await.0.code, 0);
    assert_eq!(four.stop().await.0.code, 0);
}

async fn connected(core: &LocalCore) {
    core.until("workers", |workers| workers["connected"].as_array().is_some_and(|all| !all.is_empty())).await;
}

/// Has the core collect, and waits until that is over.
async fn run_workflow(core: &LocalCore) {
    let task = core.workflow("collect").await;
    let is_over =
        |tasks: &Value| tasks["running"].as_array().is_some_and(|running| running.iter().all(|one| one["id"] != task));
    core.until("tasks", is_over).await;
}

#[tokio::test]
async fn core4_keeps_what_a_fault_hides() {
    let (aws, core) = (LocalAws::start(2, &REGIONS), LocalCore::start(&[]));
    let daemon = daemon(&core.uri, &aws);
    connected(&core).await;
    let collect = async |result: &str, times: usize| {
        run_workflow(&core).await;
        let line = format!("ckworker_actions_total{{action=\"collect\",result=\"{result}\"}} {times}");
        let (_, metrics) = daemon.get("/metrics").await;
        assert!(metrics.contains(&line), "{line} is missing: {}", daemon.log());
    };
    let graph = async || {
        let all = core.look("graph/fix").await;
        let nodes = all["nodes"].as_array().unwrap().iter();
        let edges = all["edges"]["default"].as_array().unwrap().iter();
        Graph {
            nodes: nodes.map(|node| (node["_key"].as_str().unwrap().into(), reported(&node["reported"]))).collect(),
            edges: edges
                .map(|edge| [&edge["from"], &edge["to"]].map(|end| end.as_str().unwrap().into()).into())
                .collect(),
        }
    };
    collect("done", 1).await;
    let truth = graph().await;
    assert!(truth.nodes.len() > 300 && truth.edges.len() > 600, "{} {}", truth.nodes.len(), truth.edges.len());
    for (number, (what, faults, _)) in cases().into_iter().enumerate() {
        for fault in faults {
            aws.fault(fault).await;
        }
        collect("error", number + 1).await;
        truth.assert_same(&graph().await, what);
        aws.reset().await;
    }
    collect("done", 2).await;
    truth.assert_same(&graph().await, "without a fault");
    assert_eq!(daemon.stop().await.0.code, 0);
}
