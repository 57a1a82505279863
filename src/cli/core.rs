//! Typed settings of everything but the collectors, with the checks that need more than one value.

use std::{path::PathBuf, time::Duration};

use http::Uri;

use super::CliError;
use crate::{
    ckcore::{CoreConfig, Generation, Psk, TlsOptions},
    settings::Settings,
};

/// The settings of everything but the collectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreSettings {
    /// The connection to the core; `None` means no core.
    pub ckcore: Option<CoreConfig>,
    /// Whether edges between accounts are omitted.
    pub ignore_deferred_connections: bool,
    /// Whether each collector gets its own process.
    pub fork: bool,
    /// The number of collectors that run at the same time, at least one.
    pub pool_size: usize,
    /// `--keep-uncollected`.
    pub keep_uncollected: bool,
    /// `--hold-sudden-loss`: in percent, `None` if no loss is held.
    pub hold_sudden_loss: Option<u64>,
    /// Whether graph and model of each collection are written to files.
    pub debug_dump_json: bool,
    /// The timeout of a collection or a cleanup.
    pub timeout: Duration,
    /// The address or host name to listen on.
    pub web_host: String,
    /// The port to listen on; 0 is any free one.
    pub web_port: u16,
    /// The path below which pages are served as well: empty, or with a leading and without a trailing slash.
    pub web_path: String,
}

impl CoreSettings {
    /// Checks and types the values of the core's options.
    pub(super) fn new(settings: &Settings) -> Result<Self, CliError> {
        Ok(Self {
            ckcore: core_config(settings)?,
            ignore_deferred_connections: settings.flag("ignore-deferred-connections"),
            fork: settings.flag("fork"),
            pool_size: size(settings, "pool-size"),
            keep_uncollected: settings.flag("keep-uncollected"),
            hold_sudden_loss: settings.integer("hold-sudden-loss").filter(|percent| *percent > 0),
            debug_dump_json: settings.flag("debug-dump-json"),
            timeout: seconds(settings, "timeout"),
            web_host: named(settings, "web-host", |c| !c.is_whitespace() && c != '/')?,
            web_port: settings.integer("web-port").and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
            web_path: web_path(settings)?,
        })
    }
}

/// Returns the configuration of the core connection, or `None` without a core.
fn core_config(settings: &Settings) -> Result<Option<CoreConfig>, CliError> {
    let Some(uri) = settings.text("ckcore-uri") else { return Ok(None) };
    let uri = address("ckcore-uri", uri, &["http", "https"])?;
    let ws_uri = match settings.text("ckcore-ws-uri") {
        Some(ws_uri) => address("ckcore-ws-uri", ws_uri, &["ws", "wss"])?,
        // http becomes ws, https becomes wss.
        None => uri.replacen("http", "ws", 1),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let config = CoreConfig::new(&uri, &ws_uri).map_err(|error| CliError::new(error.to_string()))?;
    Ok(Some(CoreConfig {
        generation: generation(settings)?,
        graph: given(settings, "ckcore-graph", is_plain)?,
        subscriber_id: given(settings, "ckcore-subscriber-id", is_plain)?,
        psk: settings.text("psk").and_then(Psk::new),
        tls: TlsOptions {
            ca_cert: settings.text("ca-cert").map(PathBuf::from),
            cert: settings.text("cert").map(PathBuf::from),
            cert_key: settings.text("cert-key").map(PathBuf::from),
            verify: !settings.flag("no-verify-certs"),
        },
        timeout: seconds(settings, "timeout"),
        ..config
    }))
}

fn size(settings: &Settings, name: &str) -> usize {
    settings.integer(name).and_then(|size| usize::try_from(size).ok()).unwrap_or(1)
}

fn seconds(settings: &Settings, name: &str) -> Duration {
    Duration::from_secs(settings.integer(name).unwrap_or(1))
}

fn generation(settings: &Settings) -> Result<Generation, CliError> {
    match settings.text("core-dialect") {
        Some("auto") | None => Ok(Generation::Auto),
        Some("ckcore") => Ok(Generation::Ckcore),
        Some("fixcore") => Ok(Generation::Fixcore),
        Some(other) => {
            Err(CliError::new(format!("--core-dialect is '{other}' but must be one of auto, ckcore, fixcore")))
        }
    }
}

/// Returns a string like that of [`named`], or `None` if the option was not given.
fn given(settings: &Settings, name: &str, accepts: impl Fn(char) -> bool) -> Result<Option<String>, CliError> {
    settings.get(name).map(|_| named(settings, name, accepts)).transpose()
}

/// Returns a non-empty string of accepted characters, for paths and names.
fn named(settings: &Settings, name: &str, accepts: impl Fn(char) -> bool) -> Result<String, CliError> {
    let Some(text) = settings.text(name) else { return Err(CliError::new(format!("--{name} must not be empty"))) };
    match text.chars().find(|c| !accepts(*c)) {
        Some(odd) => Err(CliError::new(format!("--{name} is '{text}' but must not contain {odd:?}"))),
        None => Ok(text.to_owned()),
    }
}

/// Returns a web address without a trailing slash.
fn address(name: &str, text: &str, schemes: &[&str]) -> Result<String, CliError> {
    let wrong = |why: String| CliError::new(format!("--{name} {why}, such as {}://localhost:8900", schemes[0]));
    let uri: Uri = text.parse().map_err(|_| wrong("must be a web address".into()))?;
    if !uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) {
        return Err(wrong(format!("must begin with {}://", schemes.join(":// or "))));
    }
    if uri.host().is_none_or(str::is_empty) || uri.port().is_some_and(|port| port.as_str().is_empty()) {
        return Err(wrong("must name a host".into()));
    }
    // The message does not repeat the address: it may have a password.
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong("must have no user name and no password (a key goes into CKWORKER_PSK)".into()));
    }
    if uri.query().is_some() {
        return Err(wrong("must not have a query".into()));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn web_path(settings: &Settings) -> Result<String, CliError> {
    let path = settings.text("web-path").unwrap_or_default().trim_matches('/');
    if path.is_empty() {
        return Ok(String::new());
    }
    match path.chars().find(|c| !c.is_ascii_graphic() || "?#%".contains(*c)) {
        Some(odd) => Err(CliError::new(format!("--web-path is '/{path}' but must not contain {odd:?}"))),
        None => Ok(format!("/{path}")),
    }
}
