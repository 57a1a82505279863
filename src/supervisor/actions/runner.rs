//! Carries out the decisions of the scheduler: one task for each request that runs. Its end is an event for the
//! dispatcher.

use std::{
    collections::{BTreeMap, HashMap},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Instant,
};

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};

use super::{
    ActionContext, ActionResult, Cancellation, EnabledAction, Request, TargetCollector, TargetCollectors,
    scheduler::{Effect, Event, RequestId, Rules, Scheduler},
};
use crate::{
    ckcore::{ActionKey, Answer, Core, TaskResult},
    settings::Settings,
    supervisor::{
        abort_on_drop::AbortOnDrop,
        operations::{Client, OperationPool},
        policy::Policy,
        worker_session::{SessionCollector, SessionContext},
    },
    telemetry::Metrics,
};

/// The end of a run, for the dispatcher.
pub(in crate::supervisor) type ActionEnd = (RequestId, ActionResult);

/// What the runs of all actions share.
struct Shared {
    core: Arc<Core>,
    operations: OperationPool,
    targets: Arc<TargetCollectors>,
    metrics: Arc<Metrics>,
    ended: mpsc::Sender<ActionEnd>,
}

/// A request that was not answered. Its run ends with it.
struct Held {
    request: Request,
    /// The index of its action.
    action: Option<usize>,
    stop: watch::Sender<bool>,
    cancellation: Cancellation,
    run: Option<AbortOnDrop>,
    started: Option<Instant>,
}

/// An action, with its settings, which its runs share.
struct Enabled {
    action: &'static dyn super::Action,
    settings: Arc<Settings>,
}

/// A request that waits or runs, for `/jobs`.
pub(in crate::supervisor) struct ActionView<'a> {
    pub(in crate::supervisor) name: &'static str,
    /// The ID of the workflow or of the task.
    pub(in crate::supervisor) task: &'a str,
    /// When its run began; `None` while it waits.
    pub(in crate::supervisor) started: Option<Instant>,
    pub(in crate::supervisor) deadline: Instant,
    pub(in crate::supervisor) is_cancelled: bool,
}

/// The requests of the core that wait and run.
pub(in crate::supervisor) struct ActionRunner {
    scheduler: Scheduler,
    actions: Vec<Enabled>,
    shared: Shared,
    held: HashMap<RequestId, Held>,
    next: u64,
}

impl ActionRunner {
    /// A runner of these actions, which accepts the tasks that they carry out. The ends of runs go to `ended`.
    pub(in crate::supervisor) fn start(
        core: Arc<Core>,
        (actions, policy): (Vec<EnabledAction>, &Policy),
        collectors: &BTreeMap<&'static str, SessionCollector>,
        (operations, context): (OperationPool, &SessionContext),
        ended: mpsc::Sender<ActionEnd>,
    ) -> Self {
        let targets = collectors.iter().filter_map(|(name, session)| {
            let collector = (context.find)(name)?;
            Some((*name, TargetCollector { collector, settings: session.settings.clone() }))
        });
        let targets: TargetCollectors = targets.collect();
        let clouds: Vec<String> = targets.keys().map(|name| (*name).to_owned()).collect();
        let tasks: Vec<&'static str> = actions.iter().flat_map(|enabled| enabled.action.tasks()).copied().collect();
        if !clouds.is_empty() && !tasks.is_empty() {
            core.take_tasks(&tasks, &clouds);
        }
        let rules = actions.iter().map(|enabled| Rules::of(enabled.action, policy.timeout)).collect();
        let enabled = |EnabledAction { action, settings }| Enabled { action, settings: Arc::new(settings) };
        let (targets, metrics) = (Arc::new(targets), Arc::clone(&context.metrics));
        Self {
            scheduler: Scheduler::new(rules),
            actions: actions.into_iter().map(enabled).collect(),
            shared: Shared { core, operations, targets, metrics, ended },
            held: HashMap::new(),
            next: 0,
        }
    }

    /// Takes a request of the core.
    pub(in crate::supervisor) fn request(&mut self, request: Request) {
        let id = RequestId(self.next);
        self.next += 1;
        let action = self.actions.iter().position(|enabled| serves(enabled.action, &request));
        let (stop, cancellation) = Cancellation::new(false);
        self.held.insert(id, Held { request, action, stop, cancellation, run: None, started: None });
        match action {
            Some(action) => self.handle(Event::Requested(id, action)),
            None => self.answer(id, Err("no enabled part of ckworker carries this out".to_owned())),
        }
    }

    /// Cancels a step of a workflow; returns whether it was there.
    pub(in crate::supervisor) fn cancel(&mut self, key: &ActionKey) -> bool {
        let found = self.held.iter().find(|(_, held)| held.request.key() == Some(key)).map(|(id, _)| *id);
        found.into_iter().for_each(|id| self.handle(Event::Cancelled(id)));
        found.is_some()
    }

    /// Takes the end of a run.
    pub(in crate::supervisor) fn ended(&mut self, (id, result): ActionEnd) {
        self.answer(id, result);
        self.handle(Event::Ended(id));
    }

    /// Handles the time of [`ActionRunner::wake_at`].
    pub(in crate::supervisor) fn tick(&mut self) {
        self.handle(Event::Tick);
    }

    /// Stops in order: what runs reports to the core what it did, and everything gets an answer.
    pub(in crate::supervisor) fn stop(&mut self) {
        self.handle(Event::Stop);
    }

    /// Ends everything at once; everything gets an answer.
    pub(in crate::supervisor) async fn give_up(mut self) {
        let runs: Vec<AbortOnDrop> = self.held.values_mut().filter_map(|held| held.run.take()).collect();
        self.handle(Event::GiveUp);
        for run in runs {
            run.aborted().await;
        }
    }

    /// Whether nothing runs or waits.
    pub(in crate::supervisor) fn is_idle(&self) -> bool {
        self.scheduler.is_idle()
    }

    /// Returns when the next tick is needed.
    pub(in crate::supervisor) fn wake_at(&self) -> Option<Instant> {
        self.scheduler.wake_at()
    }

    /// Returns what runs, then what waits.
    pub(in crate::supervisor) fn views(&self) -> impl Iterator<Item = ActionView<'_>> {
        self.scheduler.entries().filter_map(|(entry, _)| {
            let held = self.held.get(&entry.id)?;
            Some(ActionView {
                name: self.actions.get(entry.action)?.action.name(),
                task: held.request.task(),
                started: held.started,
                deadline: entry.deadline,
                is_cancelled: entry.is_cancelled,
            })
        })
    }

    fn handle(&mut self, event: Event) {
        for effect in self.scheduler.handle(event, Instant::now()) {
            match effect {
                Effect::Run(id, deadline) => self.run(id, deadline),
                Effect::Cancel(id) => {
                    if let Some(held) = self.held.get(&id) {
                        held.stop.send_replace(true);
                    }
                }
                Effect::Reject(id, reason) | Effect::Abandon(id, reason) => self.answer(id, Err(reason)),
            }
        }
    }

    fn run(&mut self, id: RequestId, deadline: Instant) {
        let Some(held) = self.held.get_mut(&id) else { return };
        let Some(Enabled { action, settings }) = held.action.and_then(|action| self.actions.get(action)) else {
            return;
        };
        let request = held.request.clone();
        let context = ActionContext {
            settings: Arc::clone(settings),
            core: Arc::clone(&self.shared.core),
            operations: self.shared.operations.clone(),
            client: Client { action: action.name(), priority: action.priority() },
            targets: Arc::clone(&self.shared.targets),
            metrics: Arc::clone(&self.shared.metrics),
            cancellation: held.cancellation.clone(),
            deadline,
            key: request.key().cloned(),
        };
        let (action, ended) = (*action, self.shared.ended.clone());
        held.started = Some(Instant::now());
        held.run = Some(AbortOnDrop::spawn(async move {
            // An action that never ends would hold up all that it excludes.
            let work = AssertUnwindSafe(async { action.run(request, context).await }).catch_unwind();
            let panicked = |_| Err("internal error: the action panicked; please report this bug".to_owned());
            let result = work.await.unwrap_or_else(panicked);
            // The dispatcher has exited; the send error can be ignored.
            let _ = ended.send((id, result)).await;
        }));
    }

    /// Answers a request, once.
    fn answer(&mut self, id: RequestId, result: ActionResult) {
        let Some(held) = self.held.remove(&id) else { return };
        let label = if result.is_ok() { "done" } else { "error" };
        let Shared { core, metrics, .. } = &self.shared;
        match &held.request {
            Request::Action(action) => {
                let plugin = held.action.and_then(|action| self.actions.get(action));
                metrics.action(plugin.map_or(action.name, |plugin| plugin.action.name()), label);
                core.answer(&action.key, result.map_or_else(Answer::Error, |_| Answer::Done));
            }
            Request::Task(task) => {
                metrics.task(label);
                core.answer_task(&task.id, result.map_or_else(TaskResult::Error, TaskResult::Done));
            }
        }
    }
}

/// Whether an action carries out a request.
fn serves(action: &dyn super::Action, request: &Request) -> bool {
    match request {
        Request::Action(ckcore) => {
            let is_it = |one: &crate::ckcore::Subscription| {
                (one.subscriber, one.action) == (ckcore.key.subscriber, ckcore.name)
            };
            action.subscriptions().iter().any(is_it)
        }
        Request::Task(task) => action.tasks().contains(&task.name.as_str()),
    }
}
