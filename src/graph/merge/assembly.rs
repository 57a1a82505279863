//! One attempt at a merged graph: numbers the nodes, and turns edges into pairs of numbers.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
};

use tracing::debug;
use worker_proto::{Deferred, Selector};

use super::{
    AccountCount, CloudUnits, MergeError, MergeReport, NAMED_IN_ERROR,
    lookup::{Names, Resources},
};
use crate::graph::{
    Resource, Schema, Scope, UNDEFINED,
    check::{Adjacency, Fault},
    complete::CompleteUnit,
    key::name_hash,
    records::NodeKey,
    spool::{FrozenLines, Spool},
};

/// The origin of a node.
#[derive(Clone, Copy, Debug)]
enum Place {
    Root,
    Cloud(usize),
    Unit { unit: usize, record: usize },
}

/// A unit with the index of its cloud.
pub(super) struct Member<'a> {
    pub(super) cloud: usize,
    pub(super) unit: &'a CompleteUnit,
}

pub(super) struct Assembly<'a> {
    clouds: &'a [CloudUnits],
    members: Vec<Member<'a>>,
    /// The lines of the root and of the clouds.
    own: Vec<u8>,
    segments: Vec<(usize, Range<u64>)>,
    ids: Vec<NodeKey>,
    places: Vec<Place>,
    index: HashMap<NodeKey, u32>,
    /// The number of the account's node, by unit.
    accounts: Vec<u32>,
    edges: Vec<(u32, u32)>,
    /// The deferred ones among the edges.
    deferred: Range<usize>,
    report: MergeReport,
}

/// Edges by the IDs of their ends.
pub(super) type EdgeSet = HashSet<(NodeKey, NodeKey)>;

/// The result of an assembly, free of its borrows.
pub(super) struct Parts {
    pub(super) own_lines: FrozenLines,
    pub(super) segments: Vec<(usize, Range<u64>)>,
    pub(super) ids: Vec<NodeKey>,
    pub(super) texts: HashMap<u32, String>,
    pub(super) edges: Adjacency,
}

impl<'a> Assembly<'a> {
    /// Merges all nodes and edges. Deferred edges are resolved if `dropped` is set, except those in it.
    pub(super) fn new(clouds: &'a [CloudUnits], dropped: Option<&EdgeSet>) -> Result<Self, MergeError> {
        let mut assembly = Self::with_nodes(clouds)?;
        for unit in 0..assembly.members.len() {
            assembly.add_edges(unit);
        }
        if let Some(dropped) = dropped {
            assembly.add_deferred(dropped);
        }
        assembly.adopt_orphans();
        Ok(assembly)
    }

    fn with_nodes(clouds: &'a [CloudUnits]) -> Result<Self, MergeError> {
        let mut assembly = Self {
            clouds,
            members: Vec::new(),
            own: Vec::new(),
            segments: Vec::new(),
            ids: Vec::new(),
            places: Vec::new(),
            index: HashMap::new(),
            accounts: Vec::new(),
            edges: Vec::new(),
            deferred: 0..0,
            report: MergeReport::default(),
        };
        let root = assembly.add_own("graph_root", "root", Place::Root)?;
        for (number, cloud) in clouds.iter().enumerate() {
            let node = assembly.add_own("cloud", &cloud.name, Place::Cloud(number))?;
            assembly.edges.push((root, node));
            // The carried part of an account hangs below the node of the collected part.
            let mut accounts: HashMap<&str, u32> = HashMap::new();
            for unit in &cloud.units {
                assembly.members.push(Member { cloud: number, unit });
                let account = assembly.add_unit(&cloud.name, unit)?;
                if let Some(account) = account {
                    accounts.insert(&unit.account.id, account);
                }
                let known = account.or_else(|| accounts.get(unit.account.id.as_str()).copied());
                assembly.accounts.push(known.unwrap_or(node));
                assembly.edges.extend(account.map(|account| (node, account)));
            }
        }
        Ok(assembly)
    }

    /// Adds the node of the root or of a cloud.
    fn add_own(&mut self, kind: &str, id: &str, place: Place) -> Result<u32, MergeError> {
        let mut resource = Resource::new(Schema::base()?.require(kind)?, id);
        resource.replace(matches!(place, Place::Cloud(_)));
        let scope = Scope { cloud: UNDEFINED, account: UNDEFINED, region: UNDEFINED, zone: UNDEFINED };
        let node = resource.finish(&scope)?;
        self.add_own_line(&node.line);
        self.number(node.id, place)
    }

    /// Adds a line of the root or of a cloud.
    fn add_own_line(&mut self, line: &[u8]) {
        let start = self.own.len() as u64;
        self.own.extend_from_slice(line);
        self.own.push(b'\n');
        self.segments.push((0, start..self.own.len() as u64));
    }

    /// Numbers the new nodes of a unit, and returns the number of its account's node.
    fn add_unit(&mut self, cloud: &str, unit: &CompleteUnit) -> Result<Option<u32>, MergeError> {
        let member = self.members.len() - 1;
        let mut kinds = BTreeMap::<&str, u64>::new();
        let (mut written, mut open) = (0_u64, 0..0_u64);
        for (record, (id, length)) in unit.records.ids.iter().zip(&unit.records.lengths).enumerate() {
            let end = written + u64::from(*length);
            if self.index.contains_key(id) {
                self.report.duplicates += 1;
                self.segments.push((member + 1, std::mem::replace(&mut open, end..end)));
                let (kind, resource) = (unit.records.kind(record), unit.records.resource(record));
                debug!(
                    cloud,
                    account = unit.account.id,
                    kind,
                    resource,
                    "a node was collected twice; the first one counts"
                );
            } else {
                self.number(*id, Place::Unit { unit: member, record })?;
                *kinds.entry(unit.records.kind(record)).or_default() += 1;
                open.end = end;
                if let Some(line) = unit.patches.get(&record) {
                    open.end = written;
                    self.segments.push((member + 1, std::mem::replace(&mut open, end..end)));
                    self.add_own_line(line);
                }
            }
            written = end;
        }
        self.segments.push((member + 1, open));
        self.report.accounts.push(AccountCount {
            cloud: cloud.to_owned(),
            account: unit.account.clone(),
            is_carried: unit.is_carried,
            kinds: kinds.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect(),
        });
        Ok(unit
            .account_node()
            .and_then(|record| unit.records.ids.get(record))
            .and_then(|id| self.index.get(id))
            .copied())
    }

    fn number(&mut self, id: NodeKey, place: Place) -> Result<u32, MergeError> {
        let number = u32::try_from(self.ids.len()).map_err(|_| MergeError::TooManyNodes)?;
        self.ids.push(id);
        self.places.push(place);
        self.index.insert(id, number);
        Ok(number)
    }

    fn add_edges(&mut self, member: usize) {
        for (from, to) in &self.members[member].unit.edges {
            match (self.index.get(from), self.index.get(to)) {
                (Some(from), Some(to)) => self.edges.push((*from, *to)),
                _ => self.report.dangling += 1,
            }
        }
    }

    fn add_deferred(&mut self, dropped: &EdgeSet) {
        let start = self.edges.len();
        let by_resource = Resources::of(&self.members, &self.index);
        let by_name = Names::of(&self.members, &self.index);
        let is_by_name = |selector: &Selector| matches!(selector, Selector::Attribute { .. });
        for member in &self.members {
            for Deferred { from, to } in &member.unit.deferred {
                let find = |selector: &Selector| match selector {
                    Selector::Node(id) => self.index.get(id).copied(),
                    Selector::Resource { kind, id } => by_resource.find(kind, id, member.cloud),
                    Selector::Attribute { kind, attribute, value } => {
                        by_name.find(member.cloud, name_hash(kind, attribute, value))
                    }
                };
                match (find(from), find(to)) {
                    (Some(from), Some(to)) if dropped.contains(&self.ends(from, to)) => {
                        self.report.deferred_unresolved += 1;
                    }
                    (Some(from), Some(to)) if from != to => {
                        self.report.deferred += 1;
                        self.edges.push((from, to));
                    }
                    _ if is_by_name(from) || is_by_name(to) => self.report.unknown_names += 1,
                    _ => self.report.deferred_unresolved += 1,
                }
            }
        }
        self.deferred = start..self.edges.len();
    }

    fn ends(&self, from: u32, to: u32) -> (NodeKey, NodeKey) {
        (self.ids[from as usize], self.ids[to as usize])
    }

    /// Returns the deferred edges of a cycle.
    pub(super) fn deferred_of(&self, fault: &Fault) -> EdgeSet {
        let Fault::Cycle(cycle) = fault else { return EdgeSet::new() };
        let pairs: HashSet<(u32, u32)> = cycle.iter().copied().zip(cycle.iter().copied().cycle().skip(1)).collect();
        let deferred = self.edges[self.deferred.clone()].iter().filter(|edge| pairs.contains(edge));
        deferred.map(|(from, to)| self.ends(*from, *to)).collect()
    }

    /// Returns all deferred edges.
    pub(super) fn all_deferred(&self) -> EdgeSet {
        self.edges[self.deferred.clone()].iter().map(|(from, to)| self.ends(*from, *to)).collect()
    }

    /// Hangs nodes without predecessor below the account of their unit, because a core rejects a graph with a second
    /// root.
    fn adopt_orphans(&mut self) {
        let mut has_parent = vec![false; self.ids.len()];
        for (_, to) in &self.edges {
            has_parent[*to as usize] = true;
        }
        for (number, place) in (0_u32..).zip(&self.places) {
            if let Place::Unit { unit, .. } = place
                && !has_parent[number as usize]
            {
                self.report.orphans += 1;
                self.edges.push((self.accounts[*unit], number));
            }
        }
    }

    pub(super) fn adjacency(&self) -> Adjacency {
        Adjacency::new(self.ids.len(), &self.edges)
    }

    fn cloud(&self, node: u32) -> Option<usize> {
        match self.places.get(node as usize)? {
            Place::Root => None,
            Place::Cloud(cloud) => Some(*cloud),
            Place::Unit { unit, .. } => self.members.get(*unit).map(|member| member.cloud),
        }
    }

    /// Returns the cloud to which all nodes of a fault belong, if there is a single one.
    pub(super) fn culprit(&self, fault: &Fault) -> Option<usize> {
        let mut clouds = fault.nodes().iter().map(|node| self.cloud(*node));
        let first = clouds.next()??;
        clouds.all(|cloud| cloud == Some(first)).then_some(first)
    }

    /// Describes a fault with kind and ID of its nodes.
    pub(super) fn describe(&self, fault: &Fault) -> String {
        let nodes = fault.nodes();
        let mut names: Vec<String> = nodes.iter().take(NAMED_IN_ERROR).map(|node| self.name(*node)).collect();
        if let Some(more) = nodes.len().checked_sub(NAMED_IN_ERROR).filter(|more| *more > 0) {
            names.push(format!("{more} more"));
        }
        match fault {
            Fault::Roots(_) => format!("nodes without a predecessor: {}", names.join(", ")),
            Fault::Cycle(_) => {
                names.extend(names.first().cloned());
                format!("a cycle: {}", names.join(" → "))
            }
        }
    }

    fn name(&self, node: u32) -> String {
        match self.places.get(node as usize) {
            Some(Place::Unit { unit, record }) => {
                let records = &self.members[*unit].unit.records;
                format!("{} {}", records.kind(*record), records.resource(*record))
            }
            Some(Place::Cloud(cloud)) => format!("cloud {}", self.clouds[*cloud].name),
            Some(Place::Root) | None => "graph_root root".to_owned(),
        }
    }

    pub(super) fn finish(self, edges: Adjacency) -> Result<(Parts, MergeReport), MergeError> {
        self.report.log();
        let texts = self.members.iter().flat_map(|member| &member.unit.texts);
        let texts = texts.filter_map(|(key, text)| Some((*self.index.get(key)?, text.clone()))).collect();
        // One line for the root and one for each cloud need no budget.
        let mut lines = Spool::new(u64::MAX).lines();
        lines.append(&self.own).map_err(MergeError::Own)?;
        let segments = self.segments.into_iter().filter(|(_, range)| !range.is_empty()).collect();
        Ok((Parts { own_lines: lines.freeze(), segments, ids: self.ids, texts, edges }, self.report))
    }
}
