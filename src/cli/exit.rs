//! Exit codes: the contract with service managers, scripts and people.

use std::fmt::Write;

use crate::report::RunReport;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Everything was collected and delivered, or a daemon was stopped by SIGTERM or SIGINT.
    Complete,
    /// A fault in the program or in the system it runs on.
    Internal,
    /// An option, a variable or a combination of them is wrong; nothing was contacted.
    Usage,
    /// The result was delivered, but an account or a part of one is missing in it.
    Incomplete,
    /// Nothing could be collected: credentials or endpoint are wrong, or every account failed.
    Nothing,
    /// The result could not be written or uploaded.
    Undelivered,
    /// The web port could not be opened.
    Port,
    /// A one-shot run was stopped by this signal.
    Signal(u8),
}

/// What each code means, for `--help`; `docs/operations.md` has the same table.
const TABLE: &[(&str, &str)] = &[
    ("0", "complete, or a daemon that was stopped by SIGTERM or SIGINT"),
    ("1", "a fault in the program or the system"),
    ("2", "wrong options or configuration; nothing was contacted"),
    ("3", "incomplete: an account or a part of one is missing"),
    ("4", "nothing could be collected (credentials, endpoint, or every account failed)"),
    ("5", "the output or the upload could not be written"),
    ("6", "the web port could not be opened"),
    ("128+n", "a one-shot run was stopped by signal n"),
];

impl ExitCode {
    /// The number that the operating system gets.
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

    /// What a delivered run is worth.
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

    /// The table for people, two blanks before each line.
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
