//! Kinds that were not seen in any place of an account, such as in all namespaces of a cluster.

use std::collections::{BTreeSet, HashSet};

use super::{Id, Work};
use crate::collectors::is_of;

impl Work<'_> {
    /// Takes over the nodes of a kind directly below a node, and below its children of another kind that were collected.
    pub(super) fn keep_kind_in_all(&mut self, below: Id, place: &str, kind: &str) {
        let children = self.collected.get(&below).into_iter().flatten().copied();
        let places = children.filter(|number| self.unit.kind(*number) == place).map(|number| self.unit.ids()[number]);
        let places: HashSet<Id> = places.chain([below]).collect();
        // From the nodes upwards: most of the places have none of the kind.
        let nodes = self.nodes.iter().filter(|(_, node)| is_of(&node.kind, kind)).map(|(id, _)| id);
        let above = nodes.filter_map(|id| self.predecessors.get(id)).flatten().copied();
        let above: BTreeSet<Id> = above.filter(|id| places.contains(id)).collect();
        above.into_iter().for_each(|place| self.keep_kind(place, "", kind, &[]));
    }
}
