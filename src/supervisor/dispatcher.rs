//! The event loop: turns each input into an event, has the pure state decide, and carries out the effects.

mod core;
mod delivery;

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
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep, sleep_until},
};
use worker_proto::Gap;

use super::{
    Ended, Setup,
    actions::ActionScheduler,
    event::{
        AttemptEvent, AttemptId, AttemptOutcome, AttemptSpec, DeliveryError, Effect, Event, Notice, OperationEvent,
        RunId, RunOutcome,
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
/// Between two looks whether cleanups and tasks have ended.
const LOOK: Duration = Duration::from_millis(20);
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
    sessions: HashMap<AttemptId, (mpsc::Sender<Command>, JoinHandle<()>)>,
    attempts: HashMap<AttemptId, AttemptSpec>,
    deliveries: HashMap<RunId, JoinHandle<()>>,
    /// What names at the start of a run what it will lose.
    announcements: HashMap<RunId, JoinSet<()>>,
    delivered: mpsc::Sender<(RunId, Result<Delivered, DeliveryError>)>,
    arrived: HashMap<RunId, Delivered>,
    actions: HashMap<RunId, ActionKey>,
    core_progress: CoreProgress,
    /// Who waits for the outcomes of operations.
    callers: Callers,
    answers: Vec<(ActionKey, Answer)>,
    core: Option<Arc<Core>>,
    scheduler: Option<ActionScheduler>,
    next_run: u64,
    once: Option<RunId>,
    ended: Ended,
}

/// Runs until there is nothing left to do.
pub(super) async fn run(
    setup: Setup,
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
    let (answers, mut answered) = mpsc::channel(QUEUE);
    let (operations, mut requests) = Callers::channel();
    let mut dispatcher = Dispatcher::new(setup, core, events, delivered, senders);
    dispatcher.start_actions(operations, answers);
    if once {
        let run = dispatcher.new_run();
        dispatcher.once = Some(run);
        dispatcher.handle(Event::Collect(run));
    }
    let mut stopping: Option<Instant> = None;
    // Created once: a timer that restarts with each event never fires while events arrive faster.
    let mut reaping = interval(REAP);
    reaping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !dispatcher.is_over() {
        let wake = dispatcher.state.wake_at();
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
            Some((key, answer)) = answered.recv() => dispatcher.cleaned(key, answer),
            event = next(&mut from_core) => match event {
                Some(event) => dispatcher.core_event(event),
                None => from_core = None,
            },
            () = until(wake) => dispatcher.handle(Event::Tick),
            _ = reaping.tick(), if reaper::is_init() => drop(reaper::sweep(false)),
            () = sleep(LOOK), if stopping.is_some() => {}
            () = until(stopping) => {
                tracing::error!("workers did not end in time; they are killed");
                break;
            }
        }
        dispatcher.answer_open();
    }
    while let Ok((key, answer)) = answered.try_recv() {
        dispatcher.cleaned(key, answer);
    }
    dispatcher.answer_open();
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
        core: Option<Arc<Core>>,
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
            sessions: HashMap::new(),
            attempts: HashMap::new(),
            deliveries: HashMap::new(),
            announcements: HashMap::new(),
            delivered,
            arrived: HashMap::new(),
            actions: HashMap::new(),
            core_progress: CoreProgress::default(),
            callers: Callers::default(),
            answers: Vec::new(),
            core,
            scheduler: None,
            next_run: 0,
            once: None,
            ended: Ended::default(),
        }
    }

    fn new_run(&mut self) -> RunId {
        self.next_run += 1;
        RunId(self.next_run)
    }

    fn handle(&mut self, event: Event) {
        for effect in handle_event(&mut self.state, event, Instant::now()) {
            self.carry_out(effect);
        }
    }

    fn job_event(&mut self, job: AttemptId, event: AttemptEvent) {
        let ended = match &event {
            AttemptEvent::Ended(outcome) => Some(outcome.clone()),
            _ => None,
        };
        if let AttemptEvent::Planned(plan) = &event {
            self.announce(job, plan);
        }
        self.jobs.job_event(job, &event);
        // What becomes of operations is counted by their actions.
        if let Some(spec) = self.attempts.get(&job).filter(|spec| spec.run.is_some()) {
            match &event {
                AttemptEvent::Gap(_, gap) => self.log_gap(spec.collector, gap),
                AttemptEvent::UnitFailed(_, failure) | AttemptEvent::Ended(AttemptOutcome::Failed(failure)) => {
                    self.metrics.failure(spec.collector, failure);
                }
                _ => {}
            }
        }
        self.handle(Event::Attempt(job, event));
        if let Some(outcome) = ended {
            self.job_ended(job, &outcome);
        }
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
        self.sessions.remove(&job);
        if let Some(spec) = self.attempts.remove(&job) {
            self.metrics.worker_exited(spec.collector, outcome.label());
        }
        if reaper::is_subreaper() {
            let swept = reaper::sweep(true);
            if swept > 0 {
                tracing::warn!(swept, "killed processes that workers left behind");
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
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
                if let Some(delivery) = self.deliveries.remove(&run) {
                    delivery.abort();
                }
            }
            Effect::FinishRun(run, conclusion) => self.conclude(run, conclusion),
            Effect::Notify(notice) => self.notify(&notice),
            Effect::Exit => self.ended.over = true,
        }
    }

    fn command(&self, attempt: AttemptId, command: Command) {
        if let Some((commands, _)) = self.sessions.get(&attempt) {
            // The queue holds more than a worker may have open; the end of a session is an event.
            let _ = commands.try_send(command);
        }
    }

    fn operation(&mut self, message: Message) {
        let event = self.callers.receive(message);
        // Before others are begun.
        for id in self.callers.take_abandoned() {
            self.handle(Event::Operation(OperationEvent::Abandoned(id)));
        }
        self.handle(Event::Operation(event));
    }

    fn start(&mut self, spec: AttemptSpec) {
        let Some(collector) = self.collectors.get(spec.collector).cloned() else {
            tracing::error!(collector = spec.collector, "cannot start a worker: its collector is not enabled");
            return;
        };
        let (commands, receiver) = mpsc::channel(COMMANDS);
        self.jobs.job_started(&spec, job_name(&spec));
        self.attempts.insert(spec.id, spec.clone());
        let id = spec.id;
        let task = tokio::spawn(worker_session::run(spec, collector, Arc::clone(&self.context), receiver));
        self.sessions.insert(id, (commands, task));
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
        self.context.completed_units.take_run(run);
        self.announcements.remove(&run);
        self.context.shared_values.remove_run(run);
        self.core_progress.reset();
        self.jobs.run_over(run, &conclusion);
        self.gaps.set(0);
        let answer = match conclusion {
            RunOutcome::Refused(reason) => Answer::Error(reason),
            RunOutcome::Ended(mut report, result) => {
                self.arrived.remove(&run).unwrap_or_default().record_in(&mut report);
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
        if let Some(key) = self.actions.remove(&run) {
            self.metrics.action("collect", if answer == Answer::Done { "done" } else { "error" });
            self.answers.push((key, answer));
        }
    }

    /// Ends what is left: dropping a session kills its worker.
    async fn finish(mut self) -> Ended {
        if let Some(scheduler) = self.scheduler.take() {
            scheduler.abort_all().await;
        }
        let sessions = self.sessions.drain().map(|(_, (_, task))| task);
        for task in sessions.chain(self.deliveries.drain().map(|(_, task)| task)) {
            task.abort();
            // Aborted or not, it is over.
            let _ = task.await;
        }
        reaper::sweep_all().await;
        self.ended
    }
}
