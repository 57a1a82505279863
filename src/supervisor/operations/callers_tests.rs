//! Callers that wait, cancel and go away.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    future::{pending, ready},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use worker_proto::{Unit, Verb};

use super::*;
use crate::supervisor::operations::Priority;

const CLIENT: Client = Client { action: "cleanup", priority: Priority::Background };

fn request() -> Request {
    let unit = Unit { id: "a".into(), label: String::new(), kind: String::new(), parts: 0, payload: String::new() };
    let (limit, deadline) = (Duration::from_secs(1), Instant::now());
    Request { collector: "aws", unit, verb: Verb::Delete, target: String::new(), limit, deadline }
}

fn short(event: &OperationEvent) -> String {
    match event {
        OperationEvent::Requested(pending) => format!("requested {}", pending.id.0),
        OperationEvent::Cancelled(id) => format!("cancelled {}", id.0),
        OperationEvent::Abandoned(id) => format!("abandoned {}", id.0),
    }
}

/// Returns the events of all messages that wait.
fn events(callers: &mut Callers, messages: &mut mpsc::Receiver<Message>) -> Vec<String> {
    let received = std::iter::from_fn(|| messages.try_recv().ok()).collect::<Vec<_>>();
    received.into_iter().flat_map(|message| callers.receive(message)).map(|event| short(&event)).collect()
}

#[tokio::test]
async fn caller_gets_its_outcome_and_leaves_nothing() {
    let (mut callers, pool, mut messages) = Callers::channel();
    let mut call = pool.operate(CLIENT, request(), pending()).boxed();
    assert!((&mut call).now_or_never().is_none());
    assert_eq!(events(&mut callers, &mut messages), ["requested 0"]);
    callers.reply(OperationId(0), Outcome::Done);
    assert_eq!(call.await, Outcome::Done);
    assert!(callers.replies.is_empty() && messages.try_recv().is_err());
}

#[tokio::test]
async fn cancelled_call_waits_for_outcome_and_dropped_is_abandoned() {
    let (mut callers, pool, mut messages) = Callers::channel();
    let mut cancelled = pool.operate(CLIENT, request(), ready(())).boxed();
    let mut dropped = pool.operate(CLIENT, request(), pending()).boxed();
    assert!((&mut cancelled).now_or_never().is_none() && (&mut dropped).now_or_never().is_none());
    assert_eq!(events(&mut callers, &mut messages), ["requested 0", "cancelled 0", "requested 1"]);
    drop(dropped);
    assert_eq!(events(&mut callers, &mut messages), ["abandoned 1"]);
    callers.reply(OperationId(0), Outcome::Done);
    assert_eq!(cancelled.await, Outcome::Done);
}

#[tokio::test]
async fn call_dropped_before_its_request_is_read_does_not_begin() {
    let (mut callers, pool, mut messages) = Callers::channel();
    let mut call = pool.operate(CLIENT, request(), pending()).boxed();
    assert!((&mut call).now_or_never().is_none());
    drop(call);
    assert_eq!(events(&mut callers, &mut messages), [""; 0]);
}

/// Not in a runtime, which would have the calls yield before the queue is full.
#[test]
fn call_dropped_while_queue_is_full_is_abandoned() {
    let (mut callers, pool, mut messages) = Callers::channel();
    let mut dropped = pool.operate(CLIENT, request(), pending()).boxed();
    assert!((&mut dropped).now_or_never().is_none());
    events(&mut callers, &mut messages);
    let mut others: Vec<_> = (0..QUEUE).map(|_| pool.operate(CLIENT, request(), pending()).boxed()).collect();
    for other in &mut others {
        assert!(other.now_or_never().is_none());
    }
    drop(dropped);
    let first = callers.receive(messages.try_recv().unwrap());
    assert_eq!(first.iter().map(short).collect::<Vec<_>>(), ["abandoned 0", "requested 1"]);
    assert_eq!(messages.len(), QUEUE - 1);
}
