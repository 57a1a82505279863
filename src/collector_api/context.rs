//! The context of a unit: settings, credentials, and the channel for nodes, edges and gaps.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use worker_proto::{
    BATCH_BYTES, Counts, Credentials, Deferred, EdgeList, Event, Failure, FailureKind, FromWorker, Gap, Missing, Name,
    Node, Progress, Selector, WaitOn,
};

use super::{
    credentials::{CredentialSource, session_over},
    lease::{Shared, SharedWaiter},
    shared_values::SingleFlight,
    waits::{UnitWaits, Waiting, Waits},
};
use crate::settings::Settings;

/// A request of a unit to its session.
pub enum Request {
    /// Credentials of a unit.
    Credentials {
        /// Index of the unit in the plan.
        unit: u32,
        /// Whether the cloud has rejected the current ones.
        rejected: bool,
        /// The receiver of the answer.
        waiter: oneshot::Sender<Result<Credentials, Failure>>,
    },
    /// A request for a shared value.
    Shared(String, SharedWaiter),
    /// A shared value, or `None` if it could not be fetched: key and number of the request.
    Publish(String, u64, Option<String>),
}

/// The collector's interface to the program. Cloning is cheap, and clones send for the same unit.
#[derive(Clone)]
pub struct CollectContext {
    unit: u32,
    settings: Arc<Settings>,
    credentials: CredentialSource,
    out: mpsc::Sender<FromWorker>,
    deadline: Option<Instant>,
    batch: Arc<Mutex<Batch>>,
    waits: UnitWaits,
}

/// Queued nodes and edges, and the counts of all.
#[derive(Default)]
struct Batch {
    nodes: Vec<Node>,
    node_bytes: usize,
    edges: EdgeList,
    names: Vec<Name>,
    counts: Counts,
}

impl CollectContext {
    /// Creates a context for one unit that sends its requests to `requests` and its frames to `out`.
    #[must_use]
    pub fn new(
        unit: u32,
        settings: Arc<Settings>,
        requests: mpsc::Sender<Request>,
        out: mpsc::Sender<FromWorker>,
        waits: &Waits,
    ) -> Self {
        let waits = waits.unit(unit);
        let credentials = CredentialSource::new(unit, requests, waits.clone());
        Self { unit, settings, credentials, out, deadline: None, batch: Arc::default(), waits }
    }

    /// Sets the time at which the unit is ended.
    #[must_use]
    pub fn until(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Creates a context that records its frames, for tests of collectors. The credentials do not expire.
    #[must_use]
    pub fn recording(settings: Settings, credentials: Option<Credentials>) -> (Self, SentFrames) {
        Self::recording_with(settings, credentials, Arc::default())
    }

    /// Creates such a context that shares values with others.
    #[must_use]
    pub fn recording_with(
        settings: Settings,
        credentials: Option<Credentials>,
        shared: Arc<SharedTable>,
    ) -> (Self, SentFrames) {
        let (out, frames) = mpsc::channel(1024);
        let (requests, mut asked) = mpsc::channel::<Request>(1);
        tokio::spawn(async move {
            while let Some(request) = asked.recv().await {
                match request {
                    Request::Credentials { waiter: answer, .. } => {
                        let none = Failure { kind: FailureKind::Credentials, message: "none given".into() };
                        // The receiver may have been dropped.
                        let _ = answer.send(credentials.clone().ok_or(none));
                    }
                    Request::Shared(key, waiter) => shared.ask(&key, waiter),
                    Request::Publish(key, who, value) => shared.publish(&key, who, value),
                }
            }
        });
        let context = Self::new(0, Arc::new(settings), requests, out, &Waits::default());
        (context, SentFrames(frames))
    }

    /// Returns the settings of this collector.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the source of credentials.
    #[must_use]
    pub fn credentials(&self) -> &CredentialSource {
        &self.credentials
    }

    /// Requests a value that all units of a run share, such as a price. Only one unit fetches it.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn shared(&self, key: &str) -> Result<Shared, Failure> {
        self.credentials.shared(key).await
    }

    /// Registers a wait for a response of the cloud until the guard is dropped. A unit without progress and without
    /// such a wait counts as stalled, so each wait for something outside the worker needs one. The client of a cloud
    /// registers one for each call.
    pub fn waiting(&self, what: impl Into<String>) -> Waiting {
        self.waits.begin(WaitOn::Call, what)
    }

    /// Returns the registry of this unit's waits.
    #[must_use]
    pub fn waits(&self) -> &UnitWaits {
        &self.waits
    }

    /// Returns the time at which the unit is ended and its results are discarded; `None` if never.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Sends a finished node, in batches. Waits while the supervisor's queue is full.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn node(&self, node: Node) -> Result<(), Failure> {
        let full = {
            let mut batch = self.lock();
            batch.counts.nodes += 1;
            batch.node_bytes += node.line.len() + node.kind.len() + node.resource.len() + 64;
            batch.nodes.push(node);
            (batch.node_bytes >= BATCH_BYTES).then(|| {
                batch.node_bytes = 0;
                std::mem::take(&mut batch.nodes)
            })
        };
        match full {
            Some(nodes) => self.send(FromWorker::Nodes { unit: self.unit, nodes }).await,
            None => Ok(()),
        }
    }

    /// Sends an edge between two nodes of this unit.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn edge(&self, from: [u8; 16], to: [u8; 16]) -> Result<(), Failure> {
        let full = {
            let mut batch = self.lock();
            batch.counts.edges += 1;
            batch.edges.push(from, to);
            (batch.edges.bytes() >= BATCH_BYTES).then(|| std::mem::take(&mut batch.edges))
        };
        match full {
            Some(edges) => self.send(FromWorker::Edges { unit: self.unit, edges }).await,
            None => Ok(()),
        }
    }

    /// Sends a name by which other units find a node of this one.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn name(&self, name: Name) -> Result<(), Failure> {
        let full = {
            let mut batch = self.lock();
            batch.counts.names += 1;
            batch.names.push(name);
            (batch.names.len() * size_of::<Name>() >= BATCH_BYTES).then(|| std::mem::take(&mut batch.names))
        };
        match full {
            Some(names) => self.send(FromWorker::Names { unit: self.unit, names }).await,
            None => Ok(()),
        }
    }

    /// Sends edges to nodes that other units may have, in batches.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn deferred(&self, edges: Vec<Deferred>) -> Result<(), Failure> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for edge in edges {
            bytes += deferred_bytes(&edge);
            batch.push(edge);
            if bytes >= BATCH_BYTES {
                self.send_deferred(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.send_deferred(batch).await }
    }

    async fn send_deferred(&self, edges: Vec<Deferred>) -> Result<(), Failure> {
        self.lock().counts.deferred += edges.len() as u64;
        self.send(FromWorker::Deferred { unit: self.unit, edges }).await
    }

    /// Sends a gap.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn gap(&self, gap: Gap) -> Result<(), Failure> {
        self.send(FromWorker::Gap { unit: self.unit, gap }).await
    }

    /// Sends missing coverage: what was not seen, and so must not be deleted.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn missing(&self, missing: Vec<Missing>) -> Result<(), Failure> {
        if missing.is_empty() {
            return Ok(());
        }
        self.send(FromWorker::Missing { unit: self.unit, missing }).await
    }

    /// Sends kinds that are known only at run time, each as JSON in the form of a `KindSpec`. The core gets them with the
    /// unit, in addition to those of the collectors.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn kinds(&self, kinds: Vec<String>) -> Result<(), Failure> {
        self.send(FromWorker::Kinds { unit: self.unit, kinds }).await
    }

    /// Sends the unit's progress; dropped if the queue is full.
    pub fn progress(&self, parts_done: u32, parts: u32) {
        let nodes = self.lock().counts.nodes;
        self.offer(FromWorker::Progress(Progress { unit: self.unit, parts_done, parts, nodes }));
    }

    /// Increments a counter, such as `plugin_x_unhandled_collector_exceptions`.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn count(&self, name: &str, labels: &[(&str, &str)], by: u64) -> Result<(), Failure> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.send(FromWorker::Event(Event::Count { name: name.to_owned(), labels, by })).await
    }

    /// Records a duration, such as `plugin_x_collect_volumes`.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn duration(&self, name: &str, took: Duration) -> Result<(), Failure> {
        self.send(FromWorker::Event(Event::Duration { name: name.to_owned(), seconds: took.as_secs_f64() })).await
    }

    /// Sends the last batches and returns the counts of all nodes and edges.
    ///
    /// # Errors
    /// `Cancelled` if the session is ending.
    pub async fn finish(&self) -> Result<Counts, Failure> {
        let Batch { nodes, edges, names, counts, .. } = {
            let mut batch = self.lock();
            let counts = batch.counts;
            std::mem::replace(&mut *batch, Batch { counts, ..Batch::default() })
        };
        if !nodes.is_empty() {
            self.send(FromWorker::Nodes { unit: self.unit, nodes }).await?;
        }
        if !edges.is_empty() {
            self.send(FromWorker::Edges { unit: self.unit, edges }).await?;
        }
        if !names.is_empty() {
            self.send(FromWorker::Names { unit: self.unit, names }).await?;
        }
        Ok(counts)
    }

    async fn send(&self, frame: FromWorker) -> Result<(), Failure> {
        match self.out.try_send(frame) {
            Ok(()) => {
                self.waits.step();
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(session_over()),
            Err(mpsc::error::TrySendError::Full(frame)) => {
                let _room = self.waits.begin(WaitOn::Room, "the supervisor to take its frames");
                self.out.send(frame).await.map_err(|_| session_over())
            }
        }
    }

    fn offer(&self, frame: FromWorker) {
        // Only progress is sent this way, and the next report replaces it.
        let _ = self.out.try_send(frame);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the approximate size of a deferred edge in its frame, in bytes.
fn deferred_bytes(edge: &Deferred) -> usize {
    let text = |selector: &Selector| match selector {
        Selector::Node(_) => 0,
        Selector::Resource { kind, id } => kind.len() + id.len(),
        Selector::Attribute { kind, attribute, value } => kind.len() + attribute.len() + value.len(),
    };
    size_of::<Deferred>() + text(&edge.from) + text(&edge.to)
}

/// The shared values of [`CollectContext::recording_with`].
#[derive(Default)]
pub struct SharedTable(Mutex<(u64, SingleFlight<SharedWaiter>)>);

impl SharedTable {
    fn ask(&self, key: &str, waiter: SharedWaiter) {
        let told = {
            let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            table.0 += 1;
            let who = table.0;
            table.1.ask(key, who, waiter.by(who))
        };
        told.into_iter().for_each(|(waiter, answer)| waiter.tell(answer));
    }

    fn publish(&self, key: &str, who: u64, value: Option<String>) {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).1.publish(key, who, value);
        told.into_iter().for_each(|(waiter, answer)| waiter.tell(answer));
    }
}

/// The frames of [`CollectContext::recording`].
pub struct SentFrames(mpsc::Receiver<FromWorker>);

impl SentFrames {
    /// Returns the next frame, or `None` when all contexts were dropped.
    pub async fn next(&mut self) -> Option<FromWorker> {
        self.0.recv().await
    }
}
