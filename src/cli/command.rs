//! Builds the parser and the help text from the options' tables.

use clap::{Arg, ArgAction, Command};

use super::{ExitCode, options::Registered};
use crate::settings::{OptionKind, OptionSpec};

/// The width of the help text, fixed so that it is the same in a terminal, a pipe and a document.
const WIDTH: usize = 100;

const ABOUT: &str = "Cloudkeeper's worker: collects cloud resources into one graph and delivers it to ckcore";

const USAGE: &str = "ckworker [OPTIONS]                          run as a daemon that ckcore gives work to
       ckworker collect --output FILE [OPTIONS]    collect once, without a core, and write ndjson";

const ENVIRONMENT: &str = "Environment:
  Every option can be given as CKWORKER_ and its name in capitals with _ for -, such as
  CKWORKER_POOL_SIZE; the command line wins. Flags take true, false, 1, 0, yes, no, on or off;
  lists are separated by blanks, or numbered: CKWORKER_COLLECTOR0, CKWORKER_COLLECTOR1, …

Exit codes:";

/// Returns a parser of these options.
pub(super) fn command(registered: Registered<'_>) -> Command {
    let mut command = Command::new("ckworker")
        .about(ABOUT)
        .override_usage(USAGE)
        .after_help(format!("{ENVIRONMENT}{}", ExitCode::table()))
        .term_width(WIDTH)
        .infer_long_args(true)
        .args_override_self(true)
        .disable_help_flag(true)
        .disable_version_flag(true);
    for (heading, specs) in registered.groups() {
        command = command.next_help_heading(heading).args(specs.iter().map(argument));
    }
    command.next_help_heading("About").args([
        about("help", "Show this help; with --collector, the options of those collectors only").short('h'),
        about("machine-help", "Show the name of every option, one a line"),
        about("version", "Show the version").short('V'),
    ])
}

/// Returns the help text for these options.
pub(super) fn help(registered: Registered<'_>) -> String {
    command(registered).render_help().to_string()
}

/// Returns every option string, one in each line.
pub(super) fn machine_help(registered: Registered<'_>) -> String {
    let mut text = String::new();
    for spec in registered.options() {
        text.push_str(&format!("--{}\n", spec.name));
        if let Some(short) = spec.short {
            text.push_str(&format!("-{short}\n"));
        }
    }
    text
}

fn about(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

fn argument(spec: &'static OptionSpec) -> Arg {
    let mut argument = Arg::new(spec.name).long(spec.name).help(described(spec));
    if let Some(short) = spec.short {
        argument = argument.short(short);
    }
    if spec.name == "verbose" {
        argument = argument.conflicts_with("quiet");
    }
    if spec.name == "verify-certs" {
        argument = argument.conflicts_with("no-verify-certs");
    }
    match &spec.kind {
        OptionKind::Flag => argument.action(ArgAction::SetTrue),
        OptionKind::Text { .. } | OptionKind::Integer { .. } => {
            argument.action(ArgAction::Set).value_name(value_name(spec))
        }
        OptionKind::List { .. } => argument.action(ArgAction::Set).num_args(1..).value_name(value_name(spec)),
    }
}

/// Returns the help line with the default, unless the line mentions the default itself. Secrets have no defaults to
/// show.
fn described(spec: &OptionSpec) -> String {
    let default = match &spec.kind {
        OptionKind::Text { default: Some(text) } if !spec.secret => (*text).to_owned(),
        OptionKind::Integer { default, .. } => default.to_string(),
        OptionKind::List { default } => default.join(" "),
        _ => String::new(),
    };
    if default.is_empty() || spec.help.contains("default") {
        spec.help.to_owned()
    } else {
        format!("{} (default: {default})", spec.help)
    }
}

/// Returns `N` for numbers, otherwise the last word of the name: `--aws-role <ROLE>`.
fn value_name(spec: &OptionSpec) -> String {
    match (&spec.kind, spec.name) {
        (OptionKind::Integer { .. }, _) => "N".to_owned(),
        (_, "output" | "logfile" | "ca-cert" | "cert" | "cert-key") => "FILE".to_owned(),
        (_, "definitions") => "PATH".to_owned(),
        (_, name) => name.rsplit('-').next().unwrap_or(name).to_uppercase(),
    }
}
