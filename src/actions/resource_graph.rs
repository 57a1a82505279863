//! Stored resources as a graph: the cloud, account and region of each, and what must be deleted before what. Pure.
//!
//! A call in the wrong region can hit a resource of the same name there, so nothing is guessed. A region is a direct
//! parent in the graph, or above the zone that is one; or what the resource's ARN names; or what the core says is above
//! it. A resource directly below an account is in no region, whatever the core says. An account is what the region, the
//! zone or the resource itself is directly below; or what the core or the ARN says. Neither is ever found by walking
//! through other objects: an instance profile, say, leads to the region of IAM, and a policy may lead to another
//! account.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use crate::{
    ckcore::{Ancestor, StoredGraph, StoredNode},
    collector_api::{ParentNode, Target},
    collectors,
};

/// The nodes of a stored graph by id, and who is above whom.
pub(super) struct ResourceGraph<'g> {
    graph: &'g StoredGraph,
    nodes: HashMap<&'g str, usize>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
}

/// An order of nodes that no edge says.
#[derive(Debug)]
pub(super) struct OrderingConstraint {
    pub(super) upper: Vec<usize>,
    pub(super) deeper: Vec<usize>,
}

/// The level of a node in the hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HierarchyLevel {
    Root,
    Cloud,
    Account,
    Region,
    Zone,
    Resource,
}

impl HierarchyLevel {
    /// Returns the level of a kind; unknown kinds are resources.
    pub(super) fn of(kind: &str) -> HierarchyLevel {
        let known = collectors::schema().ok().and_then(|schema| schema.kind(kind));
        let is = |base: &str| known.is_some_and(|kind| kind.is_a(base)) || kind == base;
        match () {
            () if is("graph_root") => HierarchyLevel::Root,
            () if is("cloud") => HierarchyLevel::Cloud,
            () if is("account") => HierarchyLevel::Account,
            () if is("region") => HierarchyLevel::Region,
            () if is("zone") => HierarchyLevel::Zone,
            () => HierarchyLevel::Resource,
        }
    }
}

impl<'g> ResourceGraph<'g> {
    pub(super) fn new(graph: &'g StoredGraph) -> Self {
        let nodes: HashMap<&str, usize> =
            graph.nodes.iter().enumerate().map(|(index, node)| (node.id.as_str(), index)).collect();
        let mut above = vec![Vec::new(); graph.nodes.len()];
        let mut below = vec![Vec::new(); graph.nodes.len()];
        let mut seen = HashSet::new();
        for (from, to) in &graph.edges {
            let (Some(&from), Some(&to)) = (nodes.get(from.as_str()), nodes.get(to.as_str())) else { continue };
            if seen.insert((from, to)) {
                above[to].push(from);
                below[from].push(to);
            }
        }
        Self { graph, nodes, above, below }
    }

    pub(super) fn node(&self, index: usize) -> &'g StoredNode {
        &self.graph.nodes[index]
    }

    pub(super) fn index(&self, id: &str) -> Option<usize> {
        self.nodes.get(id).copied()
    }

    /// Returns all nodes that share an edge with this one.
    pub(super) fn neighbours(&self, index: usize) -> impl Iterator<Item = usize> {
        self.above[index].iter().chain(&self.below[index]).copied()
    }

    /// The length of the longest path from a node without predecessors; `None` for a node on or below a circle. Each
    /// constraint counts as a node between those that must be deeper and all others that it names. An edge between
    /// kinds that `turns` names counts in the opposite direction.
    pub(super) fn depths(
        &self,
        constraints: &[OrderingConstraint],
        turns: impl Fn(&str, &str) -> bool,
    ) -> Vec<Option<usize>> {
        let nodes = self.above.len();
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); nodes];
        let mut open: Vec<usize> = vec![0; nodes];
        for (from, all) in self.below.iter().enumerate() {
            for &to in all {
                let is_turned = turns(&self.node(from).kind, &self.node(to).kind);
                let (upper, deeper) = if is_turned { (to, from) } else { (from, to) };
                below[upper].push(deeper);
                open[deeper] += 1;
            }
        }
        for (number, OrderingConstraint { upper, deeper }) in constraints.iter().enumerate() {
            upper.iter().for_each(|index| below[*index].push(nodes + number));
            deeper.iter().for_each(|index| open[*index] += 1);
            below.push(deeper.clone());
            open.push(upper.len());
        }
        let mut depths = vec![0; open.len()];
        let mut ready: Vec<usize> = (0..open.len()).filter(|index| open[*index] == 0).collect();
        while let Some(index) = ready.pop() {
            for &next in &below[index] {
                depths[next] = depths[next].max(depths[index] + 1);
                open[next] -= 1;
                if open[next] == 0 {
                    ready.push(next);
                }
            }
        }
        depths.into_iter().zip(open).take(nodes).map(|(depth, open)| (open == 0).then_some(depth)).collect()
    }

    /// The node as the target of operations.
    ///
    /// # Errors
    /// The part of its location that is unknown.
    pub(super) fn target(&self, index: usize) -> Result<Target, String> {
        let node = self.node(index);
        let region = self.region(index);
        let account = self.account(index, &region).ok_or("its account is not known")?;
        let cloud = self.cloud(index, &account).ok_or("its cloud is not known")?;
        let region = match region {
            RegionLocation::Node(region) => Some(ancestor_node(self.node(region))),
            RegionLocation::Known(region) => Some(region),
            RegionLocation::None => None,
        };
        Ok(target(node, cloud, account, region))
    }

    fn region(&self, index: usize) -> RegionLocation {
        let node = self.node(index);
        let parents = self.parents_over_zones(index, HierarchyLevel::Region);
        if let [region] = parents.as_slice() {
            return RegionLocation::Node(*region);
        }
        let by_id = |id: &str| parents.iter().copied().find(|parent| resource_id(self.node(*parent)) == id);
        let named = collectors::locate(&node.reported).and_then(|origin| origin.region);
        if let Some(region) = named {
            let known = by_id(region).map(RegionLocation::Node);
            return known.unwrap_or_else(|| {
                RegionLocation::Known(ParentNode { id: region.into(), name: None, reported: empty() })
            });
        }
        if parents.is_empty() && !self.parents_over_zones(index, HierarchyLevel::Account).is_empty() {
            return RegionLocation::None;
        }
        match node.ancestors.get("region") {
            Some(region) if parents.is_empty() => RegionLocation::Known(stored_ancestor(region)),
            Some(region) => by_id(&region.id).map_or(RegionLocation::None, RegionLocation::Node),
            None => RegionLocation::None,
        }
    }

    fn account(&self, index: usize, region: &RegionLocation) -> Option<ParentNode> {
        let direct = match region {
            RegionLocation::Node(region) => self.parents(*region, HierarchyLevel::Account),
            _ => self.parents_over_zones(index, HierarchyLevel::Account),
        };
        if let [account] = direct.as_slice() {
            return Some(ancestor_node(self.node(*account)));
        }
        if direct.len() > 1 {
            return None;
        }
        let said = account_of(self.node(index))?;
        // The node in the graph has more properties.
        let found = self.all_above(index, HierarchyLevel::Account).into_iter().find(|above| self.id(*above) == said.id);
        Some(found.map_or(said, |account| ancestor_node(self.node(account))))
    }

    fn cloud(&self, index: usize, account: &ParentNode) -> Option<String> {
        if let Some(cloud) = self.node(index).ancestors.get("cloud") {
            return Some(cloud.id.clone());
        }
        let accounts =
            self.all_above(index, HierarchyLevel::Account).into_iter().filter(|above| self.id(*above) == account.id);
        let clouds: BTreeSet<&str> = accounts
            .flat_map(|account| self.parents(account, HierarchyLevel::Cloud))
            .map(|cloud| self.id(cloud))
            .collect();
        (clouds.len() == 1).then(|| clouds.first().map(|cloud| (*cloud).to_owned())).flatten()
    }

    fn id(&self, index: usize) -> &'g str {
        resource_id(self.node(index))
    }

    fn parents(&self, index: usize, level: HierarchyLevel) -> Vec<usize> {
        self.above[index]
            .iter()
            .copied()
            .filter(|parent| HierarchyLevel::of(&self.node(*parent).kind) == level)
            .collect()
    }

    /// The nodes of a level directly above a node, or if there are none, directly above its zones.
    fn parents_over_zones(&self, index: usize, level: HierarchyLevel) -> Vec<usize> {
        let direct = self.parents(index, level);
        if !direct.is_empty() {
            return direct;
        }
        let zones = self.parents(index, HierarchyLevel::Zone);
        let above: BTreeSet<usize> = zones.into_iter().flat_map(|zone| self.parents(zone, level)).collect();
        above.into_iter().collect()
    }

    fn all_above(&self, index: usize, level: HierarchyLevel) -> Vec<usize> {
        let (mut seen, mut open, mut found) = (HashSet::from([index]), vec![index], Vec::new());
        while let Some(next) = open.pop() {
            for &parent in &self.above[next] {
                if seen.insert(parent) {
                    open.push(parent);
                    found.extend((HierarchyLevel::of(&self.node(parent).kind) == level).then_some(parent));
                }
            }
        }
        found
    }
}

/// Where a region was found.
enum RegionLocation {
    /// In the graph.
    Node(usize),
    /// By its name.
    Known(ParentNode),
    /// Not at all: there is none, or it is uncertain which one it is.
    None,
}

/// The account of a node as the core or its own fields say. The core takes the shortest way up, which may lead through a
/// network of another account, so that fields that are an address count more.
fn account_of(node: &StoredNode) -> Option<ParentNode> {
    let stored = node.ancestors.get("account").map(stored_ancestor);
    let origin = collectors::locate(&node.reported).unwrap_or_default();
    match origin.account {
        Some(id) if stored.as_ref().is_none_or(|stored| origin.is_address && stored.id != id) => {
            Some(ParentNode { id: id.into(), name: None, reported: empty() })
        }
        _ => stored,
    }
}

/// The node of a task as the target of operations: the core says what is above it.
///
/// # Errors
/// The part of its location that is unknown.
pub(super) fn target_of_task(node: &StoredNode) -> Result<Target, String> {
    let cloud = node.ancestors.get("cloud").ok_or("its cloud is not known")?;
    let account = account_of(node).ok_or("its account is not known")?;
    let region = node.ancestors.get("region").map(stored_ancestor);
    Ok(target(node, cloud.id.clone(), account, region))
}

fn target(node: &StoredNode, cloud: String, account: ParentNode, region: Option<ParentNode>) -> Target {
    let id = resource_id(node).to_owned();
    let name = text(node, "name").filter(|name| !name.is_empty()).unwrap_or(&id).to_owned();
    Target { kind: node.kind.clone(), id, name, reported: node.reported.clone(), cloud, account, region }
}

fn ancestor_node(node: &StoredNode) -> ParentNode {
    ParentNode {
        id: resource_id(node).to_owned(),
        name: text(node, "name").map(str::to_owned),
        reported: node.reported.clone(),
    }
}

fn stored_ancestor(ancestor: &Ancestor) -> ParentNode {
    ParentNode { id: ancestor.id.clone(), name: ancestor.name.clone(), reported: ancestor.reported.clone() }
}

/// The resource's id in the cloud.
pub(super) fn resource_id(node: &StoredNode) -> &str {
    text(node, "id").unwrap_or_default()
}

fn text<'n>(node: &'n StoredNode, field: &str) -> Option<&'n str> {
    node.reported.get(field).and_then(Value::as_str)
}

fn empty() -> serde_json::Map<String, Value> {
    serde_json::Map::new()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    /// The shortest way up from a server in a zone leads through the network of another account.
    #[test]
    fn address_of_resource_counts_more_than_account_of_core() {
        let ancestors =
            json!({ "cloud": { "reported": { "id": "gcp" } }, "account": { "reported": { "id": "host" } } });
        let account = |reported: Value| {
            let node = json!({ "id": "x", "reported": reported, "ancestors": ancestors });
            target_of_task(&StoredNode::read(&node).unwrap()).unwrap().account.id
        };
        let link = "https://www.googleapis.com/compute/v1/projects/service/zones/a/instances/vm";
        assert_eq!(account(json!({ "kind": "gcp_instance", "id": "1", "link": link })), "service");
        assert_eq!(
            account(json!({ "kind": "gcp_bucket", "id": "1", "link": "https://www.googleapis.com/storage/v1/b/b" })),
            "host"
        );
        // A name is no address.
        let arn = "arn:aws:ec2:us-east-1:123456789012:vpc/vpc-1";
        assert_eq!(account(json!({ "kind": "aws_vpc", "id": "vpc-1", "arn": arn })), "host");
    }
}
