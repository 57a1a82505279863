//! The options of the vSphere collector: their specification, and their values as one typed struct.

use std::net::Ipv6Addr;

use super::client::Address;
use crate::{
    engine::http::check_endpoint,
    settings::{OptionSpec, Settings},
};

/// The name of the option with the password.
pub(crate) const PASSWORD: &str = "vsphere-password";

/// The specification of all options.
pub(crate) const OPTIONS: &[OptionSpec] = &[
    OptionSpec::text("vsphere-host", "Host of the vCenter server to collect"),
    OptionSpec::text("vsphere-user", "User who logs in"),
    OptionSpec { secret: true, ..OptionSpec::text(PASSWORD, "Password of the user") },
    OptionSpec::integer("vsphere-port", 443, (1, 65535), "Port of the API"),
    OptionSpec::flag("vsphere-insecure", "Do not verify the server's certificate (insecure)"),
    OptionSpec::text(
        "vsphere-endpoint-url",
        "URL that replaces https://HOST:PORT in calls, such as http://127.0.0.1:8989",
    ),
];

/// The values of all options but the password, which a worker's settings do not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `--vsphere-host`.
    pub(crate) host: Option<String>,
    /// `--vsphere-user`.
    pub(crate) user: Option<String>,
    /// `--vsphere-port`.
    port: u64,
    /// `--vsphere-insecure`.
    is_insecure: bool,
    /// `--vsphere-endpoint-url`, without a slash at its end.
    endpoint: Option<String>,
    /// `--keep-uncollected`, an option of the daemon.
    pub(crate) keep_uncollected: bool,
    /// Whether there is a password; `false` in a worker.
    has_password: bool,
}

impl Options {
    /// Reads the options.
    pub(crate) fn of(settings: &Settings) -> Self {
        let text = |name: &str| settings.text(name).map(str::to_owned);
        Self {
            host: text("vsphere-host"),
            user: text("vsphere-user"),
            port: settings.integer("vsphere-port").unwrap_or(443),
            is_insecure: settings.flag("vsphere-insecure"),
            endpoint: text("vsphere-endpoint-url").map(|url| url.trim_end_matches('/').to_owned()),
            keep_uncollected: settings.flag("keep-uncollected"),
            has_password: settings.text(PASSWORD).is_some(),
        }
    }

    /// Returns where a server is.
    pub(crate) fn address(&self, host: &str) -> Address {
        let port = self.port;
        // An IPv6 address.
        let in_url = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let base = self.endpoint.clone().unwrap_or_else(|| format!("https://{in_url}:{port}"));
        Address { host: host.to_owned(), base, is_insecure: self.is_insecure }
    }

    /// Checks what no single option can check. Contacts nothing.
    ///
    /// # Errors
    /// The option, and the remedy.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.endpoint.as_deref().map_or(Ok(()), |url| check_endpoint("vsphere-endpoint-url", url))?;
        let Some(host) = &self.host else { return Ok(()) };
        if host.contains(['/', '@', '?', '#']) || host.contains(char::is_whitespace) {
            return Err(format!(
                "--vsphere-host {host}: expected the name or address of a host, without a URL's other parts"
            ));
        }
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.contains([':', '[', ']']) && address.parse::<Ipv6Addr>().is_err() {
            return Err(format!("--vsphere-host {host}: not a host; name its port with --vsphere-port"));
        }
        if self.user.is_none() {
            return Err("--vsphere-host needs --vsphere-user".to_owned());
        }
        // Some servers count an empty password as a failed login.
        if !self.has_password {
            return Err(format!(
                "--vsphere-host needs a password that is not empty: set CKWORKER_{}",
                variable(PASSWORD)
            ));
        }
        Ok(())
    }
}

fn variable(option: &str) -> String {
    option.to_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::settings::{OptionKind, Setting};

    fn options(given: &[(&str, &str)]) -> Options {
        let mut settings = Settings::defaults(OPTIONS);
        for (name, value) in given {
            settings.set(name, Setting::Text((*value).to_owned()));
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
                _ => Setting::Text("x".into()),
            };
            let mut settings = Settings::defaults(OPTIONS);
            settings.set(spec.name, value);
            assert!(Options::of(&settings) != default, "{}", spec.name);
        }
    }

    #[test]
    fn worker_settings_have_no_password() {
        let mut settings = Settings::defaults(OPTIONS);
        settings.set(PASSWORD, Setting::Text("secret".into()));
        assert!(settings.public(OPTIONS).get(PASSWORD).is_none());
    }

    #[test]
    fn empty_password_is_refused_before_any_contact() {
        let error = options(&[("vsphere-host", "h"), ("vsphere-user", "u"), (PASSWORD, "")]).check().unwrap_err();
        assert!(error.contains("CKWORKER_VSPHERE_PASSWORD"), "{error}");
        let error = options(&[("vsphere-host", "h"), (PASSWORD, "p")]).check().unwrap_err();
        assert!(error.contains("--vsphere-user"), "{error}");
        assert!(options(&[("vsphere-host", "https://h/")]).check().is_err());
        assert!(options(&[("vsphere-host", "h:8443")]).check().unwrap_err().contains("--vsphere-port"));
        for host in ["2001:db8::1", "[2001:db8::1]", "h"] {
            let given = [("vsphere-host", host), ("vsphere-user", "u"), (PASSWORD, "p")];
            assert_eq!(options(&given).check(), Ok(()), "{host}");
        }
        assert_eq!(options(&[("vsphere-host", "h"), ("vsphere-user", "u"), (PASSWORD, "p")]).check(), Ok(()));
        assert_eq!(options(&[]).check(), Ok(()));
    }

    #[test]
    fn address_has_port_or_endpoint() {
        assert_eq!(options(&[]).address("h").base, "https://h:443");
        assert_eq!(options(&[]).address("2001:db8::1").base, "https://[2001:db8::1]:443");
        assert_eq!(options(&[("vsphere-endpoint-url", "http://x:1/")]).address("h").base, "http://x:1");
    }
}
