//! The parsed command line: what to run, with which settings.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use super::{
    CliError, CoreSettings, command,
    environment::Environment,
    options::{self, Registered},
    values::Given,
};
use crate::{
    collector_api::{Collector, Uncollected},
    collectors,
    settings::{OptionGroup, OptionSpec, Setting, Settings},
};

/// A parsed command line.
#[derive(Debug)]
pub enum Invocation {
    /// Print this string to standard output and exit with success.
    Print(String),
    /// Run as a worker on standard input and output. The settings arrive in frames.
    Worker,
    /// Collect, as a daemon or once.
    Run(Box<Run>),
}

/// The checked settings of a daemon or a one-shot collection.
#[derive(Debug)]
pub struct Run {
    /// Daemon or one-shot.
    pub mode: Mode,
    /// The settings of everything but the collectors.
    pub core: CoreSettings,
    /// The enabled collectors, at least one, in the order in which they were named.
    pub collectors: Vec<Enabled>,
    /// The settings of each action, by its name.
    pub actions: BTreeMap<&'static str, Settings>,
    /// The verbosity of the log.
    pub verbosity: Verbosity,
    /// The log file, instead of standard error.
    pub logfile: Option<PathBuf>,
    /// Warnings for the log, once it is set up.
    pub warnings: Vec<String>,
}

impl Run {
    /// Returns what options exclude, by collector; empty if it is kept.
    #[must_use]
    pub fn uncollected(&self) -> Vec<(&'static str, Uncollected)> {
        let collectors = self.collectors.iter().filter(|_| !self.core.keep_uncollected);
        let uncollected =
            collectors.map(|Enabled { collector, settings, .. }| (collector.name(), collector.uncollected(settings)));
        uncollected.filter(|(_, uncollected)| *uncollected != Uncollected::default()).collect()
    }
}

/// The duration of the program's run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Runs until it is stopped; the core sends actions.
    Daemon,
    /// One collection without a core.
    Collect {
        /// The destination of the graph.
        output: Output,
    },
}

/// The destination of a one-shot collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// The verbosity of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors only, no progress.
    Quiet,
    /// Messages at level INFO.
    Normal,
    /// Messages at level DEBUG.
    Verbose,
}

/// An enabled collector and the values of its options.
pub struct Enabled {
    /// The collector.
    pub collector: &'static dyn Collector,
    /// Whether `--collector` names it.
    pub is_named: bool,
    /// The collector's settings, including secrets.
    pub settings: Settings,
}

impl std::fmt::Debug for Enabled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enabled").field("collector", &self.collector.name()).field("settings", &self.settings).finish()
    }
}

/// Reads the arguments, without the program's name, and the environment.
///
/// # Errors
/// The error message for standard error; the exit code is [`ExitCode::Usage`](super::ExitCode::Usage).
pub fn parse(
    registered: Registered<'_>,
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Invocation, CliError> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_collect = arguments.first().is_some_and(|first| first == "collect");
    if is_collect {
        arguments.remove(0);
    } else if arguments.first().is_some_and(|first| first == "worker") {
        return worker(&arguments);
    }
    let matches = command::command(registered).no_binary_name(true).try_get_matches_from(&arguments);
    let matches = matches.map_err(|error| explained(error, &arguments))?;
    let given = Given { matches, environment: Environment::new(variables) };
    if given.matches.get_flag("version") {
        return Ok(Invocation::Print(format!("ckworker {}\n", env!("CARGO_PKG_VERSION"))));
    }
    let enabled = enabled(registered.collectors, &given)?;
    let of_enabled = Registered { collectors: &enabled, ..registered };
    if given.matches.get_flag("help") {
        return Ok(Invocation::Print(command::help(of_enabled)));
    }
    if given.matches.get_flag("machine-help") {
        return Ok(Invocation::Print(command::machine_help(of_enabled)));
    }
    run(registered, &enabled, &given, is_collect).map(|run| Invocation::Run(Box::new(run)))
}

fn worker(arguments: &[OsString]) -> Result<Invocation, CliError> {
    match arguments {
        [_] => Ok(Invocation::Worker),
        _ => Err(CliError::new("the worker command takes no arguments")),
    }
}

/// Returns the parser's error, with a hint for a misplaced command.
fn explained(error: clap::Error, arguments: &[OsString]) -> CliError {
    if error.kind() == clap::error::ErrorKind::UnknownArgument && arguments.iter().any(|word| word == "collect") {
        return CliError::new("collect is a command and goes first: ckworker collect --output FILE [OPTIONS]");
    }
    error.into()
}

/// Returns the names in `--collector`.
fn named(given: &Given) -> Result<Vec<String>, CliError> {
    let spec = options::core().find(|spec| spec.name == "collector");
    match spec.map(|spec| given.setting(spec)).transpose()?.flatten() {
        Some(Setting::List(names)) => Ok(names),
        _ => Ok(Vec::new()),
    }
}

/// Returns the named collectors, or all if none is named.
fn enabled(registered: &[&'static dyn Collector], given: &Given) -> Result<Vec<&'static dyn Collector>, CliError> {
    let names = named(given)?;
    if names.is_empty() {
        return Ok(registered.to_vec());
    }
    let mut enabled: Vec<&'static dyn Collector> = Vec::new();
    for name in &names {
        let collector = registered.iter().find(|collector| collector.name() == name);
        let collector = collector.ok_or_else(|| no_such_collector(name, registered))?;
        if !enabled.iter().any(|other| other.name() == name) {
            enabled.push(*collector);
        }
    }
    Ok(enabled)
}

fn no_such_collector(name: &str, registered: &[&'static dyn Collector]) -> CliError {
    let known = registered.iter().map(|collector| collector.name()).collect::<Vec<_>>().join(", ");
    let refused = collectors::REFUSED.iter().find(|(refused, _)| *refused == name);
    let what = refused.map_or_else(|| "is not known".to_owned(), |(_, why)| format!("is refused, as {why}"));
    CliError::new(format!(
        "--collector: collector '{name}' {what}; available are: {known}, and what --definitions adds"
    ))
}

fn run(
    registered: Registered<'_>,
    enabled: &[&'static dyn Collector],
    given: &Given,
    is_collect: bool,
) -> Result<Run, CliError> {
    refuse_foreign(registered.collectors, enabled, given)?;
    let core_specs: Vec<OptionSpec> = options::core().cloned().collect();
    let mut settings = given.settings(&core_specs)?;
    settings.set("no-verify-certs", Setting::Flag(!verify_certs(&settings, given)?));
    let mode = mode(&settings, given, is_collect)?;
    let mut core = CoreSettings::new(&settings).map_err(|error| given.explained(error, &core_specs))?;
    let mut warnings = warnings(registered, enabled, given);
    if is_collect {
        core.ckcore = None;
        if given.on_command_line("ckcore-uri") {
            warnings.push("collect runs without a core: --ckcore-uri is ignored".to_owned());
        }
    }
    Ok(Run {
        mode,
        core,
        collectors: with_settings(enabled, given)?,
        actions: with_action_settings(registered.actions, given)?,
        verbosity: verbosity(&settings, given)?,
        logfile: settings.text("logfile").map(PathBuf::from),
        warnings,
    })
}

/// Rejects options of collectors that are not enabled on the command line, and ignores them in the environment.
fn refuse_foreign(
    registered: &[&'static dyn Collector],
    enabled: &[&'static dyn Collector],
    given: &Given,
) -> Result<(), CliError> {
    let is_enabled = |name| enabled.iter().any(|collector| collector.name() == name);
    for collector in registered.iter().filter(|collector| !is_enabled(collector.name())) {
        if let Some(spec) = collector.options().iter().find(|spec| given.on_command_line(spec.name)) {
            let (option, name) = (spec.name, collector.name());
            return Err(CliError::new(format!(
                "--{option} belongs to the collector '{name}', which is not enabled; add {name} to --collector"
            )));
        }
    }
    Ok(())
}

fn mode(settings: &Settings, given: &Given, is_collect: bool) -> Result<Mode, CliError> {
    match (is_collect, settings.text("output")) {
        (false, _) if given.on_command_line("output") => {
            Err(CliError::new("--output belongs to the command collect: ckworker collect --output FILE"))
        }
        (false, _) => Ok(Mode::Daemon),
        (true, None) => Err(CliError::new("collect needs --output FILE, or --output - for standard output")),
        (true, Some("-")) => Ok(Mode::Collect { output: Output::Stdout }),
        (true, Some(path)) => Ok(Mode::Collect { output: Output::File(path.into()) }),
    }
}

/// Returns the settings of each action, after its check.
fn with_action_settings(
    actions: &[&'static OptionGroup],
    given: &Given,
) -> Result<BTreeMap<&'static str, Settings>, CliError> {
    let with_settings = actions.iter().map(|group| {
        let settings = given.settings(group.options)?;
        (group.check)(&settings).map_err(|error| given.explained(CliError::new(error), group.options))?;
        Ok((group.name, settings))
    });
    with_settings.collect()
}

fn with_settings(enabled: &[&'static dyn Collector], given: &Given) -> Result<Vec<Enabled>, CliError> {
    let is_named = !named(given)?.is_empty();
    let with_settings = enabled.iter().map(|collector| {
        let settings = given.settings(collector.options())?;
        let checked = collector.check(&settings).map_err(CliError::new);
        checked.map_err(|error| given.explained(error, collector.options()))?;
        Ok(Enabled { collector: *collector, is_named, settings })
    });
    with_settings.collect()
}

/// Returns whether certificates are verified. The two flags are opposites; the command line takes precedence.
fn verify_certs(settings: &Settings, given: &Given) -> Result<bool, CliError> {
    if given.on_command_line("verify-certs") || given.on_command_line("no-verify-certs") {
        return Ok(given.on_command_line("verify-certs"));
    }
    let verify = options::core().find(|spec| spec.name == "verify-certs").map(|spec| given.setting(spec));
    match verify.transpose()?.flatten() {
        Some(Setting::Flag(true)) if settings.flag("no-verify-certs") => {
            Err(CliError::new("CKWORKER_VERIFY_CERTS and CKWORKER_NO_VERIFY_CERTS cannot both be set"))
        }
        Some(Setting::Flag(verify)) => Ok(verify),
        _ => Ok(!settings.flag("no-verify-certs")),
    }
}

/// Returns the verbosity. The command line takes precedence as a whole: `--quiet` overrides `CKWORKER_VERBOSE=true`.
fn verbosity(settings: &Settings, given: &Given) -> Result<Verbosity, CliError> {
    let (verbose, quiet) = (settings.flag("verbose"), settings.flag("quiet"));
    match (verbose, quiet) {
        (true, true) if given.on_command_line("verbose") => Ok(Verbosity::Verbose),
        (true, true) if given.on_command_line("quiet") => Ok(Verbosity::Quiet),
        (true, true) => Err(CliError::new("CKWORKER_VERBOSE and CKWORKER_QUIET cannot both be set")),
        (true, false) => Ok(Verbosity::Verbose),
        (false, true) => Ok(Verbosity::Quiet),
        (false, false) => Ok(Verbosity::Normal),
    }
}

fn warnings(registered: Registered<'_>, enabled: &[&'static dyn Collector], given: &Given) -> Vec<String> {
    let all: Vec<&OptionSpec> = registered.options().collect();
    let usable = Registered { collectors: enabled, ..registered };
    let exposed = usable.options().filter(|spec| spec.secret).filter_map(|spec| {
        let option = spec.name;
        let danger = match given.on_command_line(option) {
            true => "on the command line can be read by every user of this machine",
            false if given.environment.moved().any(|moved| moved == option) => {
                "was taken off the command line, but the shell may remember it"
            }
            false => return None,
        };
        Some(format!("--{option} {danger}; use {}", super::environment::variable(option)))
    });
    exposed.chain(given.environment.unknown(&all)).collect()
}
