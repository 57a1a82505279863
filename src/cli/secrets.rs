//! Moves secrets from the command line, which every user of the machine can read, into the environment.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use super::{
    command,
    environment::{MOVED, variable},
    options::Registered,
};

/// A command line without secrets.
#[derive(Debug, PartialEq, Eq)]
pub struct Moved {
    /// The remaining arguments.
    pub arguments: Vec<OsString>,
    /// The variables to add to the environment.
    pub variables: Vec<(String, OsString)>,
}

/// Returns the accepted arguments without secrets; `None` if they have none.
#[must_use]
pub fn without_secrets(registered: Registered<'_>, arguments: &[OsString]) -> Option<Moved> {
    let known = command::command(registered);
    let names: Vec<&str> = known.get_arguments().filter_map(clap::Arg::get_long).collect();
    let secrets: Vec<&str> = registered.options().filter(|spec| spec.secret).map(|spec| spec.name).collect();
    let mut moved = Moved { arguments: Vec::new(), variables: Vec::new() };
    let mut options: Vec<&str> = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (name, joined) = split(argument);
        let secret = name.and_then(|name| meant(name, &names)).filter(|name| secrets.contains(name));
        let Some(secret) = secret else {
            moved.arguments.push(argument.clone());
            continue;
        };
        let value = joined.or_else(|| rest.next().cloned()).unwrap_or_default();
        let variable = variable(secret);
        // The last value takes precedence, as on the command line.
        moved.variables.retain(|(other, _)| *other != variable);
        moved.variables.push((variable, value));
        options.retain(|other| *other != secret);
        options.push(secret);
    }
    if options.is_empty() {
        return None;
    }
    moved.variables.push((MOVED.to_owned(), options.join(" ").into()));
    Some(moved)
}

/// Returns the name of a long option, and its value if it is in the same argument. The value of another option never
/// looks like an option, because the parser treats an argument that begins with a dash as an option.
fn split(argument: &OsStr) -> (Option<&str>, Option<OsString>) {
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
