//! Changes of machines of a local vSphere API server, as a worker executes them.

use std::time::Duration;

use ckworker::{
    collector_api::{CollectContext, Collector, ParentNode, Target},
    collectors::vsphere::Vsphere,
    settings::{Setting, Settings},
};
use serde_json::{Map, json};
use worker_proto::{Failure, Operation, Outcome, Verb};

use crate::support::vsphere::{HOST, LocalVsphere};

fn settings(server: &LocalVsphere) -> Settings {
    let mut settings = Settings::defaults(Vsphere.options());
    let given = [
        ("vsphere-host", HOST),
        ("vsphere-user", "user"),
        ("vsphere-password", "pass"),
        ("vsphere-endpoint-url", server.url()),
    ];
    for (name, value) in given {
        settings.set(name, Setting::Text(value.to_owned()));
    }
    settings
}

fn target(kind: &str, id: &str, name: &str) -> Target {
    let reported = json!({ "kind": kind, "id": id, "name": name, "tags": {} });
    let parent = |id: &str| ParentNode { id: id.into(), name: None, reported: Map::new() };
    Target {
        kind: kind.into(),
        id: id.into(),
        name: name.into(),
        reported: reported.as_object().unwrap().clone(),
        cloud: "vsphere".into(),
        account: parent(HOST),
        region: Some(parent("dc1")),
    }
}

fn machine() -> Target {
    target("vsphere_instance", "vm-82", "DC0_H0_VM0")
}

/// Executes an operation with a session of its own, which ends with it.
async fn operate(server: &LocalVsphere, target: &Target, verb: Verb) -> Result<Outcome, Failure> {
    operate_within(server, target, verb, Duration::from_secs(20)).await
}

async fn operate_within(
    server: &LocalVsphere,
    target: &Target,
    verb: Verb,
    limit: Duration,
) -> Result<Outcome, Failure> {
    let settings = settings(server);
    let unit = Vsphere.operator(&settings, target)?;
    let broker = Vsphere.broker(&settings).unwrap();
    let credentials = broker.credentials(Some(&unit)).await?;
    let (context, _frames) = CollectContext::recording(settings.public(Vsphere.options()), Some(credentials));
    let limit_ms = u64::try_from(limit.as_millis()).unwrap();
    let subject = serde_json::to_string(target).unwrap();
    let outcome = Vsphere.operate(&context, &unit, &Operation { id: 1, verb, subject, limit_ms }).await;
    broker.ended(Some(&unit)).await;
    assert_eq!(server.calls("Login"), server.calls("Logout"));
    outcome
}

/// The tags of the machine, and whether it exists.
async fn tags(server: &LocalVsphere) -> Option<serde_json::Value> {
    let mut command = server.collect();
    let output = tokio::task::spawn_blocking(move || crate::support::program::run(&mut command)).await.unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let graph = std::fs::read_to_string(server.path("graph.ndjson")).unwrap();
    let lines = graph.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut machines = lines.map(|line| line["reported"].clone()).filter(|node| node["id"] == "vm-82");
    machines.next().map(|machine| machine["tags"].clone())
}

fn set(key: &str, value: &str) -> Verb {
    Verb::UpdateTag { key: key.into(), value: value.into() }
}

#[tokio::test]
async fn tags_are_custom_attributes_and_new_ones_are_defined() {
    let server = LocalVsphere::start(&[]);
    assert_eq!(operate(&server, &machine(), set("owner", "a <b> & ü")).await, Ok(Outcome::Done));
    assert_eq!(tags(&server).await, Some(json!({ "owner": "a <b> & ü" })));
    assert_eq!(server.calls("AddCustomFieldDef"), 0);
    assert_eq!(operate(&server, &machine(), set("cost center", "7")).await, Ok(Outcome::Done));
    assert_eq!(server.calls("AddCustomFieldDef"), 1);
    assert_eq!(tags(&server).await, Some(json!({ "owner": "a <b> & ü", "cost center": "7" })));
    for key in ["owner", "unknown"] {
        let removed = operate(&server, &machine(), Verb::DeleteTag { key: key.into() }).await;
        assert_eq!(removed, Ok(Outcome::Done), "{key}");
    }
    assert_eq!(tags(&server).await, Some(json!({ "cost center": "7" })), "an empty attribute is no tag");
    assert_eq!(server.calls("AddCustomFieldDef"), 1);
}

#[tokio::test]
async fn machine_is_turned_off_and_destroyed_and_then_gone() {
    let server = LocalVsphere::start(&[]);
    assert_eq!(operate(&server, &machine(), Verb::Delete).await, Ok(Outcome::Done));
    assert_eq!((server.calls("PowerOffVM_Task"), server.calls("Destroy_Task")), (1, 1));
    assert_eq!(tags(&server).await, None);
    assert_eq!(operate(&server, &machine(), Verb::Delete).await, Ok(Outcome::Done), "idempotent");
    assert_eq!(server.calls("Destroy_Task"), 1);
}

/// Field case: two changes define the same attribute at the same time.
#[tokio::test]
async fn attribute_that_another_client_defines_is_set() {
    let server = LocalVsphere::start(&[]);
    server.fail("AddCustomFieldDef raced\n");
    assert_eq!(operate(&server, &machine(), set("cost center", "7")).await, Ok(Outcome::Done));
    assert_eq!(tags(&server).await.unwrap()["cost center"], "7");
}

#[tokio::test]
async fn tasks_are_awaited_and_looked_at() {
    let server = LocalVsphere::start(&[]);
    server.fail("task PowerOffVM_Task fault:InvalidPowerState\ntask Destroy_Task fault:FileLocked\n");
    let failure = operate(&server, &machine(), Verb::Delete).await.unwrap_err();
    assert!(failure.message.contains("FileLocked") && failure.message.contains("told to"), "{failure:?}");
    server.fail("task Destroy_Task 1000000\n");
    let failure = operate_within(&server, &machine(), Verb::Delete, Duration::from_secs(2)).await.unwrap_err();
    assert!(failure.message.contains("Destroy_Task is not complete in time"), "{failure:?}");
    assert!(tags(&server).await.is_some(), "it still exists");
    server.fail("task Destroy_Task 2\n");
    let before = server.calls("RetrievePropertiesEx");
    assert_eq!(operate(&server, &machine(), Verb::Delete).await, Ok(Outcome::Done));
    assert!(server.calls("RetrievePropertiesEx") >= before + 3);
    server.fail("");
    assert_eq!(tags(&server).await, None);
}

#[tokio::test]
async fn machine_of_another_name_is_not_deleted() {
    let server = LocalVsphere::start(&[]);
    let outcome = operate(&server, &target("vsphere_instance", "vm-82", "other"), Verb::Delete).await.unwrap();
    assert!(matches!(&outcome, Outcome::Nothing(why) if why.contains("DC0_H0_VM0")), "{outcome:?}");
    assert!(tags(&server).await.is_some());
}

#[tokio::test]
async fn failed_deletion_says_why() {
    let server = LocalVsphere::start(&[]);
    server.fail("Destroy_Task fault:NoPermission\n");
    let failure = operate(&server, &machine(), Verb::Delete).await.unwrap_err();
    assert!(failure.message.contains("NoPermission") && failure.message.contains("DC0_H0_VM0"), "{failure:?}");
}

/// Field case: some servers lock an account after a few refused logins.
#[tokio::test]
async fn refused_password_is_not_sent_again_before_the_next_plan() {
    let server = LocalVsphere::start(&[]);
    let mut settings = settings(&server);
    settings.set("vsphere-password", Setting::Text("thistle".to_owned()));
    let unit = Vsphere.operator(&settings, &machine()).unwrap();
    let broker = Vsphere.broker(&settings).unwrap();
    for logins in [1, 1, 1] {
        let failure = broker.credentials(Some(&unit)).await.unwrap_err();
        assert!(failure.message.contains("InvalidLogin") && !failure.message.contains("thistle"), "{failure:?}");
        assert_eq!(server.calls("Login"), logins);
    }
    broker.credentials(None).await.unwrap();
    broker.credentials(Some(&unit)).await.unwrap_err();
    assert_eq!(server.calls("Login"), 2);
}

#[tokio::test]
async fn cluster_data_center_and_other_servers_are_refused() {
    let server = LocalVsphere::start(&[]);
    let mut elsewhere = machine();
    elsewhere.account.id = "other".into();
    for target in [target("vsphere_cluster", HOST, HOST), target("vsphere_data_center", "dc1", "dc1"), elsewhere] {
        for verb in [Verb::Delete, set("a", "b")] {
            let failure = operate(&server, &target, verb).await.unwrap_err();
            assert!(failure.message.starts_with("cannot change "), "{failure:?}");
        }
    }
    assert_eq!(server.calls("Login"), 0);
}
