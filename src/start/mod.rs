//! The order of start-up. Everything that can be checked is checked before anything is contacted.
//!
//! 1. the command line and the environment; a worker branches off here, and a command line with secrets is
//!    replaced by one without
//! 2. the process: no core dumps, the limit of descriptors, adoption of orphans, a check that workers can be started
//! 3. signals, so that none is lost during the rest of the start
//! 4. the log, then the warnings that were kept for it
//! 5. the directory of dumps, then the output of a one-shot collection, or the port of the daemon
//! 6. the connection to the core
//! 7. the supervisor, until it ends; then the same in reverse

mod endpoint;
mod limits;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::Write,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode as ProcessExit},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tracing::level_filters::LevelFilter;
use worker_proto::Level;

use self::endpoint::Web;
use crate::{
    actions::registry,
    ckcore::{self, Core},
    cli::{self, CliError, Enabled, ExitCode, Invocation, Mode, Moved, Output, Registered, Run, Verbosity},
    collectors,
    delivery::{CoreSink, NdjsonSink, OutputFile, Sink, check_dump},
    graph::Spool,
    process::{Program, descriptors::Descriptors, guard, reaper},
    report::{CoreStatus, ProgressEvent, StatusSnapshot},
    settings::Setting,
    supervisor::{
        self, Ended, Setup, Source, StatusSenders,
        actions::EnabledAction,
        policy::Policy,
        worker_session::{Limits, SessionCollector, Timeouts},
    },
    telemetry::{self, LogFile, Metrics},
    web::{self, WebState},
    worker,
};

/// The memory limit of a worker process, in bytes.
const WORKER_MEMORY: u64 = 4 << 30;
/// The memory limit of the lines of a run, in bytes; further lines are in a temporary file.
const SPOOL_MEMORY: u64 = 256 << 20;
/// The number of the core's actions that may wait for the dispatcher.
const CORE_QUEUE: usize = 64;
/// The timeout for sending the last results to the core and removing the subscriptions.
const CORE_CLOSE: Duration = Duration::from_secs(3);
/// The grace period of requests to the web endpoint at the end.
const WEB_CLOSE: Duration = Duration::from_millis(500);

/// Runs the program.
#[must_use]
pub fn main() -> ProcessExit {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // The collectors of a user have options too, so that they are known first.
    let files = match cli::definitions(&arguments, std::env::vars_os()) {
        Ok(files) => files,
        Err(error) => return usage(&error).into(),
    };
    if let Err(error) = collectors::register(&files) {
        return usage(&CliError::new(error)).into();
    }
    let actions = registry::options();
    let registered = Registered { actions: &actions, collectors: collectors::all() };
    // A test checks those of the program's own collectors, whose definitions a worker must not read for this.
    if !files.is_empty()
        && let Err(error) = registered.check()
    {
        return usage(&error).into();
    }
    match cli::parse(registered, arguments.iter().cloned(), std::env::vars_os()) {
        Ok(Invocation::Print(text)) => print(&text).into(),
        Ok(Invocation::Worker) => worker::main(),
        Ok(Invocation::Run(mut run)) => {
            if let Some(moved) = cli::without_secrets(registered, &arguments) {
                let error = start_again(&moved);
                run.warnings.push(format!("cannot move the secrets off the command line: {error}"));
            }
            start(*run).unwrap_or_else(|failure| failure.say()).into()
        }
        Err(error) => usage(&error).into(),
    }
}

/// Executes this program again, in this process and before it has threads or files. Returns only if that fails.
fn start_again(moved: &Moved) -> std::io::Error {
    let again = |program: PathBuf| {
        let mut command = Command::new(program);
        command.args(&moved.arguments);
        for name in &moved.removed {
            command.env_remove(name);
        }
        command.envs(moved.variables.iter().map(|(name, value)| (name, value)));
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        command.exec()
    };
    // The file's name appears in process lists; a replaced file has no name.
    if let Ok(program) = std::env::current_exe() {
        let _ = again(program);
    }
    again("/proc/self/exe".into())
}

/// A failed start: the exit code and the message.
struct Failed(ExitCode, String);

impl Failed {
    fn say(self) -> ExitCode {
        telemetry::last_words(&self.1);
        self.0
    }
}

/// Converts an error into a failed start.
fn failed<E: std::fmt::Display>(code: ExitCode) -> impl FnOnce(E) -> Failed {
    move |error| Failed(code, error.to_string())
}

fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::Complete,
        Err(error) => {
            let message = format!("cannot write to standard output: {error}");
            Failed(ExitCode::Undelivered, message).say()
        }
    }
}

fn usage(error: &CliError) -> ExitCode {
    // Without standard error the message cannot be written anywhere.
    let _ = writeln!(std::io::stderr(), "{error}");
    ExitCode::Usage
}

fn start(run: Run) -> Result<ExitCode, Failed> {
    guard::forbid_core_dumps();
    let descriptors = Descriptors::raise().map_err(failed(ExitCode::Internal))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failed(ExitCode::Internal, format!("cannot start the runtime: {error}")))?;
    let code = runtime.block_on(running(run, descriptors));
    runtime.shutdown_timeout(WEB_CLOSE);
    code
}

async fn running(run: Run, descriptors: Descriptors) -> Result<ExitCode, Failed> {
    let hangups = Signals::new(caught_hangup(&run.mode)).map_err(failed(ExitCode::Internal))?;
    let signals = Signals::new([SIGTERM, SIGINT]).map_err(failed(ExitCode::Internal))?;
    let display = matches!(run.mode, Mode::Collect { .. }).then(|| cli::Progress::new(run.verbosity));
    let level = log_level(&run);
    let destination = match (&run.logfile, &display) {
        (Some(path), _) => telemetry::Destination::File(path.clone()),
        (None, Some(display)) => telemetry::Destination::Display(display.lines()),
        (None, None) => telemetry::Destination::Stderr,
    };
    let libraries: Vec<_> =
        collectors::all().iter().flat_map(|collector| collector.library_levels()).copied().collect();
    let log = telemetry::init(level, &libraries, destination).map_err(failed(ExitCode::Usage))?;
    for warning in &run.warnings {
        tracing::warn!("{warning}");
    }
    reaper::adopt_orphans();
    let policy = limits::policy(&run, descriptors)?;
    let dump = dump(&run)?;
    let reports = tokio::spawn(limits::report_suppressed(log.clone()));
    let ended = match run.mode.clone() {
        Mode::Collect { output } => {
            let signals = stream::select(signals, hangups);
            collect_once(run, policy, &output, dump, display, signals).await
        }
        Mode::Daemon => {
            tokio::spawn(reopen_log(hangups, log.file()));
            let limits = web::Limits::within(descriptors.for_web(web::usual_descriptors()));
            daemon(run, policy, dump, limits, signals).await
        }
    };
    reports.abort();
    log.report_all_suppressed();
    ended
}

/// Returns SIGHUP if it is to be caught. A closed terminal stops a one-shot collection, unless it was started with
/// SIGHUP ignored (`nohup`).
fn caught_hangup(mode: &Mode) -> Option<i32> {
    let is_ignored = matches!(mode, Mode::Collect { .. }) && guard::ignores(SIGHUP);
    (!is_ignored).then_some(SIGHUP)
}

/// Reopens the log file at each SIGHUP. Without a log file the signal has no effect.
async fn reopen_log(mut hangups: Signals, log: Option<LogFile>) {
    while hangups.next().await.is_some() {
        match log.as_ref().map(LogFile::reopen) {
            Some(Ok(())) => tracing::info!("reopened the log file"),
            Some(Err(error)) => tracing::error!("cannot reopen the log file, still writing to the old one: {error}"),
            None => tracing::info!("ignoring SIGHUP: there is no --logfile to reopen"),
        }
    }
}

async fn collect_once(
    run: Run,
    policy: Policy,
    output: &Output,
    dump: Option<PathBuf>,
    display: Option<cli::Progress>,
    signals: impl Stream<Item = i32> + Unpin,
) -> Result<ExitCode, Failed> {
    let output = match output {
        Output::Stdout => OutputFile::stdout(),
        Output::File(path) => OutputFile::create(path),
    };
    let output = output.map_err(failed(ExitCode::Undelivered))?;
    let sink =
        NdjsonSink { output: Mutex::new(Some(output)), ignore_deferred: run.core.ignore_deferred_connections, dump };
    let metrics = metrics();
    let mut shown = display.clone();
    let mut setup = setup(&run, policy, Arc::new(sink), metrics);
    if let Some(display) = shown.take() {
        setup.on_progress = Box::new(move |event| display.event(event));
    }
    let (senders, _, _) = status_channels();
    let ended = supervisor::run(setup, Source::Once, signals, senders).await;
    if let Some(display) = display {
        // An interrupted collection also ends the display.
        display.event(&ProgressEvent::Finished);
    }
    Ok(conclude_once(&run, ended))
}

/// Creates the metrics, with those that the collectors announce, enabled or not.
fn metrics() -> Arc<Metrics> {
    let announced: Vec<_> = collectors::all().iter().flat_map(|collector| collector.metrics()).collect();
    Arc::new(Metrics::announcing(&announced))
}

/// Prints the summary of a one-shot collection, and returns its exit code.
fn conclude_once(run: &Run, ended: Ended) -> ExitCode {
    if let Some(signal) = ended.signal {
        let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
        telemetry::last_words(&format!("stopped by {name}; nothing was written"));
        return ExitCode::Signal(u8::try_from(signal).unwrap_or_default());
    }
    let Some(report) = ended.report else { return ExitCode::Internal };
    if run.verbosity != Verbosity::Quiet {
        // Without standard error the summary cannot be written anywhere.
        let _ = write!(std::io::stderr(), "{}", cli::summary(&report, ended.delivery.is_ok()));
    }
    match ended.delivery {
        Ok(()) => ExitCode::of(&report),
        Err(error) if error.nothing => ExitCode::Nothing,
        Err(error) => Failed(ExitCode::Undelivered, error.message).say(),
    }
}

async fn daemon(
    run: Run,
    policy: Policy,
    dump: Option<PathBuf>,
    limits: web::Limits,
    signals: Signals,
) -> Result<ExitCode, Failed> {
    let core_settings = &run.core;
    let listener = web::bind(&core_settings.web_host, core_settings.web_port).await.map_err(failed(ExitCode::Port))?;
    let metrics = metrics();
    let (senders, status, core_status) = status_channels();
    let state = WebState { metrics: Arc::clone(&metrics), status, core: core_status };
    let web = Web::start(limits, listener, core_settings.web_path.clone(), state);
    let (core, source) = connect(&run, &senders)?;
    let sink: Arc<dyn Sink> = match &core {
        Some(core) => Arc::new(CoreSink {
            api: core.api(),
            registry: collectors::REGISTRY,
            ignore_deferred: core_settings.ignore_deferred_connections,
            dump,
            metrics: Arc::clone(&metrics),
            hold_sudden_loss: core_settings.hold_sudden_loss,
            losses: Arc::default(),
            uncollected: run.uncollected(),
        }),
        None => Arc::new(NdjsonSink { output: Mutex::new(None), ignore_deferred: false, dump: None }),
    };
    let ended = supervisor::run(setup(&run, policy, sink, metrics), source, signals, senders).await;
    if let Some(core) = core.and_then(Arc::into_inner) {
        core.close(Instant::now() + CORE_CLOSE).await;
    }
    web.end().await;
    tracing::info!("stopped");
    Ok(if ended.signal.is_some() { ExitCode::Complete } else { ExitCode::Internal })
}

/// Connects to the core, if one is configured.
fn connect(run: &Run, senders: &StatusSenders) -> Result<(Option<Arc<Core>>, Source), Failed> {
    let Some(config) = &run.core.ckcore else {
        tracing::warn!("no core configured: the daemon stays idle; for a single collection use `ckworker collect`");
        return Ok((None, Source::Idle));
    };
    senders.core.send_replace(CoreStatus::Disconnected("not yet connected".into()));
    let (events, received) = mpsc::channel(CORE_QUEUE);
    let subscriptions = supervisor::subscriptions(&actions(run));
    let core = ckcore::connect(config.clone(), &subscriptions, events).map_err(failed(ExitCode::Usage))?;
    let core = Arc::new(core);
    Ok((Some(Arc::clone(&core)), Source::Core(core, received)))
}

/// Returns the actions that the options enable.
fn actions(run: &Run) -> Vec<EnabledAction> {
    registry::enabled(|name| run.actions.get(name).cloned())
}

fn setup(run: &Run, policy: Policy, sink: Arc<dyn Sink>, metrics: Arc<Metrics>) -> Setup {
    let links: BTreeMap<_, _> = run
        .collectors
        .iter()
        .map(|Enabled { collector, settings, .. }| {
            let mut public = settings.public(collector.options());
            public.set("keep-uncollected", Setting::Flag(run.core.keep_uncollected));
            collectors::add_definitions(*collector, &mut public);
            (collector.name(), SessionCollector { settings: public, broker: collector.broker(settings) })
        })
        .collect();
    Setup {
        policy,
        collectors: links,
        actions: actions(run),
        program: Program::this(),
        memory_limit: WORKER_MEMORY,
        spool: Spool::new(SPOOL_MEMORY),
        timeouts: Timeouts::default(),
        limits: Limits::default(),
        find: collectors::find,
        level: worker_level(run),
        sink,
        metrics,
        has_summary: matches!(run.mode, Mode::Collect { .. }) && run.verbosity != Verbosity::Quiet,
        on_progress: Box::new(|_| {}),
    }
}

/// Returns the level of the log for workers.
fn worker_level(run: &Run) -> Level {
    match log_level(run) {
        LevelFilter::OFF | LevelFilter::ERROR => Level::Error,
        LevelFilter::WARN => Level::Warn,
        LevelFilter::INFO => Level::Info,
        LevelFilter::DEBUG => Level::Debug,
        LevelFilter::TRACE => Level::Trace,
    }
}

fn status_channels() -> (StatusSenders, watch::Receiver<StatusSnapshot>, watch::Receiver<CoreStatus>) {
    let (status, read_status) = watch::channel(StatusSnapshot::default());
    let (core, read_core) = watch::channel(CoreStatus::default());
    (StatusSenders { status, core }, read_status, read_core)
}

/// Returns the directory for `--debug-dump-json`, which is the working directory, after a check that it is writable.
fn dump(run: &Run) -> Result<Option<PathBuf>, Failed> {
    if !run.core.debug_dump_json {
        return Ok(None);
    }
    let wrong = |error: &dyn std::fmt::Display| {
        Failed(ExitCode::Usage, format!("--debug-dump-json: {error}; start ckworker in a folder that it may write to"))
    };
    let folder = std::env::current_dir().map_err(|error| wrong(&error))?;
    check_dump(&folder).map_err(|error| wrong(&error))?;
    Ok(Some(folder))
}

/// Returns the log level. A one-shot collection has a progress display, which shows the same as the lines of level
/// INFO.
fn log_level(run: &Run) -> LevelFilter {
    match (run.verbosity, &run.mode) {
        (Verbosity::Quiet, _) => LevelFilter::ERROR,
        (Verbosity::Normal, Mode::Collect { .. }) => LevelFilter::WARN,
        (Verbosity::Normal, Mode::Daemon) => LevelFilter::INFO,
        (Verbosity::Verbose, _) => LevelFilter::DEBUG,
    }
}
