//! Everything that a test core knows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{auth::Guard, faults::Fault, graph::Graph, model::Model, work::Queue, workflow::Task};

/// One subscription of a subscriber.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subscription {
    pub(super) timeout: f64,
    pub(super) wait_for_completion: bool,
}

/// The subscriptions of a subscriber by event.
pub(crate) type Registration = BTreeMap<String, Subscription>;

/// What is sent on a websocket.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Text(String),
    Ping,
}

/// An open websocket. Dropping it breaks the connection.
pub(crate) struct Connection {
    pub(super) number: usize,
    pub(super) sender: mpsc::UnboundedSender<Outgoing>,
}

/// The state of a test core.
pub(crate) struct State {
    pub(super) guard: Guard,
    pub(super) subscribers: BTreeMap<String, Registration>,
    pub(super) tasks: BTreeMap<String, Task>,
    pub(super) task_count: usize,
    pub(super) model: Model,
    pub(super) graphs: BTreeMap<String, Graph>,
    pub(super) connections: HashMap<String, Connection>,
    pub(super) connection_count: usize,
    pub(super) handshakes: usize,
    pub(super) pongs: usize,
    pub(super) frames: Vec<String>,
    pub(super) requests: Vec<String>,
    /// The counts that the headers of the last merge said: nodes, edges.
    pub(super) announced: Option<(String, String)>,
    pub(super) faults: Vec<Fault>,
    /// The nodes whose changes are refused.
    pub(super) minded: BTreeSet<String>,
    pub(super) queue: Queue,
}

impl State {
    pub(super) fn new(psk: Option<&str>) -> Self {
        Self {
            guard: Guard::new(psk),
            subscribers: BTreeMap::new(),
            tasks: BTreeMap::new(),
            task_count: 0,
            model: Model::builtin(),
            graphs: BTreeMap::new(),
            connections: HashMap::new(),
            connection_count: 0,
            handshakes: 0,
            pongs: 0,
            frames: Vec::new(),
            requests: Vec::new(),
            announced: None,
            faults: Vec::new(),
            minded: BTreeSet::new(),
            queue: Queue::default(),
        }
    }

    /// Allows the connection of a subscriber, and says its number and what it has to send.
    pub(super) fn connect(&mut self, subscriber: &str) -> (usize, mpsc::UnboundedReceiver<Outgoing>) {
        let (sender, outgoing) = mpsc::unbounded_channel();
        self.connection_count += 1;
        let number = self.connection_count;
        self.connections.insert(subscriber.to_owned(), Connection { number, sender });
        (number, outgoing)
    }

    /// Forgets a connection, unless there is a newer one.
    pub(super) fn disconnect(&mut self, subscriber: &str, number: usize) {
        if self.connections.get(subscriber).is_some_and(|connection| connection.number == number) {
            self.connections.remove(subscriber);
        }
    }

    pub(super) fn send(&mut self, subscriber: &str, outgoing: Outgoing) {
        if let Some(connection) = self.connections.get(subscriber) {
            let _ = connection.sender.send(outgoing);
        }
    }

    /// What the core says of a subscriber.
    pub(super) fn subscriber_json(&self, id: &str) -> Value {
        let mut subscriptions = Map::new();
        for (event, subscription) in self.subscribers.get(id).into_iter().flatten() {
            let Subscription { timeout, wait_for_completion } = subscription;
            let value =
                json!({ "message_type": event, "timeout": timeout, "wait_for_completion": wait_for_completion });
            subscriptions.insert(event.clone(), value);
        }
        json!({ "id": id, "subscriptions": subscriptions })
    }
}
