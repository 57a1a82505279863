//! Frames as they were recorded.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::ckcore::ProgressPart;

const RECORDED: &str = "{\"kind\": \"action\", \"message_type\": \"collect\", \"data\": {\"task\": \"da2af9aa\", \"step\": \"collect\"}}\n";

fn action(text: &str) -> Action {
    match read(text, SubscriberId::Worker, &["collect"]) {
        Incoming::Action(action) => action,
        other => panic!("{other:?}"),
    }
}

fn key(task: &str) -> ActionKey {
    ActionKey { subscriber: SubscriberId::Worker, task: task.into(), step: "collect".into() }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn recorded_action_is_read_and_answered() {
    let action = action(RECORDED);
    assert_eq!(action.key, key("da2af9aa"));
    assert_eq!(action.name, "collect");
    let expected =
        json!({"kind": "action_done", "message_type": "collect", "data": {"task": "da2af9aa", "step": "collect"}});
    assert_eq!(parsed(&answer(&action, &Answer::Done)), expected);
    let error = parsed(&answer(&action, &Answer::Error("x".repeat(100_000))));
    assert_eq!(error["kind"], "action_error");
    assert_eq!(error["data"]["error"].as_str().unwrap().len(), ERROR_LIMIT + '…'.len_utf8());
}

#[test]
fn recorded_abort_is_read() {
    let text = RECORDED.replace("\"action\"", "\"action_abort\"");
    assert_eq!(read(&text, SubscriberId::Worker, &["collect"]), Incoming::Abort(key("da2af9aa")));
}

#[test]
fn invalid_frames_name_the_reason() {
    for (text, why) in [
        ("", "not JSON"),
        ("[]", "kind"),
        ("{\"kind\":\"event\"}", "kind \"event\""),
        ("{\"kind\":\"action\",\"message_type\":\"other\"}", "not subscribed"),
        ("{\"kind\":\"action\",\"message_type\":\"collect\",\"data\":null}", "without data"),
        ("{\"kind\":\"action\",\"message_type\":\"collect\",\"data\":{\"task\":1}}", "without task"),
    ] {
        match read(text, SubscriberId::Worker, &["collect", "cleanup"]) {
            Incoming::Unusable(reason) => assert!(reason.contains(why), "{text}: {reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn updates_have_the_recorded_form() {
    let key = key("t");
    let part = |path: &[&str], name: &str, current, total| ProgressPart {
        path: path.iter().map(|part| (*part).to_owned()).collect(),
        name: name.into(),
        current,
        total,
    };
    let parts = vec![part(&["collect"], "example", 5, 3), part(&[], "x", 0, 0)];
    let progress = Update::Progress(ProgressTree { name: "collect".into(), parts });
    let mut frame = parsed(&update(&key, "collect", &progress));
    let at = frame["data"]["at"].take();
    assert!(at.as_str().unwrap().ends_with('Z') && at.as_str().unwrap().len() == 20, "{at}");
    let expected = json!({"kind": "action_progress", "message_type": "collect", "data": {"task": "t", "step": "collect",
        "at": null, "progress": {"kind": "tree", "name": "collect", "parts": [
            {"kind": "progress", "name": "example", "path": ["collect"], "current": 3, "total": 3},
            {"kind": "progress", "name": "x", "current": 0, "total": 1}]}}});
    assert_eq!(frame, expected);
    let info = parsed(&update(&key, "collect", &Update::Info(InfoLevel::Error, "x".repeat(9000))));
    assert_eq!((&info["kind"], &info["data"]["level"]), (&json!("action_info"), &json!("error")));
    assert!(info["data"]["message"].as_str().unwrap().len() < 510);
}
