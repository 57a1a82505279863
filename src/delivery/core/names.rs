//! Names of nodes that are carried over from the core, by which references of other accounts find them.

use super::line::Line;
use crate::{
    ckcore::LastKnownNode,
    collector_api::{Collector, NamedAttributes},
    graph::CarriedStore,
};

/// The attributes that are names, by kind.
pub(super) struct Names(Option<&'static NamedAttributes>);

impl Names {
    /// Returns the names of a collector's kinds.
    pub(super) fn of(collector: Option<&dyn Collector>) -> Self {
        Self(collector.and_then(Collector::named))
    }

    /// Returns the kinds that have names.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.0.into_iter().flatten().map(|(kind, _)| kind.as_str())
    }

    /// Stores the names of a node.
    ///
    /// # Errors
    /// If the node's line cannot be read.
    pub(super) fn add(&self, node: &LastKnownNode, store: &mut CarriedStore) -> Result<(), String> {
        let Some(attributes) = self.0.and_then(|named| named.get(&node.kind)) else { return Ok(()) };
        let line = Line::read(&node.line)?;
        for attribute in attributes {
            if let Some(value) = line.text(attribute) {
                store.name(&node.id, &node.kind, attribute, &value);
            }
        }
        Ok(())
    }
}
