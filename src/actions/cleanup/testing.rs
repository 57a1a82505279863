//! Stored graphs for the tests of plans.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Map, Value, json};

use super::plan::Plan;
use crate::ckcore::{Ancestor, StoredGraph, StoredNode};

/// A graph that is built node by node; the id in the core is the id in the cloud.
pub(super) struct Story(pub(super) StoredGraph);

impl Story {
    pub(super) fn empty() -> Self {
        Self(StoredGraph::default())
    }

    pub(super) fn add(&mut self, kind: &str, id: &str, above: &[&str]) -> &mut Self {
        let reported = json!({ "kind": kind, "id": id, "name": id });
        let reported = reported.as_object().unwrap().clone();
        self.0.nodes.push(StoredNode { id: id.into(), kind: kind.into(), reported, ..StoredNode::default() });
        self.0.edges.extend(above.iter().map(|above| ((*above).to_owned(), id.to_owned())));
        self
    }

    pub(super) fn edge(&mut self, from: &str, to: &str) -> &mut Self {
        self.0.edges.push((from.to_owned(), to.to_owned()));
        self
    }

    /// Adds a resource that is marked.
    pub(super) fn marked(&mut self, kind: &str, id: &str, above: &[&str]) -> &mut Self {
        self.add(kind, id, above);
        self.last().desired.insert("clean".into(), true.into());
        self
    }

    pub(super) fn last(&mut self) -> &mut StoredNode {
        self.0.nodes.last_mut().unwrap()
    }

    pub(super) fn flag(&mut self, flag: &str) -> &mut Self {
        self.last().metadata.insert(flag.into(), true.into());
        self
    }

    /// Says what the core says of every stored node: the account that it is in.
    pub(super) fn in_account(&mut self, id: &str) -> &mut Self {
        let account = Ancestor { id: id.into(), name: None, reported: Map::new() };
        self.last().ancestors.insert("account".into(), account);
        self
    }

    pub(super) fn field(&mut self, field: &str, value: Value) -> &mut Self {
        self.last().reported.insert(field.into(), value);
        self
    }

    pub(super) fn reversed(&self) -> Self {
        let mut graph = self.0.clone();
        graph.edges.reverse();
        Self(graph)
    }
}

pub(super) fn reasons(plan: &Plan) -> Vec<(&str, &str)> {
    plan.refused.iter().map(|refusal| (refusal.node.as_str(), refusal.reason.as_str())).collect()
}
