//! HTTP for the clients of clouds: TLS, reading of bounded bodies, and why there is no response.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use reqwest::{
    Response,
    header::{HeaderMap, RETRY_AFTER},
    redirect,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use time::{Duration as Offset, OffsetDateTime, format_description::well_known::Rfc2822};

use super::{
    CallError, CallErrorKind, Timeouts,
    causes::{chain, is_unknown_host, is_untrusted},
    code,
};
use crate::certificates::AcceptAll;

/// The largest body of a response after decompression, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// The name of the program in requests.
pub(crate) const USER_AGENT: &str = concat!("ckworker/", env!("CARGO_PKG_VERSION"));

/// Whether the certificates of servers are verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Against the certificates of the system, or others that were given.
    #[default]
    System,
    /// Not at all, as the user asked for.
    Nothing,
}

/// Returns the connections for all clients of a process. They use the proxies that the environment names, and follow no
/// redirects, as a token is for its service alone.
///
/// # Errors
/// Why TLS cannot be set up.
pub(crate) fn connections(verify: Verify) -> Result<reqwest::Client, String> {
    connections_with(Tls { verify, ..Tls::default() }, Ok)
}

/// How connections are secured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tls<'a> {
    /// How the certificates of servers are verified.
    pub(crate) verify: Verify,
    /// The certificates of authorities that are trusted instead of the system's, as PEM.
    pub(crate) authorities: Option<&'a str>,
    /// The client's certificate and its key, as PEM.
    pub(crate) identity: Option<(&'a str, &'a str)>,
}

/// Returns connections as [`connections`], with more settings.
///
/// # Errors
/// Why TLS cannot be set up; the text has no part of a key.
pub(crate) fn connections_with(
    tls: Tls<'_>,
    settings: impl FnOnce(reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, String>,
) -> Result<reqwest::Client, String> {
    let refused = |error: &dyn std::fmt::Display| format!("cannot set up TLS: {error}");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?;
    let config = match (tls.verify, tls.authorities) {
        (Verify::Nothing, _) => config.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAll(provider))),
        (Verify::System, None) => config.with_root_certificates(roots()),
        (Verify::System, Some(pem)) => config.with_root_certificates(parsed_roots(pem).map_err(|why| refused(&why))?),
    };
    let config = match tls.identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
            let chain = chain.map_err(|_| refused(&"the client certificate is no PEM"))?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
            let key = key.map_err(|_| refused(&"the client key is no PEM"))?;
            config.with_client_auth_cert(chain, key).map_err(|error| refused(&error))?
        }
    };
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .connect_timeout(Timeouts::default().connect)
        .redirect(redirect::Policy::none())
        .gzip(true);
    settings(builder)?.build().map_err(|error| refused(&error))
}

/// Parses the certificates of authorities.
fn parsed_roots(pem: &str) -> Result<RootCertStore, &'static str> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| "the CA certificates are no PEM")?;
        roots.add(certificate).map_err(|_| "a CA certificate is malformed")?;
    }
    if roots.is_empty() { Err("there is no CA certificate in what was given") } else { Ok(roots) }
}

/// Checks the value of an option with the URL of an API.
///
/// # Errors
/// A sentence that names the option, and no password.
pub(crate) fn check_endpoint(option: &str, endpoint: &str) -> Result<(), String> {
    let failure = |reason: &str| Err(format!("--{option} {endpoint}: {reason}"));
    let Ok(url) = reqwest::Url::parse(endpoint) else { return failure("expected a URL such as http://127.0.0.1:6400") };
    match () {
        () if !url.username().is_empty() || url.password().is_some() => {
            Err(format!("--{option} must have no user name and no password"))
        }
        () if !matches!(url.scheme(), "http" | "https") || !url.has_host() => failure("expected an http or https URL"),
        () if url.query().is_some() || url.fragment().is_some() => failure("a query or fragment is not possible"),
        () => Ok(()),
    }
}

/// Returns the certificates that the system trusts.
fn roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!(errors = ?found.errors, "no CA certificates found on the system");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

/// Reads a body.
pub(crate) async fn read(mut response: Response, place: &str) -> Result<Bytes, CallError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(error, place))? {
        if body.len() + chunk.len() > MAX_BODY {
            let message = format!("the response is larger than {} MiB", MAX_BODY >> 20);
            return Err(CallError::new(CallErrorKind::Unexpected, code::RESPONSE_TOO_LARGE, message));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

/// Returns the meaning of an error that no service has reported. Its message has neither path nor query.
pub(crate) fn explain(error: reqwest::Error, place: &str) -> CallError {
    let error = error.without_url();
    let unavailable = |code: &str, message: String| CallError::new(CallErrorKind::Unavailable, code, message);
    match error {
        _ if is_unknown_host(&error) => {
            unavailable(code::UNKNOWN_HOST, format!("the resolver of this machine does not know the host of {place}"))
        }
        _ if error.is_connect() => unavailable(code::CONNECTION_FAILED, format!("{place}: {}", chain(&error))),
        _ if error.is_timeout() => unavailable(code::TIMEOUT, "no complete response in time".to_owned()),
        _ if error.is_builder() => CallError::new(CallErrorKind::Configuration, code::INVALID_REQUEST, chain(&error)),
        _ => unavailable(code::CONNECTION_LOST, chain(&error)),
    }
}

/// Does the same where an untrusted certificate is a mistake of configuration, which no retry changes.
pub(crate) fn explain_final(error: reqwest::Error, place: &str) -> CallError {
    let is_untrusted = is_untrusted(&error);
    let mut error = explain(error, place);
    if is_untrusted {
        error.kind = CallErrorKind::Configuration;
    }
    error
}

/// Returns the pause that a service asks for: seconds, or a date, which is compared with the service's own.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<std::time::Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let asked = text(RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(std::time::Duration::from_secs(seconds));
    }
    let date = |text| OffsetDateTime::parse(text, &Rfc2822).ok();
    let now = text(reqwest::header::DATE).and_then(date).unwrap_or_else(|| SystemTime::now().into());
    let pause = (date(asked)? - now).max(Offset::ZERO);
    pause.try_into().ok()
}

/// Returns whether a content type is that of pages for browsers.
pub(crate) fn is_markup(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/html") || essence.ends_with("xml")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    fn asked(retry_after: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(reqwest::header::DATE, date.parse().unwrap());
        }
        super::retry_after(&headers)
    }

    #[test]
    fn requested_pause_is_seconds_or_a_date() {
        let date = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(asked("120", None), Some(Duration::from_secs(120)));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:30 GMT", date), Some(Duration::from_secs(30)));
        assert_eq!(asked("Wed, 21 Oct 2015 07:27:30 GMT", date), Some(Duration::ZERO));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:30 GMT", None), Some(Duration::ZERO), "long ago");
        assert_eq!(asked("soon", None), None);
        assert_eq!(asked("-1", None), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
