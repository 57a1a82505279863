//! What code adds to items, in a project of canned responses with one zone.

use std::collections::BTreeMap;

use ckworker::{
    collector_api::{CollectContext, Collector},
    collectors::gcp::Gcp,
    settings::{Setting, Settings},
};
use serde_json::{Value, json};
use worker_proto::{Credentials, FromWorker, Missing, Unit};

use super::canned::{Canned, CannedServer, reply};

/// The beginning of the links in the project.
const OWN: &str = "https://www.googleapis.com/compute/v1/projects/own";

/// What was collected.
#[derive(Default)]
struct Collected {
    /// The fields of the nodes, by name.
    nodes: BTreeMap<String, Value>,
    /// Operation and code of the gaps.
    gaps: Vec<(String, String)>,
    /// The properties that are unknown of some nodes.
    unknown: Vec<String>,
    /// The paths of the calls.
    calls: Vec<String>,
}

/// Collects the project from responses by path. Lists without one are empty, but for those of the region and the zone.
async fn collect(respond: impl Fn(&str) -> Option<Canned> + Send + Sync + 'static) -> Collected {
    let path = |line: &str| line.split([' ', '?']).nth(1).unwrap().to_owned();
    let server = CannedServer::routed(move |_, line| {
        let path = path(line);
        respond(&path).unwrap_or_else(|| match path.rsplit('/').next() {
            Some("regions") => list(&json!([{ "name": "eu", "id": "1", "selfLink": format!("{OWN}/regions/eu") }])),
            Some("zones") => list(&json!([{
                "name": "eu-a", "id": "2", "region": format!("{OWN}/regions/eu"), "selfLink": format!("{OWN}/zones/eu-a")
            }])),
            _ => reply(200, &json!({ "kind": "list" })),
        })
    })
    .await;
    let mut settings = Settings::defaults(Gcp.options());
    settings.set("gcp-endpoint-url", Setting::Text(server.url().to_owned()));
    settings.set("gcp-no-collect", Setting::List(vec!["services".to_owned()]));
    let credentials = Credentials { secret: json!({ "token": "t" }).to_string(), expires: None };
    let (context, mut frames) = CollectContext::recording(settings, Some(credentials));
    let (id, label, kind) = ("own".to_owned(), "own".to_owned(), "gcp_project".to_owned());
    let payload = json!({ "project": "own", "number": "7", "item": { "projectId": "own", "projectNumber": "7" }, "credential": 0 });
    let unit = Unit { id, label, kind, parts: 0, payload: payload.to_string() };
    Gcp.collect(&context, &unit).await.unwrap();
    context.finish().await.unwrap();
    drop(context);
    let mut collected = Collected::default();
    while let Some(frame) = frames.next().await {
        match frame {
            FromWorker::Nodes { nodes, .. } => collected.nodes.extend(nodes.iter().map(|node| {
                let line: Value = serde_json::from_slice(&node.line).unwrap();
                (line["reported"]["name"].as_str().unwrap().to_owned(), line["reported"].clone())
            })),
            FromWorker::Gap { gap, .. } => collected.gaps.push((gap.operation, gap.code)),
            FromWorker::Missing { missing, .. } => {
                collected.unknown.extend(missing.into_iter().flat_map(|one| match one {
                    Missing::Parts { properties, .. } => properties,
                    _ => Vec::new(),
                }))
            }
            _ => {}
        }
    }
    let lines = server.arrived().into_iter().map(|call| call.line);
    collected.calls = lines.map(|line| line.split([' ', '?']).nth(1).unwrap().to_owned()).collect();
    collected
}

fn list(items: &Value) -> Canned {
    reply(200, &json!({ "kind": "list", "items": items }))
}

/// An aggregated list with items of one place.
fn aggregated(place: &str, collection: &str, items: &[Value]) -> Canned {
    list(&json!({ place: { collection: items } }))
}

#[tokio::test]
async fn denied_machine_types_are_given_up() {
    let instances: Vec<Value> = (0..60)
        .map(|number| {
            json!({
                "id": number.to_string(), "name": format!("vm-{number}"), "zone": format!("{OWN}/zones/eu-a"),
                "selfLink": format!("{OWN}/zones/eu-a/instances/vm-{number}"), "status": "RUNNING",
                "machineType": format!("{OWN}/zones/eu-a/machineTypes/custom-{number}-1024")
            })
        })
        .collect();
    let denied = json!({ "error": { "code": 403, "message": "no", "errors": [{ "reason": "forbidden" }] } });
    let collected = collect(move |path| match () {
        () if path.ends_with("/aggregated/instances") => Some(aggregated("zones/eu-a", "instances", &instances)),
        () if path.contains("/machineTypes/") => Some(reply(403, &denied)),
        () => None,
    })
    .await;
    assert_eq!(collected.nodes.keys().filter(|name| name.starts_with("vm-")).count(), 60);
    let asked = collected.calls.iter().filter(|path| path.contains("/machineTypes/")).count();
    assert!((20..30).contains(&asked), "{asked}");
    assert_eq!(collected.gaps[0], ("machineTypes.get".to_owned(), "forbidden".to_owned()));
    assert!(collected.unknown.contains(&"instance_cores".to_owned()), "{:?}", collected.unknown);
}

#[tokio::test]
async fn resources_of_other_projects_are_unknown_and_not_called() {
    let foreign = "https://www.googleapis.com/compute/v1/projects/other/zones/eu-a";
    let service = format!("{OWN}/regions/eu/backendServices/b");
    // It leads to itself.
    let target = format!("{OWN}/zones/eu-a/targetInstances/t");
    let rule = |name: &str, member: &str, link: &str| {
        json!({
            "id": name, "name": name, "region": format!("{OWN}/regions/eu"), member: link,
            "selfLink": format!("{OWN}/regions/eu/forwardingRules/{name}")
        })
    };
    let rules = [rule("foreign", "backendService", &service), rule("circle", "target", &target)];
    let services = [json!({
        "id": "3", "name": "b", "region": format!("{OWN}/regions/eu"), "selfLink": service,
        "backends": [{ "group": format!("{foreign}/instanceGroups/g") }]
    })];
    let targets = [json!({
        "id": "4", "name": "t", "zone": format!("{OWN}/zones/eu-a"), "selfLink": target, "instance": target
    })];
    let snapshots = json!([
        { "id": "5", "name": "of-other", "sourceDisk": format!("{foreign}/disks/far"), "selfLink": format!("{OWN}/s/5") },
        { "id": "6", "name": "of-gone", "sourceDisk": format!("{OWN}/zones/eu-a/disks/near"), "selfLink": format!("{OWN}/s/6") }
    ]);
    let collected = collect(move |path| match path.rsplit('/').next() {
        Some("forwardingRules") => Some(aggregated("regions/eu", "forwardingRules", &rules)),
        Some("backendServices") => Some(aggregated("regions/eu", "backendServices", &services)),
        Some("targetInstances") => Some(aggregated("zones/eu-a", "targetInstances", &targets)),
        Some("snapshots") => Some(list(&snapshots)),
        _ => None,
    })
    .await;
    assert_eq!(collected.gaps, []);
    assert!(!collected.calls.iter().any(|path| path.contains("listInstances")), "{:?}", collected.calls);
    assert_eq!(collected.unknown, ["backends"], "of one rule");
    assert_eq!(collected.nodes["of-other"]["volume_id"], "far");
    assert_eq!(collected.nodes["of-gone"].get("volume_id"), None);
}

#[tokio::test]
async fn items_in_zones_whose_list_failed_are_no_further_gaps() {
    let instance = json!({
        "id": "8", "name": "vm", "zone": format!("{OWN}/zones/eu-a"), "status": "RUNNING",
        "selfLink": format!("{OWN}/zones/eu-a/instances/vm")
    });
    let denied = json!({ "error": { "code": 403, "message": "no", "errors": [{ "reason": "forbidden" }] } });
    let collected = collect(move |path| match path.rsplit('/').next() {
        Some("zones") => Some(reply(403, &denied)),
        Some("instances") => Some(aggregated("zones/eu-a", "instances", std::slice::from_ref(&instance))),
        _ => None,
    })
    .await;
    assert_eq!(collected.gaps, [("zones.list".to_owned(), "forbidden".to_owned())]);
    assert!(!collected.nodes.contains_key("vm"), "it has no place");
}
