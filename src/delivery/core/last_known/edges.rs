//! Edges of nodes that were taken over.

use std::collections::HashMap;

use worker_proto::Missing;

use super::{Id, Work};
use crate::{
    collector_api::{Collector, EdgeOwner},
    delivery::core::line::Line,
    graph::{ANY_KIND, Key, node_key},
};

impl Work<'_> {
    /// Takes over the core's edges of nodes that were taken over. Edges that a collected node declares are excluded:
    /// the collection has found them again, or they no longer exist.
    pub(super) fn keep_edges(&mut self, collector: Option<&dyn Collector>) {
        for edge in &self.known.edges {
            let (from, to) = (self.current(node_key(&edge.from).0), self.current(node_key(&edge.to).0));
            let is_held = self.held.contains(&from) || self.held.contains(&to);
            let kept = (self.kept.contains_key(&from), self.kept.contains_key(&to));
            if !(self.is_there(from) && self.is_there(to)) {
                continue;
            }
            let kinds = (self.nodes.get(&from), self.nodes.get(&to));
            let owner = match (collector, kinds) {
                (Some(collector), (Some(from), Some(to))) => collector.edge_owner(&from.kind, &to.kind),
                _ => None,
            };
            let is_kept = match owner {
                Some(EdgeOwner::From) => kept.0,
                Some(EdgeOwner::To) => kept.1,
                None => kept.0 || kept.1,
            };
            if is_kept || is_held {
                self.edges.insert((from, to));
            }
        }
    }

    /// Adds the edges that collected nodes declare to nodes that were taken over, in a location or anywhere (no scope).
    pub(super) fn find_edges(&mut self, missing: &[Missing]) -> Result<(), String> {
        let mut keys: HashMap<(&str, &str), HashMap<Id, Vec<Id>>> = HashMap::new();
        for one in missing {
            let Missing::Edges { edge, attribute, ends } = one else { continue };
            if let Some(by_key) = keys.get(&(edge.kind.as_str(), attribute.as_str())) {
                self.add_edges(edge.outgoing, ends, by_key);
                continue;
            }
            let mut by_key: HashMap<Id, Vec<Id>> = HashMap::new();
            for (id, scope) in &self.kept {
                let is_other = |kind: &str| edge.kind == ANY_KIND || edge.kind == kind;
                let Some(node) = self.nodes.get(id).filter(|node| is_other(&node.kind)) else { continue };
                let Some(value) = Line::read(&node.line)?.text(attribute) else { continue };
                let (kind, attribute) = (edge.kind.clone().into(), attribute.clone().into());
                let key = Key { scope: scope.clone(), kind, attribute, value };
                by_key.entry(key.hash()).or_default().push(*id);
                by_key.entry(Key { scope: String::new(), ..key }.hash()).or_default().push(*id);
            }
            self.add_edges(edge.outgoing, ends, &by_key);
            keys.insert((&edge.kind, attribute), by_key);
        }
        Ok(())
    }

    fn add_edges(&mut self, outgoing: bool, ends: &[(Id, Id)], by_key: &HashMap<Id, Vec<Id>>) {
        for (node, key) in ends {
            for other in by_key.get(key).into_iter().flatten() {
                self.edges.insert(if outgoing { (*node, *other) } else { (*other, *node) });
            }
        }
    }
}
