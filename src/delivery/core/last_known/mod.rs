//! Completes an account by its last known state in the core: what the collection could not see is not treated as
//! deleted.
//!
//! Three things are taken over: nodes of kinds whose lists were not complete, properties and edges whose calls failed,
//! and edges to nodes that were taken over. Whatever is absent from a complete response is not taken over.

mod edges;
mod elsewhere;
mod in_all;
mod retain;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use worker_proto::{Missing, MissingEdge, Why};

use super::{
    across::Across,
    line::{Line, raw},
    names::Names,
};
use crate::{
    ckcore::{LastKnownAccount, LastKnownNode},
    collector_api::Collector,
    collectors::is_of,
    graph::{CarriedStore, CompleteUnit, NodeId, Spool, node_key},
};

type Id = [u8; 16];

/// The result of completing an account.
#[derive(Debug)]
pub(super) struct Completed {
    /// The nodes that were taken over, with their edges.
    pub(super) part: Option<CompleteUnit>,
    /// The number of nodes that were taken over, or had properties taken over, because they could not be seen.
    pub(super) kept: u64,
    /// The services that are not in use any more although the core has nodes of them.
    pub(super) not_in_use: Vec<NotInUse>,
}

/// A service that is not in use any more in an account of which the core has nodes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotInUse {
    /// The service's name.
    pub(super) service: String,
    /// The operation that had this answer.
    pub(super) operation: String,
    /// The number of nodes that were taken over.
    pub(super) nodes: u64,
}

/// Nodes of one kind below a node, at any depth, that are kept although a complete response lacks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) below: Id,
    pub(super) kind: String,
}

/// What the core has of an account.
#[derive(Clone, Copy)]
pub(super) struct Core<'a> {
    /// The account's last known state.
    pub(super) known: &'a LastKnownAccount,
    /// The edges between the accounts of its cloud.
    pub(super) across: &'a Across,
}

/// Completes a unit. `collector` determines which end declares an edge.
///
/// # Errors
/// The reason why the core's state cannot be used or stored.
pub(super) fn complete(
    unit: &mut CompleteUnit,
    missing: &[Missing],
    held: &[Held],
    core: Core<'_>,
    collector: Option<&dyn Collector>,
    spool: &Spool,
) -> Result<Completed, String> {
    let mut work = Work::new(unit, core.known);
    let renamed = work.keep_identity(missing)?;
    work.adopt_account();
    work.keep_kinds(missing, renamed, |why| *why == Why::Unseen);
    let mut not_in_use: BTreeMap<(String, String), u64> = BTreeMap::new();
    work.elsewhere = work.collected_resources(missing);
    for one in missing {
        if let Missing::Kind { why: why @ Why::NotInUse { service, operation }, .. } = one {
            let kept = work.keep_kinds(std::slice::from_ref(one), renamed, |found| found == why) as u64;
            *not_in_use.entry((service.clone(), operation.clone())).or_default() += kept;
        }
    }
    work.elsewhere.clear();
    let chosen = work.keep_kinds(missing, renamed, |why| *why == Why::Kept);
    held.iter().for_each(|held| work.keep_held(held));
    let patched = work.keep_parts(missing, renamed)?;
    work.keep_edges(collector);
    work.find_edges(missing)?;
    work.across = core.across.edges_of_parts(collector, core.known, &work.kept, missing);
    let kept = (work.kept.len() + patched - chosen) as u64;
    let not_in_use = not_in_use.into_iter().filter(|(_, nodes)| *nodes > 0);
    let not_in_use = not_in_use.map(|((service, operation), nodes)| NotInUse { service, operation, nodes }).collect();
    Ok(Completed { part: work.finish(collector, spool)?, kept, not_in_use })
}

struct Work<'a> {
    unit: &'a mut CompleteUnit,
    known: &'a LastKnownAccount,
    /// The numbers of the collected nodes by ID.
    own: HashMap<Id, usize>,
    /// The numbers of the collected nodes by the node above them.
    collected: HashMap<Id, Vec<usize>>,
    /// Kinds and resources that were collected, while a node with another ID must not be taken over.
    elsewhere: HashSet<(String, String)>,
    /// The core's nodes by ID.
    nodes: HashMap<Id, &'a LastKnownNode>,
    /// The core's edges by their ends.
    successors: HashMap<Id, Vec<Id>>,
    predecessors: HashMap<Id, Vec<Id>>,
    /// The nodes that were taken over, with the scope of references to them.
    kept: BTreeMap<Id, String>,
    edges: HashSet<(Id, Id)>,
    /// The edges to and from nodes of other accounts.
    across: HashSet<(String, String)>,
    /// The new lines of collected nodes, by their numbers.
    patches: BTreeMap<usize, Vec<u8>>,
    /// The nodes taken over although a complete answer did not name them.
    held: HashSet<Id>,
    /// The IDs of the account's node in the core and in the collection, if they differ.
    account: Option<(Id, Id)>,
}

impl<'a> Work<'a> {
    fn new(unit: &'a mut CompleteUnit, known: &'a LastKnownAccount) -> Self {
        let own: HashMap<Id, usize> = unit.ids().iter().enumerate().map(|(number, id)| (*id, number)).collect();
        let mut collected = HashMap::<Id, Vec<usize>>::new();
        for (from, to) in unit.edge_ids() {
            if let Some(number) = own.get(&to) {
                collected.entry(from).or_default().push(*number);
            }
        }
        let nodes = known.nodes.iter().map(|node| (node_key(&node.id).0, node)).collect();
        let (mut successors, mut predecessors) = (HashMap::<Id, Vec<Id>>::new(), HashMap::<Id, Vec<Id>>::new());
        for edge in &known.edges {
            let (from, to) = (node_key(&edge.from).0, node_key(&edge.to).0);
            successors.entry(from).or_default().push(to);
            predecessors.entry(to).or_default().push(from);
        }
        Self {
            unit,
            known,
            own,
            collected,
            nodes,
            successors,
            predecessors,
            kept: BTreeMap::new(),
            elsewhere: HashSet::new(),
            edges: HashSet::new(),
            across: HashSet::new(),
            patches: BTreeMap::new(),
            held: HashSet::new(),
            account: None,
        }
    }

    /// Returns the line of a collected node, with its changes.
    fn line(&self, number: usize) -> Result<Line, String> {
        match self.patches.get(&number) {
            Some(line) => Line::read(line),
            None => Line::read(&self.unit.line(number).map_err(|error| error.to_string())?),
        }
    }

    /// Gives the account the ID of its node in the core, if the account's name could not be read. Returns the old and
    /// the new ID.
    fn keep_identity(&mut self, missing: &[Missing]) -> Result<Option<(Id, Id)>, String> {
        let Some(number) = self.unit.account_node() else { return Ok(None) };
        let old = self.unit.ids()[number];
        let is_unnamed = |missing: &Missing| {
            matches!(missing, Missing::Parts { nodes, properties, .. }
                if nodes.contains(&old) && properties.iter().any(|name| name == "name"))
        };
        let known = self.known.nodes.iter().find(|node| node.is_account);
        let Some(known) = known.filter(|_| missing.iter().any(is_unnamed)) else { return Ok(None) };
        let (id, is_text) = node_key(&known.id);
        if is_text || id == old {
            return Ok(None);
        }
        let mut line = self.line(number)?;
        line.id = raw(&known.id)?;
        self.patches.insert(number, line.write()?);
        self.unit.rename(number, id);
        self.own.remove(&old);
        self.own.insert(id, number);
        Ok(Some((old, id)))
    }

    /// Takes over the nodes of kinds that are missing for a reason. Returns their number.
    fn keep_kinds(
        &mut self,
        missing: &[Missing],
        renamed: Option<(Id, Id)>,
        is_wanted: impl Fn(&Why) -> bool,
    ) -> usize {
        let before = self.kept.len();
        let current = |id: &Id| renamed.filter(|(old, _)| old == id).map_or(*id, |(_, id)| id);
        for one in missing {
            match one {
                Missing::Kind { below, scope, kind, with, why } if is_wanted(why) => {
                    self.keep_kind(current(below), scope, kind, with);
                }
                Missing::KindInAll { below, places, kind, why } if is_wanted(why) => {
                    self.keep_kind_in_all(current(below), places, kind);
                }
                _ => {}
            }
        }
        self.kept.len() - before
    }

    /// Takes over the nodes of a kind directly below a node, with the nodes below them. A node is not taken over if its
    /// resource was collected below the same node under another name.
    fn keep_kind(&mut self, below: Id, scope: &str, kind: &str, with: &[String]) {
        let children = self.successors.get(&below).into_iter().flatten().copied();
        let children: Vec<Id> = children.filter(|id| self.is_kind(*id, |found| is_of(found, kind))).collect();
        if children.is_empty() {
            return;
        }
        let collected = self.collected_below(below, kind);
        for child in children {
            if !self.is_collected(child, &collected) {
                self.keep(child, scope, with);
                if !self.is_there(below) {
                    self.kept.insert(below, String::new());
                }
            }
        }
    }

    /// Whether the resource of a known node was collected.
    fn is_collected(&self, id: Id, collected: &HashSet<String>) -> bool {
        let resource = self.nodes.get(&id).and_then(|node| Line::read(&node.line).ok()?.text("id"));
        resource.is_some_and(|resource| collected.contains(resource.as_str()))
    }

    /// Returns the IDs in the cloud of the resources of a kind that were collected directly below a node.
    fn collected_below(&self, below: Id, kind: &str) -> HashSet<String> {
        let children = self.collected.get(&below).into_iter().flatten();
        let of_kind = children.filter(|number| is_of(self.unit.kind(**number), kind));
        of_kind.map(|number| self.unit.resource(*number).to_owned()).collect()
    }

    /// Takes over a node, with the nodes of some kinds below it. Returns the nodes that were not taken over before.
    fn keep(&mut self, id: Id, scope: &str, with: &[String]) -> Vec<Id> {
        let (mut open, mut kept) = (vec![id], Vec::new());
        while let Some(id) = open.pop() {
            if self.is_there(id) || self.is_elsewhere(id) {
                continue;
            }
            self.kept.insert(id, scope.to_owned());
            kept.push(id);
            let below = self.successors.get(&id).into_iter().flatten().copied();
            open.extend(below.filter(|id| self.is_kind(*id, |found| with.iter().any(|kind| is_of(found, kind)))));
        }
        kept
    }

    /// Returns the ID that a node of the core has in the collection: that of the account may be another.
    fn current(&self, id: Id) -> Id {
        self.account.filter(|(known, _)| *known == id).map_or(id, |(_, own)| own)
    }

    /// Lets edges of the account's node in the core be those of the collected node, whose name may have changed.
    fn adopt_account(&mut self) {
        let own = self.unit.account_node().and_then(|number| self.unit.ids().get(number)).copied();
        let known = self.known.nodes.iter().find(|node| node.is_account).map(|node| node_key(&node.id).0);
        let (Some(own), Some(known)) = (own, known) else { return };
        if own == known {
            return;
        }
        self.account = Some((known, own));
        for ends in [&mut self.successors, &mut self.predecessors] {
            let moved = ends.remove(&known).unwrap_or_default();
            ends.entry(own).or_default().extend(moved);
            ends.values_mut().flatten().filter(|id| **id == known).for_each(|id| *id = own);
        }
    }

    fn is_kind(&self, id: Id, is_wanted: impl Fn(&str) -> bool) -> bool {
        self.nodes.get(&id).is_some_and(|node| is_wanted(&node.kind))
    }

    fn is_there(&self, id: Id) -> bool {
        self.own.contains_key(&id) || self.kept.contains_key(&id)
    }

    /// Takes over properties and edges of collected nodes. Returns the number of changed nodes.
    fn keep_parts(&mut self, missing: &[Missing], renamed: Option<(Id, Id)>) -> Result<usize, String> {
        let mut patched = 0;
        for one in missing {
            let Missing::Parts { nodes, properties, edges } = one else { continue };
            for id in nodes {
                let id = renamed.filter(|(old, _)| old == id).map_or(*id, |(_, new)| new);
                patched += usize::from(self.keep_properties(id, properties)?);
                edges.iter().for_each(|edge| self.keep_part_edges(id, edge));
            }
        }
        Ok(patched)
    }

    fn keep_properties(&mut self, id: Id, properties: &[String]) -> Result<bool, String> {
        let stored = self.account.filter(|(_, own)| *own == id).map_or(id, |(known, _)| known);
        let (Some(number), Some(known)) = (self.own.get(&id).copied(), self.nodes.get(&stored)) else {
            return Ok(false);
        };
        let known = Line::read(&known.line)?;
        let mut line = self.line(number)?;
        let mut is_changed = false;
        for name in properties {
            if let Some(value) = known.reported.get(name)
                && line.reported.get(name).map(|value| value.get()) != Some(value.get())
            {
                line.reported.insert(name.clone(), value.clone());
                is_changed = true;
            }
        }
        if is_changed {
            self.patches.insert(number, line.write()?);
        }
        Ok(is_changed)
    }

    fn keep_part_edges(&mut self, id: Id, edge: &MissingEdge) {
        let ends = if edge.outgoing { &self.successors } else { &self.predecessors };
        for other in ends.get(&id).cloned().unwrap_or_default() {
            if self.is_kind(other, |kind| kind == edge.kind) && self.is_there(other) {
                self.edges.insert(if edge.outgoing { (id, other) } else { (other, id) });
            }
        }
    }

    fn finish(self, collector: Option<&dyn Collector>, spool: &Spool) -> Result<Option<CompleteUnit>, String> {
        let rewritten = self.unit.rewrite(&self.patches, spool);
        rewritten.map_err(|error| format!("cannot write the completed lines of the account: {error}"))?;
        if self.kept.is_empty() && self.edges.is_empty() && self.across.is_empty() {
            return Ok(None);
        }
        let mut store = CarriedStore::new(self.unit.account().clone(), spool);
        let names = Names::of(collector);
        for id in self.kept.keys() {
            let Some(node) = self.nodes.get(id) else { continue };
            let resource = Line::read(&node.line)?.text("id").unwrap_or_default();
            store.node(&node.id, &node.kind, &resource, &node.line).map_err(|error| error.to_string())?;
            names.add(node, &mut store)?;
        }
        let text = |id: Id| self.nodes.get(&id).map_or_else(|| NodeId(id).to_string(), |node| node.id.clone());
        for (from, to) in &self.edges {
            store.edge(&text(*from), &text(*to));
        }
        self.across.iter().for_each(|(from, to)| store.deferred(from, to));
        store.part().map(Some).map_err(|error| error.to_string())
    }
}
