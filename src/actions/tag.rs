//! Tag tasks: the cloud changes a tag, then the core gets back what was reported of the node, as it is now.
//!
//! A task is done only if the cloud said so. Tags are removed before others are set, and the first failure ends the
//! task. Nothing but `reported` goes back: a core replaces every section that it gets, and what people wish of the node
//! may have changed since the task was given out.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::timeout_at;
use worker_proto::{Outcome, Verb};

use super::resource_graph;
use crate::{
    ckcore::{StoredNode, Task},
    collector_api::{BoxFuture, Target},
    collectors,
    graph::ModelKind,
    settings::OptionGroup,
    supervisor::actions::{Action, ActionContext, ActionLimits, ActionResult, OperationRequest, Priority, Request},
};

/// The core cancels a task about 30 seconds after its delivery; an error a little earlier still reaches it.
const LIMIT: Duration = Duration::from_secs(28);
/// The most changes that one task may ask for.
const MAX_CHANGES: usize = 100;
/// The fields that no change of a tag changes.
const IDENTITY: [&str; 3] = ["kind", "id", "name"];

static OPTIONS: OptionGroup = OptionGroup::empty("tag");

/// The task `tag` of the core.
pub(super) struct Tag;

impl Action for Tag {
    fn name(&self) -> &'static str {
        OPTIONS.name
    }

    fn options(&self) -> &'static OptionGroup {
        &OPTIONS
    }

    fn tasks(&self) -> &'static [&'static str] {
        &["tag"]
    }

    /// The connection bounds how many tasks are open.
    fn limits(&self) -> ActionLimits {
        let remedy = "change the tags of fewer resources at once";
        ActionLimits { running: 64, waiting: 1024, timeout: Some(LIMIT), remedy }
    }

    fn priority(&self) -> Priority {
        Priority::Urgent
    }

    fn run(&self, request: Request, context: ActionContext) -> BoxFuture<'static, ActionResult> {
        Box::pin(async move {
            let Request::Task(task) = request else { return Err("tags are changed by tasks only".to_owned()) };
            // A worker that does not answer has a grace period, and the core does not wait for that.
            let late = |_| Err("timeout exceeded; some of the tags may have been changed".to_owned());
            let deadline = context.deadline().into();
            let result = timeout_at(deadline, change_tags(&task, &context)).await.unwrap_or_else(late);
            if let Err(reason) = &result {
                tracing::warn!(peer = "work", task = task.id, reason, "task failed");
            }
            result
        })
    }
}

async fn change_tags(task: &Task, context: &ActionContext) -> ActionResult {
    let mut node = task.node().ok_or("the task names no node")?;
    let changes = changes(&task.data)?;
    let target = resource_graph::target_of_task(&node).map_err(|why| format!("{}: {why}", node.kind))?;
    let (collector, owner) = context
        .targets()
        .get_key_value(target.cloud.as_str())
        .ok_or_else(|| format!("the collector of the cloud {} is not enabled", target.cloud))?;
    let unit = owner.unit(&target).map_err(|failure| failure.message)?;
    for verb in changes {
        let json = serde_json::to_string(&current(&target, &node)).map_err(|error| error.to_string())?;
        let request = OperationRequest {
            collector,
            unit: unit.clone(),
            verb: verb.clone(),
            target: json,
            limit: LIMIT,
            deadline: context.deadline(),
        };
        match context.operate(request).await {
            Outcome::Done | Outcome::Detached(_) => change(&mut node, &verb),
            Outcome::Changed(fields) => {
                change(&mut node, &verb);
                set_fields(&mut node, fields);
            }
            Outcome::Nothing(why) => return Err(why),
            Outcome::Failed(failure) => return Err(failure.message),
        }
    }
    tracing::info!(task = task.id, resource = target.label(), "changed tags");
    Ok(json!({ "id": node.id, "reported": node.reported }))
}

/// Returns the changes of a task, removals first.
fn changes(data: &Map<String, Value>) -> Result<Vec<Verb>, String> {
    let mut changes = Vec::new();
    for key in data.get("delete").and_then(Value::as_array).into_iter().flatten() {
        let key = key.as_str().ok_or("a tag to remove has no text as key")?;
        changes.push(Verb::DeleteTag { key: key.to_owned() });
    }
    for (key, value) in data.get("update").and_then(Value::as_object).into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            // `tag update KEY` without a value.
            Value::Null => String::new(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => return Err(format!("the value of the tag {key} is no text")),
        };
        changes.push(Verb::UpdateTag { key: key.clone(), value });
    }
    match changes.len() {
        0 => Err("the task changes no tag".into()),
        1..=MAX_CHANGES => Ok(changes),
        _ => Err(format!("the task changes more than {MAX_CHANGES} tags")),
    }
}

/// The target with the tags that it has by now.
fn current(target: &Target, node: &StoredNode) -> Target {
    Target { reported: node.reported.clone(), ..target.clone() }
}

fn change(node: &mut StoredNode, verb: &Verb) {
    let tags = node.reported.entry("tags").or_insert_with(|| Value::Object(Map::new()));
    if !tags.is_object() {
        *tags = Value::Object(Map::new());
    }
    let Some(tags) = tags.as_object_mut() else { return };
    match verb {
        Verb::UpdateTag { key, value } => drop(tags.insert(key.clone(), value.clone().into())),
        Verb::DeleteTag { key } => drop(tags.remove(key)),
        Verb::PreDelete | Verb::Delete => {}
    }
}

/// Sets the fields that have changed with a tag, so that the next change starts from them. Only strings that the kind
/// has are set: a core rejects a node with any other field.
fn set_fields(node: &mut StoredNode, fields: Vec<(String, String)>) {
    let Some(kind) = collectors::schema().ok().and_then(|schema| schema.kind(&node.kind)) else { return };
    for (field, value) in fields {
        let is_text = kind.position(&field).is_some_and(|position| kind.fields[position].model_kind == ModelKind::Text);
        if is_text && !IDENTITY.contains(&field.as_str()) {
            node.reported.insert(field, value.into());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{collections::BTreeMap, time::Instant};

    use super::*;
    use crate::supervisor::actions::TargetCollector;

    fn verbs(data: Value) -> Result<Vec<Verb>, String> {
        changes(data.as_object().unwrap())
    }

    #[test]
    fn removals_come_before_updates() {
        let update = Verb::UpdateTag { key: "a".into(), value: "1".into() };
        let delete = Verb::DeleteTag { key: "b".into() };
        assert_eq!(verbs(json!({ "update": { "a": 1 }, "delete": ["b"] })), Ok(vec![delete, update]));
        let empty = Verb::UpdateTag { key: "a".into(), value: String::new() };
        assert_eq!(verbs(json!({ "update": { "a": null } })), Ok(vec![empty]));
    }

    #[test]
    fn task_without_valid_change_is_rejected() {
        assert!(verbs(json!({})).unwrap_err().contains("no tag"));
        assert!(verbs(json!({ "update": { "a": {} } })).unwrap_err().contains("no text"));
        assert!(verbs(json!({ "delete": [1] })).unwrap_err().contains("no text"));
        assert!(verbs(json!({ "delete": vec!["x"; 101] })).unwrap_err().contains("more than"));
    }

    #[test]
    fn task_changes_only_tags_of_node() {
        let task: Value = serde_json::from_str(include_str!("../ckcore/testdata/task_2.0.json")).unwrap();
        let mut node = StoredNode::read(&task["data"]["node"]).unwrap();
        let before = node.clone();
        change(&mut node, &Verb::UpdateTag { key: "owner".into(), value: "bob".into() });
        change(&mut node, &Verb::DeleteTag { key: "expiration".into() });
        change(&mut node, &Verb::DeleteTag { key: "not there".into() });
        assert_eq!(node.reported["tags"], json!({ "Name": "Example Instance 1", "owner": "bob" }));
        node.reported.insert("tags".into(), before.reported["tags"].clone());
        assert_eq!(node, before);
        assert!(!node.reported.contains_key("region") && !node.reported.contains_key("age"));
    }

    #[test]
    fn fields_that_changed_with_tag_are_reported() {
        let reported = json!({ "kind": "gcp_disk", "id": "7", "name": "d", "tags": {}, "volume_size": 10 });
        let mut node = StoredNode::read(&json!({ "id": "x", "reported": reported })).unwrap();
        let changed = ["label_fingerprint", "volume_size", "no_such_field", "id"];
        set_fields(&mut node, changed.map(|field| (field.to_owned(), "new".to_owned())).to_vec());
        let expected = json!({ "kind": "gcp_disk", "id": "7", "name": "d", "tags": {}, "volume_size": 10, "label_fingerprint": "new" });
        assert_eq!(Value::Object(node.reported), expected);
    }

    /// The core gives a task up soon after its deadline, whatever its worker does.
    #[tokio::test]
    async fn task_whose_operation_has_no_outcome_ends_at_its_deadline() {
        let task: Value = serde_json::from_str(include_str!("../ckcore/testdata/task_2.0.json")).unwrap();
        let data = task["data"].as_object().unwrap().clone();
        let task = Task { id: "1".into(), name: "tag".into(), attrs: Default::default(), data };
        let cloud = resource_graph::target_of_task(&task.node().unwrap()).unwrap().cloud;
        let collector = collectors::find(&cloud).unwrap();
        let settings = crate::settings::Settings::defaults(collector.options());
        let targets = BTreeMap::from([(collector.name(), TargetCollector { collector, settings })]);
        let deadline = Instant::now() + Duration::from_millis(50);
        let (context, _callers) = ActionContext::without_outcomes(targets, deadline);
        let result = Tag.run(Request::Task(task), context).await;
        assert!(result.as_ref().is_err_and(|reason| reason.starts_with("timeout exceeded;")), "{result:?}");
        assert!(Instant::now() >= deadline);
    }
}
