//! The nodes that deferred edges select, by resource and by name.

use std::collections::{HashMap, HashSet};

use worker_proto::Selector;

use super::assembly::Member;
use crate::graph::{key::name_hash, records::NodeKey};

/// Nodes by kind and resource ID, for deferred edges: the first of each cloud, and the first of all.
#[derive(Default)]
pub(super) struct Resources<'a> {
    of_cloud: HashMap<(usize, &'a str, &'a str), u32>,
    of_all: HashMap<(&'a str, &'a str), u32>,
}

impl<'a> Resources<'a> {
    /// Finds the nodes that deferred edges select.
    pub(super) fn of(members: &[Member<'a>], index: &HashMap<NodeKey, u32>) -> Self {
        let mut found = Self::default();
        let asked = members.iter().flat_map(|member| &member.unit.deferred).flat_map(|edge| [&edge.from, &edge.to]);
        let asked: HashSet<(&str, &str)> = asked
            .filter_map(|selector| match selector {
                Selector::Resource { kind, id } => Some((kind.as_str(), id.as_str())),
                Selector::Node(_) | Selector::Attribute { .. } => None,
            })
            .collect();
        if asked.is_empty() {
            return found;
        }
        for Member { cloud, unit } in members {
            for (record, id) in unit.records.ids.iter().enumerate() {
                let name = (unit.records.kind(record), unit.records.resource(record));
                if asked.contains(&name)
                    && let Some(node) = index.get(id)
                {
                    found.of_cloud.entry((*cloud, name.0, name.1)).or_insert(*node);
                    found.of_all.entry(name).or_insert(*node);
                }
            }
        }
        found
    }

    pub(super) fn find(&self, kind: &str, id: &str, cloud: usize) -> Option<u32> {
        self.of_cloud.get(&(cloud, kind, id)).or_else(|| self.of_all.get(&(kind, id))).copied()
    }
}

/// Nodes by cloud and name, for deferred edges. A collected node precedes carried ones, which may be gone.
#[derive(Default)]
pub(super) struct Names(HashMap<(usize, NodeKey), Named>);

/// The node that has a name.
struct Named {
    is_carried: bool,
    /// `None` if several nodes have the name, which then leads nowhere: a name is unique in its cloud.
    node: Option<u32>,
}

impl Names {
    /// Finds the nodes that deferred edges select.
    pub(super) fn of(members: &[Member<'_>], index: &HashMap<NodeKey, u32>) -> Self {
        let ends = |member: &Member<'_>| {
            let (cloud, edges) = (member.cloud, member.unit.deferred.iter());
            let selectors = edges.flat_map(|edge| [&edge.from, &edge.to]);
            let hashes = selectors.filter_map(|selector| match selector {
                Selector::Attribute { kind, attribute, value } => Some(name_hash(kind, attribute, value)),
                Selector::Node(_) | Selector::Resource { .. } => None,
            });
            hashes.map(|hash| (cloud, hash)).collect::<Vec<_>>()
        };
        let asked: HashSet<(usize, NodeKey)> = members.iter().flat_map(ends).collect();
        let mut found = Self::default();
        if asked.is_empty() {
            return found;
        }
        for Member { cloud, unit } in members {
            for name in unit.names.iter().filter(|name| asked.contains(&(*cloud, name.key))) {
                let Some(node) = index.get(&name.node) else { continue };
                let (is_carried, node) = (unit.is_carried, Some(*node));
                let known = found.0.entry((*cloud, name.key)).or_insert(Named { is_carried, node });
                if known.is_carried && !is_carried {
                    *known = Named { is_carried, node };
                } else if known.is_carried == is_carried && known.node != node {
                    known.node = None;
                }
            }
        }
        found
    }

    pub(super) fn find(&self, cloud: usize, hash: NodeKey) -> Option<u32> {
        self.0.get(&(cloud, hash)).and_then(|named| named.node)
    }
}
