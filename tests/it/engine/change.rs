//! Changes of the invented cloud: labels and deletions by the link of a resource.

use ckworker::{
    collector_api::{CollectContext, ParentNode, Target},
    settings::Settings,
};
use serde_json::{Map, json};
use worker_proto::{Failure, Outcome, Verb};

use super::{account, server::Server};

fn target(kind: &str, link: &str, status: &str) -> Target {
    let parent = |id: &str| ParentNode { id: id.into(), name: None, reported: Map::new() };
    let reported = json!({ "link": link, "volume_status": status });
    Target {
        kind: kind.into(),
        id: "the-id".into(),
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

#[tokio::test]
async fn labels_change_and_resources_are_deleted_by_their_link() {
    let server = Server::start().await;
    let disk = || target("nimbus_disk", "zones/north-a/disks/d", "available");
    let update = Verb::UpdateTag { key: "owner".into(), value: "me".into() };
    assert_eq!(change(&server, disk(), update).await, Ok(Outcome::Done));
    assert_eq!(change(&server, disk(), Verb::DeleteTag { key: "owner".into() }).await, Ok(Outcome::Done));
    assert_eq!(change(&server, disk(), Verb::Delete).await, Ok(Outcome::Done));
    let link = "link=zones%2Fnorth-a%2Fdisks%2Fd";
    let expected = [
        format!("PUT /labels/owner?{link}&value=me"),
        format!("DELETE /labels/owner?{link}"),
        format!("DELETE /resource?{link}"),
    ];
    assert_eq!(server.calls(), expected);
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
