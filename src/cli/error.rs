//! Errors in the command line or the environment.

/// An error that names the option or variable and its valid values, formatted for a terminal.
#[derive(Debug, thiserror::Error)]
#[error("error: {0}\n\nFor more information, try 'ckworker --help'.")]
pub struct CliError(String);

impl CliError {
    /// Creates an error. The message begins in lower case and names the option.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Rewrites the message.
    pub(super) fn map(self, rewrite: impl FnOnce(&str) -> String) -> Self {
        Self(rewrite(&self.0))
    }
}

impl From<clap::Error> for CliError {
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        // The parser's usage line would show all options; the hint at the end of ckworker's own is enough.
        let text = text.split("\n\nUsage:").next().unwrap_or(text);
        Self(text.trim_end().to_owned())
    }
}
