//! The event loop: turns each input into an event, has the pure state decide, and carries out the effects.

mod core;
mod delivery;
mod handles;

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep_until},
};
use worker_proto::Gap;

use self::handles::{AttemptHandle, RunHandle};
use super::{
    Ended, Setup,
    abort_on_drop::AbortOnDrop,
    actions::ActionRunner,
    event::{
        AttemptEvent, AttemptId, AttemptOutcome, AttemptSpec, DeliveryError, Effect, Event, Notice, RunId, RunOutcome,
    },
    notify,
    operations::{Callers, Message},
    report::ProgressEvent,
    state::{State, handle_event},
    status::{CoreProgress, JobTable, StatusSenders},
    worker_session::{self, Command, SessionCollector, SessionContext, job_name},
};
use crate::{
    ckcore::{ActionKey, Answer, Core, CoreEvent},
    delivery::{Delivered, Sink},
    process::reaper,
    telemetry::Metrics,
};

/// The upper bound from the first signal until every worker is gone. With what comes after (a second for what workers
/// leave behind, three for the core, one for the web endpoint and the runtime) it is a second below ten.
const SHUTDOWN: Duration = Duration::from_secs(4);
/// Events of workers that may wait.
const QUEUE: usize = 1024;
/// How often PID 1 looks for processes that others left to it.
const REAP: Duration = Duration::from_secs(5);
/// Gaps of one run that get a line in the log each.
const GAP_LINES: usize = 200;
/// Commands to one worker that may wait: more than it can have operations open, and two stops.
const COMMANDS: usize = 256;

/// Where work comes from.
pub enum Source {
    /// A single collection.
    Once,
    /// The actions of a core, until a signal.
    Core(Arc<Core>, mpsc::Receiver<CoreEvent>),
    /// Nothing, until a signal.
    Idle,
}

/// Carries out the decisions of the state.
pub(super) struct Dispatcher {
    state: State,
    collectors: BTreeMap<&'static str, SessionCollector>,
    context: Arc<SessionContext>,
    sink: Arc<dyn Sink>,
    metrics: Arc<Metrics>,
    jobs: JobTable,
    on_progress: Box<dyn FnMut(&ProgressEvent) + Send>,
    has_summary: bool,
    /// Lines about gaps in the run that is under way.
    gaps: Cell<usize>,
    attempts: HashMap<AttemptId, AttemptHandle>,
    runs: HashMap<RunId, RunHandle>,
    delivered: mpsc::Sender<(RunId, Result<Delivered, DeliveryError>)>,
    core_progress: CoreProgress,
    /// Who waits for the outcomes of operations.
    callers: Callers,
    core: Option<Arc<Core>>,
    actions: Option<ActionRunner>,
    /// Whether what `/jobs` shows of operations and actions has to be looked at.
    status_due: bool,
    next_run: u64,
    once: Option<RunId>,
    ended: Ended,
}

/// Runs until there is nothing left to do.
pub(super) async fn run(
    mut setup: Setup,
    source: Source,
    mut signals: impl Stream<Item = i32> + Unpin,
    senders: StatusSenders,
) -> Ended {
    let (events, mut heard) = mpsc::channel(QUEUE);
    let (delivered, mut deliveries) = mpsc::channel(QUEUE);
    let (core, mut from_core, once) = match source {
        Source::Once => (None, None, true),
        Source::Core(core, events) => (Some(core), Some(events), false),
        Source::Idle => (None, None, false),
    };
    let (ended, mut action_ends) = mpsc::channel(QUEUE);
    let (callers, operations, mut requests) = Callers::channel();
    let actions = std::mem::take(&mut setup.actions);
    let mut dispatcher = Dispatcher::new(setup, (core, callers), events, delivered, senders);
    dispatcher.start_actions(actions, operations, ended);
    if once {
        dispatcher.once = Some(dispatcher.collect(None));
    }
    let mut stopping: Option<Instant> = None;
    // Created once: a timer that restarts with each event never fires while events arrive faster.
    let mut reaping = interval(REAP);
    reaping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !dispatcher.is_over() {
        let wake = dispatcher.wake_at();
        tokio::select! {
            Some(signal) = signals.next() => {
                tracing::info!(signal, "stopping");
                dispatcher.ended.signal.get_or_insert(signal);
                dispatcher.stop(if stopping.is_none() { Event::Stop } else { Event::StopNow });
                // Not the time before the wait, which may have been long.
                stopping.get_or_insert_with(|| Instant::now() + SHUTDOWN);
            }
            Some((job, event)) = heard.recv() => dispatcher.job_event(job, event),
            Some(message) = requests.recv() => dispatcher.operation(message),
            Some((run, result)) = deliveries.recv() => dispatcher.delivered(run, result),
            Some(end) = action_ends.recv() => dispatcher.action_ended(end),
            event = next(&mut from_core) => match event {
                Some(event) => dispatcher.core_event(event),
                None => from_core = None,
            },
            () = until(wake) => dispatcher.tick(),
            _ = reaping.tick(), if reaper::is_init() => drop(reaper::sweep(false)),
            () = until(stopping) => {
                tracing::error!("workers did not end in time; they are killed");
                break;
            }
        }
        dispatcher.report_progress();
        dispatcher.show_operations();
    }
    while let Ok(end) = action_ends.try_recv() {
        dispatcher.action_ended(end);
    }
    dispatcher.finish().await
}

async fn next(events: &mut Option<mpsc::Receiver<CoreEvent>>) -> Option<CoreEvent> {
    match events {
        Some(events) => events.recv().await,
        None => pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

impl Dispatcher {
    fn new(
        setup: Setup,
        (core, callers): (Option<Arc<Core>>, Callers),
        events: mpsc::Sender<(AttemptId, AttemptEvent)>,
        delivered: mpsc::Sender<(RunId, Result<Delivered, DeliveryError>)>,
        senders: StatusSenders,
    ) -> Self {
        let context = SessionContext {
            program: setup.program,
            memory_limit: setup.memory_limit,
            timeouts: setup.timeouts,
            limits: setup.limits,
            find: setup.find,
            level: setup.level,
            spool: setup.spool,
            completed_units: Arc::default(),
            shared_values: Arc::default(),
            metrics: Arc::clone(&setup.metrics),
            events,
        };
        Self {
            state: State::new(setup.policy),
            collectors: setup.collectors,
            context: Arc::new(context),
            sink: setup.sink,
            jobs: JobTable::new(senders),
            metrics: setup.metrics,
            on_progress: setup.on_progress,
            has_summary: setup.has_summary,
            gaps: Cell::new(0),
            attempts: HashMap::new(),
            runs: HashMap::new(),
            delivered,
            core_progress: CoreProgress::default(),
            callers,
            core,
            actions: None,
            status_due: false,
            next_run: 0,
            once: None,
            ended: Ended::default(),
        }
    }

    /// Starts a collection, on behalf of this action.
    fn collect(&mut self, action: Option<ActionKey>) -> RunId {
        self.next_run += 1;
        let run = RunId(self.next_run);
        self.runs.insert(run, RunHandle::new(run, action, &self.context));
        self.handle(Event::Collect(run));
        run
    }

    fn wake_at(&self) -> Option<Instant> {
        let actions = self.actions.as_ref().and_then(ActionRunner::wake_at);
        self.state.wake_at().into_iter().chain(actions).min()
    }

    fn tick(&mut self) {
        self.handle(Event::Tick);
        if let Some(actions) = &mut self.actions {
            actions.tick();
            self.status_due = true;
        }
    }

    fn handle(&mut self, event: Event) {
        for effect in handle_event(&mut self.state, event, Instant::now()) {
            self.carry_out(effect);
        }
    }

    fn job_event(&mut self, job: AttemptId, event: AttemptEvent) {
        let ended = if let AttemptEvent::Ended(outcome) = &event { Some(outcome.clone()) } else { None };
        if let AttemptEvent::Planned(plan) = &event {
            self.announce(job, plan);
        }
        self.jobs.job_event(job, &event);
        let spec_operates = self.attempts.get(&job).is_some_and(|attempt| attempt.spec.run.is_none());
        // What becomes of operations is counted by their actions.
        let spec = self.attempts.get(&job).map(|attempt| &attempt.spec);
        if let Some(spec) = spec.filter(|spec| spec.run.is_some()) {
            match &event {
                AttemptEvent::Gap(_, gap) => self.log_gap(spec.collector, gap),
                AttemptEvent::Ended(AttemptOutcome::Failed(failure))
                    if self.state.policy().is_skipped_by(spec.collector, failure) => {}
                AttemptEvent::UnitFailed(_, failure) | AttemptEvent::Ended(AttemptOutcome::Failed(failure)) => {
                    self.metrics.failure(spec.collector, failure);
                }
                _ => {}
            }
        }
        self.status_due |= spec_operates;
        // Before another worker gets its place.
        if let Some(outcome) = ended {
            self.job_ended(job, &outcome);
        }
        self.handle(Event::Attempt(job, event));
    }

    /// Every gap is counted and reported; only the first ones of a job are worth a line each.
    fn log_gap(&self, collector: &str, gap: &Gap) {
        let logged = self.gaps.get();
        if !self.has_summary && logged < GAP_LINES {
            self.gaps.set(logged + 1);
            notify::log_gap(collector, gap);
        }
    }

    fn job_ended(&mut self, job: AttemptId, outcome: &AttemptOutcome) {
        if let Some(attempt) = self.attempts.remove(&job) {
            self.metrics.worker_exited(attempt.spec.collector, outcome.label());
        }
        if reaper::is_subreaper() {
            let swept = reaper::sweep(true);
            if swept > 0 {
                tracing::warn!(swept, "killed processes that workers left behind");
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        self.status_due |= matches!(effect, Effect::Operate(..) | Effect::Finish(_) | Effect::Reply(..));
        match effect {
            Effect::Start(spec) => self.start(spec),
            Effect::Stop(job, reason, grace) => {
                self.jobs.job_stopping(job);
                self.command(job, Command::Stop(reason, grace));
            }
            Effect::Operate(attempt, operation) => self.command(attempt, Command::Operate(operation)),
            Effect::Finish(attempt) => self.command(attempt, Command::Finish),
            Effect::Reply(id, outcome) => self.callers.reply(id, outcome),
            Effect::Drop(key) => self.context.completed_units.remove(&key),
            Effect::Deliver(run, report, deadline) => self.start_delivery(run, report, deadline),
            Effect::CancelDelivery(run) => {
                if let Some(run) = self.runs.get_mut(&run) {
                    run.delivery = None;
                }
            }
            Effect::FinishRun(run, conclusion) => self.conclude(run, conclusion),
            Effect::Notify(notice) => self.notify(&notice),
            Effect::Exit => self.ended.over = true,
        }
    }

    fn command(&self, attempt: AttemptId, command: Command) {
        if let Some(handle) = self.attempts.get(&attempt) {
            // The queue holds more than a worker may have open; the end of a session is an event.
            let _ = handle.commands.try_send(command);
        }
    }

    fn operation(&mut self, message: Message) {
        for event in self.callers.receive(message) {
            self.handle(Event::Operation(event));
        }
    }

    fn start(&mut self, spec: AttemptSpec) {
        let Some(collector) = self.collectors.get(spec.collector).cloned() else {
            tracing::error!(collector = spec.collector, "cannot start a worker: its collector is not enabled");
            return;
        };
        let (commands, receiver) = mpsc::channel(COMMANDS);
        self.jobs.job_started(&spec, job_name(&spec));
        let session = worker_session::run(spec.clone(), collector, Arc::clone(&self.context), receiver);
        let session = AbortOnDrop::spawn(session);
        let run = spec.run.and_then(|run| self.runs.get(&run)).map(|run| Arc::clone(&run.data));
        let (collector, name) = (spec.collector, job_name(&spec));
        self.attempts.insert(spec.id, AttemptHandle { spec, commands, session, _run: run });
        tracing::debug!(collector, job = name, workers = self.attempts.len(), "starting worker");
    }

    fn notify(&mut self, notice: &Notice) {
        if let Notice::Retry { collector, .. } = notice {
            self.metrics.job_restarted(collector);
        }
        notify::log(notice, self.has_summary);
        self.jobs.notice(notice);
        self.core_progress.notice(notice);
        if let Some(event) = notify::progress(notice) {
            (self.on_progress)(&event);
        }
    }

    fn conclude(&mut self, run: RunId, conclusion: RunOutcome) {
        let handle = self.runs.remove(&run);
        self.core_progress.reset();
        self.jobs.run_over(run, &conclusion);
        self.gaps.set(0);
        let answer = match conclusion {
            RunOutcome::Refused(reason) => Answer::Error(reason),
            RunOutcome::Ended(mut report, result) => {
                let delivered = handle.as_ref().and_then(|handle| handle.delivered.clone());
                delivered.unwrap_or_default().record_in(&mut report);
                self.metrics.run_finished(&report);
                if !self.has_summary {
                    notify::log_run(&report, &result);
                }
                let answer = notify::answer(&report, &result);
                if self.once == Some(run) {
                    self.ended.report = Some(report);
                    self.ended.delivery = result;
                }
                answer
            }
        };
        if self.once == Some(run) {
            (self.on_progress)(&ProgressEvent::Finished);
            self.handle(Event::Stop);
        }
        if let (Some(key), Some(core)) = (handle.and_then(|handle| handle.action.clone()), &self.core) {
            self.metrics.action("collect", if answer == Answer::Done { "done" } else { "error" });
            core.answer(&key, answer);
        }
    }

    /// Ends what is left: dropping a session kills its worker.
    async fn finish(mut self) -> Ended {
        if let Some(actions) = self.actions.take() {
            actions.give_up().await;
        }
        let sessions = self.attempts.drain().map(|(_, attempt)| attempt.session);
        for task in sessions.chain(self.runs.drain().filter_map(|(_, mut run)| run.delivery.take())) {
            task.aborted().await;
        }
        reaper::sweep_all().await;
        self.ended
    }
}
