//! Command line and environment: everything is read, checked and turned into typed settings here, before anything is
//! contacted.
//!
//! Options are data ([`OptionSpec`](crate::settings::OptionSpec)): the core's in `options`, each collector's in its
//! own table. From them come the parser (`command`), the environment variables (`environment`) and the help. The way
//! through is: arguments → which collectors are enabled → values (command line, else environment, else default) →
//! typed settings, with every wrong value answered by one sentence that names where it came from.

mod command;
mod core;
mod environment;
mod error;
mod exit;
mod invocation;
mod options;
mod progress;
mod secrets;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod values;

pub use self::{
    core::CoreSettings,
    error::CliError,
    exit::ExitCode,
    invocation::{Enabled, Invocation, Mode, Output, Run, Verbosity, parse, parse_with},
    progress::{LogDisplay, Progress},
    secrets::{Moved, without_secrets},
    summary::summary,
};
