//! What code adds to items, in a project of canned responses with one zone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ckworker::{
    collector_api::{CollectContext, Collector},
    collectors::gcp::Gcp,
    settings::{Setting, Settings},
};
use serde_json::{Value, json};
use worker_proto::{Credentials, FromWorker, Missing, Unit, Why};

use crate::support::canned::{Canned, CannedServer, reply};

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
    /// The kinds that are missing, and the names of the nodes below which they are.
    missing: BTreeSet<(String, String)>,
    /// The paths of the calls.
    calls: Vec<String>,
}

/// Collects the project from responses by path. Lists without one are empty, but for those of the region and the zone.
async fn collect(respond: impl Fn(&str) -> Option<Canned> + Send + Sync + 'static) -> Collected {
    let path = |line: &str| line.split([' ', '?']).nth(1).unwrap().to_owned();
    let server = CannedServer::routed(move |_, line| {
        let path = path(line);
        respond(&path).unwrap_or_else(|| match path.rsplit('/').next() {
            Some("regions") => list(&json!([{ "name": "eu-west1", "id": "1", "selfLink": format!("{OWN}/regions/eu-west1") }])),
            Some("zones") => list(&json!([{
                "name": "eu-west1-a", "id": "2", "region": format!("{OWN}/regions/eu-west1"), "selfLink": format!("{OWN}/zones/eu-west1-a")
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
    let (mut collected, mut names, mut hidden) = (Collected::default(), HashMap::new(), Vec::new());
    while let Some(frame) = frames.next().await {
        match frame {
            FromWorker::Nodes { nodes, .. } => {
                for node in nodes {
                    let line: Value = serde_json::from_slice(&node.line).unwrap();
                    let name = line["reported"]["name"].as_str().unwrap().to_owned();
                    names.insert(node.id, name.clone());
                    collected.nodes.insert(name, line["reported"].clone());
                }
            }
            FromWorker::Gap { gap, .. } => collected.gaps.push((gap.operation, gap.code)),
            FromWorker::Missing { missing, .. } => {
                for one in missing {
                    match one {
                        Missing::Parts { properties, .. } => collected.unknown.extend(properties),
                        Missing::Kind { below, kind, why: Why::Unseen, .. } => {
                            hidden.push((kind, below));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    // Nodes may come after what is missing below them.
    collected.missing = hidden.into_iter().map(|(kind, below)| (kind, names[&below].clone())).collect();
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
                "id": number.to_string(), "name": format!("vm-{number}"), "zone": format!("{OWN}/zones/eu-west1-a"),
                "selfLink": format!("{OWN}/zones/eu-west1-a/instances/vm-{number}"), "status": "RUNNING",
                "machineType": format!("{OWN}/zones/eu-west1-a/machineTypes/custom-{number}-1024")
            })
        })
        .collect();
    let denied = json!({ "error": { "code": 403, "message": "no", "errors": [{ "reason": "forbidden" }] } });
    let collected = collect(move |path| match () {
        () if path.ends_with("/aggregated/instances") => Some(aggregated("zones/eu-west1-a", "instances", &instances)),
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
    let foreign = "https://www.googleapis.com/compute/v1/projects/other/zones/eu-west1-a";
    let service = format!("{OWN}/regions/eu-west1/backendServices/b");
    // It leads to itself.
    let target = format!("{OWN}/zones/eu-west1-a/targetInstances/t");
    let rule = |name: &str, member: &str, link: &str| {
        json!({
            "id": name, "name": name, "region": format!("{OWN}/regions/eu-west1"), member: link,
            "selfLink": format!("{OWN}/regions/eu-west1/forwardingRules/{name}")
        })
    };
    let rules = [rule("foreign", "backendService", &service), rule("circle", "target", &target)];
    let services = [json!({
        "id": "3", "name": "b", "region": format!("{OWN}/regions/eu-west1"), "selfLink": service,
        "backends": [{ "group": format!("{foreign}/instanceGroups/g") }]
    })];
    let targets = [json!({
        "id": "4", "name": "t", "zone": format!("{OWN}/zones/eu-west1-a"), "selfLink": target, "instance": target
    })];
    let snapshots = json!([
        { "id": "5", "name": "of-other", "sourceDisk": format!("{foreign}/disks/far"), "selfLink": format!("{OWN}/s/5") },
        { "id": "6", "name": "of-gone", "sourceDisk": format!("{OWN}/zones/eu-west1-a/disks/near"), "selfLink": format!("{OWN}/s/6") }
    ]);
    let collected = collect(move |path| match path.rsplit('/').next() {
        Some("forwardingRules") => Some(aggregated("regions/eu-west1", "forwardingRules", &rules)),
        Some("backendServices") => Some(aggregated("regions/eu-west1", "backendServices", &services)),
        Some("targetInstances") => Some(aggregated("zones/eu-west1-a", "targetInstances", &targets)),
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
        "id": "8", "name": "vm", "zone": format!("{OWN}/zones/eu-west1-a"), "status": "RUNNING",
        "selfLink": format!("{OWN}/zones/eu-west1-a/instances/vm")
    });
    let denied = json!({ "error": { "code": 403, "message": "no", "errors": [{ "reason": "forbidden" }] } });
    let collected = collect(move |path| match path.rsplit('/').next() {
        Some("zones") => Some(reply(403, &denied)),
        Some("instances") => Some(aggregated("zones/eu-west1-a", "instances", std::slice::from_ref(&instance))),
        _ => None,
    })
    .await;
    assert_eq!(collected.gaps, [("zones.list".to_owned(), "forbidden".to_owned())]);
    assert!(!collected.nodes.contains_key("vm"), "it has no place");
}

#[tokio::test]
async fn region_that_a_list_could_not_reach_hides_its_zones() {
    let warning = json!({ "code": "REGION_UNREACHABLE", "region": "eu-west1", "message": "no" });
    for silent in [
        json!({ "warnings": [warning] }),
        json!({ "unreachable": ["projects/own/locations/eu-west1"] }),
        json!({ "failedLocations": [{ "name": "eu-west1" }] }),
    ] {
        let mut page = silent.clone();
        page["kind"] = "sql#instancesList".into();
        let collected = collect(move |path| path.contains("/sqladmin.").then(|| reply(200, &page))).await;
        let databases = collected.missing.iter().filter(|(kind, _)| kind == "gcp_database");
        let below: Vec<&str> = databases.map(|(_, below)| below.as_str()).collect();
        assert_eq!(below, ["eu-west1", "eu-west1-a"], "{silent}");
        assert_eq!(collected.gaps.len(), 1, "{silent}");
    }
}
