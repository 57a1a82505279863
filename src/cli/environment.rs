//! The `CKWORKER_…` variables.

use std::{collections::BTreeMap, ffi::OsString};

use super::CliError;
use crate::settings::{OptionKind, OptionSpec, nearest};

const PREFIX: &str = "CKWORKER_";
/// The variable that names the options whose secrets were moved from the command line into the environment.
pub(super) const MOVED: &str = "CKWORKER_SECRETS_MOVED";
/// The limit of numbered variables of a list.
pub(super) const NUMBERED: u32 = 255;

/// The variables by name.
pub(super) struct Environment(BTreeMap<String, OsString>);

/// A value and the variable that it came from.
pub(super) struct Found {
    pub(super) variable: String,
    pub(super) values: Vec<String>,
}

impl Environment {
    /// Keeps the variables whose names are valid.
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(variables.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect())
    }

    /// Returns the value of an option. An empty variable counts as not set, except where it has a meaning. The
    /// numbered variables of a list are read if the one without a number is empty, and that of other programs if none
    /// has a value.
    pub(super) fn find(&self, spec: &OptionSpec) -> Result<Option<Found>, CliError> {
        let own = self.value(spec, variable(spec.name))?;
        match spec.variable {
            Some(other) if own.is_none() => self.value(spec, other.to_owned()),
            _ => Ok(own),
        }
    }

    fn value(&self, spec: &OptionSpec, variable: String) -> Result<Option<Found>, CliError> {
        let value = self.text(&variable)?;
        let is_list = matches!(spec.kind, OptionKind::List { .. });
        let values: Vec<String> = match value {
            Some(text) if is_list && !text.trim().is_empty() => text.split_whitespace().map(str::to_owned).collect(),
            _ if is_list => {
                let values = self.numbered(spec, &variable)?;
                if !values.is_empty() {
                    return Ok(Some(Found { variable: format!("{variable}0…"), values }));
                }
                value.filter(|_| spec.empty).map(|_| String::new()).into_iter().collect()
            }
            _ => value.filter(|text| !text.is_empty() || spec.empty).map(str::to_owned).into_iter().collect(),
        };
        Ok((!values.is_empty()).then_some(Found { variable, values }))
    }

    fn numbered(&self, spec: &OptionSpec, variable: &str) -> Result<Vec<String>, CliError> {
        let mut values = Vec::new();
        for number in 0..NUMBERED {
            let value = self.text(&format!("{variable}{number}"))?;
            values.extend(value.filter(|value| !value.is_empty() || spec.empty).map(str::to_owned));
        }
        Ok(values)
    }

    fn text(&self, variable: &str) -> Result<Option<&str>, CliError> {
        let Some(value) = self.0.get(variable) else { return Ok(None) };
        let text = value.to_str().ok_or_else(|| CliError::new(format!("{variable} is not valid UTF-8")))?;
        Ok(Some(text))
    }

    /// Returns the options whose secrets were arguments when the program was started.
    pub(super) fn moved(&self) -> impl Iterator<Item = &str> {
        let moved = self.0.get(MOVED).and_then(|options| options.to_str());
        moved.into_iter().flat_map(str::split_whitespace)
    }

    /// Returns a warning for each variable that no option reads.
    pub(super) fn unknown(&self, specs: &[&OptionSpec]) -> Vec<String> {
        self.0
            .keys()
            .filter(|name| name.starts_with(PREFIX) && *name != MOVED && !specs.iter().any(|spec| reads(spec, name)))
            .map(|name| warning(name, specs))
            .collect()
    }
}

/// The variable of an option.
pub(super) fn variable(option: &str) -> String {
    format!("{PREFIX}{}", option.to_uppercase().replace('-', "_"))
}

fn reads(spec: &OptionSpec, name: &str) -> bool {
    let variable = variable(spec.name);
    match name.strip_prefix(&variable) {
        Some("") => true,
        Some(rest) if matches!(spec.kind, OptionKind::List { .. }) => {
            rest.parse().is_ok_and(|number: u32| number < NUMBERED && number.to_string() == rest)
        }
        _ => false,
    }
}

fn warning(name: &str, specs: &[&OptionSpec]) -> String {
    let variables: Vec<String> = specs.iter().map(|spec| variable(spec.name)).collect();
    match nearest(name, variables.iter().map(String::as_str)) {
        Some(known) => format!("ignoring unknown variable {name}; did you mean {known}?"),
        None => format!("ignoring unknown variable {name}"),
    }
}
