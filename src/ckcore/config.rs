//! Configuration of the connection to the core.

use std::{fmt, time::Duration};

use reqwest::Url;

use super::{CoreError, TlsOptions};

const WHAT: &str = "configuration of the core";

/// A pre-shared key. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Psk(String);

impl Psk {
    /// Returns the key, or `None` for an empty string.
    #[must_use]
    pub fn new(text: &str) -> Option<Psk> {
        (!text.is_empty()).then(|| Psk(text.to_owned()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(hidden)")
    }
}

/// Timeouts and intervals of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The timeout of a connection attempt, websocket handshake included.
    pub connect: Duration,
    /// The timeout of a short request.
    pub request: Duration,
    /// The timeout for the core to close the websocket after a result.
    pub confirm: Duration,
    /// The interval between pings.
    pub ping: Duration,
    /// The time without any frame, pongs included, after which the connection counts as dead.
    pub silence: Duration,
    /// The first wait after a failure.
    pub backoff_first: Duration,
    /// The longest wait after a failure.
    pub backoff_limit: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(30),
            confirm: Duration::from_secs(10),
            ping: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            backoff_first: Duration::from_millis(200),
            backoff_limit: Duration::from_secs(10),
        }
    }
}

/// The expected generation of the core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// Detected at the first request.
    #[default]
    Auto,
    /// ckcore 2.0.
    Ckcore,
    /// fixcore 4.1.
    Fixcore,
}

/// The configuration of the connection to the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreConfig {
    /// The address, `http://` or `https://`.
    pub uri: Url,
    /// The websocket address, `ws://` or `wss://`.
    pub ws_uri: Url,
    /// The generation of the core.
    pub generation: Generation,
    /// The name of the graph; `None` is the one that the core's own worker writes.
    pub graph: Option<String>,
    /// The first part of the subscriber's ID; `None` is that of the core's own worker.
    pub subscriber_id: Option<String>,
    /// The pre-shared key, if the core has one.
    pub psk: Option<Psk>,
    /// Trusted certificates, and the client certificate.
    pub tls: TlsOptions,
    /// The time that the core waits for the result of an action, in full seconds.
    pub timeout: Duration,
    /// Timeouts and intervals.
    pub timing: Timing,
}

impl CoreConfig {
    /// Returns a configuration with the default graph, subscriber ID and timeouts.
    ///
    /// # Errors
    /// If one of the URIs is invalid; the message names it.
    pub fn new(uri: &str, ws_uri: &str) -> Result<Self, CoreError> {
        Ok(Self {
            uri: parse(uri, &["http", "https"])?,
            ws_uri: parse(ws_uri, &["ws", "wss"])?,
            generation: Generation::Auto,
            graph: None,
            subscriber_id: None,
            psk: None,
            tls: TlsOptions::default(),
            timeout: Duration::from_secs(10_800),
            timing: Timing::default(),
        })
    }

    /// Whether any connection uses TLS.
    pub(super) fn uses_tls(&self) -> bool {
        self.uri.scheme() == "https" || self.ws_uri.scheme() == "wss"
    }

    /// Returns the URL of a path below the core's URI; the segments are escaped.
    pub(super) fn url(&self, path: &[&str]) -> Url {
        extend(&self.uri, path)
    }

    /// Returns the URL of a websocket of the core; the segments are escaped.
    pub(super) fn ws_url(&self, path: &[&str]) -> Url {
        extend(&self.ws_uri, path)
    }
}

fn parse(uri: &str, schemes: &[&str]) -> Result<Url, CoreError> {
    let problem = |reason: &str| CoreError::permanent(WHAT, &format!("{uri}: {reason}"));
    let url = Url::parse(uri).map_err(|error| problem(&error.to_string()))?;
    if !schemes.contains(&url.scheme()) {
        return Err(problem(&format!("must begin with {}://", schemes.join(":// or "))));
    }
    if url.host_str().is_none_or(str::is_empty) || !url.username().is_empty() || url.password().is_some() {
        return Err(problem("must have a host and no user name"));
    }
    Ok(url)
}

fn extend(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn paths_are_appended_and_escaped() {
        let config = CoreConfig::new("https://core:8900/base/", "wss://core:8900/base").unwrap();
        assert_eq!(config.url(&["graph", "a/b"]).as_str(), "https://core:8900/base/graph/a%2Fb");
        assert_eq!(config.ws_url(&["subscriber"]).as_str(), "wss://core:8900/base/subscriber");
    }

    #[test]
    fn invalid_uri_is_rejected() {
        for (uri, ws_uri) in
            [("core:8900", "ws://c"), ("ftp://c", "ws://c"), ("http://c", "http://c"), ("http://u:p@c", "ws://c")]
        {
            assert!(!CoreConfig::new(uri, ws_uri).unwrap_err().retryable, "{uri} {ws_uri}");
        }
    }

    #[test]
    fn debug_hides_the_key() {
        let mut config = CoreConfig::new("http://core", "ws://core").unwrap();
        config.psk = Psk::new("do not tell");
        assert!(!format!("{config:?}").contains("do not tell"));
    }
}
