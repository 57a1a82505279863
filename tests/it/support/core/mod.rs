//! A core 2.0 inside the test process, which behaves as the real one was recorded.
//!
//! It keeps subscribers, running workflows, model and graphs over a restart, as the real one keeps them in its
//! database; connections are lost. Its clock stands still: steps do not time out by themselves. Tests start workflows,
//! look at what arrived, and make it refuse, hold or cut requests.

mod auth;
mod faults;
mod graph;
mod model;
mod patch;
mod python;
mod query;
mod server;
mod socket;
mod state;
mod work;
mod workflow;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use faults::Gate;
use faults::{Effect, Fault};
pub use graph::StoredNode;
use state::State;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};
pub use work::{Work, in_task};

use super::poll::poll;

/// How long a test waits for something that must happen.
pub const HANG_GUARD: Duration = Duration::from_secs(120);

/// What all tasks of a test core share.
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
        result
    }
}

/// A running test core, and the handle of a test to it. Ends when dropped.
pub struct TestCore {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl Drop for TestCore {
    fn drop(&mut self) {
        self.stop();
    }
}

impl TestCore {
    /// Starts a core on a free port of the loopback interface.
    pub async fn start(psk: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { state: Mutex::new(State::new(psk)), changed: watch::Sender::new(0) });
        let server = tokio::spawn(server::run(listener, Arc::clone(&shared)));
        Self { address, shared, server: Some(server) }
    }

    /// Its URI for requests.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its URI for websockets.
    pub fn ws_uri(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Gives it another key, as a restart with another `--psk` would; open connections stay.
    pub fn set_psk(&self, psk: &str) {
        self.shared.change(|state| state.guard = auth::Guard::new(Some(psk)));
    }

    /// Ends the core: nobody listens any more and all connections break.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
        self.drop_connections();
    }

    /// Starts the core again on the same port with the same database.
    pub async fn start_again(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            // The port is free when the aborted task has let go of it.
            let _ = server.await;
        }
        let listener = poll(async || TcpListener::bind(self.address).await.ok()).await.expect("the port becomes free");
        self.server = Some(tokio::spawn(server::run(listener, Arc::clone(&self.shared))));
    }

    /// Ends it and starts it again.
    pub async fn restart(&mut self) {
        self.drop_connections();
        self.start_again().await;
    }

    /// Waits until `look` finds what it looks for in the state.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        let search = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = look(&self.shared.lock()) {
                    return found;
                }
                changed.changed().await.unwrap();
            }
        };
        match timeout(HANG_GUARD, search).await {
            Ok(found) => found,
            Err(_) => panic!("waited in vain for: {what}"),
        }
    }

    /// Waits until this subscriber's websocket is open.
    pub async fn connected(&self, subscriber: &str) {
        self.until("a connection", |state| state.connections.contains_key(subscriber).then_some(())).await;
    }

    /// Waits until this many websockets were opened since the start.
    pub async fn connections_made(&self, count: usize) {
        self.until("connections", |state| (state.handshakes >= count).then_some(())).await;
    }

    /// Waits until this subscriber has no open websocket.
    pub async fn connection_lost(&self, subscriber: &str) {
        let lost = |state: &State| (!state.connections.contains_key(subscriber)).then_some(());
        self.until("the end of a connection", lost).await;
    }

    /// Breaks all websockets without a word.
    pub fn drop_connections(&self) {
        self.shared.change(|state| {
            state.connections.clear();
            state.queue.lose_all();
        });
    }

    /// Puts a tag task into the work queue.
    pub fn add_task(&self, id: &str, attrs: &[(&str, &str)], data: serde_json::Value) {
        self.shared.change(|state| state.queue.add(id, attrs, data));
    }

    /// Gives out again what lost its worker, as the core does every few seconds.
    pub fn look_at_queue(&self) {
        self.shared.change(|state| state.queue.look());
    }

    /// How many tasks of the work queue are done.
    pub async fn tasks_over(&self, count: usize) {
        let over = |state: &State| state.queue.works.values().filter(|work| work.outcome.is_some()).count();
        self.until("the end of tasks", |state| (over(state) >= count).then_some(())).await;
    }

    /// What became of a task of the work queue, once it is over.
    pub async fn task_over(&self, id: &str) -> Work {
        let over = |state: &State| state.queue.works.get(id).filter(|work| work.outcome.is_some()).cloned();
        self.until("the end of a task", over).await
    }

    /// Waits until a task of the work queue was given out so often.
    pub async fn task_given_out(&self, id: &str, times: usize) {
        let enough = |state: &State| (state.queue.works.get(id)?.given_out >= times).then_some(());
        self.until("a task that is given out", enough).await;
    }

    /// Waits until so many connections to the work queue were made since the start.
    pub async fn worker_connections(&self, count: usize) {
        self.until("connections to the queue", |state| (state.queue.connections >= count).then_some(())).await;
    }

    /// Waits until so many connections to the work queue are open.
    pub async fn workers(&self, count: usize) {
        self.until("workers", |state| (state.queue.workers.len() == count).then_some(())).await;
    }

    /// Sends a text to a subscriber as the core would send an action.
    pub fn send_text(&self, subscriber: &str, text: &str) {
        self.shared.change(|state| state.send(subscriber, state::Outgoing::Text(text.to_owned())));
    }

    /// Pings a subscriber and waits until the pong is there.
    pub async fn ping(&self, subscriber: &str) {
        let before = self.shared.change(|state| {
            state.send(subscriber, state::Outgoing::Ping);
            state.pongs
        });
        self.until("a pong", |state| (state.pongs > before).then_some(())).await;
    }

    /// Starts a workflow: `collect`, `cleanup` or `collect_and_cleanup`. `None` if it runs already.
    pub fn start_workflow(&self, name: &str) -> Option<String> {
        self.shared.change(|state| state.start_workflow(name))
    }

    /// Waits until a workflow is over.
    pub async fn finished(&self, task: &str) {
        self.until("the end of a workflow", |state| state.tasks.get(task)?.is_over().then_some(())).await;
    }

    /// The answers to a task so far: step, kind (`action_done` or `action_error`) and error text.
    pub fn answers(&self, task: &str) -> Vec<(String, String, String)> {
        self.shared.lock().tasks.get(task).map(|task| task.answers.clone()).unwrap_or_default()
    }

    /// Waits for the first answer to a task.
    pub async fn answer(&self, task: &str) -> (String, String, String) {
        self.until("an answer", |state| state.tasks.get(task)?.answers.first().cloned()).await
    }

    /// How often an action of this task was delivered.
    pub fn deliveries(&self, task: &str) -> usize {
        self.shared.lock().tasks.get(task).map_or(0, |task| task.deliveries)
    }

    /// Waits until an action of this task was delivered so often.
    pub async fn delivered(&self, task: &str, times: usize) {
        self.until("a delivery", |state| (state.tasks.get(task)?.deliveries >= times).then_some(())).await;
    }

    /// Forgets the answer to the current step of a task, as a core that crashed before it stored it, and delivers the
    /// action again on the next connection.
    pub fn forget_answers(&self, task: &str, step: &str) {
        self.shared.change(|state| state.reopen(task, step));
    }

    /// All text frames that subscribers sent, also lost ones.
    pub fn frames(&self) -> Vec<String> {
        self.shared.lock().frames.clone()
    }

    /// The events that an id is subscribed to, or `None` if it is unknown.
    pub fn subscriptions(&self, subscriber: &str) -> Option<Vec<String>> {
        let state = self.shared.lock();
        state.subscribers.get(subscriber).map(|events| events.keys().cloned().collect())
    }

    /// How many requests began with this method and path, such as `POST /graph/ck/merge`.
    pub fn requests(&self, begin: &str) -> usize {
        self.shared.lock().requests.iter().filter(|request| request.starts_with(begin)).count()
    }

    /// All requests: method, path and query.
    pub fn all_requests(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }

    /// Waits until so many requests began with this method and path.
    pub async fn requested(&self, begin: &str, count: usize) {
        let enough = |state: &State| {
            (state.requests.iter().filter(|request| request.starts_with(begin)).count() >= count).then_some(())
        };
        self.until("requests", enough).await;
    }

    /// Refuses the next requests that begin with this method and path.
    pub fn refuse(&self, begin: &str, times: usize, status: u16, body: &str) {
        self.fault(begin, times, Effect::Refuse(status, body.to_owned()));
    }

    /// Refuses every change of nodes that has a line for this node.
    pub fn mind(&self, node: &str) {
        self.shared.change(|state| state.minded.insert(node.to_owned()));
    }

    /// Breaks the connection of the next requests that begin with this method and path, without an answer.
    pub fn cut(&self, begin: &str, times: usize) {
        self.fault(begin, times, Effect::Cut);
    }

    /// Holds the next request that begins with this method and path until the gate is opened.
    pub fn hold(&self, begin: &str) -> Gate {
        let (gate, effect) = Gate::new();
        self.fault(begin, 1, effect);
        gate
    }

    fn fault(&self, begin: &str, times: usize, effect: Effect) {
        self.shared.change(|state| state.faults.push(Fault { begin: begin.to_owned(), times, effect }));
    }

    /// The counts of nodes and edges that the headers of the last merge said.
    pub fn announced(&self) -> Option<(String, String)> {
        self.shared.lock().announced.clone()
    }

    /// The nodes of a graph by id.
    pub fn nodes(&self, graph: &str) -> std::collections::BTreeMap<String, StoredNode> {
        self.shared.lock().graphs.get(graph).map(|graph| graph.nodes.clone()).unwrap_or_default()
    }

    /// Marks nodes of a graph for cleanup, as its command line does.
    pub fn mark(&self, graph: &str, ids: &[&str]) {
        self.shared.change(|state| {
            let graph = state.graphs.get_mut(graph).unwrap();
            for id in ids {
                graph.nodes.get_mut(*id).unwrap().desired = serde_json::json!({ "clean": true });
            }
        });
    }

    /// Changes the metadata of a node.
    pub fn set_metadata(&self, graph: &str, id: &str, name: &str, value: serde_json::Value) {
        self.shared
            .change(|state| state.graphs.get_mut(graph).unwrap().nodes.get_mut(id).unwrap().metadata[name] = value);
    }

    /// Changes a field of a node.
    pub fn set_reported(&self, graph: &str, id: &str, name: &str, value: serde_json::Value) {
        self.shared
            .change(|state| state.graphs.get_mut(graph).unwrap().nodes.get_mut(id).unwrap().reported[name] = value);
    }

    /// The edges of a graph: from, to, type.
    pub fn edges(&self, graph: &str) -> Vec<(String, String, String)> {
        let state = self.shared.lock();
        state.graphs.get(graph).map(|graph| graph.edges.iter().cloned().collect()).unwrap_or_default()
    }
}
