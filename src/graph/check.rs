//! Checks of a graph before it is sent: one root, everything below it, no cycle.
//!
//! A core rejects a cyclic graph only after an hour, and never responds to a graph with two roots. The checks take time
//! linear in nodes and edges, and no recursion, however deep the graph is.

/// The edges of a graph by their source, without duplicates.
#[derive(Debug, Default)]
pub(super) struct Adjacency {
    /// The start of each source's targets; one entry more than there are nodes.
    starts: Vec<usize>,
    targets: Vec<u32>,
}

/// A violation of the rules; nodes by number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The nodes without predecessor: none, or others than the first node.
    Roots(Vec<u32>),
    /// The nodes of a cycle: each is a predecessor of the next, and the last of the first.
    Cycle(Vec<u32>),
}

impl Adjacency {
    /// Sorts edges by source and drops duplicates. The ends must be below `nodes`.
    pub(super) fn new(nodes: usize, edges: &[(u32, u32)]) -> Self {
        let mut places = vec![0_usize; nodes + 1];
        for (from, _) in edges {
            places[*from as usize + 1] += 1;
        }
        for node in 0..nodes {
            places[node + 1] += places[node];
        }
        let bounds = places.clone();
        let mut sorted = vec![0; edges.len()];
        for (from, to) in edges {
            let place = &mut places[*from as usize];
            sorted[*place] = *to;
            *place += 1;
        }
        Self::without_duplicates(nodes, &bounds, &sorted)
    }

    fn without_duplicates(nodes: usize, bounds: &[usize], sorted: &[u32]) -> Self {
        let mut last_source = vec![usize::MAX; nodes];
        let (mut starts, mut targets) = (Vec::with_capacity(nodes + 1), Vec::with_capacity(sorted.len()));
        for from in 0..nodes {
            starts.push(targets.len());
            for to in &sorted[bounds[from]..bounds[from + 1]] {
                let last = &mut last_source[*to as usize];
                if *last != from {
                    *last = from;
                    targets.push(*to);
                }
            }
        }
        starts.push(targets.len());
        Self { starts, targets }
    }

    /// Returns the number of nodes.
    pub(super) fn nodes(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Returns the number of edges.
    pub(super) fn edges(&self) -> usize {
        self.targets.len()
    }

    /// Returns the successors of a node.
    pub(super) fn targets(&self, node: usize) -> &[u32] {
        &self.targets[self.starts[node]..self.starts[node + 1]]
    }

    /// Checks that the first node is the only root and that there is no cycle, so that all nodes are below the root.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let mut open = vec![0_u32; self.nodes()];
        for to in &self.targets {
            open[*to as usize] += 1;
        }
        let roots: Vec<u32> = (0_u32..).zip(&open).filter(|(_, open)| **open == 0).map(|(node, _)| node).collect();
        // A graph without any root has a cycle, which is the more useful error.
        if !roots.is_empty() && roots != [0] {
            return Err(Fault::Roots(roots));
        }
        let mut ready = roots;
        let mut done = 0;
        while let Some(node) = ready.pop() {
            done += 1;
            for to in self.targets(node as usize) {
                let open = &mut open[*to as usize];
                *open -= 1;
                if *open == 0 {
                    ready.push(*to);
                }
            }
        }
        match self.nodes() {
            0 => Err(Fault::Roots(Vec::new())),
            nodes if nodes == done => Ok(()),
            _ => Err(Fault::Cycle(self.cycle(&open))),
        }
    }

    /// Returns a cycle among the nodes that still have predecessors. Walking from any of them to any such predecessor
    /// meets a node again.
    fn cycle(&self, open: &[u32]) -> Vec<u32> {
        let is_open = |node: u32| open[node as usize] > 0;
        let mut predecessor = vec![u32::MAX; self.nodes()];
        for (from, node) in (0_u32..).zip(0..self.nodes()) {
            if is_open(from) {
                for to in self.targets(node) {
                    predecessor[*to as usize] = from;
                }
            }
        }
        let Some(mut node) = (0_u32..).zip(open).find(|(_, open)| **open > 0).map(|(node, _)| node) else {
            return Vec::new();
        };
        let mut met = vec![false; self.nodes()];
        while !std::mem::replace(&mut met[node as usize], true) {
            node = predecessor[node as usize];
        }
        let mut cycle = vec![node];
        let mut next = predecessor[node as usize];
        while next != node {
            cycle.push(next);
            next = predecessor[next as usize];
        }
        cycle.reverse();
        cycle
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn check(nodes: usize, edges: &[(u32, u32)]) -> Result<(), Fault> {
        Adjacency::new(nodes, edges).check()
    }

    #[test]
    fn graph_with_one_root_is_valid() {
        assert_eq!(check(1, &[]), Ok(()));
        assert_eq!(check(4, &[(0, 1), (0, 2), (1, 3), (2, 3), (1, 3)]), Ok(()));
    }

    /// Invariant: a delivered graph has one root, no cycle, no dangling edge and no duplicate.
    #[test]
    fn roots_and_cycles_are_named() {
        assert_eq!(check(0, &[]), Err(Fault::Roots(vec![])));
        assert_eq!(check(3, &[(0, 1)]), Err(Fault::Roots(vec![0, 2])));
        assert_eq!(check(2, &[(1, 0)]), Err(Fault::Roots(vec![1])));
        assert_eq!(check(2, &[(0, 1), (1, 1)]), Err(Fault::Cycle(vec![1])));
        assert_eq!(check(5, &[(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)]), Err(Fault::Cycle(vec![2, 3, 1])));
        assert_eq!(check(2, &[(0, 1), (1, 0)]), Err(Fault::Cycle(vec![1, 0])));
    }

    #[test]
    fn deep_graph_is_checked_without_recursion() {
        let edges: Vec<_> = (0..500_000).map(|node| (node, node + 1)).collect();
        assert_eq!(check(500_001, &edges), Ok(()));
    }

    proptest! {
        #[test]
        fn cycle_is_found_in_any_graph(
            edges in proptest::collection::vec((0_u32..12, 0_u32..12), 0..40),
        ) {
            let set: BTreeSet<_> = edges.iter().copied().collect();
            let adjacency = Adjacency::new(12, &edges);
            prop_assert_eq!(adjacency.edges(), set.len());
            match adjacency.check() {
                Ok(()) => {
                    let mut reach = BTreeSet::from([0]);
                    while set.iter().any(|(from, to)| reach.contains(from) && reach.insert(*to)) {}
                    prop_assert_eq!(reach.len(), 12);
                }
                Err(Fault::Roots(roots)) => {
                    for root in roots {
                        prop_assert!(set.iter().all(|(_, to)| *to != root));
                    }
                }
                Err(Fault::Cycle(cycle)) => {
                    prop_assert!(!cycle.is_empty());
                    for (from, to) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
                        prop_assert!(set.contains(&(*from, *to)));
                    }
                }
            }
        }
    }
}
