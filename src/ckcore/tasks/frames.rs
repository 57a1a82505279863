//! Frames of the work queue.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Task, TaskResult};
use crate::ckcore::error::{ERROR_LIMIT, cut};

/// Returns the first frame for a core that reads the names of accepted tasks from it.
pub fn commands(names: &[&str], clouds: &[String]) -> String {
    let mut filter = Map::new();
    if !clouds.is_empty() {
        filter.insert("cloud".to_owned(), json!(clouds));
    }
    let command = |name: &&str| {
        json!({
            "name": name, "info": null, "description": null, "filter": filter, "expect_node_result": true,
            "args_description": {}, "allowed_on_kind": null,
        })
    };
    Value::from_iter(names.iter().map(command)).to_string()
}

/// Reads a frame of the work queue.
///
/// # Errors
/// The reason why the frame is invalid.
pub fn read_task(text: &str) -> Result<Task, String> {
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

/// Returns the text frame with the result of a task.
pub fn task_result(id: &str, result: &TaskResult) -> String {
    match result {
        TaskResult::Done(node) => json!({ "task_id": id, "result": "done", "data": node }),
        TaskResult::Error(text) => json!({ "task_id": id, "result": "error", "error": cut(text, ERROR_LIMIT) }),
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn recorded_tasks_are_read() {
        for task in [include_str!("../testdata/task_2.0.json"), include_str!("../testdata/task_4.1.json")] {
            let task = read_task(task).unwrap();
            assert_eq!((task.name.as_str(), &task.data["update"]), ("tag", &json!({"owner": "bob"})));
            assert_eq!(task.attrs["account"], "Example Account");
            assert_eq!(task.node().unwrap().kind, "example_instance");
            let done = parsed(&task_result(&task.id, &TaskResult::Done(json!({"id": "x"}))));
            assert_eq!(done, json!({"task_id": task.id, "result": "done", "data": {"id": "x"}}));
        }
        for (text, why) in [("[", "JSON"), ("{}", "id"), ("{\"task_id\":\"a\",\"task_name\":\"tag\"}", "data")] {
            assert!(read_task(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn registration_has_cloud_filter_only_with_clouds() {
        assert_eq!(parsed(&commands(&["tag"], &[]))[0]["filter"], json!({}));
        let two = parsed(&commands(&["tag", "other"], &["aws".into()]));
        assert_eq!((&two[0]["filter"], &two[1]["name"]), (&json!({"cloud": ["aws"]}), &json!("other")));
    }
}
