//! Graphs as the program writes them, and their comparison.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A graph: nodes by ID, and edges.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Graph {
    pub(super) nodes: BTreeMap<String, Value>,
    pub(super) edges: BTreeSet<(String, String)>,
}

impl Graph {
    pub(super) fn read(text: &str) -> Self {
        let mut graph = Self::default();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let member = |name: &str| line[name].as_str().unwrap().to_owned();
            match line.get("from") {
                Some(_) => assert!(graph.edges.insert((member("from"), member("to"))), "twice: {line}"),
                None => assert!(graph.nodes.insert(member("id"), line.clone()).is_none(), "twice: {line}"),
            }
        }
        graph
    }

    pub(super) fn kind(&self, id: &str) -> &str {
        self.nodes[id]["reported"]["kind"].as_str().unwrap()
    }

    /// The number of nodes by kind.
    pub(super) fn kinds(&self) -> BTreeMap<String, usize> {
        counted(self.nodes.keys().map(|id| self.kind(id).to_owned()))
    }

    /// Fails unless all nodes and edges of another graph are in this one, as they are there. Returns what is only here:
    /// the numbers of nodes by kind, and of edges by the kinds of their ends.
    pub(super) fn beyond(&self, golden: &Self) -> (BTreeMap<String, usize>, BTreeMap<(String, String), usize>) {
        for (id, before) in &golden.nodes {
            let now = self.nodes.get(id).unwrap_or_else(|| panic!("lost: {before}"));
            let own = now["reported"].as_object().unwrap();
            for (name, value) in before["reported"].as_object().unwrap() {
                assert_eq!(own.get(name), Some(value), "{name} of {now}");
            }
            assert_eq!(now["metadata"], before["metadata"], "{now}");
        }
        let lost: Vec<_> = golden.edges.difference(&self.edges).collect();
        assert!(lost.is_empty(), "{lost:?}");
        let nodes = self.nodes.keys().filter(|id| !golden.nodes.contains_key(*id));
        let edges = self.edges.difference(&golden.edges);
        (
            counted(nodes.map(|id| self.kind(id).to_owned())),
            counted(edges.map(|(from, to)| (self.kind(from).to_owned(), self.kind(to).to_owned()))),
        )
    }
}

fn counted<T: Ord>(all: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    counts
}
