//! Changes to stored nodes, and what is refused.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{graph::Graph, model::Refusal};

const SECTIONS: [&str; 3] = ["reported", "desired", "metadata"];

impl Graph {
    /// Takes lines of changes, all or none, and answers the changed nodes as lines.
    pub(super) fn patch(&mut self, lines: &[u8]) -> Result<String, Refusal> {
        let mut seen = BTreeSet::new();
        let mut changes = Vec::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let change: Value =
                serde_json::from_slice(line).map_err(|error| Refusal("JSONDecodeError", error.to_string()))?;
            let refused = |text: String| Err(Refusal("AssertionError", text));
            let Some(id) = change["id"].as_str().map(str::to_owned) else {
                return refused(format!("No id given for element {change}"));
            };
            let sections = SECTIONS.iter().filter(|section| change.get(**section).is_some()).count();
            if sections == 0 {
                return refused(format!("No update provided for element {change}"));
            }
            if !seen.insert(id.clone()) {
                return refused(format!("Only one update allowed per id! {change}"));
            }
            if !self.nodes.contains_key(&id) && (sections > 1 || change.get("reported").is_some()) {
                return Err(Refusal("AttributeError", format!("No document found with this id: {id}")));
            }
            changes.push((id, change));
        }
        let mut answer = String::new();
        for (id, change) in changes {
            let Some(node) = self.nodes.get_mut(&id) else { continue };
            merge(&mut node.reported, &change["reported"]);
            merge(&mut node.desired, &change["desired"]);
            merge(&mut node.metadata, &change["metadata"]);
            answer.push_str(&format!("{}\n", json!({ "id": id, "type": "node", "reported": node.reported })));
        }
        Ok(answer)
    }
}

/// Deep for structures; everything else is replaced.
fn merge(old: &mut Value, new: &Value) {
    match (old, new) {
        (_, Value::Null) => {}
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                merge(old.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (old, new) => *old = new.clone(),
    }
}
