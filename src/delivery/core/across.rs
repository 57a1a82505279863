//! Edges of the core between accounts of a cloud.
//!
//! The node at one end declares such an edge. If that node is carried over, nobody declares the edge again, so it is
//! carried over too. The core tells the edges that begin in an account with the account itself; those that end there
//! are found by the kinds to which references from other accounts lead.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use worker_proto::{Missing, MissingEdge};

use super::{PAUSES, carry_over::Past, names::Names};
use crate::{
    ckcore::{LastKnownAccount, StoredGraph, retry},
    collector_api::{Collector, EdgeOwner},
    graph::{NodeId, node_key},
};

type Id = [u8; 16];

/// The edges from nodes to which references from other accounts lead.
#[derive(Debug, Default)]
pub(super) struct Across {
    /// The predecessors with their kinds, by the node at the other end.
    into: HashMap<Id, Vec<(Id, &'static str)>>,
    /// The IDs of predecessors that are not node IDs, by their hash.
    texts: HashMap<Id, String>,
}

/// The edges of a cloud, once they were needed.
pub(super) type KnownAcross = Option<(String, Arc<Across>)>;

impl Past<'_> {
    /// Returns the edges between the accounts of a cloud. The core is asked once for each cloud.
    ///
    /// # Errors
    /// If the core does not respond.
    pub(super) async fn across(&mut self, cloud: &str) -> Result<Arc<Across>, String> {
        if let Some((_, known)) = self.across.as_ref().filter(|(name, _)| name == cloud) {
            return Ok(Arc::clone(known));
        }
        let (mut across, deadline) = (Across::default(), self.part_of_time());
        for kind in Names::of((self.registry.find)(cloud)).kinds() {
            let ask = || self.api.successors(kind, cloud);
            let found = retry(deadline, PAUSES, "query of edges between accounts", ask).await;
            across.add(kind, found.map_err(|error| format!("cannot read the edges between accounts: {error}"))?);
        }
        let across = Arc::new(across);
        self.across = Some((cloud.to_owned(), Arc::clone(&across)));
        Ok(across)
    }
}

impl Across {
    fn add(&mut self, kind: &'static str, found: StoredGraph) {
        let of_kind = found.nodes.iter().filter(|node| node.kind == kind).map(|node| node.id.as_str());
        let of_kind: HashSet<&str> = of_kind.collect();
        for (from, to) in found.edges.iter().filter(|(from, _)| of_kind.contains(from.as_str())) {
            let (key, is_text) = node_key(from);
            if is_text {
                self.texts.insert(key, from.clone());
            }
            self.into.entry(node_key(to).0).or_default().push((key, kind));
        }
    }

    /// Returns the ID of a predecessor in the core.
    pub(super) fn text(&self, id: Id) -> String {
        self.texts.get(&id).cloned().unwrap_or_else(|| NodeId(id).to_string())
    }

    /// Iterates over the predecessors of a node that are of one of these kinds, unless they declare the edge.
    pub(super) fn predecessors<'a>(
        &'a self,
        collector: Option<&'a dyn Collector>,
        id: Id,
        kind: &'a str,
    ) -> impl Iterator<Item = (Id, &'static str)> {
        let into = self.into.get(&id).into_iter().flatten().copied();
        into.filter(move |(_, from)| owner(collector, from, kind) != Some(EdgeOwner::From))
    }

    /// Returns the edges to and from nodes of other accounts that are declared by the nodes that a collected account takes
    /// over, or by collected nodes whose calls failed, by the IDs in the core.
    pub(super) fn edges_of_parts(
        &self,
        collector: Option<&dyn Collector>,
        known: &LastKnownAccount,
        kept: &BTreeMap<Id, String>,
        missing: &[Missing],
    ) -> HashSet<(String, String)> {
        let mut found = HashSet::new();
        if self.into.is_empty() && known.outward.is_empty() {
            return found;
        }
        let nodes: HashMap<Id, (&str, &str)> =
            known.nodes.iter().map(|node| (node_key(&node.id).0, (node.id.as_str(), node.kind.as_str()))).collect();
        let mut from: HashMap<Id, Vec<(&str, &str)>> = HashMap::new();
        outward(known, collector).for_each(|(id, to, kind)| from.entry(node_key(id).0).or_default().push((to, kind)));
        let mut add = |id: Id, edge: Option<&MissingEdge>| {
            let is_lost =
                |outgoing: bool, kind: &str| edge.is_none_or(|edge| edge.outgoing == outgoing && edge.kind == kind);
            let own = NodeId(id).to_string();
            let (text, kind) = nodes.get(&id).copied().unwrap_or((own.as_str(), ""));
            let to = from.get(&id).into_iter().flatten().filter(|(_, kind)| is_lost(true, kind));
            found.extend(to.map(|(to, _)| (text.to_owned(), (*to).to_owned())));
            let into = self.predecessors(collector, id, kind);
            let into = into.filter(|(other, kind)| is_lost(false, kind) && !nodes.contains_key(other));
            found.extend(into.map(|(other, _)| (self.text(other), text.to_owned())));
        };
        kept.keys().for_each(|id| add(*id, None));
        for one in missing {
            let Missing::Parts { nodes, edges, .. } = one else { continue };
            nodes.iter().for_each(|id| edges.iter().for_each(|edge| add(*id, Some(edge))));
        }
        found
    }
}

/// Iterates over the edges that begin in an account and end in another one, unless the other end declares them. Returns
/// the IDs of both ends, and the kind of the other one.
pub(super) fn outward<'a>(
    known: &'a LastKnownAccount,
    collector: Option<&'a dyn Collector>,
) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
    let kinds: HashMap<&str, &str> = known.nodes.iter().map(|node| (node.id.as_str(), node.kind.as_str())).collect();
    known.outward.iter().filter_map(move |edge| {
        let kind = known.foreign.get(&edge.to).map_or("", String::as_str);
        let is_declared = owner(collector, kinds.get(edge.from.as_str())?, kind) != Some(EdgeOwner::To);
        is_declared.then_some((edge.from.as_str(), edge.to.as_str(), kind))
    })
}

fn owner(collector: Option<&dyn Collector>, from: &str, to: &str) -> Option<EdgeOwner> {
    collector.and_then(|collector| collector.edge_owner(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ckcore::{LastKnownEdge, LastKnownNode, StoredNode};

    /// Edges `network → x`, whose start is in another account, and `x → far`, for all forms of IDs.
    #[test]
    fn edges_of_kept_nodes_have_the_ids_of_the_core() {
        let id = |number: u8| NodeId([number; 16]).to_string();
        for (network, kept, far) in [("net", "x", "far"), (&id(1), "x", &id(3)), ("net", &id(2), &id(3))] {
            let mut across = Across::default();
            let node = StoredNode { id: network.to_owned(), kind: "network".to_owned(), ..StoredNode::default() };
            let edges = vec![(network.to_owned(), kept.to_owned())];
            across.add("network", StoredGraph { nodes: vec![node], edges });
            let node = |id: &str| LastKnownNode {
                id: id.to_owned(),
                kind: "instance".to_owned(),
                is_account: false,
                line: Vec::new(),
            };
            let outward = vec![LastKnownEdge { from: kept.to_owned(), to: far.to_owned(), edge_type: None }];
            let known = LastKnownAccount { nodes: vec![node(kept)], outward, ..LastKnownAccount::default() };
            let kept_nodes = BTreeMap::from([(node_key(kept).0, String::new())]);
            let found = across.edges_of_parts(None, &known, &kept_nodes, &[]);
            let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
            assert_eq!(found, HashSet::from([edge(network, kept), edge(kept, far)]));
        }
    }
}
