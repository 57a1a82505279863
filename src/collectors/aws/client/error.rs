//! Why a call failed.

use std::fmt;

use thiserror::Error;

/// What a failed call means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallErrorKind {
    /// The credentials are good but must not do this.
    Denied,
    /// Too many calls, even after retries at a reduced rate.
    Throttled,
    /// What was asked for does not exist.
    NotFound,
    /// No answer, an answer too late or of something else, or a failure inside the service, also after retries.
    Unavailable,
    /// An answer that cannot be read, or a refusal that fits none of the others.
    Unexpected,
    /// There are no credentials, or they have expired or are not known to the service.
    Credentials,
    /// The call itself is wrong: an unknown operation, parameter or region. A mistake in this program or its settings.
    Configuration,
}

/// A call that failed. `Display` names service, operation, region, code and message, and no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The service's name, such as `ec2`.
    pub service: Box<str>,
    /// The operation, such as `DescribeInstances`.
    pub operation: Box<str>,
    /// The region that was asked.
    pub region: Box<str>,
    /// The service's own error code, the HTTP status, or a word of ours such as `Timeout`.
    pub code: String,
    /// What the service says, or we do.
    pub message: String,
    /// What it means for the caller.
    pub kind: CallErrorKind,
    /// The region where the bucket is that was asked for elsewhere.
    pub moved_to: Option<Box<str>>,
}

/// There are no credentials now, but whoever gives them may have some later: the cause of an error of a credentials
/// provider.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct NoCredentialsNow(pub String);

impl CallError {
    /// An error that does not know its call yet; `of` says it.
    pub(crate) fn new(kind: CallErrorKind, code: &str, message: impl Into<String>) -> Self {
        let (service, operation, region) = Default::default();
        Self { service, operation, region, code: code.to_owned(), message: message.into(), kind, moved_to: None }
    }

    pub(super) fn configuration(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Configuration, "Configuration", message)
    }

    /// An answer that is not the service's, but one of something in between. Counts as no answer.
    pub(crate) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Unavailable, "UnreadableReply", message)
    }

    pub(super) fn unexpected(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Unexpected, "UnreadableReply", message)
    }

    /// Says which call it was.
    pub(crate) fn of(mut self, service: &str, operation: &str, region: &str) -> Self {
        self.service = service.into();
        self.operation = operation.into();
        self.region = region.into();
        self
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, operation, region, code, message, .. } = self;
        write!(f, "{service}:{operation} in {region} failed: {code}")?;
        if message.is_empty() { Ok(()) } else { write!(f, ": {message}") }
    }
}

impl std::error::Error for CallError {}

impl CallErrorKind {
    /// What the error code and the HTTP status of an answer mean.
    #[must_use]
    pub fn of(code: &str, status: u16) -> Self {
        match code {
            _ if is_throttling(code) => Self::Throttled,
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
            | "UnauthorizedOperation" => Self::Denied,
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
            | "UnrecognizedClientException" => Self::Credentials,
            "InternalError"
            | "InternalFailure"
            | "InternalServerError"
            | "InternalServerException"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "Unavailable" => Self::Unavailable,
            "InvalidAction" | "InvalidParameterCombination" | "UnknownOperationException" => Self::Configuration,
            _ if code.starts_with("NoSuch") || code.contains("NotFound") => Self::NotFound,
            _ => Self::of_status(status),
        }
    }

    fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Denied,
            404 => Self::NotFound,
            429 => Self::Throttled,
            408 | 500.. => Self::Unavailable,
            _ => Self::Unexpected,
        }
    }
}

/// Whether a code asks for fewer calls.
pub(super) fn is_throttling(code: &str) -> bool {
    // More than the official list: that one decides about retries, this one about what to report.
    matches!(code, "SlowDown" | "RequestLimitExceeded" | "LimitExceededException" | "PriorRequestNotComplete")
        || code.contains("Throttl")
        || code == "TooManyRequestsException"
        || code == "BandwidthLimitExceeded"
}
