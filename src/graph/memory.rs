//! Memory of a unit's nodes and edges, for the supervisor's limits.

use worker_proto::{Deferred, Missing, Selector};

use super::records::{NodeKey, Records};

/// Returns the bytes of nodes and edges beside their lines, without the strings of deferred edges.
pub(super) fn columns(records: &Records, edges: &Vec<(NodeKey, NodeKey)>, deferred: &Vec<Deferred>) -> usize {
    records.memory() + edges.capacity() * size_of::<(NodeKey, NodeKey)>() + deferred.capacity() * size_of::<Deferred>()
}

/// Returns the approximate bytes of a record of missing coverage.
pub(super) fn missing_bytes(missing: &Missing) -> usize {
    let texts = |texts: &[String]| texts.iter().map(|text| text.len() + size_of::<String>()).sum::<usize>();
    size_of::<Missing>()
        + match missing {
            Missing::Kind { scope, kind, with, .. } => scope.len() + kind.len() + texts(with),
            Missing::Parts { nodes, properties, edges } => {
                let edges = edges.iter().map(|edge| edge.kind.len() + size_of_val(edge)).sum::<usize>();
                size_of_val(nodes.as_slice()) + texts(properties) + edges
            }
            Missing::Edges { edge, attribute, ends } => {
                edge.kind.len() + attribute.len() + size_of_val(ends.as_slice())
            }
            Missing::KindInAll { places, kind, .. } => places.len() + kind.len(),
        }
}

/// Returns the bytes of the strings of deferred edges.
pub(super) fn texts(edges: &[Deferred]) -> usize {
    edges.iter().flat_map(|edge| [&edge.from, &edge.to]).map(text).sum()
}

/// Returns the bytes of the strings of a selector.
fn text(selector: &Selector) -> usize {
    match selector {
        Selector::Node(_) => 0,
        Selector::Resource { kind, id } => kind.capacity() + id.capacity(),
        Selector::Attribute { kind, attribute, value } => kind.capacity() + attribute.capacity() + value.capacity(),
    }
}
