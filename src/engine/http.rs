//! HTTP for the clients of clouds: TLS, reading of bounded bodies, and why there is no response.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use reqwest::{
    Response,
    header::{HeaderMap, RETRY_AFTER},
    redirect,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use time::{Duration as Offset, OffsetDateTime, format_description::well_known::Rfc2822};

use super::{
    CallError, CallErrorKind, Timeouts,
    causes::{chain, is_unknown_host},
    code,
};
use crate::certificates::AcceptAll;

/// The largest body of a response after decompression, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// The name of the program in requests.
pub(crate) const USER_AGENT: &str = concat!("ckworker/", env!("CARGO_PKG_VERSION"));

/// Whether the certificates of servers are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Against the certificates of the system.
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
    let refused = |error: &dyn std::fmt::Display| format!("cannot set up TLS: {error}");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?;
    let tls = match verify {
        Verify::System => tls.with_root_certificates(roots()),
        Verify::Nothing => tls.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAll(provider))),
    };
    let tls = tls.with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(Timeouts::default().connect)
        .redirect(redirect::Policy::none())
        .gzip(true)
        .build()
        .map_err(|error| refused(&error))
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
