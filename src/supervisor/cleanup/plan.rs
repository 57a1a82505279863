//! What is deleted, and in which order. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use worker_proto::Unit;

use super::Operable;
use crate::{
    ckcore::{Stored, StoredGraph},
    collectors::Subject,
    supervisor::place::{Places, Rank},
};

/// The collectors that may be asked, by the id of their cloud.
pub(in crate::supervisor) type Operables = BTreeMap<&'static str, Operable>;

/// One resource to delete.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// The node's id in the core.
    pub(super) node: String,
    pub(super) collector: &'static str,
    /// The account whose worker does it.
    pub(super) unit: Unit,
    pub(super) subject: Subject,
}

/// One resource that is marked and not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The node's id in the core.
    pub(super) node: String,
    /// The resource, for people.
    pub(super) label: String,
    /// Why.
    pub(super) reason: String,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Deepest first: whatever depends on a resource is in an earlier level.
    pub(super) levels: Vec<Vec<Item>>,
    pub(super) refused: Vec<Refusal>,
}

impl Plan {
    /// All resources to delete, in no order.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.levels.iter().flatten()
    }
}

/// Plans the deletion of everything in the graph that is marked and not deleted yet.
pub(super) fn plan(graph: &StoredGraph, operables: &Operables) -> Plan {
    let places = Places::new(graph);
    let depths = places.depths();
    let mut levels: BTreeMap<usize, Vec<Item>> = BTreeMap::new();
    let mut refused = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        // A node that is there twice is planned once.
        if !is_wanted(node) || places.index(&node.id) != Some(index) {
            continue;
        }
        let planned = depths[index].ok_or_else(|| "it is on a circle of the graph".to_owned());
        let planned = planned.and_then(|depth| Ok((depth, item(&places, index, operables)?)));
        match planned {
            Ok((depth, item)) => levels.entry(depth).or_default().push(item),
            Err(reason) => refused.push(Refusal { node: node.id.clone(), label: label(node), reason }),
        }
    }
    Plan { levels: levels.into_values().rev().collect(), refused }
}

fn is_wanted(node: &Stored) -> bool {
    node.desired.get("clean") == Some(&Value::Bool(true)) && !is_set(node, "cleaned")
}

fn is_set(node: &Stored, flag: &str) -> bool {
    node.metadata.get(flag) == Some(&Value::Bool(true))
}

fn item(places: &Places<'_>, index: usize, operables: &Operables) -> Result<Item, String> {
    let node = places.node(index);
    if is_set(node, "protected") {
        return Err("it is protected".into());
    }
    if is_set(node, "phantom") {
        return Err("it is no resource that could be deleted (phantom)".into());
    }
    if Rank::of(&node.kind) != Rank::Resource {
        return Err(format!("a {} is never deleted", node.kind));
    }
    let subject = places.subject(index)?;
    let (collector, operable) = operables
        .get_key_value(subject.cloud.as_str())
        .ok_or_else(|| format!("the collector of its cloud {} is not enabled", subject.cloud))?;
    let unit = operable.unit(&subject).map_err(|failure| failure.message)?;
    Ok(Item { node: node.id.clone(), collector, unit, subject })
}

fn label(node: &Stored) -> String {
    let id = crate::supervisor::place::resource_id(node);
    format!("{} {id}", node.kind)
}
