//! The few queries that tests need: all, by id, a kind with a reported id and everything below, the accounts of a
//! cloud, the nodes of a kind below a cloud with those directly below them, regions and accounts by the ids of accounts, and what is to be cleaned up with everything above and below.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
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
    } else if let Some((kind, conditions)) = summaries(query) {
        let (cloud, accounts) = conditions;
        let nodes = graph.nodes.iter().filter(|(_, node)| {
            let above = &node.metadata["ancestors"];
            let account = if kind == "account" { &node.reported["id"] } else { &above["account"]["id"] };
            let is_kind = node.kinds.iter().any(|name| name == kind);
            is_kind && above["cloud"]["id"] == cloud && accounts.contains(account)
        });
        return Ok(nodes.map(|(id, _)| node(graph, id)).collect());
    } else if let Some((kind, cloud)) = successors(query) {
        let mut nodes: BTreeSet<&String> = graph
            .nodes
            .iter()
            .filter(|(_, node)| {
                node.kinds.iter().any(|name| name == kind) && node.metadata["ancestors"]["cloud"]["id"] == cloud
            })
            .map(|(id, _)| id)
            .collect();
        let edges = graph.edges.iter().filter(|(from, _, edge)| edge == "dependency" && nodes.contains(from));
        let edges: Vec<&(String, String, String)> = edges.collect();
        nodes.extend(edges.iter().map(|(_, to, _)| to));
        let mut out: String = nodes.iter().map(|id| node(graph, id)).collect();
        out.extend(
            edges.iter().map(|(from, to, _)| format!("{}\n", json!({ "type": "edge", "from": from, "to": to }))),
        );
        return Ok(out);
    } else if let Some(cloud) = query.strip_prefix("is(account) and metadata.ancestors.cloud.id == ") {
        let cloud: Value = serde_json::from_str(cloud).map_err(|error| Refusal("ParseError", error.to_string()))?;
        let is_account = |kinds: &[String]| kinds.iter().any(|kind| kind == "account");
        let accounts = graph
            .nodes
            .iter()
            .filter(|(_, node)| is_account(&node.kinds) && node.metadata["ancestors"]["cloud"]["id"] == cloud);
        return Ok(accounts.map(|(id, _)| node(graph, id)).collect());
    } else if query.starts_with("desired.clean == true") {
        return Ok(around(graph, &marked(graph, query)?));
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

/// Reads `is(kind) and metadata.ancestors.cloud.id == "c" -[0:1]->`.
fn successors(query: &str) -> Option<(&str, Value)> {
    let (kind, rest) = query.strip_prefix("is(")?.split_once(')')?;
    let cloud = rest.strip_prefix(" and metadata.ancestors.cloud.id == ")?.strip_suffix(" -[0:1]->")?;
    Some((kind, serde_json::from_str(cloud).ok()?))
}

/// Reads `is(region) and metadata.ancestors.cloud.id == "c" and metadata.ancestors.account.id in ["a"]`, and
/// `is(account) and metadata.ancestors.cloud.id == "c" and reported.id in ["a"]`.
fn summaries(query: &str) -> Option<(&'static str, (Value, Vec<Value>))> {
    let (kind, rest) = [("region", "metadata.ancestors.account.id"), ("account", "reported.id")].into_iter().find_map(
        |(kind, id)| {
            let start = format!("is({kind}) and metadata.ancestors.cloud.id == ");
            Some((kind, query.strip_prefix(&start)?.split_once(&format!(" and {id} in "))?))
        },
    )?;
    Some((kind, (serde_json::from_str(rest.0).ok()?, serde_json::from_str(rest.1).ok()?)))
}

/// Reads `is(kind) and reported.id == "id" -[0:]->`.
fn parse(query: &str) -> Option<(&str, String)> {
    let (kind, rest) = query.strip_prefix("is(")?.split_once(')')?;
    let text = rest.trim_start().strip_prefix("and reported.id == ")?.strip_suffix("-[0:]->")?;
    Some((kind, serde_json::from_str(text.trim_end()).ok()?))
}

/// The nodes of `desired.clean == true and metadata.cleaned == false[ and metadata.ancestors.cloud.id in ["a"]]
/// <-[0:]->`.
fn marked(graph: &Graph, query: &str) -> Result<BTreeSet<String>, Refusal> {
    let odd = || Refusal("ParseError", format!("Can not parse query: {query}"));
    let rest = query.strip_prefix("desired.clean == true and metadata.cleaned == false").ok_or_else(odd)?;
    let rest = rest.strip_suffix(" <-[0:]->").ok_or_else(odd)?;
    let clouds: Option<Vec<String>> = match rest.strip_prefix(" and metadata.ancestors.cloud.id in ") {
        Some(list) => Some(serde_json::from_str(list).map_err(|_| odd())?),
        None if rest.is_empty() => None,
        None => return Err(odd()),
    };
    let wanted = graph.nodes.iter().filter(|(_, node)| {
        let cloud = node.metadata["ancestors"]["cloud"]["id"].as_str().unwrap_or_default();
        let in_cloud = clouds.as_ref().is_none_or(|clouds| clouds.iter().any(|id| id == cloud));
        node.desired["clean"] == json!(true) && node.metadata["cleaned"] == json!(false) && in_cloud
    });
    Ok(wanted.map(|(id, _)| id.clone()).collect())
}

/// These nodes with all above and below them, edges after both their ends.
fn around(graph: &Graph, marked: &BTreeSet<String>) -> String {
    let default = |edge: &&(String, String, String)| edge.2 == "dependency";
    let mut all = marked.clone();
    for upwards in [true, false] {
        let mut open: Vec<String> = marked.iter().cloned().collect();
        let mut seen = marked.clone();
        while let Some(id) = open.pop() {
            for (from, to, _) in graph.edges.iter().filter(default) {
                let (here, next) = if upwards { (to, from) } else { (from, to) };
                if *here == id && seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        all.extend(seen);
    }
    let mut out: String = all.iter().map(|id| node(graph, id)).collect();
    for (from, to, _) in graph.edges.iter().filter(default) {
        if all.contains(from) && all.contains(to) {
            out.push_str(&format!("{}\n", json!({ "type": "edge", "from": from, "to": to })));
        }
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
