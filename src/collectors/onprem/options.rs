//! The options of the onprem collector: their specification, and their values as one typed struct.

use std::{fs::File, path::Path};

use super::server::{Entry, check_user};
use crate::settings::{OptionKind, OptionSpec, Settings};

/// The largest pool size that the option accepts.
const MAX_POOL: u64 = 200;

/// The name of the option with the passphrase.
pub(crate) const KEY_PASS: &str = "onprem-ssh-key-pass";

const fn text(name: &'static str, default: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { kind: OptionKind::Text { default: Some(default) }, ..OptionSpec::text(name, help) }
}

/// The specification of all options.
pub(crate) const OPTIONS: &[OptionSpec] = &[
    OptionSpec::list(
        "onprem-server",
        "Servers: [location%[region%[network%]]][user@]host[:port], an IPv6 address with a port in brackets",
    ),
    text("onprem-location", "Default location", "Location of servers that name none"),
    text("onprem-region", "Default region", "Region of servers that name neither location, region nor network"),
    text("onprem-ssh-user", "root", "User for servers that name none, here or in ssh_config"),
    OptionSpec::text("onprem-ssh-key", "File with a private key, in addition to an agent and the keys of ssh_config"),
    OptionSpec { secret: true, ..OptionSpec::text(KEY_PASS, "Passphrase of --onprem-ssh-key") },
    OptionSpec::integer(
        "onprem-pool-size",
        5,
        (1, MAX_POOL),
        "Locations to collect at the same time, and servers of each at the same time",
    ),
    OptionSpec::flag("onprem-fork", "Collect each location in its own process"),
];

/// The values of all options but the passphrase, which a worker's settings do not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `--onprem-server`.
    pub(crate) servers: Vec<String>,
    /// `--onprem-location`.
    pub(crate) location: String,
    /// `--onprem-region`.
    pub(crate) region: String,
    /// `--onprem-ssh-user`.
    pub(crate) user: Option<String>,
    /// `--onprem-ssh-key`.
    pub(crate) key: Option<String>,
    /// `--onprem-pool-size`, at least 1.
    pub(crate) pool: usize,
    /// `--onprem-fork`.
    pub(crate) fork: bool,
    /// Whether there is `--onprem-ssh-key-pass`; `false` in a worker.
    pub(crate) has_passphrase: bool,
}

impl Options {
    /// Reads the options. Absent ones have their defaults, the pool has size 1.
    pub(crate) fn of(settings: &Settings) -> Self {
        let text = |name: &str| settings.text(name).map(str::to_owned);
        let pool = settings.integer("onprem-pool-size").and_then(|size| usize::try_from(size).ok());
        Self {
            servers: settings.list("onprem-server").to_vec(),
            location: text("onprem-location").unwrap_or_else(|| "Default location".to_owned()),
            region: text("onprem-region").unwrap_or_else(|| "Default region".to_owned()),
            user: text("onprem-ssh-user"),
            key: text("onprem-ssh-key"),
            pool: pool.unwrap_or(1).max(1),
            fork: settings.flag("onprem-fork"),
            has_passphrase: settings.text(KEY_PASS).is_some(),
        }
    }

    /// Checks what no single option can check. Contacts nothing.
    ///
    /// # Errors
    /// The option, and the remedy.
    pub(crate) fn check(&self) -> Result<(), String> {
        for server in &self.servers {
            Entry::parse(server).map_err(|why| format!("--onprem-server {server}: {why}"))?;
        }
        if let Some(user) = &self.user {
            check_user(user).map_err(|why| format!("--onprem-ssh-user: {why}"))?;
        }
        if let Some(key) = &self.key {
            // It becomes a part of a configuration.
            if key.contains(|c: char| c.is_control() || c == '"') {
                return Err(format!("--onprem-ssh-key {key:?}: rename the file; ssh accepts no quotes in its path"));
            }
            let readable = File::open(Path::new(key)).and_then(|file| file.metadata());
            match readable {
                Ok(data) if data.is_file() => {}
                Ok(_) => return Err(format!("--onprem-ssh-key {key}: not a file; name the private key")),
                Err(error) => return Err(format!("--onprem-ssh-key {key}: {error}; name a file that can be read")),
            }
        }
        if self.has_passphrase && self.key.is_none() {
            return Err(format!("--{KEY_PASS} needs --onprem-ssh-key; for other keys use an agent"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::settings::Setting;

    fn options(given: &[(&str, Setting)]) -> Options {
        let mut settings = Settings::defaults(OPTIONS);
        for (name, value) in given {
            settings.set(name, value.clone());
        }
        Options::of(&settings)
    }

    #[test]
    fn every_option_is_read() {
        let default = options(&[]);
        for spec in OPTIONS {
            let value = match spec.kind {
                OptionKind::Flag => Setting::Flag(true),
                OptionKind::Integer { default, .. } => Setting::Integer(default + 1),
                OptionKind::Text { .. } => Setting::Text("x".into()),
                OptionKind::List { .. } => Setting::List(vec!["x".into()]),
            };
            assert!(options(&[(spec.name, value)]) != default, "{}", spec.name);
        }
        assert_eq!(default.user.as_deref(), Some("root"));
    }

    #[test]
    fn worker_settings_have_no_passphrase() {
        let mut settings = Settings::defaults(OPTIONS);
        settings.set(KEY_PASS, Setting::Text("sesame".into()));
        assert!(settings.public(OPTIONS).get(KEY_PASS).is_none());
    }

    #[test]
    fn mistakes_name_option_and_remedy() {
        let text = |value: &str| Setting::Text(value.to_owned());
        let list = |value: &str| Setting::List(vec![value.to_owned()]);
        for (given, expected) in [
            (vec![("onprem-server", list("a%b%c%d%e"))], "--onprem-server a%b%c%d%e: "),
            (vec![("onprem-ssh-key", text("/nowhere/id"))], "--onprem-ssh-key /nowhere/id: "),
            (vec![("onprem-ssh-key", text("/"))], "not a file"),
            (vec![("onprem-ssh-key", text("/k\"\nProxyCommand x"))], "rename the file"),
            (vec![(KEY_PASS, text("sesame"))], "needs --onprem-ssh-key"),
        ] {
            let error = options(&given).check().unwrap_err();
            assert!(error.contains(expected) && !error.contains("sesame"), "{error}");
        }
        assert_eq!(options(&[("onprem-server", list("root@h:22"))]).check(), Ok(()));
    }
}
