//! The broker: what a worker needs to log in and neither its settings nor its environment have.
//!
//! The passphrase of the key, the socket of the user's agent, and the paths of the home directory and of programs. Workers
//! of other collectors get none of it.

use std::env;

use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};
use worker_proto::{Credentials, Failure, FailureKind, Unit};

use super::options::{KEY_PASS, Options};
use crate::{
    collector_api::{BoxFuture, Broker},
    settings::Settings,
};

/// The form of [`Credentials::secret`], as JSON. There is no `Debug`, as it has a secret.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Access {
    /// The passphrase of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) passphrase: Option<String>,
    /// The socket of the agent: `SSH_AUTH_SOCK`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    /// The home directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) home: Option<String>,
    /// Whether `HOME` names another one than the system has for the user.
    #[serde(default)]
    pub(crate) is_other_home: bool,
    /// Where programs are looked for: `PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
}

impl Access {
    /// Parses the secret.
    ///
    /// # Errors
    /// `Internal` if it is malformed; the message does not contain it.
    pub(crate) fn read(credentials: &Credentials) -> Result<Self, Failure> {
        serde_json::from_str(&credentials.secret)
            .map_err(|_| Failure { kind: FailureKind::Internal, message: "cannot parse the access over SSH".into() })
    }

    fn of_process(passphrase: Option<&str>) -> Self {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let user = User::from_uid(Uid::current()).ok().flatten();
        let of_system = user.map(|user| user.dir.to_string_lossy().into_owned());
        let home = variable("HOME").filter(|home| home.starts_with('/'));
        Self {
            passphrase: passphrase.map(str::to_owned),
            agent: variable("SSH_AUTH_SOCK"),
            is_other_home: home.is_some() && home != of_system,
            home: home.or(of_system),
            path: variable("PATH"),
        }
    }
}

/// The broker of the onprem collector.
pub(crate) struct OnpremBroker {
    access: Access,
    has_servers: bool,
}

impl OnpremBroker {
    /// Returns a broker; contacts nothing.
    pub(crate) fn new(settings: &Settings) -> Self {
        let has_servers = !Options::of(settings).servers.is_empty();
        Self { access: Access::of_process(settings.text(KEY_PASS)), has_servers }
    }

    fn issue(&self, unit: Option<&Unit>) -> Result<Credentials, Failure> {
        if !self.has_servers {
            let message = "there are no on-premises servers; name them with --onprem-server".to_owned();
            return Err(Failure { kind: FailureKind::NoCredentials, message });
        }
        // A plan contacts nothing.
        let nothing = Access::default();
        let access = if unit.is_some() { &self.access } else { &nothing };
        let secret = serde_json::to_string(access)
            .map_err(|_| Failure { kind: FailureKind::Internal, message: "cannot write the access over SSH".into() })?;
        Ok(Credentials { secret, expires: None })
    }
}

impl Broker for OnpremBroker {
    fn credentials<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        Box::pin(async move { self.issue(unit) })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::settings::Setting;

    #[test]
    fn passphrase_goes_to_units_and_not_to_plans() {
        let mut settings = Settings::default();
        settings.set(KEY_PASS, Setting::Text("sesame".into()));
        settings.set("onprem-server", Setting::List(vec!["h".into()]));
        let broker = OnpremBroker::new(&settings);
        let unit = Unit { id: "l".into(), label: "l".into(), kind: "k".into(), parts: 0, payload: String::new() };
        assert!(!broker.issue(None).unwrap().secret.contains("sesame"));
        let access = Access::read(&broker.issue(Some(&unit)).unwrap()).unwrap();
        assert_eq!(access.passphrase.as_deref(), Some("sesame"));
    }

    #[test]
    fn broker_without_servers_has_no_credentials() {
        let failure = OnpremBroker::new(&Settings::default()).issue(None).unwrap_err();
        assert_eq!(failure.kind, FailureKind::NoCredentials);
        assert!(failure.message.contains("--onprem-server"));
    }
}
