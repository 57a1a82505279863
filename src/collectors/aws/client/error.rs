//! AWS's error codes: what they mean for a call.

use thiserror::Error;

use crate::engine::{CallError, CallErrorKind, ErrorFacts};

/// The cause of a credentials provider's error if there are no credentials now, and a later request may get some.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct NoCredentialsNow(pub String);

/// Returns the error that a service has reported.
pub(crate) fn reported(code: &str, status: u16, message: impl Into<String>) -> CallError {
    let mut error = CallError::new(kind(code, status), code, message);
    error.facts = facts(&error);
    error
}

fn facts(error: &CallError) -> ErrorFacts {
    let code = error.code.as_str();
    let says_missing = error.message.contains("does not exist") || error.message.contains("not found");
    ErrorFacts {
        // This code is about a quota of resources, not about the rate of calls.
        is_final: code == "LimitExceededException",
        // EC2's code for rejected credentials, also in a region that is not enabled.
        rejects_credentials: code == "AuthFailure",
        // A bare status is no proof: a wrong address gives 404 too.
        means_deleted: match error.kind {
            CallErrorKind::NotFound => names_missing_resource(code),
            _ => code == "ValidationError" && says_missing || code == "Gateway.NotAttached",
        },
        means_in_use: matches!(
            code,
            "DependencyViolation" | "DeleteConflict" | "ResourceInUse" | "ResourceInUseException" | "VolumeInUse"
        ) || code.ends_with(".InUse"),
        ..ErrorFacts::default()
    }
}

/// Returns the meaning of a response's error code and HTTP status.
#[must_use]
pub fn kind(code: &str, status: u16) -> CallErrorKind {
    match code {
        _ if is_throttling(code) => CallErrorKind::Throttled,
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure"
        | "AuthorizationError"
        | "Client.UnauthorizedOperation"
        | "Forbidden"
        | "NotAuthorized"
        | "OptInRequired"
        | "SubscriptionRequiredException"
        | "UnauthorizedAccess"
        | "UnauthorizedOperation" => CallErrorKind::Denied,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "InvalidSignatureException"
        | "InvalidToken"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch"
        | "TokenRefreshRequired"
        | "UnrecognizedClientException" => CallErrorKind::Credentials,
        "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "InternalServerException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "Unavailable" => CallErrorKind::Unavailable,
        "InvalidAction" | "InvalidParameterCombination" | "UnknownOperationException" => CallErrorKind::Configuration,
        _ if names_missing_resource(code) => CallErrorKind::NotFound,
        _ => CallErrorKind::of_status(status),
    }
}

fn names_missing_resource(code: &str) -> bool {
    code.starts_with("NoSuch") || code.contains("NotFound")
}

/// Returns whether a code means that the service throttles the caller.
fn is_throttling(code: &str) -> bool {
    // More than the official list, which is about retries only.
    matches!(code, "SlowDown" | "RequestLimitExceeded" | "LimitExceededException" | "PriorRequestNotComplete")
        || code.contains("Throttl")
        || code == "TooManyRequestsException"
        || code == "BandwidthLimitExceeded"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_follow_from_codes() {
        let of = |code: &str| reported(code, 400, "").facts;
        assert!(of("LimitExceededException").is_final && !of("RequestLimitExceeded").is_final);
        assert!(!reported("LimitExceededException", 400, "").is_retryable());
        assert!(reported("Throttling", 400, "").is_retryable());
        assert!(of("AuthFailure").rejects_credentials && !of("UnauthorizedOperation").rejects_credentials);
        assert!(of("DependencyViolation").means_in_use && of("InvalidGroup.InUse").means_in_use);
        assert!(of("NoSuchEntity").means_deleted && !of("ValidationError").means_deleted);
    }
}
