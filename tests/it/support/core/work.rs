//! The work queue: who gets a task, what a result does, and what a lost connection costs.

use std::{collections::BTreeMap, sync::Arc};

use hyper::{Request, body::Incoming};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Shared,
    graph::StoredNode,
    server::Answer,
    socket,
    state::{Outgoing, State},
};

/// How often a task is given out again.
const RETRIES: usize = 3;

/// An open connection to the queue.
pub(crate) struct Worker {
    tasks: Vec<String>,
    filters: BTreeMap<String, Vec<String>>,
    pub(super) sender: mpsc::UnboundedSender<Outgoing>,
}

/// A task and what became of it.
#[derive(Clone, Debug)]
pub struct Work {
    name: String,
    attrs: BTreeMap<String, String>,
    data: Value,
    /// The connection that has it.
    holder: Option<usize>,
    /// How often it was given out.
    pub given_out: usize,
    /// The result, or why there will be none.
    pub outcome: Option<Result<Value, String>>,
}

/// All tasks and all connections.
#[derive(Default)]
pub(crate) struct Queue {
    pub(super) works: BTreeMap<String, Work>,
    pub(super) workers: BTreeMap<usize, Worker>,
    /// How many connections were made since the start.
    pub(super) connections: usize,
}

impl Queue {
    /// Puts a task into the queue.
    pub(super) fn add(&mut self, id: &str, attrs: &[(&str, &str)], data: Value) {
        let attrs = attrs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let work = Work { name: "tag".into(), attrs, data, holder: None, given_out: 0, outcome: None };
        self.works.insert(id.to_owned(), work);
        self.hand_out(id);
    }

    /// Gives every task without a holder to somebody, as the core does from time to time.
    pub(super) fn look(&mut self) {
        let is_waiting = |work: &Work| work.holder.is_none() && work.outcome.is_none();
        let waiting = self.works.iter().filter(|(_, work)| is_waiting(work)).map(|(id, _)| id.clone());
        for id in waiting.collect::<Vec<_>>() {
            self.hand_out(&id);
        }
    }

    /// Gives a task to the worker with the fewest open ones.
    fn hand_out(&mut self, id: &str) {
        let work = &self.works[id];
        let is_open = |work: &&Work, number| work.holder == Some(number) && work.outcome.is_none();
        let load = |number: usize| self.works.values().filter(|work| is_open(work, number)).count();
        let fits = self.workers.iter().filter(|(_, worker)| worker.takes(work));
        let Some(number) = fits.map(|(number, _)| *number).min_by_key(|number| (load(*number), *number)) else {
            return;
        };
        let text = json!({ "task_id": id, "task_name": work.name, "data": work.data, "attrs": work.attrs });
        let _ = self.workers[&number].sender.send(Outgoing::Text(format!("{text}\n")));
        if let Some(work) = self.works.get_mut(id) {
            work.holder = Some(number);
            work.given_out += 1;
        }
    }

    /// A connection is over: its open tasks go back, some of them for the last time.
    fn leave(&mut self, number: usize) {
        self.workers.remove(&number);
        for work in self.works.values_mut().filter(|work| work.holder == Some(number) && work.outcome.is_none()) {
            work.holder = None;
            if work.given_out > RETRIES {
                work.outcome = Some(Err("Could not finish the task.".into()));
            }
        }
    }

    /// All connections are over.
    pub(super) fn lose_all(&mut self) {
        for number in self.workers.keys().copied().collect::<Vec<_>>() {
            self.leave(number);
        }
    }

    /// A frame arrived: a result counts only from the connection that has the task.
    fn take(&mut self, number: usize, text: &str) {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        let id = frame["task_id"].as_str().unwrap_or_default();
        let Some(work) = self.works.get_mut(id).filter(|work| work.holder == Some(number)) else { return };
        work.outcome = match frame["result"].as_str() {
            Some("done") if frame["data"].is_object() || frame["data"].is_null() => Some(Ok(frame["data"].clone())),
            Some("error") => Some(Err(frame["error"].as_str().unwrap_or_default().to_owned())),
            _ => return,
        };
    }
}

impl Worker {
    fn takes(&self, work: &Work) -> bool {
        let matches =
            |(key, values): (&String, &Vec<String>)| work.attrs.get(key).is_some_and(|value| values.contains(value));
        self.tasks.contains(&work.name) && self.filters.iter().all(matches)
    }
}

/// Answers the handshake of a worker.
pub(super) fn handle(shared: &Arc<Shared>, request: Request<Incoming>) -> Answer {
    let list = |value: &str| -> Vec<String> { value.split(',').map(|part| part.trim().replace("%2C", ",")).collect() };
    let query = request.uri().query().unwrap_or_default().replace("%2C", ",");
    let mut filters: BTreeMap<String, Vec<String>> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), list(value)))
        .collect();
    let Some(tasks) = filters.remove("task") else { return super::server::text(400, "no task") };
    let (sender, outgoing) = mpsc::unbounded_channel();
    socket::accept(shared, request, move |shared, mut socket| async move {
        let number = shared.change(|state: &mut State| {
            state.queue.connections += 1;
            let number = state.queue.connections;
            state.queue.workers.insert(number, Worker { tasks, filters, sender });
            number
        });
        let code = socket::serve(&shared, &mut socket, outgoing, |text| {
            shared.change(|state| {
                state.frames.push(text.to_owned());
                state.queue.take(number, text);
                // Only the first frame counts, whatever follows.
                state.queue.leave(number);
            });
        })
        .await;
        shared.change(|state| state.queue.leave(number));
        socket::end(socket, code).await;
    })
}

/// A node as a core 2.0 puts it into a task: with the nodes above it in each section.
pub fn in_task(id: &str, node: &StoredNode) -> Value {
    let mut reported = node.reported.clone();
    for rank in ["cloud", "account", "region"] {
        reported[rank] = node.metadata["ancestors"][rank].clone();
    }
    reported["zone"] = Value::Null;
    reported["age"] = json!("21s");
    json!({"id": id, "type": "node", "reported": reported, "desired": {"cloud": null}, "metadata": node.metadata})
}
