//! The allow-list of a worker's environment: network settings, and no secrets.

use std::ffi::{OsStr, OsString};

/// The names of variables that are passed on unchanged.
const NAMES: &[&str] = &[
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LC_ALL",
    "NO_PROXY",
    "RUST_BACKTRACE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Returns the part of `vars` that a worker may see.
pub fn allowed(vars: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    vars.filter(|(name, _)| is_allowed(name)).collect()
}

fn is_allowed(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant: secrets are only in frames and in an allow-listed environment.
    #[test]
    fn secrets_do_not_pass() {
        for name in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "CKWORKER_PSK", "SLACK_BOT_TOKEN", "LD_PRELOAD"] {
            assert!(!is_allowed(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn proxies_and_certificates_pass() {
        for name in ["https_proxy", "NO_PROXY", "SSL_CERT_FILE", "TMPDIR"] {
            assert!(is_allowed(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn settings_of_clouds_are_passed_with_credentials_only() {
        for name in ["AWS_ENDPOINT_URL", "AWS_REGION", "AWS_CA_BUNDLE", "AWS_PROFILE", "REQUESTS_CA_BUNDLE"] {
            assert!(!is_allowed(OsStr::new(name)), "{name}");
        }
    }
}
