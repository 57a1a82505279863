//! Exit codes: the contract with service managers, scripts and users.

use std::fmt::Write;

use crate::report::RunReport;

/// The exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Everything was collected and delivered, or a daemon was stopped by SIGTERM or SIGINT.
    Complete,
    /// A bug in the program, or an error of the system.
    Internal,
    /// Options or variables are invalid; nothing was contacted.
    Usage,
    /// The result was delivered, but an account or a part of one is missing.
    Incomplete,
    /// No account could be collected.
    Nothing,
    /// The result could not be written or uploaded.
    Undelivered,
    /// The web port could not be opened.
    Port,
    /// A one-shot run was stopped by this signal.
    Signal(u8),
}

/// The meaning of each code for `--help`; `docs/operations.md` has the same table.
const TABLE: &[(&str, &str)] = &[
    ("0", "complete, or a daemon that was stopped by SIGTERM or SIGINT"),
    ("1", "a bug in ckworker, or an error of the system"),
    ("2", "invalid options or configuration; nothing was contacted"),
    ("3", "incomplete: an account or a part of one is missing"),
    ("4", "nothing could be collected (credentials, endpoint, or every account failed)"),
    ("5", "the output or the upload could not be written"),
    ("6", "the web port could not be opened"),
    ("128+n", "a one-shot run was stopped by signal n"),
];

impl ExitCode {
    /// Returns the number for the operating system.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            ExitCode::Complete => 0,
            ExitCode::Internal => 1,
            ExitCode::Usage => 2,
            ExitCode::Incomplete => 3,
            ExitCode::Nothing => 4,
            ExitCode::Undelivered => 5,
            ExitCode::Port => 6,
            ExitCode::Signal(signal) => 128_u8.saturating_add(signal),
        }
    }

    /// Returns the exit code of a delivered run.
    #[must_use]
    pub fn of(report: &RunReport) -> Self {
        if report.is_complete() {
            ExitCode::Complete
        } else if report.has_something() {
            ExitCode::Incomplete
        } else {
            ExitCode::Nothing
        }
    }

    /// Returns the table for the help text, indented by two spaces.
    pub(super) fn table() -> String {
        TABLE.iter().fold(String::new(), |mut text, (code, meaning)| {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {code:<6} {meaning}");
            text
        })
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}
