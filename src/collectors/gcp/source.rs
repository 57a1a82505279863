//! Where credentials come from: the values of `--gcp-service-account`, and Google's default chain.

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::{ErrorKind, Read},
    path::PathBuf,
};

use serde_json::Value;
use worker_proto::{Failure, FailureKind};

use super::{key::Key, options::SERVICE_ACCOUNT};

/// The variables that Google's libraries read.
const VARIABLES: [&str; 6] = [
    "CLOUDSDK_CONFIG",
    "GCE_METADATA_HOST",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_QUOTA_PROJECT",
    "HOME",
    "NO_GCE_CHECK",
];

/// The name of the file in gcloud's directory.
const WELL_KNOWN: &str = "application_default_credentials.json";

/// The largest key file. Real ones have some kilobytes.
const MAX_FILE: u64 = 1 << 20;

/// The longest value that is shown as a path in an error.
const MAX_PATH: usize = 200;

/// The variables that credentials depend on, without empty ones.
#[derive(Clone, Default)]
pub(crate) struct Variables(BTreeMap<&'static str, OsString>);

impl Variables {
    /// Reads the variables of this process.
    pub(crate) fn of_process() -> Self {
        Self::of(|name| std::env::var_os(name))
    }

    /// Reads the variables.
    pub(crate) fn of(get: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &'static str| Some((name, get(name).filter(|value| !value.is_empty())?));
        Self(VARIABLES.into_iter().filter_map(set).collect())
    }

    /// Returns the value of a variable, if it is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.get(name).map(PathBuf::from)
    }
}

/// Where one of the credentials comes from. There is no `Debug`: it may be a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file.
    File(PathBuf),
    /// The JSON itself, and its place in the list.
    Json(Key, usize),
    /// Google's default credentials.
    Default,
}

/// Credentials that were found.
pub(crate) enum Found {
    /// The content of a file.
    Key(Key),
    /// No file; a machine's metadata server may have some.
    MetadataServer,
}

impl Source {
    /// Returns the sources that the values of `--gcp-service-account` name; the default chain if there is none.
    ///
    /// # Errors
    /// Why a value is neither a path nor JSON, without its content.
    pub(crate) fn all(values: &[String]) -> Result<Vec<Self>, String> {
        let (mut sources, mut rest) = (Vec::new(), values.iter());
        while let Some(value) = rest.next() {
            let position = sources.len() + 1;
            sources.push(match value.trim() {
                "" => Self::Default,
                json if json.starts_with('{') => {
                    let json = parts(json, &mut rest);
                    let broken = |reason| format!("--{SERVICE_ACCOUNT}: the JSON of value {position}: {reason}");
                    Self::Json(json.and_then(Key::of).map_err(broken)?, position)
                }
                path if path.len() > MAX_PATH || path.contains(['\n', '"']) => {
                    return Err(format!("--{SERVICE_ACCOUNT}: value {position} is neither a path nor JSON"));
                }
                path => Self::File(path.into()),
            });
        }
        if sources.is_empty() {
            sources.push(Self::Default);
        }
        Ok(sources)
    }

    /// Checks a source that an option names. Those of the default chain are not checked, as nobody may need them.
    ///
    /// # Errors
    /// The path, and why it is not the file of a key.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::File(path) => read(path).map(|_| ()).map_err(|reason| format!("--{SERVICE_ACCOUNT} {reason}")),
            Self::Json(..) | Self::Default => Ok(()),
        }
    }

    /// Returns the name for messages.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Json(_, position) => format!("value {position} of --{SERVICE_ACCOUNT}"),
            Self::Default => "the default credentials".to_owned(),
        }
    }

    /// Finds the credentials, and reads their file again. So a replaced key is used.
    ///
    /// # Errors
    /// `Credentials` if a file that is to have them cannot be read.
    pub(crate) fn find(&self, variables: &Variables) -> Result<Found, Failure> {
        let failure = |message| Failure { kind: FailureKind::Credentials, message };
        match self {
            Self::File(path) => read(path)
                .map(Found::Key)
                .map_err(|reason| failure(format!("cannot read the credentials of --{SERVICE_ACCOUNT} {reason}"))),
            Self::Json(key, _) => Ok(Found::Key(key.clone())),
            Self::Default => default_chain(variables).map_err(failure),
        }
    }
}

/// Completes JSON that was split at its blanks, as the values of a list are in the environment.
fn parts<'v>(first: &str, rest: &mut impl Iterator<Item = &'v String>) -> Result<Value, String> {
    let mut text = first.to_owned();
    loop {
        match serde_json::from_str(&text) {
            Ok(json) => return Ok(json),
            Err(error) if error.is_eof() => match rest.next() {
                Some(part) => text = format!("{text} {part}"),
                None => return Err(error.to_string()),
            },
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Returns the default credentials: those of `GOOGLE_APPLICATION_CREDENTIALS`, those of gcloud, or none.
fn default_chain(variables: &Variables) -> Result<Found, String> {
    if let Some(path) = variables.path("GOOGLE_APPLICATION_CREDENTIALS") {
        let read = read(&path).map(Found::Key);
        return read
            .map_err(|reason| format!("cannot read the credentials of GOOGLE_APPLICATION_CREDENTIALS {reason}"));
    }
    let own = || variables.path("HOME").map(|home| home.join(".config/gcloud"));
    let Some(path) = variables.path("CLOUDSDK_CONFIG").or_else(own).map(|directory| directory.join(WELL_KNOWN)) else {
        return Ok(Found::MetadataServer);
    };
    // Other errors mean that there is a file, which nobody else's credentials may replace.
    match path.metadata() {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Found::MetadataServer)
        }
        _ => read(&path).map(Found::Key).map_err(|reason| format!("cannot read the credentials of gcloud {reason}")),
    }
}

/// Reads a file of credentials. Errors begin with its path and have nothing of its content.
fn read(path: &PathBuf) -> Result<Key, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
    let reason = match read {
        Ok(length) if length as u64 > MAX_FILE => Err("the file is too large to be a key".to_owned()),
        Ok(_) => serde_json::from_str(&text).map_err(|error| format!("broken JSON: {error}")).and_then(Key::of),
        Err(error) => Err(error.to_string()),
    };
    reason.map_err(|reason| format!("{}: {reason}", path.display()))
}
