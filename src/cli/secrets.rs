//! Moves secrets from the command line, which every user of the machine can read, into the environment.

use std::{
    ffi::{OsStr, OsString},
    iter,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::{
    command,
    environment::{MOVED, NUMBERED, variable},
    options::Registered,
};
use crate::settings::{OptionKind, OptionSpec};

/// A command line without secrets.
#[derive(Debug, PartialEq, Eq)]
pub struct Moved {
    /// The remaining arguments.
    pub arguments: Vec<OsString>,
    /// The variables to remove from the environment: those that the moved arguments take precedence over.
    pub removed: Vec<String>,
    /// The variables to add to the environment.
    pub variables: Vec<(String, OsString)>,
}

/// Returns the accepted arguments without secrets; `None` if they have none.
#[must_use]
pub fn without_secrets(registered: Registered<'_>, arguments: &[OsString]) -> Option<Moved> {
    let known = command::command(registered);
    let names: Vec<&str> = known.get_arguments().filter_map(clap::Arg::get_long).collect();
    let mut kept = Vec::new();
    let mut secrets: Vec<(&OptionSpec, Vec<OsString>)> = Vec::new();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let (name, joined) = split(argument);
        let name = name.and_then(|name| meant(name, &names));
        let secret = registered.options().find(|spec| spec.secret && Some(spec.name) == name);
        let Some(secret) = secret else {
            kept.push(argument.clone());
            continue;
        };
        let values = match joined {
            Some(value) => vec![value],
            None if is_list(secret) => iter::from_fn(|| rest.next_if(|next| !is_option(next))).cloned().collect(),
            None => rest.next().cloned().into_iter().collect(),
        };
        // The last value takes precedence, as on the command line.
        secrets.retain(|(other, _)| other.name != secret.name);
        secrets.push((secret, values));
    }
    if secrets.is_empty() {
        return None;
    }
    let mut moved = Moved { arguments: kept, removed: Vec::new(), variables: Vec::new() };
    moved.removed.extend(secrets.iter().flat_map(|(secret, _)| variables(secret)));
    moved.variables.extend(secrets.iter().flat_map(|(secret, values)| named(secret, values)));
    let shown = secrets.iter().filter(|(_, values)| values.iter().any(|value| !is_file(value)));
    let options: Vec<&str> = shown.map(|(secret, _)| secret.name).collect();
    moved.variables.push((MOVED.to_owned(), options.join(" ").into()));
    Some(moved)
}

/// Returns whether a value is the path of a file. That is no secret.
fn is_file(value: &OsStr) -> bool {
    Path::new(value).is_file()
}

fn is_list(spec: &OptionSpec) -> bool {
    matches!(spec.kind, OptionKind::List { .. })
}

/// Returns whether the parser treats an argument as an option, which ends a list.
pub(super) fn is_option(argument: &OsStr) -> bool {
    argument.as_bytes().len() > 1 && argument.as_bytes().starts_with(b"-")
}

/// Returns all variables that an option reads.
fn variables(spec: &OptionSpec) -> impl Iterator<Item = String> {
    let name = variable(spec.name);
    let numbers = 0..if is_list(spec) { NUMBERED } else { 0 };
    let numbered: Vec<String> = numbers.map(|number| format!("{name}{number}")).collect();
    iter::once(name).chain(numbered)
}

/// Returns the values of an option by variable: those of a list by its numbered variables, as a value of a list may
/// have blanks.
fn named(spec: &OptionSpec, values: &[OsString]) -> Vec<(String, OsString)> {
    let skipped = usize::from(is_list(spec));
    variables(spec).skip(skipped).zip(values.iter().cloned()).collect()
}

/// Returns the name of a long option, and its value if it is in the same argument. The value of another option never
/// looks like an option, because the parser treats an argument that begins with a dash as an option.
pub(super) fn split(argument: &OsStr) -> (Option<&str>, Option<OsString>) {
    let bytes = argument.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned())),
        None => (bytes, None),
    };
    let name = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix("--"));
    (name.filter(|name| !name.is_empty()), value)
}

/// Returns the option that a name or its prefix stands for.
fn meant<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let exact = names.iter().find(|known| **known == name);
    let mut begun = names.iter().filter(|known| known.starts_with(name));
    match (exact, begun.next(), begun.next()) {
        (Some(exact), ..) => Some(exact),
        (None, Some(only), None) => Some(only),
        _ => None,
    }
}
