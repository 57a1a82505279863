//! What is said on the websockets. Both generations say it in the same words; the newer one has more of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{
    Action, ActionKey, Answer, Duty, InfoLevel, ProgressTree, Task, TaskResult,
    error::{bounded, cut},
};

/// The longest error text that goes into an answer, in bytes.
const ERROR_LIMIT: usize = 4000;

/// The longest message about an action, in bytes.
const INFO_LIMIT: usize = 500;

/// The time stamps of a core: `2024-01-02T03:04:05Z`.
const TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// A text frame of the core.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Incoming {
    /// Something to do.
    Action(Action),
    /// Something is no longer to be done.
    Abort(ActionKey),
    /// Nothing that we can use, and why.
    Unusable(String),
}

/// Something about an action in work, for people.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Note {
    /// How far it is.
    Progress(ProgressTree),
    /// A message.
    Info(InfoLevel, String),
}

/// Reads a text frame of the action websocket.
pub(super) fn read(text: &str) -> Incoming {
    read_action(text).unwrap_or_else(Incoming::Unusable)
}

fn read_action(text: &str) -> Result<Incoming, String> {
    let frame: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let field = |name: &str| frame.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = field("kind");
    if !["action", "action_abort"].contains(&kind) {
        return Err(format!("kind {:?}", bounded(kind)));
    }
    let Some(duty) = Duty::named(field("message_type")) else {
        return Err(format!("action {:?}, for which we are not registered", bounded(field("message_type"))));
    };
    let data = frame.get("data").and_then(Value::as_object).ok_or("an action without data")?;
    let part = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(task), Some(step)) = (part("task"), part("step")) else {
        return Err("an action without task or step".to_owned());
    };
    let key = ActionKey { task, step };
    if kind == "action_abort" {
        return Ok(Incoming::Abort(key));
    }
    Ok(Incoming::Action(Action { key, duty, data: data.clone() }))
}

/// The text frame that answers an action.
pub(super) fn answer(action: &Action, answer: &Answer) -> String {
    let mut data = action.data.clone();
    let kind = match answer {
        Answer::Done => "action_done",
        Answer::Error(text) => {
            data.insert("error".to_owned(), Value::from(cut(text, ERROR_LIMIT)));
            "action_error"
        }
    };
    json!({ "kind": kind, "message_type": action.duty.name(), "data": data }).to_string()
}

/// The text frame about an action in work.
pub(super) fn note(key: &ActionKey, duty: Duty, note: &Note) -> String {
    let ActionKey { task, step } = key;
    let (kind, data) = match note {
        Note::Progress(progress) => {
            let at = OffsetDateTime::now_utc().format(TIME).unwrap_or_default();
            ("action_progress", json!({ "task": task, "step": step, "progress": tree(progress), "at": at }))
        }
        Note::Info(level, text) => {
            let level = match level {
                InfoLevel::Info => "info",
                InfoLevel::Error => "error",
            };
            ("action_info", json!({ "task": task, "step": step, "level": level, "message": cut(text, INFO_LIMIT) }))
        }
    };
    json!({ "kind": kind, "message_type": duty.name(), "data": data }).to_string()
}

fn tree(progress: &ProgressTree) -> Value {
    let parts = progress.parts.iter().map(|part| {
        // The core refuses a total of nothing and more than all.
        let total = part.total.max(1);
        let mut json =
            json!({ "kind": "progress", "name": part.name, "current": part.current.min(total), "total": total });
        if !part.path.is_empty() {
            json["path"] = json!(part.path);
        }
        json
    });
    json!({ "kind": "tree", "name": progress.name, "parts": parts.collect::<Vec<_>>() })
}

/// The first frame on the work queue of a core that wants to be told what we do.
pub(super) fn commands(clouds: &[String]) -> String {
    let mut filter = Map::new();
    if !clouds.is_empty() {
        filter.insert("cloud".to_owned(), json!(clouds));
    }
    json!([{
        "name": "tag", "info": null, "description": null, "filter": filter, "expect_node_result": true,
        "args_description": {}, "allowed_on_kind": null,
    }])
    .to_string()
}

/// Reads a frame of the work queue, or says why it cannot be used.
pub(super) fn read_task(text: &str) -> Result<Task, String> {
    let mut frame: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let field = |name: &str| frame.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(id), Some(name)) = (field("task_id"), field("task_name")) else {
        return Err("a task without id or name".to_owned());
    };
    let attrs = frame.get("attrs").and_then(Value::as_object).into_iter().flatten();
    let attrs = attrs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    let attrs: BTreeMap<_, _> = attrs.collect();
    let data = frame.get_mut("data").map(Value::take);
    let Some(Value::Object(data)) = data else { return Err("a task without data".to_owned()) };
    Ok(Task { id, name, attrs, data })
}

/// The text frame that answers a task.
pub(super) fn task_result(id: &str, result: &TaskResult) -> String {
    match result {
        TaskResult::Done(node) => json!({ "task_id": id, "result": "done", "data": node }),
        TaskResult::Error(text) => json!({ "task_id": id, "result": "error", "error": cut(text, ERROR_LIMIT) }),
    }
    .to_string()
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
