//! One attempt at a merged graph: numbers the nodes, and turns edges into pairs of numbers.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
};

use tracing::debug;
use worker_proto::{Deferred, Selector};

use super::{AccountCount, CloudUnits, MergeError, MergeReport, NAMED_IN_ERROR};
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
struct Member<'a> {
    cloud: usize,
    unit: &'a CompleteUnit,
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
    report: MergeReport,
}

/// The deferred edges that are resolved.
pub(super) struct DeferredEdges {
    /// Whether those between clouds are.
    pub(super) across: bool,
    /// The clouds whose deferred edges are not.
    pub(super) without: HashSet<String>,
}

/// The result of an assembly, free of its borrows.
pub(super) struct Parts {
    pub(super) own_lines: FrozenLines,
    pub(super) segments: Vec<(usize, Range<u64>)>,
    pub(super) ids: Vec<NodeKey>,
    pub(super) texts: HashMap<u32, String>,
    pub(super) edges: Adjacency,
}

impl<'a> Assembly<'a> {
    /// Merges all nodes and edges. Deferred edges are resolved if `deferred` is set, those between clouds if it has
    /// `across`.
    pub(super) fn new(clouds: &'a [CloudUnits], deferred: Option<&DeferredEdges>) -> Result<Self, MergeError> {
        let mut assembly = Self::with_nodes(clouds)?;
        for unit in 0..assembly.members.len() {
            assembly.add_edges(unit);
        }
        if let Some(DeferredEdges { across, without }) = deferred {
            assembly.add_deferred(*across, without);
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

    fn add_deferred(&mut self, across: bool, without: &HashSet<String>) {
        let by_resource = Resources::of(&self.members, &self.index);
        let by_name = Names::of(&self.members, &self.index);
        let is_by_name = |selector: &Selector| matches!(selector, Selector::Attribute { .. });
        for member in self.members.iter().filter(|member| !without.contains(&self.clouds[member.cloud].name)) {
            for Deferred { from, to } in &member.unit.deferred {
                let find = |selector: &Selector| match selector {
                    Selector::Node(id) => self.index.get(id).copied(),
                    Selector::Resource { kind, id } => by_resource.find(kind, id, member.cloud),
                    Selector::Attribute { kind, attribute, value } => {
                        by_name.find(member.cloud, name_hash(kind, attribute, value))
                    }
                };
                match (find(from), find(to)) {
                    (Some(from), Some(to)) if from != to && (across || self.cloud(from) == self.cloud(to)) => {
                        self.report.deferred += 1;
                        self.edges.push((from, to));
                    }
                    _ if is_by_name(from) || is_by_name(to) => self.report.unknown_names += 1,
                    _ => self.report.deferred_unresolved += 1,
                }
            }
        }
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

/// Nodes by kind and resource ID, for deferred edges: the first of each cloud, and the first of all.
#[derive(Default)]
struct Resources<'a> {
    of_cloud: HashMap<(usize, &'a str, &'a str), u32>,
    of_all: HashMap<(&'a str, &'a str), u32>,
}

impl<'a> Resources<'a> {
    /// Finds the nodes that deferred edges select.
    fn of(members: &[Member<'a>], index: &HashMap<NodeKey, u32>) -> Self {
        let mut found = Self::default();
        let asked = members.iter().flat_map(|member| &member.unit.deferred).flat_map(|edge| [&edge.from, &edge.to]);
        let asked: HashSet<(&str, &str)> = asked
            .filter_map(|selector| match selector {
                Selector::Resource { kind, id } => Some((kind.as_str(), id.as_str())),
                Selector::Node(_) | Selector::Attribute { .. } => None,
            })
            .collect();
        if asked.is_empty() {
            return found;
        }
        for Member { cloud, unit } in members {
            for (record, id) in unit.records.ids.iter().enumerate() {
                let name = (unit.records.kind(record), unit.records.resource(record));
                if asked.contains(&name)
                    && let Some(node) = index.get(id)
                {
                    found.of_cloud.entry((*cloud, name.0, name.1)).or_insert(*node);
                    found.of_all.entry(name).or_insert(*node);
                }
            }
        }
        found
    }

    fn find(&self, kind: &str, id: &str, cloud: usize) -> Option<u32> {
        self.of_cloud.get(&(cloud, kind, id)).or_else(|| self.of_all.get(&(kind, id))).copied()
    }
}

/// Nodes by cloud and name, for deferred edges; `None` if several nodes have the name, which then leads nowhere: a name
/// is unique in its cloud.
#[derive(Default)]
struct Names(HashMap<(usize, NodeKey), Option<u32>>);

impl Names {
    /// Finds the nodes that deferred edges select.
    fn of(members: &[Member<'_>], index: &HashMap<NodeKey, u32>) -> Self {
        let ends = |member: &Member<'_>| {
            let (cloud, edges) = (member.cloud, member.unit.deferred.iter());
            let selectors = edges.flat_map(|edge| [&edge.from, &edge.to]);
            let hashes = selectors.filter_map(|selector| match selector {
                Selector::Attribute { kind, attribute, value } => Some(name_hash(kind, attribute, value)),
                Selector::Node(_) | Selector::Resource { .. } => None,
            });
            hashes.map(|hash| (cloud, hash)).collect::<Vec<_>>()
        };
        let asked: HashSet<(usize, NodeKey)> = members.iter().flat_map(ends).collect();
        let mut found = Self::default();
        if asked.is_empty() {
            return found;
        }
        for Member { cloud, unit } in members {
            for name in unit.names.iter().filter(|name| asked.contains(&(*cloud, name.key))) {
                let Some(node) = index.get(&name.node) else { continue };
                let known = found.0.entry((*cloud, name.key)).or_insert(Some(*node));
                if *known != Some(*node) {
                    *known = None;
                }
            }
        }
        found
    }

    fn find(&self, cloud: usize, hash: NodeKey) -> Option<u32> {
        self.0.get(&(cloud, hash)).copied().flatten()
    }
}
