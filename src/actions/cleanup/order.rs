//! The order of deletion between kinds that collectors know, beside the edges of the graph: `delete_before` of the
//! definitions.
//!
//! An edge says mostly that its lower end is deleted first. Where a collector says the opposite of the kinds of both
//! ends, the edge is turned around: a load balancer's rules lead to the services that they use, and are deleted first.

use std::collections::{BTreeMap, HashMap};

use super::plan::Item;
use crate::{actions::resource_graph::OrderingConstraint, ckcore::StoredGraph, supervisor::actions::TargetCollectors};

/// By kind, the kinds whose resources are deleted after all of it.
pub(super) struct KindOrder<'g>(HashMap<&'g str, &'static [String]>);

impl<'g> KindOrder<'g> {
    /// Returns the order of the kinds in a graph.
    pub(super) fn of(graph: &'g StoredGraph, targets: &TargetCollectors) -> Self {
        let mut order = HashMap::new();
        for node in &graph.nodes {
            order.entry(node.kind.as_str()).or_insert_with_key(|kind| {
                let of_collectors = targets.values().map(|owner| owner.collector.delete_before(kind));
                of_collectors.into_iter().find(|after| !after.is_empty()).unwrap_or_default()
            });
        }
        Self(order)
    }

    /// Returns whether an edge between nodes of these kinds says the opposite of the order.
    pub(super) fn turns(&self, from: &str, to: &str) -> bool {
        self.after(from).iter().any(|kind| kind == to)
    }

    /// Returns the order of resources in one account whose regions are equal, or of which one is in no region: what is
    /// global may use what is regional, and the other way round.
    pub(super) fn constraints(&self, items: &[(usize, Item)]) -> Vec<OrderingConstraint> {
        let mut accounts: BTreeMap<_, BTreeMap<&str, Regions<'_>>> = BTreeMap::new();
        for (index, Item { collector, target, .. }) in items {
            let region = target.region.as_ref().map(|region| region.id.as_str());
            let kinds = accounts.entry((*collector, target.account.id.as_str())).or_default();
            kinds.entry(target.kind.as_str()).or_default().entry(region).or_default().push(*index);
        }
        let mut constraints = Vec::new();
        for kinds in accounts.values() {
            for (kind, regions) in kinds {
                let after: Vec<_> = self.after(kind).iter().filter_map(|kind| kinds.get(kind.as_str())).collect();
                for (region, deeper) in regions {
                    let upper: Vec<usize> = after.iter().flat_map(|after| related(after, *region)).collect();
                    if !upper.is_empty() {
                        constraints.push(OrderingConstraint { upper, deeper: deeper.clone() });
                    }
                }
            }
        }
        constraints
    }

    fn after(&self, kind: &str) -> &'static [String] {
        self.0.get(kind).copied().unwrap_or_default()
    }
}

/// The nodes of one kind in an account by region; `None` for those in no region.
type Regions<'i> = BTreeMap<Option<&'i str>, Vec<usize>>;

/// Returns the nodes that a resource in this region may use.
fn related(nodes: &Regions<'_>, region: Option<&str>) -> impl Iterator<Item = usize> {
    let is_related = move |other: Option<&str>| region.is_none() || other.is_none() || other == region;
    nodes.iter().filter(move |(other, _)| is_related(**other)).flat_map(|(_, nodes)| nodes.iter().copied())
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
