//! What of the environment a worker gets: what it needs to reach the network, and no secret.

use std::ffi::{OsStr, OsString};

/// Names passed on as they are.
const NAMES: &[&str] = &[
    "ALL_PROXY",
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
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

/// Beginnings of names passed on.
const PREFIXES: &[&str] = &["AWS_ENDPOINT_URL"];

/// The part of `vars` that a worker may see.
pub fn allowed(vars: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    vars.filter(|(name, _)| is_allowed(name)).collect()
}

fn is_allowed(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_pass() {
        for name in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "CKWORKER_PSK", "SLACK_BOT_TOKEN", "LD_PRELOAD"] {
            assert!(!is_allowed(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn endpoints_and_proxies_pass() {
        for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "https_proxy", "SSL_CERT_FILE"] {
            assert!(is_allowed(OsStr::new(name)), "{name}");
        }
    }
}
