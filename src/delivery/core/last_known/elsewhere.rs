//! Resources that have another ID because the service that lists their locations is not in use any more: they are below
//! the account now. The core's nodes of them are not taken over, as each would be there twice.

use std::collections::HashSet;

use worker_proto::{Missing, Why};

use super::{Id, Line, Work};

impl Work<'_> {
    /// Returns the kinds and the IDs in the cloud of all collected nodes, if a service is not in use.
    pub(super) fn collected_resources(&self, missing: &[Missing]) -> HashSet<(String, String)> {
        let is_not_in_use = |one: &Missing| matches!(one, Missing::Kind { why: Why::NotInUse { .. }, .. });
        let numbers = if missing.iter().any(is_not_in_use) { 0..self.unit.ids().len() } else { 0..0 };
        numbers.map(|number| (self.unit.kind(number).to_owned(), self.unit.resource(number).to_owned())).collect()
    }

    /// Returns whether the resource of a known node was collected with another ID.
    pub(super) fn is_elsewhere(&self, id: Id) -> bool {
        let Some(node) = self.nodes.get(&id).filter(|_| !self.elsewhere.is_empty()) else { return false };
        let resource = Line::read(&node.line).ok().and_then(|line| line.text("id"));
        resource.is_some_and(|resource| self.elsewhere.contains(&(node.kind.clone(), resource)))
    }
}
