//! Graphs: what a merge refuses, keeps and deletes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    model::Model,
    python::{dumps, repr, repr_list, type_name},
};

/// The edge type that is meant when none is said.
const DEFAULT_EDGE: &str = "dependency";

/// What the core adds as time of creation; its clock stands still.
const NOW: &str = "2026-11-22T09:57:22Z";

/// A node as the core keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredNode {
    /// What was reported, with normalised dates.
    pub reported: Value,
    /// What was sent, and what the core added.
    pub metadata: Value,
    /// What people want of it.
    pub desired: Value,
    /// Its kind and the kinds that this derives from.
    pub kinds: Vec<String>,
    /// The replace node that it belongs to; `None` for what is above.
    pub owner: Option<String>,
    /// The line as it was sent, to see whether it changed.
    sent: Value,
}

type Edge = (String, String, String);

/// One graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    pub(super) nodes: BTreeMap<String, StoredNode>,
    pub(super) edges: BTreeSet<Edge>,
}

/// The body of a merge.
#[derive(Default)]
struct Body {
    /// In the order of arrival.
    ids: Vec<String>,
    nodes: BTreeMap<String, StoredNode>,
    replace: BTreeSet<String>,
    edges: BTreeSet<Edge>,
    /// The ids that the graph root was given; it is stored as `root`.
    root_names: BTreeSet<String>,
}

impl Graph {
    /// A graph with nothing but its root.
    pub(super) fn new() -> Self {
        let reported = json!({ "kind": "graph_root", "name": "root" });
        let root = StoredNode {
            reported,
            metadata: Value::Null,
            desired: Value::Null,
            kinds: vec!["graph_root".to_owned()],
            owner: None,
            sent: Value::Null,
        };
        Self { nodes: BTreeMap::from([("root".to_owned(), root)]), edges: BTreeSet::new() }
    }

    /// Merges the lines, or says the message of the refusal.
    pub(super) fn merge(&mut self, lines: &[u8], model: &Model) -> Result<Value, String> {
        let body = Body::read(lines, model)?;
        let owners = body.owners()?;
        self.conflict(&owners)?;
        let report = self.write(&body, &owners);
        self.add_ancestors();
        Ok(report)
    }

    /// A node that belongs to another replace node cannot be inserted a second time.
    fn conflict(&self, owners: &BTreeMap<String, String>) -> Result<(), String> {
        for (id, owner) in owners {
            let stored = self.nodes.get(id).and_then(|node| node.owner.as_ref());
            if id != owner && stored.is_some_and(|stored| stored != owner) {
                let text = format!(
                    "[HTTP 409][ERR 1210] unique constraint violated - in index primary of type primary over '_key'; \
                     conflicting key: {id}"
                );
                return Err(format!("DocumentInsertError({})", repr(&text)));
            }
        }
        Ok(())
    }

    fn write(&mut self, body: &Body, owners: &BTreeMap<String, String>) -> Value {
        let (mut created, mut updated, mut deleted) = (0, 0, 0);
        let replaced = |owner: &Option<String>| owner.as_ref().is_some_and(|owner| body.replace.contains(owner));
        let is_gone = |(id, node): &(&String, &StoredNode)| replaced(&node.owner) && !owners.contains_key(*id);
        let gone: Vec<_> = self.nodes.iter().filter(is_gone).map(|(id, _)| id.clone()).collect();
        let edge_gone = |graph: &Self, (_, to, _): &Edge| graph.nodes.get(to).is_some_and(|node| replaced(&node.owner));
        let old_edges: BTreeSet<_> = self.edges.iter().filter(|edge| edge_gone(self, edge)).cloned().collect();
        for id in gone {
            self.nodes.remove(&id);
            deleted += 1;
        }
        for (id, node) in &body.nodes {
            let owner = owners.get(id).cloned();
            let desired = match self.nodes.get(id) {
                None => {
                    created += 1;
                    node.desired.clone()
                }
                // What is above a replace node is only made if it is missing; the root is filled once.
                Some(old) if owner.is_none() && !(id == "root" && old.sent.is_null()) => continue,
                Some(old) if old.sent == node.sent => continue,
                Some(old) => {
                    updated += 1;
                    if node.desired.is_null() { old.desired.clone() } else { node.desired.clone() }
                }
            };
            self.nodes.insert(id.clone(), StoredNode { owner, desired, ..node.clone() });
        }
        let edges_deleted = old_edges.difference(&body.edges).count();
        let edges_created = body.edges.difference(&self.edges).count();
        self.edges.retain(|edge| !old_edges.contains(edge));
        self.edges.extend(body.edges.iter().cloned());
        json!({ "edges_created": edges_created, "edges_deleted": edges_deleted, "edges_updated": 0,
            "nodes_created": created, "nodes_deleted": deleted, "nodes_updated": updated })
    }

    /// Writes into each node what is above and, for the large ones, what is below.
    fn add_ancestors(&mut self) {
        let mut parents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (from, to, _) in self.edges.iter().filter(|edge| edge.2 == DEFAULT_EDGE) {
            parents.entry(to).or_default().push(from);
        }
        let mut ancestors: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        let mut below: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for (id, node) in &self.nodes {
            let (mut level, mut seen) = (vec![id.as_str()], BTreeSet::new());
            while let Some(next) = level.pop() {
                for parent in parents.get(next).into_iter().flatten().filter(|parent| seen.insert(**parent)) {
                    level.insert(0, parent);
                    let Some(above) = self.nodes.get(*parent) else { continue };
                    for kind in ["cloud", "account", "region", "zone"] {
                        if above.kinds.iter().any(|name| name == kind) {
                            let ancestor = json!({ "name": above.reported["name"], "id": above.reported["id"] });
                            ancestors.entry(id.clone()).or_default().entry(kind).or_insert(ancestor);
                            let own = node.kinds.first().cloned().unwrap_or_default();
                            *below.entry((*parent).to_owned()).or_default().entry(own).or_default() += 1;
                        }
                    }
                }
            }
        }
        for (id, node) in &mut self.nodes {
            let Some(metadata) = node.metadata.as_object_mut() else { continue };
            if let Some(ancestors) = ancestors.remove(id) {
                metadata.insert("ancestors".to_owned(), Value::Object(ancestors));
            }
            if let Some(summary) = below.remove(id) {
                metadata.insert("descendant_count".to_owned(), summary.values().sum::<u64>().into());
                metadata.insert("descendant_summary".to_owned(), json!(summary));
            }
        }
    }
}

impl Body {
    fn read(lines: &[u8], model: &Model) -> Result<Self, String> {
        let mut body = Body::default();
        for line in lines.strip_prefix(b"\xef\xbb\xbf").unwrap_or(lines).split(|byte| *byte == b'\n') {
            if !line.trim_ascii().is_empty() {
                body.line(line, model)?;
            }
        }
        body.check_edges()?;
        Ok(body)
    }

    fn line(&mut self, line: &[u8], model: &Model) -> Result<(), String> {
        let value: Value =
            serde_json::from_slice(line).map_err(|error| format!("JSONDecodeError({})", repr(&error.to_string())))?;
        if value.is_number() || value.is_boolean() || value.is_null() {
            return Err(format!("TypeError(\"argument of type '{}' is not iterable\")", type_name(&value)));
        }
        let end = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        if let (Some(from), Some(to)) = (end("from"), end("to")) {
            let edge_type = match value.get("edge_type") {
                None => DEFAULT_EDGE.to_owned(),
                Some(Value::String(edge_type)) => edge_type.clone(),
                Some(_) => "None".to_owned(),
            };
            self.edges.insert((from, to, edge_type));
            return Ok(());
        }
        if value.get("id").is_none() || value.get("reported").is_none() {
            let text = format!("Format not understood! Got {} which is neither vertex nor edge.", dumps(&value));
            return Err(format!("AttributeError({})", repr(&text)));
        }
        self.node(value, model)
    }

    fn node(&mut self, value: Value, model: &Model) -> Result<(), String> {
        let reported = match &value["reported"] {
            Value::Object(reported) => model.check(reported).map_err(|misfit| misfit.repr())?,
            Value::Null => return Err("TypeError(\"'NoneType' object is not subscriptable\")".to_owned()),
            _ => return Err("TypeError('string indices must be integers')".to_owned()),
        };
        let mut id = match &value["id"] {
            Value::String(id) => id.clone(),
            Value::Null => return Err("ValueError('None cannot be a node')".to_owned()),
            _ => String::new(),
        };
        if !is_legal(&id) {
            return Err("DocumentInsertError('[HTTP 400][ERR 1221] illegal document key')".to_owned());
        }
        if reported["kind"] == "graph_root" {
            self.root_names.insert(std::mem::replace(&mut id, "root".to_owned()));
        }
        let kinds = model.lineage(reported["kind"].as_str().unwrap_or_default());
        let mut node = StoredNode {
            reported,
            metadata: value.get("metadata").filter(|metadata| metadata.is_object()).cloned().unwrap_or(json!({})),
            desired: value.get("desired").cloned().unwrap_or_default(),
            kinds,
            owner: None,
            sent: value.clone(),
        };
        if let Some(reported) = node.reported.as_object_mut().filter(|_| id != "root") {
            reported.entry("ctime").or_insert(NOW.into());
        }
        self.replace.remove(&id);
        if value.get("replace") == Some(&Value::Bool(true)) {
            self.replace.insert(id.clone());
        }
        if !self.nodes.contains_key(&id) {
            self.ids.push(id.clone());
        }
        self.nodes.insert(id, node);
        Ok(())
    }

    fn check_edges(&mut self) -> Result<(), String> {
        let name = |id: &String| if self.root_names.contains(id) { "root".to_owned() } else { id.clone() };
        let edges = self.edges.iter().map(|(from, to, edge_type)| (name(from), name(to), edge_type.clone()));
        self.edges = edges.collect();
        for (from, to, _) in &self.edges {
            if let Some(missing) = [from, to].into_iter().find(|end| !self.nodes.contains_key(*end)) {
                let text = format!("{missing} was used in an edge definition but not provided as vertex!");
                return Err(format!("AssertionError({})", repr(&text)));
            }
        }
        if self.edges.iter().any(|edge| ![DEFAULT_EDGE, "delete"].contains(&edge.2.as_str())) {
            let given: BTreeSet<_> = self.edges.iter().map(|edge| edge.2.as_str()).collect();
            let given = repr_list(given).replace('[', "{").replace(']', "}");
            let text = format!("Graph contains unknown edge types! Given: {given}. Known: {{'delete', 'dependency'}}");
            return Err(format!("AssertionError({})", repr(&text)));
        }
        Ok(())
    }

    /// Which replace node each node below one belongs to.
    fn owners(&self) -> Result<BTreeMap<String, String>, String> {
        let has_parent: BTreeSet<_> = self.edges.iter().map(|edge| &edge.1).collect();
        let roots: Vec<_> = self.ids.iter().filter(|id| !has_parent.contains(id)).map(String::as_str).collect();
        // The message is from before the graph root gets its own id.
        let given = self.root_names.iter().next_back().map_or("root", String::as_str);
        let roots: Vec<_> = roots.into_iter().map(|id| if id == "root" { given } else { id }).collect();
        if roots.len() != 1 {
            let text = format!("Given subgraph has more than one root: {}", repr_list(roots));
            return Err(format!("AssertionError({})", repr(&text)));
        }
        if self.replace.is_empty() {
            let text = "No replace nodes provided in the graph. Mark at least one node with replace=true!";
            return Err(format!("AssertionError({})", repr(text)));
        }
        if self.has_cycle() {
            return Err("Import process died. (ExitCode: None)".to_owned());
        }
        let (mut owners, mut twice) = (BTreeMap::new(), BTreeSet::new());
        for root in &self.replace {
            for id in self.below(root) {
                if owners.insert(id.clone(), root.clone()).is_some() {
                    twice.insert(id);
                }
            }
        }
        if !twice.is_empty() {
            let twice = repr_list(twice.iter().map(String::as_str)).replace('[', "{").replace(']', "}");
            let text = format!("Nodes are referenced in more than one merge node: {twice}");
            return Err(format!("AttributeError({})", repr(&text)));
        }
        Ok(owners)
    }

    fn children(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (from, to, _) in self.edges.iter().filter(|edge| edge.2 == DEFAULT_EDGE) {
            children.entry(from).or_default().push(to);
        }
        children
    }

    fn below(&self, root: &str) -> BTreeSet<String> {
        let children = self.children();
        let (mut found, mut open) = (BTreeSet::from([root.to_owned()]), vec![root]);
        while let Some(id) = open.pop() {
            for child in children.get(id).into_iter().flatten() {
                if found.insert((*child).to_owned()) {
                    open.push(child);
                }
            }
        }
        found
    }

    /// Takes nodes without parents away until none is left, or only a cycle.
    fn has_cycle(&self) -> bool {
        let children = self.children();
        let mut parents: BTreeMap<&str, usize> = BTreeMap::new();
        for child in children.values().flatten() {
            *parents.entry(child).or_default() += 1;
        }
        let mut free: Vec<&str> =
            self.nodes.keys().map(String::as_str).filter(|id| !parents.contains_key(id)).collect();
        let mut taken = 0;
        while let Some(id) = free.pop() {
            taken += 1;
            for child in children.get(id).into_iter().flatten() {
                if let Some(count) = parents.get_mut(child) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(child);
                    }
                }
            }
        }
        taken < self.nodes.len()
    }
}

/// Whether a database takes it as a key.
fn is_legal(id: &str) -> bool {
    (1..=254).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-:.@()+,=;$!*'%".contains(&byte))
}
