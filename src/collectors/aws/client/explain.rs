//! Turns errors of the official runtime into errors of calls.

use std::error::Error;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use http_body_util::LengthLimitError;

use super::{endpoint::Endpoint, error::NoCredentialsNow};
use crate::engine::{
    CallError, CallErrorKind,
    causes::{causes, chain, is_unknown_host},
    code,
};

/// The largest body of a response, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024 * 1024;

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

fn mentions<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<E>())
}
