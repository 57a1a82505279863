//! Mistakes of definitions that no single item shows: paths that lead to nothing in all items of a kind, as a misspelt
//! member looks like an absent one, and items that are one node, as their IDs and names are the same.
//!
//! Only the accounts that ask for it are traced, those of definitions that users write. An empty list or map, a null and
//! an absent response say nothing about a path. Paths with a default, and alternatives, may lead to nothing: they are
//! mentioned only if the items have a member of a similar name.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use worker_proto::Node;

use super::{
    super::{
        definition::{Condition, Definition, Input, Source, SourceTable},
        eval::Item,
        path::{Path, Step},
        tree::Tree,
    },
    described::{listed, members, shortened},
};
use crate::settings::nearest;

/// The most paths that are mentioned for an account.
const MAX_MENTIONED: usize = 20;

/// The most members that are kept for a path, and the most values that are followed for one.
const MAX_MEMBERS: usize = 50;
const MAX_VALUES: usize = 100;

/// The notation of a step to each element of a list.
const EACH: &str = "[]";

/// The most nodes whose items are kept as hashes.
const MAX_NODES: usize = 1_000_000;

/// What is known of an account so far.
#[derive(Default)]
pub(super) struct Traced {
    paths: Mutex<BTreeMap<PathsOf, Vec<TracedPath>>>,
    nodes: Mutex<TracedNodes>,
    hasher: RandomState,
}

/// A kind, a part of a definition of it, and the address of that definition: a kind may have several.
type PathsOf = (&'static str, Part, usize);

/// The nodes that were made.
#[derive(Default)]
struct TracedNodes {
    /// Hashes of their items, by ID.
    items: HashMap<[u8; 16], u64>,
    /// Those of other items than the one that was made before with the same ID, by kind.
    repeated: BTreeMap<String, Repeated>,
}

/// Nodes of a kind whose items differ from others with the same ID.
#[derive(Debug, Default, PartialEq, Eq)]
struct Repeated {
    count: u64,
    /// The resource's ID of the first one.
    example: String,
}

/// A part of a definition whose paths start at the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// What is made of an item, and the calls for it.
    Item,
    /// The parameters of the list, which start at the parent.
    Parameters,
    /// The path to the items in a response.
    Items,
}

/// One path, or alternatives of which one is enough.
#[derive(Default)]
struct TracedPath {
    paths: Vec<Path>,
    /// Whether it is usual that there is nothing.
    is_optional: bool,
    /// Whether something else than a list may be there.
    is_perhaps_list: bool,
    is_found: bool,
    /// The items in which it led to nothing.
    missed: usize,
    /// The number of steps to the place that lacked the next one: the farthest of all items, as they need not be alike.
    depth: usize,
    /// The name or the form that was expected there, and what there was.
    expected: String,
    members: BTreeSet<String>,
}

/// Where a path leads.
enum Reach {
    Found,
    /// Nothing can be said.
    Unknown,
    /// Nowhere: the number of steps that led somewhere, what was expected then, and the members instead of it.
    Lost(usize, String, Vec<String>),
}

/// A path that led to nothing in all items.
#[derive(Debug, PartialEq, Eq)]
struct Lost {
    kind: &'static str,
    path: String,
    items: usize,
    members: String,
    meant: Option<String>,
}

impl Traced {
    /// Notes where the paths of a part of a definition lead from an item.
    pub(super) fn note(&self, definition: &'static Definition, part: Part, item: &Item<'_>) {
        let key = (definition.kind.get_ref().as_str(), part, std::ptr::from_ref(definition).addr());
        let mut kinds = locked(&self.paths);
        let paths = kinds.entry(key).or_insert_with(|| paths(definition, part));
        paths.iter_mut().filter(|path| !path.is_found).for_each(|path| path.note(item));
    }

    /// Notes a node and its item. Lists that overlap repeat items; one that differs is probably another resource.
    pub(super) fn note_node(&self, node: &Node, item: &Tree<'_>) {
        let item = self.hasher.hash_one(serde_json::to_vec(item).unwrap_or_default());
        let mut nodes = locked(&self.nodes);
        match nodes.items.get(&node.id) {
            Some(known) if *known == item => return,
            Some(_) => {}
            None => {
                if nodes.items.len() < MAX_NODES {
                    nodes.items.insert(node.id, item);
                }
                return;
            }
        }
        let of_kind = nodes.repeated.entry(node.kind.clone()).or_default();
        if of_kind.count == 0 {
            of_kind.example = shortened(&node.resource);
        }
        of_kind.count += 1;
    }

    /// Logs the paths that led to nothing in all items, and the items that are one node.
    pub(super) fn report(&self, cloud: &str, account: &str) {
        for (kind, Repeated { count, example }) in &locked(&self.nodes).repeated {
            let what = "different items with the same ID and name are one node, the first one: give the kind an ID that differs";
            tracing::warn!(cloud, account, kind, count, example, "{what}");
        }
        let lost = self.lost();
        let more = lost.len().saturating_sub(MAX_MENTIONED);
        for Lost { kind, path, items, members, meant } in lost.into_iter().take(MAX_MENTIONED) {
            let meant = meant.unwrap_or_default();
            let what =
                "path of the definition leads to nothing in all items; correct it unless the API omits the member";
            tracing::warn!(cloud, account, kind, path, items, meant, members, "{what}");
        }
        if more > 0 {
            tracing::warn!(cloud, account, more, "more paths of the definitions lead to nothing");
        }
    }

    fn lost(&self) -> Vec<Lost> {
        let kinds = locked(&self.paths);
        let of_kind = |((kind, ..), paths): (&PathsOf, &Vec<TracedPath>)| {
            let used: BTreeSet<&str> = paths.iter().filter(|path| path.is_found).flat_map(TracedPath::names).collect();
            paths.iter().filter_map(|path| path.lost(kind, &used)).collect::<Vec<_>>()
        };
        kinds.iter().flat_map(of_kind).collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TracedPath {
    fn note(&mut self, item: &Item<'_>) {
        let mut lost = None;
        for path in &self.paths {
            match reach(path, item) {
                Reach::Found => {
                    self.is_found = true;
                    return;
                }
                Reach::Unknown => {}
                Reach::Lost(_, expected, _) if self.is_perhaps_list && expected == EACH => {}
                Reach::Lost(depth, expected, members) => lost = lost.or(Some((depth, expected, members))),
            }
        }
        let Some((depth, expected, members)) = lost else { return };
        self.missed += 1;
        if depth < self.depth {
            return;
        }
        if depth > self.depth {
            self.members.clear();
        }
        (self.depth, self.expected) = (depth, expected);
        let room = MAX_MEMBERS.saturating_sub(self.members.len());
        self.members.extend(members.into_iter().take(room));
    }

    /// Returns the names of the members to which it leads.
    fn names(&self) -> impl Iterator<Item = &str> {
        let last = self.paths.iter().filter_map(|path| path.steps.last());
        last.filter_map(|step| match step {
            Step::Member(name) => Some(&**name),
            _ => None,
        })
    }

    /// `used` are the names of members to which other paths lead.
    fn lost(&self, kind: &'static str, used: &BTreeSet<&str>) -> Option<Lost> {
        if self.is_found || self.missed == 0 {
            return None;
        }
        let names: Vec<&str> = self.members.iter().map(String::as_str).collect();
        let meant = meant(&self.expected, &names);
        if self.is_optional && meant.as_deref().is_none_or(|meant| used.contains(meant)) {
            return None;
        }
        let path = self.paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        Some(Lost { kind, path, items: self.missed, members: listed(&names), meant })
    }
}

/// Returns the member that was probably meant. Notations of one name, such as `hostName` and `host_name`, are the same.
fn meant(expected: &str, names: &[&str]) -> Option<String> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let same = names.iter().copied().find(|name| plain(name) == plain(expected));
    // Short names are often similar without being the same.
    let is_near = |near: &&str| strsim::osa_distance(expected, near) * 3 <= expected.len().max(3);
    same.or_else(|| nearest(expected, names.iter().copied()).filter(is_near)).map(str::to_owned)
}

/// Returns where a path leads from an item.
fn reach(path: &Path, item: &Item<'_>) -> Reach {
    let mut steps: Vec<&Step> = Vec::new();
    let mut trees: Vec<&Tree<'_>> = Vec::new();
    match path.root.as_deref() {
        None => trees.push(item.tree),
        Some("option" | "each") => return Reach::Unknown,
        Some(root) => {
            for named in item.named.iter().filter(|named| named.name == root) {
                trees.extend(named.pages);
                steps = named.take.map_or_else(Vec::new, |take| take.steps.iter().collect());
            }
        }
    }
    steps.extend(&path.steps);
    trees.retain(|tree| !matches!(tree, Tree::Null));
    for (depth, step) in steps.into_iter().enumerate() {
        let next: Vec<&Tree<'_>> = trees.iter().flat_map(|tree| step.all(tree)).take(MAX_VALUES).collect();
        if next.is_empty() {
            return lost(depth, step, &trees);
        }
        trees = next;
        trees.retain(|tree| !matches!(tree, Tree::Null));
    }
    if trees.is_empty() { Reach::Unknown } else { Reach::Found }
}

/// Returns what it means that a step leads to nothing from all of these values.
fn lost(depth: usize, step: &Step, trees: &[&Tree<'_>]) -> Reach {
    let is_list = |tree: &&Tree<'_>| matches!(tree, Tree::List(_));
    let is_map = |tree: &&Tree<'_>| matches!(tree, Tree::Map(_));
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    match step {
        _ if trees.iter().all(|tree| matches!(tree, Tree::List(_) | Tree::Map(_)) && tree.is_empty()) => Reach::Unknown,
        Step::Member(name) => {
            let names: Vec<&str> = trees.iter().flat_map(|tree| members(tree)).take(MAX_VALUES).collect();
            match () {
                () if names.contains(&&**name) => Reach::Unknown,
                () if trees.iter().any(is_list) => {
                    Reach::Lost(depth, name.to_string(), vec!["a list, whose elements are []".to_owned()])
                }
                () => Reach::Lost(depth, name.to_string(), owned(names)),
            }
        }
        Step::Values if trees.iter().any(is_map) => Reach::Unknown,
        Step::Values => Reach::Lost(depth, "[*]".to_owned(), Vec::new()),
        _ if trees.iter().any(is_list) => Reach::Unknown,
        _ => Reach::Lost(
            depth,
            EACH.to_owned(),
            owned(trees.iter().flat_map(|tree| members(tree)).take(MAX_VALUES).collect()),
        ),
    }
}

/// Returns the paths of a part of a definition.
fn paths(definition: &Definition, part: Part) -> Vec<TracedPath> {
    let mut all = Collected::default();
    match part {
        Part::Item => {
            let fields = definition.properties.values().chain(&definition.name).map(|source| source.get_ref());
            let references = definition.references().map(|reference| reference.value.get_ref());
            let locations = definition.location.iter().map(|location| location.id.get_ref());
            fields.chain(references).chain(locations).for_each(|source| all.source(source));
            definition.tags.iter().for_each(|tags| all.tags(tags.get_ref()));
            let conditions = [&definition.protected, &definition.phantom, &definition.cleaned];
            conditions.into_iter().flatten().for_each(|condition| all.condition(condition.get_ref()));
            definition.calls.iter().filter_map(|call| call.input.as_ref()).for_each(|input| all.input(input.get_ref()));
        }
        Part::Parameters => {
            let list = definition.list.iter();
            list.clone().flat_map(|list| &list.inputs).for_each(|input| all.input(input.get_ref()));
            list.filter_map(|list| list.each.as_ref()).for_each(|each| all.path(each.get_ref(), false));
            definition.items.iter().for_each(|items| all.path(items.get_ref(), false));
        }
        Part::Items => definition.list.iter().for_each(|list| all.path(list.items.get_ref(), false)),
    }
    all.0
}

/// The paths of a definition.
#[derive(Default)]
struct Collected(Vec<TracedPath>);

impl Collected {
    fn add(&mut self, paths: Vec<Path>, is_optional: bool) {
        let paths: Vec<Path> = paths.into_iter().map(|path| Path { part: None, ..path }).collect();
        if !self.0.iter().any(|known| known.paths == paths) {
            self.0.push(TracedPath { paths, is_optional, ..TracedPath::default() });
        }
    }

    fn path(&mut self, path: &Path, is_optional: bool) {
        self.add(vec![path.clone()], is_optional);
    }

    fn source(&mut self, source: &Source) {
        let is_alternative = source.0.any.is_some();
        source.tables().into_iter().for_each(|table| self.table(table, is_alternative));
    }

    fn table(&mut self, table: &SourceTable, is_alternative: bool) {
        let is_optional = is_alternative || table.default.is_some() || table.when.is_some();
        table.path.iter().for_each(|path| self.path(path, is_optional));
        if let Some(paths) = &table.first {
            self.add(paths.clone(), is_optional);
            paths.iter().for_each(|path| self.path(path, true));
        }
        table.all.iter().flatten().for_each(|path| self.path(path, true));
        table.template.iter().flat_map(|template| template.paths()).for_each(|path| self.path(path, is_optional));
        table.condition.iter().chain(&table.when).for_each(|condition| self.condition(condition));
        if let (Some(path), Some(element)) = (&table.path, &table.element) {
            self.add(vec![below(path, &element.steps)], is_optional);
        }
        if let (Some(path), Some((key, value))) = (&table.path, table.map.as_deref()) {
            self.entries(path, &[key]);
            self.entries(path, &[value]);
        }
    }

    /// Tags may also be a list of structures with members of these names.
    fn tags(&mut self, tags: &Source) {
        self.source(tags);
        if let (Some(path), None) = (&tags.0.path, &tags.0.map) {
            self.entries(path, &["key", "Key"]);
            self.entries(path, &["value", "Value"]);
        }
    }

    /// Adds the members of the structures in a list.
    fn entries(&mut self, path: &Path, names: &[&str]) {
        let is_list = path.steps.last().is_some_and(|step| matches!(step, Step::Each));
        let each = (!is_list).then_some(Step::Each);
        let member = |name: &&str| {
            let steps: Vec<Step> = each.iter().cloned().chain([Step::Member((*name).into())]).collect();
            below(path, &steps)
        };
        self.add(names.iter().map(member).collect(), false);
        if let (Some(added), false) = (self.0.last_mut(), is_list) {
            added.is_perhaps_list = true;
        }
    }

    fn condition(&mut self, condition: &Condition) {
        self.path(&condition.path, true);
    }

    fn input(&mut self, input: &Input) {
        for parameter in input.values() {
            parameter.paths().into_iter().for_each(|path| self.path(path, false));
        }
    }
}

fn below(path: &Path, steps: &[Step]) -> Path {
    Path { root: path.root.clone(), steps: path.steps.iter().chain(steps).cloned().collect(), part: None }
}

#[cfg(test)]
#[path = "traced_tests.rs"]
mod tests;
