//! What is deleted, and in which order. Pure.
//!
//! The graph says most of the order: what is deeper goes first. What it does not say (`order`), and what goes together
//! with a resource, the collector knows of its kinds.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use worker_proto::Unit;

use super::order::KindOrder;
use crate::{
    actions::resource_graph::{self, HierarchyLevel, ResourceGraph},
    ckcore::{StoredGraph, StoredNode},
    collector_api::Target,
    collectors::is_of,
    supervisor::actions::{TargetCollector, TargetCollectors},
};

/// A resource to delete.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// The node's id in the core.
    pub(super) node: String,
    pub(super) collector: &'static str,
    /// The account whose worker does it.
    pub(super) unit: Unit,
    pub(super) target: Target,
}

/// A resource that is marked for deletion and rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The node's id in the core.
    pub(super) node: String,
    /// The resource, for people.
    pub(super) label: String,
    /// Why.
    pub(super) reason: String,
}

/// The resources to delete, in stages, and those that are rejected.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Deepest first: whatever depends on a resource is in an earlier stage.
    pub(super) stages: Vec<Vec<Item>>,
    pub(super) refused: Vec<Refusal>,
    /// The event logs that marked nodes have already.
    pub(super) logs: HashMap<String, Vec<Value>>,
}

impl Plan {
    /// All resources to delete, in no order.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.stages.iter().flatten()
    }
}

/// Whether the fields of a node are needed for a plan: of what is to be deleted, and of where it is.
pub(super) fn needs_fields(node: &StoredNode) -> bool {
    is_wanted(node) || matches!(HierarchyLevel::of(&node.kind), HierarchyLevel::Account | HierarchyLevel::Region)
}

/// Plans the deletion of everything in the graph that is marked and not deleted yet.
pub(super) fn plan(graph: &StoredGraph, targets: &TargetCollectors) -> Plan {
    let resources = ResourceGraph::new(graph);
    let mut plan = Plan::default();
    let mut items = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        // A node that is there twice is planned once.
        if !is_wanted(node) || resources.index(&node.id) != Some(index) {
            continue;
        }
        if let Some(log) = node.metadata.get("event_log").and_then(Value::as_array) {
            plan.logs.insert(node.id.clone(), log.clone());
        }
        match item(&resources, index, targets) {
            Ok(item) => items.push((index, item)),
            Err(reason) => plan.refused.push(refusal(node, reason)),
        }
    }
    let order = KindOrder::of(graph, targets);
    let depths = resources.depths(&order.constraints(&items), |from, to| order.turns(from, to));
    let mut stages: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
    for (index, item) in items {
        match depths[index] {
            Some(depth) => stages.entry(depth).or_default().push(item),
            None => plan.refused.push(refusal(resources.node(index), "it is on a circle of the graph".into())),
        }
    }
    plan.stages = stages.into_values().rev().collect();
    plan
}

fn refusal(node: &StoredNode, reason: String) -> Refusal {
    Refusal { node: node.id.clone(), label: label(node), reason }
}

/// Returns a protected resource that would be deleted together with this one.
fn protected_along<'g>(resources: &ResourceGraph<'g>, index: usize, owner: &TargetCollector) -> Option<&'g StoredNode> {
    let (mut seen, mut open) = (HashSet::from([index]), vec![index]);
    let taken_first = owner.collector.cascades_to(&resources.node(index).kind);
    while let Some(next) = open.pop() {
        let taken = owner.collector.cascades_to(&resources.node(next).kind);
        for neighbour in resources.neighbours(next) {
            let node = resources.node(neighbour);
            if !taken.iter().chain(taken_first).any(|name| is_of(&node.kind, name))
                || is_set(node, "cleaned")
                || !seen.insert(neighbour)
            {
                continue;
            }
            if is_set(node, "protected") {
                return Some(node);
            }
            open.push(neighbour);
        }
    }
    None
}

fn is_wanted(node: &StoredNode) -> bool {
    node.desired.get("clean") == Some(&Value::Bool(true)) && !is_set(node, "cleaned")
}

fn is_set(node: &StoredNode, flag: &str) -> bool {
    node.metadata.get(flag) == Some(&Value::Bool(true))
}

fn item(resources: &ResourceGraph<'_>, index: usize, targets: &TargetCollectors) -> Result<Item, String> {
    let node = resources.node(index);
    if is_set(node, "protected") {
        return Err("it is protected".into());
    }
    if is_set(node, "phantom") {
        return Err("it is no resource that could be deleted (phantom)".into());
    }
    if HierarchyLevel::of(&node.kind) != HierarchyLevel::Resource {
        return Err(format!("a {} is never deleted", node.kind));
    }
    let target = resources.target(index)?;
    let (collector, owner) = targets
        .get_key_value(target.cloud.as_str())
        .ok_or_else(|| format!("the collector of its cloud {} is not enabled", target.cloud))?;
    if let Some(protected) = protected_along(resources, index, owner) {
        return Err(format!("{} would be deleted with it, and is protected", label(protected)));
    }
    if let Some(reason) = owner.collector.undeletable(&target) {
        return Err(reason.into());
    }
    let unit = owner.unit(&target).map_err(|failure| failure.message)?;
    Ok(Item { node: node.id.clone(), collector, unit, target })
}

fn label(node: &StoredNode) -> String {
    let id = resource_graph::resource_id(node);
    format!("{} {id}", node.kind)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
