//! The few queries that tests need: all, by id, and a kind with a reported id and everything below.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    StoredNode,
    graph::Graph,
    model::{Model, Refusal},
};

/// Answers a query with lines of nodes and edges, edges as soon as both ends were said.
pub(super) fn run(graph: &Graph, model: &Model, query: &str) -> Result<String, Refusal> {
    let query = query.trim();
    let start: Vec<&String> = if query == "all" {
        graph.nodes.keys().collect()
    } else if let Some(id) = query.strip_prefix("id(").and_then(|rest| rest.strip_suffix(')')) {
        let id: String = serde_json::from_str(id).unwrap_or_else(|_| id.to_owned());
        return Ok(graph.nodes.get_key_value(&id).map(|(id, _)| node(graph, id)).unwrap_or_default());
    } else if let Some(clouds) = parse_clean(query) {
        return Ok(around(graph, &clouds));
    } else {
        let (kind, id) = parse(query).ok_or_else(|| Refusal("ParseError", format!("Can not parse query: {query}")))?;
        if !model.has(kind) {
            return Err(Refusal("AttributeError", format!("Given kind does not exist: {kind}")));
        }
        let matches = graph
            .nodes
            .iter()
            .filter(|(_, node)| node.kinds.iter().any(|name| name == kind) && node.reported["id"] == id.as_str());
        matches.map(|(id, _)| id).collect()
    };
    Ok(walk(graph, start))
}

/// Reads `is(kind) and reported.id == "id" -[0:]->`.
fn parse(query: &str) -> Option<(&str, String)> {
    let (kind, rest) = query.strip_prefix("is(")?.split_once(')')?;
    let text = rest.trim_start().strip_prefix("and reported.id == ")?.strip_suffix("-[0:]->")?;
    Some((kind, serde_json::from_str(text.trim_end()).ok()?))
}

/// Reads the query for the nodes to clean up: the clouds it names, none for all.
fn parse_clean(query: &str) -> Option<Vec<String>> {
    let rest = query.strip_prefix("desired.clean == true and metadata.cleaned == false")?.strip_suffix("<-[0:]->")?;
    match rest.trim().strip_prefix("and metadata.ancestors.cloud.id in ") {
        Some(list) => serde_json::from_str(list).ok(),
        None => rest.trim().is_empty().then(Vec::new),
    }
}

/// The nodes to clean up, with all their predecessors and successors.
fn around(graph: &Graph, clouds: &[String]) -> String {
    let is_wanted = |node: &StoredNode| {
        let cloud = node.metadata["ancestors"]["cloud"]["id"].as_str().unwrap_or_default();
        node.desired["clean"] == true
            && node.metadata["cleaned"] == false
            && (clouds.is_empty() || clouds.iter().any(|name| name == cloud))
    };
    let wanted: BTreeSet<&String> = graph.nodes.iter().filter(|(_, node)| is_wanted(node)).map(|(id, _)| id).collect();
    let mut found = wanted.clone();
    for up in [true, false] {
        let mut open: Vec<&String> = wanted.iter().copied().collect();
        while let Some(id) = open.pop() {
            let edges = graph
                .edges
                .iter()
                .filter(|(from, to, kind)| kind == "dependency" && if up { to == id } else { from == id });
            open.extend(edges.map(|(from, to, _)| if up { from } else { to }).filter(|next| found.insert(next)));
        }
    }
    let mut out: String = found.iter().map(|id| node(graph, id)).collect();
    for (from, to, _) in
        graph.edges.iter().filter(|(from, to, kind)| kind == "dependency" && found.contains(from) && found.contains(to))
    {
        out.push_str(&format!("{}\n", json!({ "type": "edge", "from": from, "to": to })));
    }
    out
}

fn walk(graph: &Graph, start: Vec<&String>) -> String {
    let mut out = String::new();
    let (mut seen, mut open): (BTreeSet<&String>, Vec<&String>) = (start.iter().copied().collect(), start);
    let mut said = BTreeSet::new();
    while let Some(id) = open.pop() {
        out.push_str(&node(graph, id));
        for (_, to, _) in graph.edges.iter().filter(|(from, _, kind)| from == id && kind == "dependency") {
            if seen.insert(to) {
                open.push(to);
            }
        }
        said.insert(id);
        let both = |(from, to, kind): &&(String, String, String)| {
            kind == "dependency" && (from == id || to == id) && said.contains(from) && said.contains(to)
        };
        for (from, to, _) in graph.edges.iter().filter(both) {
            out.push_str(&format!("{}\n", json!({ "type": "edge", "from": from, "to": to })));
        }
    }
    out
}

/// A node as the core shows it, with what it computes.
fn node(graph: &Graph, id: &str) -> String {
    let stored = &graph.nodes[id];
    let mut reported = stored.reported.clone();
    for (name, from) in [("age", "ctime"), ("last_update", "mtime"), ("last_access", "atime")] {
        if reported.get(from).is_some_and(Value::is_string) {
            reported[name] = json!("10s");
        }
    }
    let mut shown = json!({ "id": id, "type": "node", "revision": "_g0000_A---", "reported": reported,
        "metadata": stored.metadata, "kinds": stored.kinds });
    if !stored.desired.is_null() {
        shown["desired"] = stored.desired.clone();
    }
    format!("{shown}\n")
}
