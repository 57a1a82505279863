//! Fault by fault: nothing that exists is lost, nothing is left that a complete answer did not name, and the answer is
//! that the collection is incomplete exactly if something was not seen.
//!
//! Before each collection, something is deleted where the fault hides it, and where it does not.

use serde_json::{Value, json};

use super::{MEMBER, REGIONS};
use crate::support::{
    aws::{ACCOUNT, LocalAws, element},
    both::{Cores, Daemons, Graph},
};

/// Something in the cloud that is made before the first collection and deleted before a later one.
#[derive(Clone, Copy)]
enum Thing {
    Volume(&'static str, &'static str),
    KeyPair(&'static str, &'static str),
    AccessKey(&'static str),
    /// That a user is in a group: an edge.
    Membership(&'static str),
    Bucket,
}
use Thing::{AccessKey, Bucket, KeyPair, Membership, Volume};

/// A fault, or several at once.
struct Case {
    what: &'static str,
    faults: Vec<Value>,
    /// What the answer has to name; `None` if everything is seen in the end.
    named: Option<&'static str>,
    /// What is deleted where it is seen.
    seen: Vec<Thing>,
    /// What is deleted where it is not.
    hidden: Vec<Thing>,
}

const EAST: &str = REGIONS[0];
const WEST: &str = REGIONS[1];
const HOUR_MS: u64 = 3_600_000;

fn deny(mut fault: Value) -> Value {
    fault["mode"] = json!("deny");
    fault
}

/// Everything is seen in the end, and what was hidden before is forgotten.
fn complete(what: &'static str, faults: Vec<Value>, seen: Vec<Thing>) -> Case {
    Case { what, faults, named: None, seen, hidden: vec![] }
}

/// Faults that pass or are final at once. After each that hides something that is deleted, there is a complete
/// collection.
fn quick_cases() -> Vec<Case> {
    let services = ["autoscaling", "cloudformation", "cloudwatch", "ec2", "eks", "elb", "elbv2", "iam", "rds", "s3"];
    vec![
        Case {
            what: "one kind in one region",
            faults: vec![deny(json!({"operation": "DescribeVolumes", "region": WEST}))],
            named: Some("DescribeVolumes"),
            seen: vec![Volume(MEMBER, EAST), KeyPair(MEMBER, WEST)],
            hidden: vec![Volume(MEMBER, WEST), Volume(ACCOUNT, WEST)],
        },
        complete(
            "AWS an hour ahead",
            vec![json!({"mode": "ahead", "ms": HOUR_MS})],
            vec![KeyPair(MEMBER, WEST), Membership(MEMBER)],
        ),
        Case {
            what: "kinds that others lead to",
            faults: vec![
                deny(json!({"operation": "DescribeVpcs", "account": MEMBER})),
                deny(json!({"operation": "DescribeInstances", "region": WEST})),
            ],
            named: Some("DescribeVpcs"),
            seen: vec![Volume(MEMBER, WEST)],
            hidden: vec![],
        },
        Case {
            what: "one region",
            faults: vec![deny(json!({"region": WEST, "account": MEMBER}))],
            named: Some(WEST),
            seen: vec![KeyPair(MEMBER, EAST), KeyPair(ACCOUNT, WEST), Membership(MEMBER)],
            hidden: vec![KeyPair(MEMBER, WEST), Volume(MEMBER, WEST)],
        },
        complete(
            "every call throttled half of the time",
            vec![json!({"mode": "throttle", "ratio": 0.5, "seed": 11})],
            vec![KeyPair(ACCOUNT, WEST), AccessKey(ACCOUNT)],
        ),
        items_case(),
        Case {
            what: "IAM",
            faults: vec![deny(json!({"service": "iam", "account": MEMBER}))],
            named: Some("iam"),
            seen: vec![Membership(ACCOUNT), KeyPair(MEMBER, EAST)],
            hidden: vec![AccessKey(MEMBER), Membership(MEMBER)],
        },
        complete(
            "the worker's clock an hour ahead",
            vec![json!({"mode": "behind", "ms": HOUR_MS})],
            vec![KeyPair(MEMBER, WEST)],
        ),
        Case {
            what: "all calls of one account",
            faults: services.iter().map(|service| deny(json!({"service": service, "account": MEMBER}))).collect(),
            named: Some(MEMBER),
            seen: vec![KeyPair(ACCOUNT, EAST), Membership(ACCOUNT)],
            hidden: vec![KeyPair(MEMBER, EAST), Membership(MEMBER)],
        },
        complete("no fault after denials", vec![], vec![]),
    ]
}

/// Calls that are made for each item: no node is hidden, but properties and edges of nodes are.
fn items_case() -> Case {
    Case {
        what: "the calls for items",
        faults: vec![
            deny(json!({"operation": "DescribeNodegroup"})),
            deny(json!({"operation": "DescribeTags", "service": "elbv2"})),
            deny(json!({"operation": "DescribeTargetHealth"})),
            deny(json!({"operation": "ListServiceQuotas"})),
            deny(json!({"operation": "GetMetricData"})),
        ],
        named: Some("more; "),
        seen: vec![Volume(MEMBER, EAST)],
        hidden: vec![],
    }
}

/// Replies that are no answer, to the end of all retries, of services with three protocols. All of them hide the same
/// places: what is deleted there stays until the complete collection at the end.
fn lasting_cases() -> Vec<Case> {
    let modes = [
        ("500 to the end", "error500"),
        ("an empty body", "empty"),
        ("a page for people", "page"),
        ("half an answer", "cut"),
        ("a redirect", "redirect"),
    ];
    let case = |(what, mode)| Case {
        what,
        faults: vec![
            json!({"operation": "DescribeVolumes", "region": WEST, "mode": mode}),
            json!({"operation": "ListBuckets", "account": ACCOUNT, "mode": mode}),
            json!({"operation": "ListClusters", "region": WEST, "mode": mode}),
        ],
        // The answer names one call of each account; in one of them, all that fail are in this region.
        named: Some(WEST),
        seen: vec![Volume(MEMBER, EAST), KeyPair(MEMBER, WEST)],
        hidden: vec![Volume(MEMBER, WEST), Bucket],
    };
    modes.into_iter().map(case).chain([complete("no fault after replies that are no answer", vec![], vec![])]).collect()
}

/// How something is deleted, and what the graph lacks then.
struct Made {
    thing: Thing,
    key: String,
    deletion: Vec<(&'static str, String)>,
}

impl Made {
    async fn new(aws: &LocalAws, thing: Thing, name: &str) -> Self {
        let (account, service, region) = thing.place();
        let key = aws.key(account).await;
        let call = async |parameters: &[(&str, &str)]| aws.call_as(&key, service, region, parameters).await;
        let deletion = match thing {
            Volume(..) => {
                let zone = format!("{region}a");
                let made = call(&[("Action", "CreateVolume"), ("AvailabilityZone", &zone), ("Size", "1")]).await;
                vec![("Action", "DeleteVolume".to_owned()), ("VolumeId", element(&made, "volumeId").to_owned())]
            }
            KeyPair(..) => {
                call(&[("Action", "CreateKeyPair"), ("KeyName", name)]).await;
                vec![("Action", "DeleteKeyPair".to_owned()), ("KeyName", name.to_owned())]
            }
            AccessKey(_) => {
                let user = "user-0";
                let made = call(&[("Action", "CreateAccessKey"), ("UserName", user)]).await;
                let id = element(&made, "AccessKeyId").to_owned();
                vec![("Action", "DeleteAccessKey".to_owned()), ("UserName", user.to_owned()), ("AccessKeyId", id)]
            }
            Membership(_) => {
                let (user, group) = (format!("{name}-user"), format!("{name}-group"));
                call(&[("Action", "CreateUser"), ("UserName", &user)]).await;
                call(&[("Action", "CreateGroup"), ("GroupName", &group)]).await;
                call(&[("Action", "AddUserToGroup"), ("UserName", &user), ("GroupName", &group)]).await;
                vec![("Action", "RemoveUserFromGroup".to_owned()), ("UserName", user), ("GroupName", group)]
            }
            Bucket => {
                assert_eq!(aws.s3(region, "PUT", name, "").await.0, 200);
                vec![("Action", "DeleteBucket".to_owned()), ("Bucket", name.to_owned())]
            }
        };
        Self { thing, key, deletion }
    }

    async fn delete(&self, aws: &LocalAws) {
        let (_, service, region) = self.thing.place();
        if let Bucket = self.thing {
            assert_eq!(aws.s3(region, "DELETE", &self.deletion[1].1, "").await.0, 204);
            return;
        }
        let deletion: Vec<(&str, &str)> = self.deletion.iter().map(|(name, value)| (*name, value.as_str())).collect();
        aws.call_as(&self.key, service, region, &deletion).await;
    }

    fn forgotten(&self, graph: Graph) -> Graph {
        match (self.thing, self.deletion.as_slice()) {
            (Membership(_), [_, (_, user), (_, group)]) => graph.without_edge(group, user),
            (_, [.., (_, last)]) => graph.without(last),
            (_, []) => unreachable!("a deletion has parameters"),
        }
    }
}

impl Thing {
    /// Account, service and region.
    fn place(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Volume(account, region) | KeyPair(account, region) => (account, "ec2", region),
            AccessKey(account) | Membership(account) => (account, "iam", EAST),
            Bucket => (ACCOUNT, "s3", EAST),
        }
    }
}

/// A case with what is deleted for it: where it is seen, and where it is not.
struct Prepared {
    case: Case,
    seen: Vec<Made>,
    hidden: Vec<Made>,
}

async fn prepare(aws: &LocalAws, cases: Vec<Case>, begin: &str) -> Vec<Prepared> {
    let mut prepared = Vec::new();
    for (number, case) in cases.into_iter().enumerate() {
        let (mut seen, mut hidden) = (Vec::new(), Vec::new());
        for (things, made, kind) in [(&case.seen, &mut seen, "seen"), (&case.hidden, &mut hidden, "hidden")] {
            for (at, thing) in things.iter().enumerate() {
                made.push(Made::new(aws, *thing, &format!("{begin}-{number}-{kind}-{at}")).await);
            }
        }
        prepared.push(Prepared { case, seen, hidden });
    }
    prepared
}

/// Both cores, and what they have to have.
struct Scene<'a> {
    aws: &'a LocalAws,
    cores: &'a Cores,
    truth: [Graph; 2],
    /// What was deleted where it is hidden, and stays until a complete collection.
    hidden: Vec<Made>,
}

impl Scene<'_> {
    /// Deletes, collects under the faults of the case, and compares.
    async fn run(&mut self, daemons: &Daemons, prepared: Prepared) {
        let Prepared { case, seen, hidden } = prepared;
        for made in seen.iter().chain(&hidden) {
            made.delete(self.aws).await;
        }
        let is_faulty = !case.faults.is_empty();
        for fault in case.faults {
            self.aws.fault(fault).await;
        }
        let answers = self.cores.collect(daemons).await;
        assert_eq!(self.aws.has_struck().await, is_faulty, "{}", case.what);
        self.aws.reset().await;
        self.hidden.extend(hidden);
        for (kind, error) in answers {
            let what = || format!("{}: {kind} {error}: {}", case.what, daemons.logs());
            match case.named {
                None => assert!(kind == "action_done" && error.is_empty(), "{}", what()),
                Some(named) => {
                    assert!(kind == "action_error" && error.contains("incomplete"), "{}", what());
                    assert!(error.contains(named), "{}", what());
                }
            }
        }
        let known = if case.named.is_none() { std::mem::take(&mut self.hidden) } else { vec![] };
        for gone in seen.iter().chain(&known) {
            self.truth = self.truth.clone().map(|graph| gone.forgotten(graph));
        }
        for (core, (truth, graph)) in ["2.0", "4.1"].iter().zip(self.truth.iter().zip(self.cores.graphs().await)) {
            truth.assert_same(&graph, &format!("{}, core {core}", case.what));
        }
    }
}

/// Invariant: the core keeps what was not seen, and nothing else.
#[tokio::test]
async fn core2_and_core4_keep_exactly_what_a_fault_hides() {
    let (aws, cores) = (LocalAws::start(2, &REGIONS), Cores::start().await);
    let quick = prepare(&aws, quick_cases(), "quick").await;
    let lasting = prepare(&aws, lasting_cases(), "lasting").await;
    let regions = ["--aws-region", EAST, WEST];
    let daemons = super::daemons(&cores, &aws, &regions);
    for (kind, error) in cores.collect(&daemons).await {
        assert_eq!((kind.as_str(), error.as_str()), ("action_done", ""), "{}", daemons.logs());
    }
    let truth = cores.graphs().await;
    assert!(truth[1].nodes.len() > 300 && truth[1].edges.len() > 600, "{:?}", truth[1].nodes.keys());
    let mut scene = Scene { aws: &aws, cores: &cores, truth, hidden: vec![] };
    for prepared in quick {
        scene.run(&daemons, prepared).await;
    }
    cores.stop(daemons).await;
    // A call that fails to the end has a fifth of what is left of this.
    let daemons = super::daemons(&cores, &aws, &[&regions[..], &["--timeout", "45"]].concat());
    for prepared in lasting {
        scene.run(&daemons, prepared).await;
    }
    cores.stop(daemons).await;
}
