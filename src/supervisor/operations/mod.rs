//! Operation pool: carries out operations on resources through workers that live as long as they have work.
//!
//! One task owns the workers; `pool` decides. Every request gets exactly one outcome: from its worker, or because the
//! worker ended, its deadline passed, or the supervisor stops.

mod pool;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::sleep_until,
};
use worker_proto::Outcome;

use self::pool::{Effect, Event, Limit, Pending, PoolState, stopping};
pub use self::pool::{Request, WorkerLifetimes};
use super::{
    event::{AttemptEvent, AttemptId, AttemptOutcome},
    policy::Policy,
    worker_session::{self, Command, SessionCollector, SessionContext},
};
use crate::{process::reaper, telemetry::Metrics};

/// Requests that may wait for the pool's task.
const QUEUE: usize = 1024;
/// Events of workers that may wait.
const EVENTS: usize = 256;
/// Stops that may wait: one with and one without a grace period.
const STOPS: usize = 2;
/// Commands to one worker that may wait: more than it can have operations open.
const COMMANDS: usize = 256;

impl WorkerLifetimes {
    /// Returns the default lifetimes, for actions with this timeout.
    #[must_use]
    pub fn new(timeout: Duration, stop_grace: Duration) -> Self {
        Self { idle: Duration::from_secs(10), age: timeout, grace: Duration::from_secs(5), stop_grace }
    }
}

/// A message to the pool's task.
enum Message {
    /// Carry out a request and send its outcome.
    Submit(Pending, oneshot::Sender<Outcome>),
    /// Do not begin a request any more.
    Cancel(u64),
}

/// A handle to submit operations. Cloning is cheap.
#[derive(Clone)]
pub struct OperationPool {
    messages: mpsc::Sender<Message>,
    next: Arc<AtomicU64>,
}

/// The running pool.
pub(super) struct OperationPoolTask {
    pool: OperationPool,
    /// Takes the time from now until KILL.
    stop: mpsc::Sender<Duration>,
    task: JoinHandle<()>,
}

impl OperationPool {
    /// Carries out an operation. Once `cancelled` returns, an operation that no worker has begun is not begun; the
    /// outcome of one that was begun is awaited. Dropping the future abandons the operation.
    pub async fn operate(&self, request: Request, cancelled: impl Future<Output = ()>) -> Outcome {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, mut answered) = oneshot::channel();
        if self.messages.send(Message::Submit(Pending::new(id, request), answer)).await.is_err() {
            return stopping();
        }
        let _guard = ReplyGuard { messages: &self.messages, id };
        let outcome = tokio::select! {
            outcome = &mut answered => outcome,
            () = cancelled => {
                // A pool that has ended has dropped the reply channel too.
                let _ = self.messages.send(Message::Cancel(id)).await;
                answered.await
            }
        };
        outcome.unwrap_or_else(|_| stopping())
    }
}

/// Cancels its request when it is dropped.
struct ReplyGuard<'o> {
    messages: &'o mpsc::Sender<Message>,
    id: u64,
}

impl Drop for ReplyGuard<'_> {
    fn drop(&mut self) {
        // With a full queue, the pool finds the closed reply channel by itself.
        let _ = self.messages.try_send(Message::Cancel(self.id));
    }
}

impl OperationPoolTask {
    /// Starts a pool for these collectors.
    pub(super) fn start(
        policy: &Policy,
        lifetimes: WorkerLifetimes,
        collectors: BTreeMap<&'static str, SessionCollector>,
        context: &SessionContext,
    ) -> Self {
        let limits = policy.collectors.iter().map(|collector| {
            let process = collector.process || collector.units.fork;
            (collector.name, Limit { workers: collector.units.pool.max(1), process })
        });
        let (messages, received) = mpsc::channel(QUEUE);
        let (events, heard) = mpsc::channel(EVENTS);
        let (stop, stops) = mpsc::channel(STOPS);
        let actor = Actor {
            state: PoolState::new(limits.collect(), lifetimes),
            metrics: Arc::clone(&context.metrics),
            context: Arc::new(SessionContext { events, ..context.clone() }),
            collectors,
            sessions: HashMap::new(),
            replies: HashMap::new(),
        };
        let task = tokio::spawn(actor.run(received, heard, stops));
        Self { pool: OperationPool { messages, next: Arc::default() }, stop, task }
    }

    pub(super) fn pool(&self) -> OperationPool {
        self.pool.clone()
    }

    /// Ends all workers, which have this time until KILL; open operations fail. A second stop can only shorten the
    /// time.
    pub(super) fn stop(&self, grace: Duration) {
        // A full queue holds the same stop already; a pool that has ended ignores it.
        let _ = self.stop.try_send(grace);
    }

    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Aborts the pool at once: dropping a session kills its worker.
    pub(super) async fn abort(self) {
        self.task.abort();
        // Aborted or not, it is over.
        let _ = self.task.await;
    }
}

/// Carries out the decisions of the pool's state.
struct Actor {
    state: PoolState,
    metrics: Arc<Metrics>,
    context: Arc<SessionContext>,
    collectors: BTreeMap<&'static str, SessionCollector>,
    sessions: HashMap<AttemptId, Session>,
    replies: HashMap<u64, oneshot::Sender<Outcome>>,
}

/// The session of one worker. Dropping it ends the session and the worker.
struct Session {
    collector: &'static str,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Actor {
    async fn run(
        mut self,
        mut received: mpsc::Receiver<Message>,
        mut heard: mpsc::Receiver<(AttemptId, AttemptEvent)>,
        mut stops: mpsc::Receiver<Duration>,
    ) {
        let mut owned = true;
        while !self.state.is_over() {
            let wake = self.state.wake_at();
            let event = tokio::select! {
                Some((attempt, event)) = heard.recv() => match event {
                    AttemptEvent::Operated(id, outcome) => Event::Operated(attempt, id, outcome),
                    AttemptEvent::Ended(outcome) => self.ended(attempt, outcome),
                    _ => continue,
                },
                Some(message) = received.recv() => self.receive(message),
                grace = stops.recv(), if owned => {
                    owned = grace.is_some();
                    // Without its owner it ends too, and at once.
                    Event::Stop(grace.unwrap_or_default())
                }
                () = until(wake) => Event::Tick,
            };
            self.drop_abandoned();
            self.step(event);
        }
    }

    fn step(&mut self, event: Event) {
        for effect in self.state.step(event, Instant::now()) {
            self.carry_out(effect);
        }
    }

    /// Drops requests whose callers have gone, before others are begun.
    fn drop_abandoned(&mut self) {
        let closed = self.replies.iter().filter(|(_, answer)| answer.is_closed()).map(|(id, _)| *id);
        for id in closed.collect::<Vec<_>>() {
            self.replies.remove(&id);
            self.step(Event::Abandoned(id));
        }
    }

    fn receive(&mut self, message: Message) -> Event {
        match message {
            Message::Submit(pending, answer) if answer.is_closed() => Event::Cancelled(pending.id),
            Message::Submit(pending, answer) => {
                self.replies.insert(pending.id, answer);
                Event::Requested(pending)
            }
            Message::Cancel(id) => Event::Cancelled(id),
        }
    }

    fn ended(&mut self, attempt: AttemptId, outcome: AttemptOutcome) -> Event {
        if let Some(session) = self.sessions.remove(&attempt) {
            self.metrics.worker_exited(session.collector, outcome.label());
        }
        if reaper::is_subreaper() {
            let swept = reaper::sweep(true);
            if swept > 0 {
                tracing::warn!(swept, "ended processes that workers left behind");
            }
        }
        Event::Ended(attempt, outcome)
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Start(order) => {
                let Some(collector) = self.collectors.get(order.collector).cloned() else { return };
                let (commands, receiver) = mpsc::channel(COMMANDS);
                let (id, name) = (order.id, order.collector);
                let task = tokio::spawn(worker_session::run(order, collector, Arc::clone(&self.context), receiver));
                self.sessions.insert(id, Session { collector: name, commands, task });
            }
            Effect::Send(job, operation) => self.tell(job, Command::Operate(operation)),
            Effect::Finish(job) => self.tell(job, Command::Finish),
            Effect::Stop(job, reason, grace) => self.tell(job, Command::Stop(reason, grace)),
            Effect::Reply(id, outcome) => {
                if let Some(answer) = self.replies.remove(&id) {
                    // The caller has dropped its receiver; the send error can be ignored.
                    let _ = answer.send(outcome);
                }
            }
        }
    }

    fn tell(&self, job: AttemptId, command: Command) {
        if let Some(session) = self.sessions.get(&job) {
            // The queue holds more than a worker may have open; the end of a session is an event.
            let _ = session.commands.try_send(command);
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
