//! Values of options: from the command line, else the environment, else the default.

use clap::{ArgMatches, parser::ValueSource};

use super::{CliError, environment::Environment};
use crate::settings::{OptionKind, OptionSpec, Setting, Settings};

/// The command line and the environment.
pub(super) struct Given {
    pub(super) matches: ArgMatches,
    pub(super) environment: Environment,
}

impl Given {
    /// Whether the option is on the command line.
    pub(super) fn on_command_line(&self, name: &str) -> bool {
        self.matches.value_source(name) == Some(ValueSource::CommandLine)
    }

    /// Returns the values of these options, with defaults.
    pub(super) fn settings(&self, specs: &[OptionSpec]) -> Result<Settings, CliError> {
        let mut settings = Settings::defaults(specs);
        for spec in specs {
            if let Some(value) = self.setting(spec)? {
                settings.set(spec.name, value);
            }
        }
        Ok(settings)
    }

    /// Returns the value of an option, if one was given.
    pub(super) fn setting(&self, spec: &OptionSpec) -> Result<Option<Setting>, CliError> {
        if self.on_command_line(spec.name) {
            return self.converted_argument(spec).map(Some);
        }
        let Some(found) = self.environment.find(spec)? else { return Ok(None) };
        converted(spec, &found.variable, found.values).map(Some)
    }

    /// Rewrites an error to name the variable instead of the option, where the value came from the environment.
    pub(super) fn explained(&self, error: CliError, specs: &[OptionSpec]) -> CliError {
        error.map(|text| self.with_variables(text, specs))
    }

    fn with_variables(&self, text: &str, specs: &[OptionSpec]) -> String {
        let (mut named, mut rest) = (String::new(), text);
        while let Some(at) = rest.find("--") {
            let (before, option) = rest.split_at(at);
            let is_part = |c: char| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit();
            let (option, after) = option.split_at(option.find(|c| !is_part(c)).unwrap_or(option.len()));
            let spec = specs.iter().find(|spec| option.strip_prefix("--") == Some(spec.name));
            named.push_str(before);
            named.push_str(&spec.and_then(|spec| self.variable(spec)).unwrap_or_else(|| option.to_owned()));
            rest = after;
        }
        named + rest
    }

    /// Returns the variable that the value of this option came from.
    fn variable(&self, spec: &OptionSpec) -> Option<String> {
        let found = self.environment.find(spec).ok().flatten().filter(|_| !self.on_command_line(spec.name));
        found.map(|found| found.variable)
    }

    fn converted_argument(&self, spec: &OptionSpec) -> Result<Setting, CliError> {
        if matches!(spec.kind, OptionKind::Flag) {
            return Ok(Setting::Flag(true));
        }
        let values = self.matches.get_many::<String>(spec.name).into_iter().flatten().cloned().collect();
        converted(spec, &format!("--{}", spec.name), values)
    }
}

fn converted(spec: &OptionSpec, source: &str, values: Vec<String>) -> Result<Setting, CliError> {
    let first = values.first().map(String::as_str).unwrap_or_default();
    match &spec.kind {
        OptionKind::Flag => boolean(source, first).map(Setting::Flag),
        OptionKind::Text { .. } => Ok(Setting::Text(first.to_owned())),
        OptionKind::Integer { min, max, .. } => integer(source, first, *min, *max).map(Setting::Integer),
        OptionKind::List { .. } => {
            Ok(Setting::List(values.into_iter().filter(|value| !value.is_empty() || spec.empty).collect()))
        }
    }
}

fn boolean(source: &str, text: &str) -> Result<bool, CliError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(CliError::new(format!("{source} is '{text}' but must be one of true, false, 1, 0, yes, no, on, off"))),
    }
}

fn integer(source: &str, text: &str, min: u64, max: u64) -> Result<u64, CliError> {
    let number = text.trim().parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| CliError::new(format!("{source} is '{text}' but must be a whole number from {min} to {max}")))
}
