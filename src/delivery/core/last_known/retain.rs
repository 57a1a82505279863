//! Nodes that are kept although a complete response lacks them.

use std::collections::{BTreeSet, HashSet};

use super::{Held, Id, Work};

impl Work<'_> {
    /// Takes over the nodes of a kind at any depth below a node, with all nodes below them in the account.
    pub(super) fn keep_held(&mut self, held: &Held) {
        let top = self.current(held.below);
        let collected = self.collected_anywhere_below(top, &held.kind);
        let all: BTreeSet<&str> = self.nodes.values().map(|node| node.kind.as_str()).collect();
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        let (mut open, mut seen) = (vec![top], HashSet::from([top]));
        while let Some(id) = open.pop() {
            let below: Vec<Id> = self.successors.get(&id).into_iter().flatten().copied().collect();
            for id in below.into_iter().filter(|id| seen.insert(*id)) {
                open.push(id);
                if self.is_kind(id, |kind| kind == held.kind) && !self.is_collected(id, &collected) {
                    let kept = self.keep(id, "", &all);
                    self.held.extend(kept);
                }
            }
        }
        if seen.iter().any(|id| self.held.contains(id)) && !self.is_there(top) {
            self.kept.insert(top, String::new());
            self.held.insert(top);
        }
    }

    /// Returns the IDs in the cloud of the resources of a kind that were collected at any depth below a node.
    fn collected_anywhere_below(&self, top: Id, kind: &str) -> HashSet<String> {
        let (mut open, mut seen, mut found) = (vec![top], HashSet::from([top]), HashSet::new());
        while let Some(id) = open.pop() {
            for number in self.collected.get(&id).into_iter().flatten() {
                let id = self.unit.ids()[*number];
                if seen.insert(id) {
                    open.push(id);
                    if self.unit.kind(*number) == kind {
                        found.insert(self.unit.resource(*number).to_owned());
                    }
                }
            }
        }
        found
    }
}
