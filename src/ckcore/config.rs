//! Where the core is and how to talk to it.

use std::{fmt, time::Duration};

use reqwest::Url;

use super::{CoreError, TlsOptions};

const WHAT: &str = "configuration of the core";

/// A pre-shared key. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Psk(String);

impl Psk {
    /// A key; an empty text means that there is none.
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

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For a connection to be made, the websocket handshake included.
    pub connect: Duration,
    /// For one short request.
    pub request: Duration,
    /// For the core to close the websocket after it took an answer.
    pub confirm: Duration,
    /// Between two of our pings.
    pub ping: Duration,
    /// How long the core may be silent, pings included, before the connection counts as dead.
    pub silence: Duration,
    /// The first wait after a loss.
    pub backoff_first: Duration,
    /// The longest wait after a loss.
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

/// Which core to expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// The one that answers.
    #[default]
    Auto,
    /// ckcore 2.0.
    Ckcore,
    /// fixcore 4.1.
    Fixcore,
}

/// Where the core is and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreConfig {
    /// `http://` or `https://`.
    pub uri: Url,
    /// `ws://` or `wss://`.
    pub ws_uri: Url,
    /// Which core it is.
    pub generation: Generation,
    /// The name of the graph that we write; `None` is the one that the core's own worker writes.
    pub graph: Option<String>,
    /// The first part of the id that the core knows us by; `None` is that of the core's own worker.
    pub subscriber_id: Option<String>,
    /// The key that the core was started with, if any.
    pub psk: Option<Psk>,
    /// Whom to trust where TLS is used.
    pub tls: TlsOptions,
    /// How long the core waits for an answer to an action; full seconds count.
    pub timeout: Duration,
    /// How long things may take.
    pub timing: Timing,
}

impl CoreConfig {
    /// A configuration with the default graph, subscriber id and times.
    ///
    /// # Errors
    /// If one of the URIs cannot be used; the text names it.
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

    /// The URL of a path below the core's URI; the parts are escaped.
    pub(super) fn url(&self, path: &[&str]) -> Url {
        extend(&self.uri, path)
    }

    /// The URL of a websocket of the core; the parts are escaped.
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
    fn a_wrong_uri_is_named() {
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
