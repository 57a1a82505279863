//! The order of kinds against edges, across regions and zones, with an invented cloud.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{collections::HashMap, sync::Arc, sync::LazyLock};

use serde_json::{Map, json};
use worker_proto::{Failure, Plan as Units, Unit};

use super::super::{
    plan::{Plan, plan},
    testing::{Story, reasons},
};
use crate::{
    ckcore::Ancestor,
    collector_api::{BoxFuture, Broker, CollectContext, Collector, Concurrency, Target},
    settings::{OptionSpec, Settings},
    supervisor::actions::TargetCollector,
};

/// A cloud of balancers: a rule leads to a map, a map to its services, a scaler to its manager.
struct Nimbus;

impl Collector for Nimbus {
    fn name(&self) -> &'static str {
        "nimbus"
    }

    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    fn check(&self, _: &Settings) -> Result<(), String> {
        Ok(())
    }

    fn concurrency(&self, _: &Settings) -> Concurrency {
        Concurrency { fork: false, pool: 1 }
    }

    fn broker(&self, _: &Settings) -> Option<Arc<dyn Broker>> {
        None
    }

    fn plan<'a>(&'a self, _: &'a CollectContext) -> BoxFuture<'a, Result<Units, Failure>> {
        Box::pin(async { Ok(Units::default()) })
    }

    fn collect<'a>(&'a self, _: &'a CollectContext, _: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }

    fn operator(&self, _: &Settings, target: &Target) -> Result<Unit, Failure> {
        let (id, label) = (target.account.id.clone(), target.account.id.clone());
        Ok(Unit { id, label, kind: "account".into(), parts: 0, payload: String::new() })
    }

    fn delete_before(&self, kind: &str) -> &'static [String] {
        static ORDER: LazyLock<HashMap<&str, Vec<String>>> = LazyLock::new(|| {
            let after = [("map", "service"), ("service", "manager"), ("scaler", "manager"), ("manager", "template")];
            after.into_iter().map(|(kind, after)| (kind, vec![after.to_owned()])).collect()
        });
        ORDER.get(kind).map_or(&[], Vec::as_slice)
    }
}

/// An account with two regions, one of which has two zones.
fn story() -> Story {
    let mut story = Story::empty();
    story.add("graph_root", "root", &[]).add("cloud", "nimbus", &["root"]).add("account", "acc", &["nimbus"]);
    story.add("region", "north", &["acc"]).add("region", "south", &["acc"]);
    story.add("zone", "north-a", &["north"]).add("zone", "north-b", &["north"]);
    story
}

fn planned(story: &Story) -> Plan {
    let settings = Settings::default();
    plan(&story.0, &[("nimbus", TargetCollector { collector: &Nimbus, settings })].into())
}

/// The stages with their resources in alphabetical order.
fn stages(story: &Story) -> Vec<Vec<String>> {
    let forward = planned(story);
    assert_eq!(reasons(&forward), []);
    let ids = |plan: &Plan| -> Vec<Vec<String>> {
        let ids = plan.stages.iter().map(|stage| stage.iter().map(|item| item.node.clone()).collect());
        ids.map(|mut stage: Vec<String>| {
            stage.sort_unstable();
            stage
        })
        .collect()
    };
    assert_eq!(ids(&forward), ids(&planned(&story.reversed())), "the order of edges does not matter");
    ids(&forward)
}

#[test]
fn edge_opposite_to_kind_order_is_turned() {
    let mut story = story();
    story.marked("map", "map", &["acc"]).marked("service", "service", &["acc", "map"]);
    story.marked("proxy", "proxy", &["acc", "map"]).marked("rule", "rule", &["acc", "proxy"]);
    assert_eq!(stages(&story), [["rule"], ["proxy"], ["map"], ["service"]]);
}

#[test]
fn chain_of_turned_edges_is_deleted_from_its_beginning() {
    let mut story = story();
    story.marked("map", "map", &["acc"]).marked("service", "service", &["acc", "map"]);
    story.marked("manager", "manager", &["north-a", "service"]).marked("scaler", "scaler", &["north-a"]);
    story.edge("scaler", "manager").marked("template", "template", &["acc", "manager"]);
    let [first, second, third, fourth] = &stages(&story)[..] else { panic!("{:?}", stages(&story)) };
    assert!(first.contains(&"map".to_owned()) && [first, second].iter().any(|stage| stage.contains(&"scaler".into())));
    assert!(second.contains(&"service".to_owned()));
    assert_eq!((third, fourth), (&vec!["manager".to_owned()], &vec!["template".to_owned()]));
}

#[test]
fn turned_edges_order_through_unmarked_nodes() {
    let mut story = story();
    story.marked("map", "map", &["acc"]).add("service", "service", &["acc", "map"]);
    story.marked("manager", "manager", &["north-a", "service"]);
    assert_eq!(stages(&story), [["map"], ["manager"]]);
}

#[test]
fn kind_order_joins_resources_of_account_and_of_its_regions() {
    let mut story = story();
    // Nothing but the kinds says it: no edge connects them.
    story.marked("map", "map", &["acc"]).marked("service", "in-north", &["north"]);
    story.marked("service", "in-south", &["south"]).marked("manager", "in-zone", &["north-a"]);
    story.marked("template", "template", &["acc"]);
    // The manager is not used in the south.
    assert_eq!(stages(&story), [["map"], ["in-north"], ["in-zone"], ["in-south"], ["template"]]);
}

#[test]
fn kind_order_does_not_join_two_regions_or_accounts() {
    let mut story = story();
    story.add("account", "other", &["nimbus"]).add("region", "west", &["other"]);
    story.marked("scaler", "scaler", &["north-a"]).marked("manager", "near", &["north-b"]);
    story.marked("manager", "far", &["south"]).marked("manager", "foreign", &["west"]);
    story.marked("manager", "global", &["other"]);
    let stages = stages(&story);
    assert_eq!((stages[0].as_slice(), stages[1].as_slice()), (&["scaler".to_owned()][..], &["near".to_owned()][..]));
    // These are as deep as the locations above them.
    assert_eq!(stages[2..], [vec!["far", "foreign"], vec!["global"]]);
}

#[test]
fn resource_of_zone_is_in_its_region_and_account() {
    let mut story = story();
    story.add("account", "host", &["nimbus"]).add("network", "shared", &["host"]);
    story.marked("server", "server", &["north-a", "shared"]);
    let plan = planned(&story);
    let target = &plan.items().next().unwrap().target;
    let region = target.region.as_ref().map(|region| region.id.as_str());
    assert_eq!((target.account.id.as_str(), region), ("acc", Some("north")));
}

/// A core says the region to which its shortest way up leads, such as that of a backend.
#[test]
fn resource_below_account_is_in_no_region() {
    let mut story = story();
    story.add("service", "service", &["north-a"]).marked("rule", "rule", &["acc", "service"]);
    let region = Ancestor { id: "north".into(), name: None, reported: Map::new() };
    story.last().ancestors.insert("region".into(), region);
    let plan = planned(&story);
    let target = &plan.items().next().unwrap().target;
    assert_eq!((target.account.id.as_str(), &target.region), ("acc", &None));
}

#[test]
fn zones_are_never_deleted() {
    let mut story = story();
    story.marked("zone", "north-c", &["north"]);
    assert_eq!(reasons(&planned(&story)), [("north-c", "a zone is never deleted")]);
    story.last().reported.insert("name".into(), json!("north c"));
    assert_eq!(planned(&story).items().count(), 0);
}
