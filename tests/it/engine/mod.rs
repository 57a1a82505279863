//! The engine with a cloud that the program does not have: its kinds are collected and changed by definitions alone.

#![expect(clippy::unwrap_used, reason = "tests")]

mod across;
mod change;
mod cores;
mod definitions;
mod nimbus;
mod partial;
mod server;
mod services;
mod supervised;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ckworker::{
    collector_api::CollectContext,
    engine::{Timeouts, collect::Selection},
    graph::{Identity, NodeId, UNDEFINED},
    settings::Settings,
};
use serde_json::{Value, json};
use worker_proto::{Deferred, Failure, FailureKind, FromWorker, Gap, Missing, Name, Why};

use self::{
    nimbus::NimbusAccount,
    server::{SERVERS, Server, ZONES},
};

/// What a collection sent.
#[derive(Debug, Default)]
struct Collected {
    nodes: BTreeMap<[u8; 16], Value>,
    edges: BTreeSet<([u8; 16], [u8; 16])>,
    gaps: Vec<Gap>,
    missing: Vec<Missing>,
    deferred: Vec<Deferred>,
    names: Vec<Name>,
}

impl Collected {
    /// A node as `kind id`, with the zone of a resource of a zone.
    fn label(&self, id: &[u8; 16]) -> String {
        let node = &self.nodes[id];
        let reported = |field: &str| node["reported"][field].as_str().unwrap_or_default().to_owned();
        let link = reported("link");
        let zone = link.split("/zones/").nth(1).and_then(|rest| rest.split('/').next());
        let label = format!("{} {}", reported("kind").replace("nimbus_", ""), reported("id"));
        zone.map_or(label.clone(), |zone| format!("{label} {zone}"))
    }

    fn labels(&self, kind: &str) -> BTreeSet<String> {
        let labels = self.nodes.keys().map(|id| self.label(id));
        labels.filter(|label| label.starts_with(&format!("{kind} "))).collect()
    }

    /// The edges as `from > to`.
    fn edges(&self) -> BTreeSet<String> {
        self.edges.iter().map(|(from, to)| format!("{} > {}", self.label(from), self.label(to))).collect()
    }

    fn reported(&self, label: &str) -> &Value {
        let id = self.nodes.keys().find(|id| self.label(id) == label).unwrap();
        &self.nodes[id]["reported"]
    }

    /// The nodes below which a kind is missing.
    fn missing_below(&self, wanted: &str) -> BTreeSet<String> {
        self.below(wanted, Why::Unseen)
    }

    fn below(&self, wanted: &str, reason: Why) -> BTreeSet<String> {
        let below = self.missing.iter().filter_map(|missing| match missing {
            Missing::Kind { below, kind, why, .. } if kind == wanted && *why == reason => Some(self.label(below)),
            _ => None,
        });
        below.collect()
    }

    fn gaps(&self) -> Vec<(&str, &str, &str)> {
        self.gaps.iter().map(|gap| (gap.region.as_str(), gap.operation.as_str(), gap.code.as_str())).collect()
    }
}

fn account(server: &Server, regions: &[&str]) -> NimbusAccount {
    let regions = regions.iter().map(|region| (*region).to_owned()).collect();
    NimbusAccount { id: "acc-1".to_owned(), base: server.base.clone(), regions }
}

fn selection() -> Selection {
    Selection { locations_at_once: 8, ..Selection::default() }
}

/// Timeouts with short pauses and few retries, so that a fault that stays ends soon.
fn hasty() -> Timeouts {
    Timeouts { pause: Duration::from_millis(1), retry: Duration::from_millis(50), ..Timeouts::default() }
}

async fn collect(account: &NimbusAccount, timeouts: Timeouts, selection: Selection) -> Result<Collected, Failure> {
    let (context, mut frames) = CollectContext::recording(Settings::default(), None);
    let result = account.collect(&context, timeouts, selection).await;
    context.finish().await.unwrap();
    drop(context);
    let mut collected = Collected::default();
    while let Some(frame) = frames.next().await {
        match frame {
            FromWorker::Nodes { nodes, .. } => {
                let parsed = nodes.iter().map(|node| (node.id, serde_json::from_slice(&node.line).unwrap()));
                collected.nodes.extend(parsed);
            }
            FromWorker::Edges { edges, .. } => collected.edges.extend(edges.iter()),
            FromWorker::Deferred { edges, .. } => collected.deferred.extend(edges),
            FromWorker::Names { names, .. } => collected.names.extend(names),
            FromWorker::Gap { gap, .. } => collected.gaps.push(gap),
            FromWorker::Missing { missing, .. } => collected.missing.extend(missing),
            _ => {}
        }
    }
    result.map(|()| collected)
}

async fn collect_all(server: &Server) -> Collected {
    collect(&account(server, &[]), hasty(), selection()).await.unwrap()
}

/// The edges of the whole graph, worked out from the rules of the API.
fn expected_edges() -> BTreeSet<String> {
    let mut edges = BTreeSet::new();
    edges.extend((0..7).map(|number| format!("account acc-1 > network net-{number}")));
    edges.insert("account acc-1 > share share-all".to_owned());
    for region in ["north", "south"] {
        edges.insert(format!("account acc-1 > region {region}"));
        edges.insert(format!("region {region} > subnet sub-{region}"));
        edges.insert(format!("network net-1 > subnet sub-{region}"));
        edges.insert(format!("region {region} > image image-{region}"));
        edges.insert(format!("region {region} > bucket bucket-{region}"));
        edges.insert(format!("bucket bucket-{region} > object object-bucket-{region}"));
        edges.insert(format!("region {region} > key key-{region}"));
    }
    for (index, zone) in ZONES.iter().enumerate() {
        let region = zone.split('-').next().unwrap();
        edges.insert(format!("region {region} > zone {zone}"));
        for number in 0..SERVERS {
            edges.insert(format!("zone {zone} > disk disk-{number} {zone}"));
            edges.insert(format!("zone {zone} > server server-{number} {zone}"));
            edges.insert(format!("subnet sub-{region} > server server-{number} {zone}"));
            edges.insert(format!("network net-2 > server server-{number} {zone}"));
            edges.insert(format!("server server-{number} {zone} > disk disk-{number} {zone}"));
        }
        let next = ZONES[(index + 1) % ZONES.len()];
        edges.insert(format!("server server-0 {zone} > disk disk-2 {next}"));
    }
    edges
}

#[tokio::test]
async fn all_kinds_are_collected_in_three_levels() {
    let server = Server::start().await;
    let collected = collect_all(&server).await;
    assert_eq!((collected.gaps(), collected.missing.len()), (vec![], 0));
    assert_eq!(collected.edges(), expected_edges());
    assert_eq!(collected.nodes.len(), 1 + 2 + 4 + 7 + 2 + 2 + 2 + 5 + 2 * 4 * SERVERS);
    let account = collected.reported("account acc-1");
    assert_eq!((&account["name"], &account["plan"]), (&json!("Weather"), &json!("gold")));
    let server_fields = collected.reported("server server-1 south-b");
    for (field, value) in [
        ("name", json!("south-b 1")),
        ("tags", json!({ "env": "test", "number": "1" })),
        ("instance_cores", json!(2)),
        ("instance_type", json!("small")),
        ("instance_status", json!("running")),
        ("ctime", json!("2020-03-03T03:03:03+00:00")),
        ("atime", json!("2021-01-01T00:00:00+00:00")),
    ] {
        assert_eq!(server_fields[field], value, "{field}");
    }
    assert_eq!(collected.reported("disk disk-2 north-a")["volume_status"], "in-use");
    assert_eq!(collected.reported("disk disk-2 north-a")["volume_type"], "fast");
    assert_eq!(collected.reported("network net-3")["tags"], json!({ "team": "t3" }));
    assert_eq!(collected.reported("subnet sub-north")["tags"], json!({ "a": "b" }));
}

#[tokio::test]
async fn zones_and_regions_are_parts_of_node_ids() {
    let server = Server::start().await;
    let collected = collect_all(&server).await;
    let id = |kind, region, zone, id, name| {
        NodeId::of(&Identity { kind, cloud: "nimbus", account: "acc-1", region, zone, id, name: Some(name) }).0
    };
    const NONE: &str = UNDEFINED;
    for (id, label) in [
        (id("nimbus_disk", "north", "north-a", "disk-1", "disk 1"), "disk disk-1 north-a"),
        (id("nimbus_disk", "south", "south-b", "disk-1", "disk 1"), "disk disk-1 south-b"),
        (id("nimbus_server", "north", "north-b", "server-0", "north-b 0"), "server server-0 north-b"),
        (id("nimbus_subnet", "south", NONE, "sub-south", "subnet"), "subnet sub-south"),
        (id("nimbus_network", NONE, NONE, "net-1", "net-1"), "network net-1"),
        (id("nimbus_account", NONE, NONE, "acc-1", "Weather"), "account acc-1"),
    ] {
        assert!(collected.nodes.contains_key(&id), "{label}");
        assert_eq!(collected.label(&id), label);
    }
}

#[tokio::test]
async fn cursors_are_followed_and_each_page_is_asked_once() {
    let server = Server::start().await;
    collect_all(&server).await;
    let calls = server.calls();
    let of = |path: &str| calls.iter().filter(|call| call.contains(path)).collect::<Vec<_>>();
    assert_eq!(of("/networks"), ["GET /networks?", "GET /networks?cursor=from-5"]);
    assert_eq!(of("/aggregated"), ["GET /aggregated/servers?", "GET /aggregated/servers?cursor=from-2"]);
    assert_eq!((of("/zones/").len(), of("/usage").len()), (4, 4 * SERVERS));
}

#[tokio::test]
async fn rate_limit_delays_calls_and_loses_nothing() {
    let server = Server::start().await;
    let truth = collect_all(&server).await;
    server.fail("zones", (429, Some(1), Some(6)));
    server.fail("usage", (429, None, Some(5)));
    let patient = Timeouts { pause: Duration::from_millis(1), ..Timeouts::default() };
    let collected = collect(&account(&server, &[]), patient, selection()).await.unwrap();
    assert_eq!(collected.gaps(), []);
    assert_eq!((&collected.nodes, &collected.edges), (&truth.nodes, &truth.edges));
    assert_eq!(server.hasty(), 0, "no call came before the end of the pause");
}

#[tokio::test]
async fn failing_zone_is_gap_and_keeps_its_kind_only() {
    let server = Server::start().await;
    let truth = collect_all(&server).await;
    server.fail("zones/south-a/disks", (500, None, None));
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps(), [("south-a", "zones/{location}/disks", "500")]);
    assert_eq!(collected.missing_below("nimbus_disk"), BTreeSet::from(["zone south-a".to_owned()]));
    let lost: Vec<_> = truth.labels("disk").difference(&collected.labels("disk")).cloned().collect();
    assert_eq!(lost, ["disk disk-0 south-a", "disk disk-1 south-a", "disk disk-2 south-a"]);
    assert_eq!(collected.labels("server"), truth.labels("server"));
    let ends = collected.missing.iter().filter(|missing| matches!(missing, Missing::Edges { .. })).count();
    assert!(ends > 0, "edges to the disks that were not seen are told");
}

#[tokio::test]
async fn repeated_cursor_is_gap_and_keeps_kind() {
    let server = Server::start().await;
    server.stick();
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps(), [("global", "networks", "InvalidResponse")]);
    assert!(collected.gaps[0].message.contains("repeated"), "{}", collected.gaps[0].message);
    assert_eq!(collected.labels("network").len(), 5, "the pages before the repeated cursor count");
    assert_eq!(collected.missing_below("nimbus_network"), BTreeSet::from(["account acc-1".to_owned()]));
}

#[tokio::test]
async fn successful_answer_of_another_form_is_gap_and_keeps_kind() {
    let server = Server::start().await;
    server.fail("regions/south/subnets", (200, None, None));
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps(), [("south", "regions/{location}/subnets", "InvalidResponse")]);
    assert_eq!(collected.missing_below("nimbus_subnet"), BTreeSet::from(["region south".to_owned()]));
    assert_eq!(collected.labels("subnet"), BTreeSet::from(["subnet sub-north".to_owned()]));
}

#[tokio::test]
async fn two_locations_of_one_name_fail_account() {
    let server = Server::start().await;
    server.double("north-b", "south");
    let failure = collect(&account(&server, &[]), hasty(), selection()).await.unwrap_err();
    assert!(failure.message.contains("two locations north-b"), "{failure:?}");
}

#[tokio::test]
async fn location_that_is_listed_twice_is_collected_once() {
    let server = Server::start().await;
    let truth = collect_all(&server).await;
    server.double("north-b", "north");
    let collected = collect_all(&server).await;
    assert_eq!((collected.gaps(), collected.labels("server")), (vec![], truth.labels("server")));
}

#[tokio::test]
async fn failing_list_of_all_zones_keeps_its_kind_in_each() {
    let server = Server::start().await;
    server.fail("aggregated", (403, None, None));
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps(), [("global", "aggregated/servers", "403")]);
    assert_eq!(collected.missing_below("nimbus_server"), partial::everywhere());
    assert_eq!((collected.labels("server").len(), collected.labels("disk").len()), (0, 4 * SERVERS));
}

#[tokio::test]
async fn selected_region_has_only_its_own_zones() {
    let server = Server::start().await;
    let selected = Selection { has_some_locations: true, ..selection() };
    let collected = collect(&account(&server, &["south"]), hasty(), selected).await.unwrap();
    assert_eq!(collected.gaps(), [], "servers elsewhere are not selected, and no gap");
    assert_eq!(collected.labels("server").len(), 2 * SERVERS);
    let left_out = |kind: &str| collected.below(kind, Why::LeftOut);
    assert_eq!(left_out("nimbus_region"), BTreeSet::from(["account acc-1".to_owned()]));
    assert_eq!(left_out("nimbus_zone"), BTreeSet::from(["region south".to_owned()]));
}

#[tokio::test]
async fn excluded_kinds_are_named_in_locations_of_their_items() {
    let server = Server::start().await;
    // What the core forgets is named once in each level.
    let once = ["account acc-1", "region north", "zone north-a"].map(str::to_owned).into();
    for (keep_uncollected, why, below) in [(true, Why::Kept, partial::everywhere()), (false, Why::LeftOut, once)] {
        let exclude = vec!["servers".into(), "usage".into()];
        let selected = Selection { exclude, keep_uncollected, ..selection() };
        let collected = collect(&account(&server, &[]), hasty(), selected).await.unwrap();
        assert_eq!(collected.below("nimbus_server", why), below);
    }
    assert!(server.calls().iter().all(|call| !call.contains("servers") && !call.contains("usage")));
}

#[tokio::test]
async fn item_in_unknown_zone_is_gap_and_keeps_zone() {
    let server = Server::start().await;
    // As if the zone had been opened since the regions were listed.
    server.hide("south-b");
    for regions in [&[][..], &["south"]] {
        let collected = collect(&account(&server, regions), hasty(), selection()).await.unwrap();
        assert_eq!(collected.gaps(), [("global", "aggregated/servers", "UnknownLocation")]);
        assert!(collected.gaps[0].message.contains("zone south-b"), "{}", collected.gaps[0].message);
        // The core keeps the zone, with everything below it.
        assert_eq!(collected.missing_below("nimbus_region"), BTreeSet::from(["account acc-1".to_owned()]));
        assert!(collected.missing_below("nimbus_zone").contains("region south"));
        assert!(collected.missing_below("nimbus_server").contains("zone south-a"));
        let zones = if regions.is_empty() { 3 } else { 1 };
        assert_eq!(collected.labels("server").len(), zones * SERVERS);
    }
}

#[tokio::test]
async fn ambiguous_reference_is_gap_and_unknown_edge() {
    let server = Server::start().await;
    server.hide_zones_of_servers();
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps(), [("global", "aggregated/servers", "UnknownLocation")]);
    let unknown = collected.missing.iter().any(|missing| match missing {
        Missing::Parts { edges, .. } => edges.iter().any(|edge| !edge.outgoing && edge.kind == "nimbus_subnet"),
        _ => false,
    });
    assert!(unknown, "{:?}", collected.missing);
}

#[tokio::test]
async fn rejected_token_fails_account() {
    let server = Server::start().await;
    server.fail("about", (401, None, None));
    let failure = collect(&account(&server, &[]), hasty(), selection()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Credentials);
    assert!(failure.message.contains("Nimbus account acc-1") && failure.message.contains("v1:about"), "{failure:?}");
}
