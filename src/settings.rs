//! Options as data: names, accepted values, and the values that were given.
//!
//! The core and every collector describe their options with [`OptionSpec`]. The command line, the environment, the help
//! text and the frames to workers are all derived from that description.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The description of an option.
#[derive(Clone, Debug)]
pub struct OptionSpec {
    /// The long name without dashes, such as `aws-role`; `CKWORKER_AWS_ROLE` in the environment.
    pub name: &'static str,
    /// The one-letter name, if there is one.
    pub short: Option<char>,
    /// The type of the value.
    pub kind: OptionKind,
    /// The help text, one line.
    pub help: &'static str,
    /// Whether the value is a secret: never shown, logged, or sent to a worker.
    pub secret: bool,
    /// Whether an empty value has a meaning. It counts as absent otherwise.
    pub empty: bool,
    /// A variable that other programs have for the value. It is read if the option's own is not set.
    pub variable: Option<&'static str>,
}

/// The options of an action: a part of the help text, and a check.
#[derive(Debug)]
pub struct OptionGroup {
    /// The name of the action.
    pub name: &'static str,
    /// The heading in the help text.
    pub heading: &'static str,
    /// The options.
    pub options: &'static [OptionSpec],
    /// Checks what no single option can check, before anything is contacted. The error names the options and the
    /// remedy.
    pub check: fn(&Settings) -> Result<(), String>,
}

impl OptionGroup {
    /// Returns a group without options.
    #[must_use]
    pub const fn empty(name: &'static str) -> Self {
        Self { name, heading: "", options: &[], check: |_| Ok(()) }
    }
}

/// The type of an option's value, and its default.
#[derive(Clone, Debug)]
pub enum OptionKind {
    /// A flag, present or not; `true`, `false` or a synonym in the environment.
    Flag,
    /// A string.
    Text {
        /// The default, if there is one.
        default: Option<&'static str>,
    },
    /// A whole number.
    Integer {
        /// The default.
        default: u64,
        /// The smallest accepted value.
        min: u64,
        /// The largest accepted value.
        max: u64,
    },
    /// A list of at least one string, separated by spaces.
    List {
        /// The default.
        default: &'static [&'static str],
    },
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// The value of a flag.
    Flag(bool),
    /// A whole number.
    Integer(u64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<String>),
}

/// The values of a set of options by name. An option without value and default is absent.
///
/// `Debug` shows names only, because values may be secrets.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(BTreeMap<String, Setting>);

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl OptionSpec {
    /// Returns a flag.
    #[must_use]
    pub const fn flag(name: &'static str, help: &'static str) -> Self {
        Self { name, short: None, kind: OptionKind::Flag, help, secret: false, empty: false, variable: None }
    }

    /// Returns an option with a string, without a default.
    #[must_use]
    pub const fn text(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            short: None,
            kind: OptionKind::Text { default: None },
            help,
            secret: false,
            empty: false,
            variable: None,
        }
    }

    /// Returns an option with a list, empty by default.
    #[must_use]
    pub const fn list(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            short: None,
            kind: OptionKind::List { default: &[] },
            help,
            secret: false,
            empty: false,
            variable: None,
        }
    }

    /// Returns an option with a whole number.
    #[must_use]
    pub const fn integer(name: &'static str, default: u64, (min, max): (u64, u64), help: &'static str) -> Self {
        Self {
            name,
            short: None,
            kind: OptionKind::Integer { default, min, max },
            help,
            secret: false,
            empty: false,
            variable: None,
        }
    }
}

/// The largest edit distance at which another name is meant.
const CLOSE: usize = 2;

/// Returns the name that was probably meant by an unknown one.
#[must_use]
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let distance = |known: &&str| strsim::osa_distance(name, known);
    known.into_iter().map(|known| (distance(&known), known)).min().filter(|(wrong, _)| *wrong <= CLOSE).map(|(_, n)| n)
}

/// Returns a sentence about an unknown name, with the name that was probably meant.
#[must_use]
pub fn with_nearest<'n>(sentence: &str, name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    match nearest(name, known) {
        Some(meant) => format!("{sentence}; did you mean {meant}?"),
        None => sentence.to_owned(),
    }
}

/// Checks the names in a list.
///
/// # Errors
/// The first unknown name, and the known ones.
pub fn check_names(option: &str, given: &[String], known: &[&str]) -> Result<(), String> {
    match given.iter().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(format!("--{option} {unknown}: unknown name; expected one of {}", known.join(", "))),
        None => Ok(()),
    }
}

impl Settings {
    /// Sets a value.
    pub fn set(&mut self, name: &str, value: Setting) {
        self.0.insert(name.to_owned(), value);
    }

    /// Returns the value of an option.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.0.get(name)
    }

    /// Returns the value of a flag; `false` if absent.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Setting::Flag(true)))
    }

    /// Returns the value of a string option; an empty string counts as absent.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Setting::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Returns the value of a whole number.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(Setting::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// Returns the values of a list; empty if absent.
    #[must_use]
    pub fn list(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(Setting::List(list)) => list,
            _ => &[],
        }
    }

    /// Returns the values of the given options without secrets, for a worker.
    #[must_use]
    pub fn public(&self, specs: &[OptionSpec]) -> Settings {
        let public = specs.iter().filter(|spec| !spec.secret);
        Settings(
            public.filter_map(|spec| self.0.get_key_value(spec.name)).map(|(k, v)| (k.clone(), v.clone())).collect(),
        )
    }

    /// Returns the defaults of the given options.
    #[must_use]
    pub fn defaults(specs: &[OptionSpec]) -> Settings {
        let mut settings = Settings::default();
        for spec in specs {
            let value = match &spec.kind {
                OptionKind::Flag => Setting::Flag(false),
                OptionKind::Text { default: None } => continue,
                OptionKind::Text { default: Some(text) } => Setting::Text((*text).to_owned()),
                OptionKind::Integer { default, .. } => Setting::Integer(*default),
                OptionKind::List { default } => Setting::List(default.iter().map(|s| (*s).to_owned()).collect()),
            };
            settings.set(spec.name, value);
        }
        settings
    }
}
