//! Command line and environment: everything is read, checked and converted into typed settings here, before anything is
//! contacted.
//!
//! Options are data ([`OptionSpec`](crate::settings::OptionSpec)): those of the program itself are in `options`, each
//! collector's and each action's in a table of its own, which `start` hands in. The parser (`command`), the environment
//! variables (`environment`) and the help are derived from them. The steps are: parse the arguments, determine the
//! enabled collectors, read the values (command line, else environment, else default), and convert them into typed
//! settings. The error of an invalid value is one sentence that names the value's source.

mod command;
mod core;
mod definitions;
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
    definitions::definitions,
    error::CliError,
    exit::ExitCode,
    invocation::{Enabled, Invocation, Mode, Output, Run, Verbosity, parse},
    options::Registered,
    progress::{LogDisplay, Progress},
    secrets::{Moved, without_secrets},
    summary::summary,
};
