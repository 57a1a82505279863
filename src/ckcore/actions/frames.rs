//! Frames of the action websocket. Both generations use the same frames; the newer one has more of them.

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{
    Action, ActionKey, Answer, SubscriberId,
    progress::{InfoLevel, ProgressTree, Update},
};
use crate::ckcore::error::{ERROR_LIMIT, bounded, cut};

/// The longest message about an action, in bytes.
const INFO_LIMIT: usize = 500;

/// The timestamp format of a core: `2024-01-02T03:04:05Z`.
const TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// A received text frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// An action.
    Action(Action),
    /// The core aborts an action.
    Abort(ActionKey),
    /// An invalid frame, with the reason.
    Unusable(String),
}

/// Reads a text frame of the websocket of this subscriber, which subscribes to these actions.
pub fn read(text: &str, subscriber: SubscriberId, actions: &[&'static str]) -> Incoming {
    read_action(text, subscriber, actions).unwrap_or_else(Incoming::Unusable)
}

fn read_action(text: &str, subscriber: SubscriberId, actions: &[&'static str]) -> Result<Incoming, String> {
    let frame: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let field = |name: &str| frame.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = field("kind");
    if !["action", "action_abort"].contains(&kind) {
        return Err(format!("kind {:?}", bounded(kind)));
    }
    let Some(name) = actions.iter().find(|name| **name == field("message_type")) else {
        return Err(format!("action {:?}, which is not subscribed to", bounded(field("message_type"))));
    };
    let data = frame.get("data").and_then(Value::as_object).ok_or("an action without data")?;
    let part = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(task), Some(step)) = (part("task"), part("step")) else {
        return Err("an action without task or step".to_owned());
    };
    let key = ActionKey { subscriber, task, step };
    if kind == "action_abort" {
        return Ok(Incoming::Abort(key));
    }
    Ok(Incoming::Action(Action { key, name, data: data.clone() }))
}

/// Returns the text frame with the result of an action.
pub fn answer(action: &Action, answer: &Answer) -> String {
    let mut data = action.data.clone();
    let kind = match answer {
        Answer::Done => "action_done",
        Answer::Error(text) => {
            data.insert("error".to_owned(), Value::from(cut(text, ERROR_LIMIT)));
            "action_error"
        }
    };
    json!({ "kind": kind, "message_type": action.name, "data": data }).to_string()
}

/// Returns the text frame with an update about an action in progress.
pub fn update(key: &ActionKey, action: &str, update: &Update) -> String {
    let ActionKey { task, step, .. } = key;
    let (kind, data) = match update {
        Update::Progress(progress) => {
            let at = OffsetDateTime::now_utc().format(TIME).unwrap_or_default();
            ("action_progress", json!({ "task": task, "step": step, "progress": tree(progress), "at": at }))
        }
        Update::Info(level, text) => {
            let level = match level {
                InfoLevel::Info => "info",
                InfoLevel::Error => "error",
            };
            ("action_info", json!({ "task": task, "step": step, "level": level, "message": cut(text, INFO_LIMIT) }))
        }
    };
    json!({ "kind": kind, "message_type": action, "data": data }).to_string()
}

fn tree(progress: &ProgressTree) -> Value {
    let parts = progress.parts.iter().map(|part| {
        // The core rejects a total of zero, and more than the total.
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

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
