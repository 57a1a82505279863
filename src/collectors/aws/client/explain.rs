//! Turns errors of the official runtime into errors of calls.

use std::error::Error;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use http_body_util::LengthLimitError;

use super::{endpoint::Endpoint, error::NoCredentialsNow};
use crate::{
    certificates,
    engine::{CallError, CallErrorKind, code},
};

/// The largest body of a response, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024 * 1024;

/// The messages of resolvers for unknown names: of glibc, of musl, and of glibc for a name without addresses.
const UNKNOWN_HOST: [&str; 3] =
    ["Name or service not known", "Name does not resolve", "No address associated with hostname"];

/// Returns the meaning of an orchestrator's error, which no service has reported.
pub(super) fn explain<E: Error + 'static>(error: SdkError<E, HttpResponse>, endpoint: &Endpoint) -> CallError {
    use CallErrorKind::{Configuration, Credentials, Unavailable, Unexpected};
    match error {
        SdkError::TimeoutError(_) => CallError::new(Unavailable, code::TIMEOUT, "no complete response in time"),
        SdkError::DispatchFailure(_) if is_unknown_host(&error) => {
            CallError::new(Unavailable, code::UNKNOWN_HOST, unknown_host(endpoint))
        }
        SdkError::DispatchFailure(ref failed) if failed.is_timeout() || failed.is_io() => {
            CallError::new(Unavailable, code::CONNECTION_FAILED, chain(&error))
        }
        SdkError::ResponseError(_) if mentions::<LengthLimitError>(&error) => CallError::new(
            Unexpected,
            code::RESPONSE_TOO_LARGE,
            format!("the response is larger than {} MiB", MAX_BODY >> 20),
        ),
        SdkError::ResponseError(_) => CallError::new(Unavailable, code::CONNECTION_LOST, chain(&error)),
        _ if mentions::<NoCredentialsNow>(&error) => CallError::new(Unavailable, code::NO_CREDENTIALS, chain(&error)),
        _ if mentions::<aws_credential_types::provider::error::CredentialsError>(&error) => {
            CallError::new(Credentials, code::NO_CREDENTIALS, chain(&error))
        }
        SdkError::DispatchFailure(_) => CallError::new(Unavailable, code::CONNECTION_FAILED, chain(&error)),
        _ => CallError::new(Configuration, code::INVALID_REQUEST, chain(&error)),
    }
}

fn unknown_host(endpoint: &Endpoint) -> String {
    let host = endpoint.url.split_once("://").map_or(endpoint.url.as_str(), |(_, host)| host);
    match endpoint.overridden {
        true => format!("the host of {} does not exist; correct the endpoint URL in the settings", endpoint.url),
        false => format!("the resolver of this machine does not know the host {host}"),
    }
}

/// Returns whether the resolver reports that a name does not exist. An unavailable resolver has other messages.
pub(crate) fn is_unknown_host(error: &(dyn Error + 'static)) -> bool {
    let text = chain(error);
    text.contains("failed to lookup address") && UNKNOWN_HOST.iter().any(|known| text.contains(known))
}

/// Returns whether the certificate is not trusted or not valid, which no retry changes.
pub(crate) fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    chain(error).contains("invalid peer certificate")
}

/// Joins the messages of an error and its causes, each once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let message = cause.to_string();
        if !text.contains(&message) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&message);
        }
    }
    certificates::explained(text)
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| Error::source(*error))
}

fn mentions<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<E>())
}
