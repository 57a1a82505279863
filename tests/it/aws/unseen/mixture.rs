//! Faults at random, and deletions and creations at the same time.

use serde_json::{Value, json};

use super::{MEMBER, REGIONS};
use crate::support::{
    aws::LocalAws,
    both::{Cores, Daemons, Graph},
};

const ROUNDS: usize = 10;
const HOUR_MS: u64 = 3_600_000;

/// The target of a fault, and how it fails. Throttling and wrong clocks are everywhere.
fn random_fault(random: &mut fastrand::Rng) -> Value {
    let targets = [
        json!({"operation": "DescribeInstances"}),
        json!({"operation": "DescribeVolumes", "region": REGIONS[0]}),
        json!({"operation": "DescribeKeyPairs"}),
        json!({"operation": "DescribeSecurityGroups", "account": MEMBER}),
        json!({"operation": "ListServiceQuotas"}),
        json!({"operation": "GetProducts"}),
        json!({"service": "iam", "account": MEMBER}),
        json!({"service": "s3"}),
        json!({"service": "eks"}),
        json!({"service": "elbv2", "region": REGIONS[1]}),
        json!({"service": "rds"}),
        json!({"region": REGIONS[1], "account": MEMBER}),
    ];
    let seed = random.u32(..);
    let modes = [
        json!({"mode": "deny"}),
        json!({"mode": "empty"}),
        json!({"mode": "page"}),
        json!({"mode": "cut"}),
        json!({"mode": "redirect"}),
        json!({"mode": "garbage"}),
        json!({"mode": "error500"}),
        json!({"mode": "disconnect", "ratio": 0.5, "seed": seed}),
        json!({"mode": "throttle", "ratio": 0.5, "seed": seed}),
        json!({"mode": "ahead", "ms": HOUR_MS}),
        json!({"mode": "behind", "ms": HOUR_MS}),
    ];
    let mut fault = modes[random.usize(..modes.len())].clone();
    if !["throttle", "ahead", "behind"].iter().any(|everywhere| fault["mode"] == *everywhere) {
        let target = &targets[random.usize(..targets.len())];
        fault.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
    }
    fault
}

/// Makes or deletes the key pair of a round.
async fn key_pair(aws: &LocalAws, action: &str, name: &str, round: usize) {
    let (region, name) = (REGIONS[round % REGIONS.len()], format!("{name}-{round}"));
    aws.call("ec2", region, &[("Action", action), ("KeyName", &name)]).await;
}

/// Has both cores collect everything.
async fn collect_all(cores: &Cores, daemons: &Daemons) {
    for (kind, error) in cores.collect(daemons).await {
        assert_eq!(kind, "action_done", "{error}: {}", daemons.logs());
    }
}

/// Fails if something of the first graph is not in the second one.
fn assert_kept(before: &Graph, after: &Graph, what: &str) {
    let lost: Vec<_> = before.nodes.iter().filter(|(id, _)| !after.nodes.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{what} lost {lost:?}");
    let lost: Vec<_> = before.edges.difference(&after.edges).collect();
    assert!(lost.is_empty(), "{what} lost edges {lost:?}");
}

/// Invariant: the core keeps what was not seen, and nothing else.
#[tokio::test]
async fn core2_and_core4_end_with_the_truth_after_random_faults() {
    let (aws, cores) = (LocalAws::start(2, &REGIONS), Cores::start().await);
    // A call that fails to the end has a fifth of what is left of this.
    let options = ["--timeout", "60", "--aws-region", REGIONS[0], REGIONS[1]];
    let daemons = super::daemons(&cores, &aws, &options);
    collect_all(&cores, &daemons).await;
    let before = cores.graphs().await;
    for round in 0..ROUNDS {
        key_pair(&aws, "CreateKeyPair", "old", round).await;
    }
    collect_all(&cores, &daemons).await;
    let mut random = fastrand::Rng::with_seed(20_211_101);
    for round in 0..ROUNDS {
        let faults: Vec<Value> = (0..random.usize(1..4)).map(|_| random_fault(&mut random)).collect();
        // What is new may be seen or not, and so may what is gone; what was there and still is stays.
        key_pair(&aws, "CreateKeyPair", "new", round).await;
        key_pair(&aws, "DeleteKeyPair", "old", round).await;
        for fault in &faults {
            aws.fault(fault.clone()).await;
        }
        cores.collect(&daemons).await;
        aws.reset().await;
        let what = format!("round {round} with {faults:?}");
        for (before, after) in before.iter().zip(cores.graphs().await) {
            assert_kept(before, &after, &what);
        }
    }
    collect_all(&cores, &daemons).await;
    let ends = cores.graphs().await;
    cores.stop(daemons).await;
    drop(cores);
    let fresh = Cores::start().await;
    let daemons = super::daemons(&fresh, &aws, &options);
    collect_all(&fresh, &daemons).await;
    for (core, (end, truth)) in ["2.0", "4.1"].iter().zip(ends.iter().zip(fresh.graphs().await)) {
        truth.assert_same(end, &format!("after ten collections with faults, core {core}"));
    }
    fresh.stop(daemons).await;
}
