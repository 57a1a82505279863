//! Options as data: what an option is called, which values it takes, and the values that were given.
//!
//! The core and every collector describe their options with [`OptionSpec`]; the command line, the environment, the
//! help text and the frames to workers all come from that one description.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One option.
#[derive(Clone, Debug)]
pub struct OptionSpec {
    /// Its long name without dashes, such as `aws-role`; `CKWORKER_AWS_ROLE` in the environment.
    pub name: &'static str,
    /// Its one-letter name, if it has one.
    pub short: Option<char>,
    /// Which values it takes.
    pub kind: OptionKind,
    /// One line for people.
    pub help: &'static str,
    /// Whether the value is a secret: never shown, logged, or sent to a worker.
    pub secret: bool,
}

/// Which values an option takes, and its default.
#[derive(Clone, Debug)]
pub enum OptionKind {
    /// Present or not; `true` or `false` and their like in the environment.
    Flag,
    /// One text.
    Text {
        /// The default, if there is one.
        default: Option<&'static str>,
    },
    /// A whole number.
    Integer {
        /// The default.
        default: u64,
        /// The smallest value accepted.
        min: u64,
        /// The largest value accepted.
        max: u64,
    },
    /// One text or more, separated by blanks.
    List {
        /// The default.
        default: &'static [&'static str],
    },
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// Of a flag.
    Flag(bool),
    /// Of a whole number.
    Integer(u64),
    /// Of a text.
    Text(String),
    /// Of a list.
    List(Vec<String>),
}

/// The values of a set of options by name. An option without value and default is absent.
///
/// `Debug` shows names only, as values may be secrets.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(BTreeMap<String, Setting>);

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Settings {
    /// Sets a value.
    pub fn set(&mut self, name: &str, value: Setting) {
        self.0.insert(name.to_owned(), value);
    }

    /// The value of any option.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.0.get(name)
    }

    /// The value of a flag; `false` if absent.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Setting::Flag(true)))
    }

    /// The value of a text; an empty one counts as absent.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Setting::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The value of a whole number.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(Setting::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// The values of a list; empty if absent.
    #[must_use]
    pub fn list(&self, name: &str) -> &[String] {
        match self.0.get(name) {
            Some(Setting::List(list)) => list,
            _ => &[],
        }
    }

    /// The values of the given options only, secrets left out: what a worker gets.
    #[must_use]
    pub fn public(&self, specs: &[OptionSpec]) -> Settings {
        let public = specs.iter().filter(|spec| !spec.secret);
        Settings(
            public.filter_map(|spec| self.0.get_key_value(spec.name)).map(|(k, v)| (k.clone(), v.clone())).collect(),
        )
    }

    /// The defaults of the given options.
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
