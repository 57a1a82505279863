//! Changes of the invented cloud: labels and deletions by the link of a resource.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ckworker::{
    collector_api::{BoxFuture, CollectContext, ParentNode, Target},
    engine::{Api, CallError, CallErrorKind, ErrorFacts, Request, Response, change::Change},
    settings::Settings,
};
use serde_json::{Map, json};
use worker_proto::{Failure, Outcome, Verb};

use super::{account, nimbus::cloud, server::Server};

fn target(kind: &str, link: &str, status: &str) -> Target {
    let parent = |id: &str| ParentNode { id: id.into(), name: None, reported: Map::new() };
    let reported = json!({ "link": link, "volume_status": status, "ctime": "2020-03-03T05:03:03+02:00" });
    Target {
        kind: kind.into(),
        id: "d".into(),
        name: "the-name".into(),
        reported: reported.as_object().unwrap().clone(),
        cloud: "nimbus".into(),
        account: parent("acc-1"),
        region: None,
    }
}

async fn change(server: &Server, target: Target, verb: Verb) -> Result<Outcome, Failure> {
    let (context, _frames) = CollectContext::recording(Settings::default(), None);
    account(server, &[]).change(&context, target, &verb).await
}

const LINK: &str = "link=zones%2Fnorth-a%2Fdisks%2Fd";

#[tokio::test]
async fn labels_change_by_link_and_only_where_kind_has_them() {
    let server = Server::start().await;
    let disk = || target("nimbus_disk", "zones/north-a/disks/d", "available");
    let update = || Verb::UpdateTag { key: "owner".into(), value: "me".into() };
    assert_eq!(change(&server, disk(), update()).await, Ok(Outcome::Done));
    assert_eq!(change(&server, disk(), Verb::DeleteTag { key: "owner".into() }).await, Ok(Outcome::Done));
    let expected = [format!("PUT /labels/owner?{LINK}&value=me"), format!("DELETE /labels/owner?{LINK}")];
    assert_eq!(server.calls(), expected);
    let network = || target("nimbus_network", "networks/d", "");
    for verb in [update(), Verb::DeleteTag { key: "owner".into() }] {
        let reason = "nimbus_network the-name (d): resources of this kind have no labels";
        assert_eq!(change(&server, network(), verb).await, Ok(Outcome::Nothing(reason.into())));
    }
    let Ok(Outcome::Nothing(reason)) = change(&server, network(), Verb::Delete).await else { unreachable!() };
    assert!(reason.contains("does not delete this kind"), "{reason}");
    assert_eq!(server.calls(), [""; 0]);
}

#[tokio::test]
async fn deletable_kind_is_deleted_by_calls_of_its_file() {
    let server = Server::start().await;
    let disk = || target("nimbus_disk", "zones/north-a/disks/d", "available");
    assert_eq!(change(&server, disk(), Verb::Delete).await, Ok(Outcome::Done));
    let get = format!("GET /resource?{LINK}");
    assert_eq!(server.calls(), [get.clone(), format!("DELETE /resource?{LINK}"), get]);
    // Deleted before, by the API's answer and by the node.
    let gone = target("nimbus_server", "zones/north-a/servers/gone", "");
    assert_eq!(change(&server, gone, Verb::Delete).await, Ok(Outcome::Done));
    server.calls();
    let terminated = target("nimbus_disk", "zones/north-a/disks/d", "terminated");
    assert_eq!(change(&server, terminated, Verb::Delete).await, Ok(Outcome::Done));
    assert_eq!(server.calls(), [""; 0]);
    let without = change(&server, target("nimbus_disk", "", ""), Verb::Delete).await.unwrap_err();
    assert!(without.message.contains("no link"), "{}", without.message);
    let account = change(&server, target("nimbus_account", "", ""), Verb::Delete).await.unwrap_err();
    assert!(account.message.contains("this kind cannot be changed"), "{}", account.message);
}

#[tokio::test]
async fn namesake_is_told_by_the_identity_of_kind_or_file() {
    let server = Server::start().await;
    // By the kind's own identity, the ID.
    let other = target("nimbus_disk", "zones/north-a/disks/e", "available");
    let Ok(Outcome::Nothing(reason)) = change(&server, other, Verb::Delete).await else { unreachable!() };
    assert!(reason.contains("another resource has its name now, with the id e"), "{reason}");
    // By the file's, a point in time that the core has in another form, without a fraction.
    let link = "zones/north-a/servers/d";
    assert_eq!(change(&server, target("nimbus_server", link, ""), Verb::Delete).await, Ok(Outcome::Done));
    let mut later = target("nimbus_server", "zones/north-a/servers/e", "");
    later.reported.insert("ctime".into(), "2020-03-03T03:03:02Z".into());
    let Ok(Outcome::Nothing(reason)) = change(&server, later, Verb::Delete).await else { unreachable!() };
    assert!(reason.contains("with the ctime 2020-03-03T03:03:03.500Z"), "{reason}");
    assert_eq!(server.calls().iter().filter(|call| call.starts_with("DELETE")).count(), 1);
}

/// Notes the limits of calls, of which none finds anything.
#[derive(Default)]
struct Limits(Mutex<Vec<(String, Duration)>>);

impl Api for Limits {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, CallError>> {
        let limit = request.limit.unwrap_or(Duration::MAX);
        self.0.lock().unwrap().push((request.operation.to_owned(), limit));
        let mut error = CallError::new(CallErrorKind::NotFound, "404", "gone");
        error.facts = ErrorFacts { means_deleted: true, ..ErrorFacts::default() };
        Box::pin(async { Err(error) })
    }
}

#[tokio::test]
async fn calls_have_the_time_that_the_operation_has_left() {
    let limits = Arc::new(Limits::default());
    let disk = target("nimbus_disk", "zones/north-a/disks/d", "available");
    let limit = Duration::from_secs(20);
    let change = Change::new(cloud(), Arc::clone(&limits) as _, disk, "global".into(), limit).unwrap();
    assert_eq!(change.perform(&Verb::Delete).await, Ok(Outcome::Done));
    let made = limits.0.lock().unwrap().clone();
    let operations: Vec<_> = made.iter().map(|(operation, _)| operation.as_str()).collect();
    assert_eq!(operations, ["resource", "DELETE resource", "resource"]);
    // A second is for the result.
    assert!(made.iter().all(|(_, left)| *left > limit / 2 && *left < limit), "{made:?}");
    assert!(made.is_sorted_by(|(_, before), (_, after)| before >= after), "{made:?}");
}
