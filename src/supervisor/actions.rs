//! Actions of the core beside collections: cleanups and tasks. They run beside each other and beside collections.
//!
//! Cleanups have workers of their own and run one after the other, so that no resource is deleted twice at the same
//! time. Tasks have workers of their own too: a deletion in progress delays no tag.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex, Semaphore, mpsc, watch},
    task::JoinSet,
    time::timeout_at,
};

use super::{
    cleanup::{Cleanup, Operable},
    operations::OperationPool,
    policy::Policy,
    tags::{self, Tags},
    worker_session::{SessionCollector, SessionContext},
};
use crate::{
    ckcore::{ActionKey, Answer, Core, Task, TaskResult},
    collector_api::BoxFuture,
    telemetry::Metrics,
};

/// Cleanups that may run or wait.
const CLEANUPS: usize = 16;
/// Tasks that are in progress at the same time; the connection bounds how many more wait for their turn.
const TASKS: usize = 64;

/// Cleanups and tasks under way.
pub(super) struct ActionScheduler {
    core: Arc<Core>,
    metrics: Arc<Metrics>,
    timeout: Duration,
    cleanup: Cleanup,
    tags: Tags,
    turn: Arc<Mutex<()>>,
    room: Arc<Semaphore>,
    running: JoinSet<()>,
    /// By action: a channel that carries `true` when the cleanup has to end.
    cleanups: HashMap<ActionKey, watch::Sender<bool>>,
    answers: mpsc::Sender<(ActionKey, Answer)>,
}

impl ActionScheduler {
    /// Starts the operation pools for this core and connects to its work queue.
    pub(super) fn start(
        core: Arc<Core>,
        policy: &Policy,
        collectors: &BTreeMap<&'static str, SessionCollector>,
        (operations, context): (OperationPool, &SessionContext),
        answers: mpsc::Sender<(ActionKey, Answer)>,
    ) -> Self {
        let operables = collectors.iter().filter_map(|(name, session)| {
            let collector = (context.find)(name)?;
            Some((*name, Operable { collector, settings: session.settings.clone() }))
        });
        let operables: Arc<BTreeMap<_, _>> = Arc::new(operables.collect());
        let clouds: Vec<String> = operables.keys().map(|name| (*name).to_owned()).collect();
        if !clouds.is_empty() {
            core.take_tasks(&["tag"], &clouds);
        }
        let (_, stop) = watch::channel(false);
        let cleanup = Cleanup {
            setting: policy.cleanup,
            core: Arc::clone(&core),
            operations: operations.clone(),
            operables: Arc::clone(&operables),
            metrics: Arc::clone(&context.metrics),
            stop,
        };
        let tags = Tags { operations, operables };
        Self {
            core,
            metrics: Arc::clone(&context.metrics),
            timeout: policy.timeout,
            cleanup,
            tags,
            turn: Arc::default(),
            room: Arc::new(Semaphore::new(TASKS)),
            running: JoinSet::new(),
            cleanups: HashMap::new(),
            answers,
        }
    }

    /// Starts a cleanup; its answer comes through the channel.
    pub(super) fn start_cleanup(&mut self, key: ActionKey) {
        self.cleanups.retain(|_, stop| !stop.is_closed());
        let (stop, stopped) = watch::channel(false);
        let cleanup = Cleanup { stop: stopped.clone(), ..self.cleanup.clone() };
        let (answers, turn) = (self.answers.clone(), Arc::clone(&self.turn));
        let (deadline, full) = (Instant::now() + self.timeout, self.cleanups.len() >= CLEANUPS);
        if !full {
            self.cleanups.insert(key.clone(), stop);
        }
        self.running.spawn(async move {
            let answer = if full {
                Answer::Error(format!("{CLEANUPS} cleanups are running or waiting already"))
            } else {
                in_turn(&turn, stopped, Box::pin(cleanup.run(key.clone(), deadline))).await
            };
            // The dispatcher has exited; the send error can be ignored.
            let _ = answers.send((key, answer)).await;
        });
    }

    /// Starts a task; its result goes to the core.
    pub(super) fn start_task(&mut self, task: Task) {
        while self.running.try_join_next().is_some() {}
        let (core, tags, metrics) = (Arc::clone(&self.core), self.tags.clone(), Arc::clone(&self.metrics));
        let (room, deadline) = (Arc::clone(&self.room), Instant::now() + tags::LIMIT);
        self.running.spawn(async move {
            let result = match timeout_at(deadline.into(), room.acquire()).await {
                Ok(Ok(_room)) => tags.run(&task, deadline).await,
                _ => TaskResult::Error(format!(
                    "timeout exceeded while {TASKS} other tasks were in progress; change the tags of fewer resources at once"
                )),
            };
            metrics.task(if matches!(result, TaskResult::Done(_)) { "done" } else { "error" });
            core.answer_task(&task.id, result);
        });
    }

    /// Cancels a cleanup; returns whether there was one.
    pub(super) fn cancel(&mut self, key: &ActionKey) -> bool {
        self.cleanups.get(key).is_some_and(|stop| stop.send(true).is_ok())
    }

    /// Stops in order: cleanups report to the core what they did, and open actions get an answer.
    pub(super) fn stop(&mut self) {
        for stop in self.cleanups.values() {
            stop.send_replace(true);
        }
    }

    /// Whether everything has ended.
    pub(super) fn is_over(&mut self) -> bool {
        while self.running.try_join_next().is_some() {}
        self.running.is_empty()
    }

    /// Aborts the rest at once.
    pub(super) async fn abort_all(mut self) {
        self.running.shutdown().await;
    }
}

/// Waits for the turn of a cleanup and runs it, unless it is stopped before.
async fn in_turn(turn: &Mutex<()>, mut stopped: watch::Receiver<bool>, run: BoxFuture<'_, Answer>) -> Answer {
    let own = tokio::select! {
        own = turn.lock() => Some(own),
        () = async { drop(stopped.wait_for(|stop| *stop).await) } => None,
    };
    match own {
        Some(_own) => run.await,
        None => Answer::Error("stopped before the cleanup could begin".into()),
    }
}
