//! Plans from canned responses of the resource manager.

use ckworker::{
    collector_api::{CollectContext, Collector},
    collectors::gcp::Gcp,
    settings::{Setting, Settings},
};
use serde_json::{Value, json};
use worker_proto::{Credentials, Failure, FailureKind, Plan};

use crate::support::canned::{CannedServer, reply};

fn project(id: &str, kind: &str, parent: &str) -> Value {
    json!({
        "projectId": id, "projectNumber": "12", "name": format!("The {id}"), "lifecycleState": "ACTIVE",
        "labels": {"team": "a"}, "createTime": "2020-01-01T00:00:00.123456789Z", "parent": {"type": kind, "id": parent}
    })
}

/// Plans with one of the credentials and these options.
async fn plan(server: &CannedServer, options: &[(&str, &[&str])]) -> Result<Plan, Failure> {
    let mut settings = Settings::defaults(Gcp.options());
    settings.set("gcp-endpoint-url", Setting::Text(server.url().to_owned()));
    for (name, values) in options {
        settings.set(name, Setting::List(values.iter().map(|value| (*value).to_owned()).collect()));
    }
    let secret = json!([{ "account": "a@p", "project": "own", "token": { "Ok": { "token": "t" } } }]).to_string();
    let (context, _frames) = CollectContext::recording(settings, Some(Credentials { secret, expires: None }));
    Gcp.plan(&context).await
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.units.iter().map(|unit| unit.id.as_str()).collect()
}

#[tokio::test]
async fn all_pages_are_planned_with_names_and_labels() {
    let first = json!({ "projects": [project("one", "organization", "1")], "nextPageToken": "t" });
    let second = json!({ "projects": [project("example.com:two", "folder", "2")] });
    let server = CannedServer::start(vec![reply(200, &first), reply(200, &second)]).await;
    let plan = plan(&server, &[]).await.unwrap();
    assert!(plan.is_whole && plan.gaps.is_empty());
    assert_eq!(ids(&plan), ["one", "example.com:two"]);
    assert_eq!((plan.units[1].label.as_str(), plan.units[1].kind.as_str()), ("example.com:two", "gcp_project"));
    let payload: Value = serde_json::from_str(&plan.units[1].payload).unwrap();
    assert_eq!((&payload["project"], &payload["number"]), (&json!("example.com:two"), &json!("12")));
    assert_eq!((&payload["item"]["labels"]["team"], &payload["credential"]), (&json!("a"), &json!(0)));
    let lines: Vec<String> = server.arrived().into_iter().map(|arrived| arrived.line).collect();
    let path = "GET /cloudresourcemanager.googleapis.com/v1/projects";
    assert_eq!(lines, [format!("{path}?pageSize=500"), format!("{path}?pageSize=500&pageToken=t")]);
}

#[tokio::test]
async fn folders_of_any_depth_are_searched() {
    let projects = json!({ "projects": [
        project("deep", "folder", "12"), project("flat", "organization", "1"), project("other", "organization", "2")
    ] });
    let folders = json!({ "folders": [
        { "name": "folders/12", "parent": "folders/11" }, { "name": "folders/11", "parent": "organizations/1" }
    ] });
    let denied = json!({ "error": { "code": 403, "message": "no", "status": "PERMISSION_DENIED" } });
    let server = CannedServer::start(vec![reply(200, &projects), reply(200, &folders)]).await;
    let found = plan(&server, &[("gcp-folder", &["11"])]).await.unwrap();
    assert_eq!((ids(&found), found.is_whole, found.gaps.len()), (vec!["deep"], false, 0));
    let search = "GET /cloudresourcemanager.googleapis.com/v3/folders:search?pageSize=500";
    assert_eq!(server.arrived()[1].line, search);
    // A denied search does not mean that there are no folders.
    let server = CannedServer::start(vec![reply(200, &projects), reply(403, &denied)]).await;
    let unseen = plan(&server, &[("gcp-organization", &["organizations/1"])]).await.unwrap();
    assert_eq!((ids(&unseen), unseen.is_whole, unseen.gaps.len()), (vec!["flat"], false, 1));
    let gap = &unseen.gaps[0];
    assert_eq!((gap.operation.as_str(), gap.code.as_str()), ("folders.search", "PERMISSION_DENIED"));
}

#[tokio::test]
async fn failure_of_second_page_fails_the_plan() {
    let first = json!({ "projects": [project("one", "organization", "1")], "nextPageToken": "t" });
    let rejected = json!({ "error": { "code": 400, "message": "no", "status": "INVALID_ARGUMENT" } });
    let server = CannedServer::start(vec![reply(200, &first), reply(400, &rejected)]).await;
    let failure = plan(&server, &[]).await.unwrap_err();
    assert!(failure.kind == FailureKind::Configuration && failure.message.contains("a@p"), "{}", failure.message);
    let server = CannedServer::start(vec![reply(200, &first)]).await;
    assert!(plan(&server, &[]).await.is_err(), "the same page again and again");
}

#[tokio::test]
async fn project_without_id_makes_the_list_unusable() {
    let page = json!({ "projects": [project("one", "organization", "1"), { "name": "The other" }] });
    let server = CannedServer::start(vec![reply(200, &page)]).await;
    let failure = plan(&server, &[]).await.unwrap_err();
    assert!(failure.message.contains("a project has no ID"), "{}", failure.message);
}

#[tokio::test]
async fn units_have_what_the_node_of_a_project_needs() {
    let server = CannedServer::start(vec![reply(200, &json!({ "projects": [project("one", "folder", "1")] }))]).await;
    let plan = plan(&server, &[]).await.unwrap();
    let payload: Value = serde_json::from_str(&plan.units[0].payload).unwrap();
    let mut members: Vec<&String> = payload["item"].as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["createTime", "labels", "projectId", "projectNumber"]);
}
