//! Received tasks, without a connection.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::ckcore::CoreConfig;

const ONE: ConnectionId = ConnectionId(1);

fn queue() -> TaskQueue {
    let config = CoreConfig::new("http://localhost", "ws://localhost").unwrap();
    let (_, stop) = watch::channel(None);
    let http = Arc::new(HttpClient::new(Arc::new(config)).unwrap());
    TaskQueue {
        http,
        ledger: Arc::default(),
        outbox: Outbox::default(),
        names: Arc::new(vec!["tag"]),
        clouds: Arc::default(),
        stop,
    }
}

fn task(number: usize) -> String {
    serde_json::json!({ "task_id": number.to_string(), "task_name": "tag", "data": {}, "attrs": {} }).to_string()
}

/// Invariant: a task is executed once and answered within its time.
#[test]
fn task_above_limit_is_rejected_if_never_redelivered() {
    let queue = queue();
    for number in 0..OPEN_LIMIT {
        assert_eq!(queue.frame(&task(number), Dialect::Core4, ONE), None);
    }
    let refusal = queue.frame(&task(OPEN_LIMIT), Dialect::Core4, ONE).unwrap();
    let refusal: serde_json::Value = serde_json::from_str(&refusal).unwrap();
    assert_eq!((&refusal["task_id"], &refusal["result"]), (&OPEN_LIMIT.to_string().into(), &"error".into()));
    assert_eq!(queue.frame(&task(OPEN_LIMIT + 1), Dialect::Core2, ONE), None, "the core redelivers it");
    // A rejection is not a result: the task is done as soon as there is room.
    queue.ledger.answered("0", TaskResult::Error("no such tag".into()));
    assert_eq!(queue.frame(&task(OPEN_LIMIT), Dialect::Core4, ONE), None);
    assert!(queue.ledger.lock().answered(&OPEN_LIMIT.to_string(), TaskResult::Error("no such tag".into())));
}

#[test]
fn second_task_on_a_connection_opens_more_connections() {
    let queue = queue();
    queue.frame(&task(1), Dialect::Core2, ONE);
    queue.frame(&task(2), Dialect::Core2, ConnectionId(2));
    assert_eq!(queue.ledger.crowded_until(), None);
    queue.frame(&task(3), Dialect::Core2, ONE);
    assert!(queue.ledger.crowded_until().is_some());
}
