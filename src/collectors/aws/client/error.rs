//! Why a call failed, and what follows from it: the one place that classifies failures of calls.
//!
//! A failure keeps the service's own error code or one of [`code`], and a [`CallErrorKind`]. Whatever depends on the
//! kind or the code (retries, gaps, the end of a region or a unit, waiting for a deletion) asks a method here.

use std::fmt;

use thiserror::Error;
use worker_proto::FailureKind;

/// The codes of failures that no service reports. `docs/operations.md` documents them.
pub mod code {
    /// The call is wrong: an unknown operation or parameter, or an endpoint that cannot be resolved.
    pub const CONFIGURATION: &str = "Configuration";
    /// No connection could be made.
    pub const CONNECTION_FAILED: &str = "ConnectionFailed";
    /// The connection broke before the response was complete.
    pub const CONNECTION_LOST: &str = "ConnectionLost";
    /// The request could not be built or signed.
    pub const INVALID_REQUEST: &str = "InvalidRequest";
    /// The values of an item form no valid node.
    pub const INVALID_RESOURCE: &str = "InvalidResource";
    /// A response that the service cannot have sent, or that its model does not allow.
    pub const INVALID_RESPONSE: &str = "InvalidResponse";
    /// A value does not fit its field.
    pub const INVALID_VALUE: &str = "InvalidValue";
    /// An item has no ID.
    pub const MISSING_ID: &str = "MissingId";
    /// No region is enabled.
    pub const MISSING_REGIONS: &str = "MissingRegions";
    /// A metric has no result, or a result without a status.
    pub const MISSING_RESULT: &str = "MissingResult";
    /// There are no credentials.
    pub const NO_CREDENTIALS: &str = "NoCredentials";
    /// Throttled calls of the same service took all the time that the call could wait for its permit.
    pub const QUEUE_TIMEOUT: &str = "QueueTimeout";
    /// The response exceeds the limit.
    pub const RESPONSE_TOO_LARGE: &str = "ResponseTooLarge";
    /// The call was not made, as calls before it failed.
    pub const SKIPPED: &str = "Skipped";
    /// No complete response in time.
    pub const TIMEOUT: &str = "Timeout";
    /// The resolver does not know the host.
    pub const UNKNOWN_HOST: &str = "UnknownHost";
}

/// What a failed call means for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallErrorKind {
    /// The credentials are valid and lack the permission.
    Denied,
    /// Too many calls, also after retries at a reduced rate.
    Throttled,
    /// The requested resource does not exist.
    NotFound,
    /// No response in time, a response from elsewhere, or a failure inside the service, also after retries.
    Unavailable,
    /// A response that cannot be used, or an error that fits no other kind.
    Unexpected,
    /// There are no credentials, or the service rejects them as expired or unknown.
    Credentials,
    /// The call is wrong: an unknown operation, parameter or region. A bug or a wrong setting.
    Configuration,
}

/// A failed call. `Display` names service, operation, region, code and message, and no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The service's name, such as `ec2`.
    pub service: Box<str>,
    /// The operation, such as `DescribeInstances`.
    pub operation: Box<str>,
    /// The region of the call.
    pub region: Box<str>,
    /// The service's error code, the HTTP status, or one of [`code`].
    pub code: String,
    /// The service's message, or our own.
    pub message: String,
    /// What the failure means for the caller.
    pub kind: CallErrorKind,
    /// The region of the bucket, if the call was sent to another one.
    pub moved_to: Option<Box<str>>,
}

/// The cause of a credentials provider's error if there are no credentials now, and a later request may get some.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct NoCredentialsNow(pub String);

impl CallError {
    /// Returns an error that does not name its call yet; `of` adds it.
    pub(crate) fn new(kind: CallErrorKind, code: &str, message: impl Into<String>) -> Self {
        let (service, operation, region) = Default::default();
        Self { service, operation, region, code: code.to_owned(), message: message.into(), kind, moved_to: None }
    }

    pub(super) fn configuration(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Configuration, code::CONFIGURATION, message)
    }

    /// Returns the error of a response that something else than the service sent. It is retried like no response.
    pub(crate) fn foreign_response(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Unavailable, code::INVALID_RESPONSE, message)
    }

    /// Returns the error of a response of the service that its model does not allow. It is not retried.
    pub(super) fn unexpected_response(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Unexpected, code::INVALID_RESPONSE, message)
    }

    /// Names the call.
    pub(crate) fn of(mut self, service: &str, operation: &str, region: &str) -> Self {
        self.service = service.into();
        self.operation = operation.into();
        self.region = region.into();
        self
    }

    /// Returns whether another attempt of the same call may succeed.
    pub(crate) fn is_retryable(&self) -> bool {
        match self.kind {
            // This code is about a quota of resources, not about the rate of calls.
            CallErrorKind::Throttled => self.code != "LimitExceededException",
            // The provider of the credentials has its own retries.
            CallErrorKind::Unavailable => self.code != code::NO_CREDENTIALS,
            _ => false,
        }
    }

    /// Returns whether the error is one of these codes.
    pub(crate) fn has_code(&self, codes: &[String]) -> bool {
        codes.contains(&self.code)
    }

    /// Returns whether the service rejects the credentials, so that no other call can succeed in the region. EC2 uses a
    /// code of its own for that.
    pub(crate) fn rejects_credentials(&self) -> bool {
        self.kind == CallErrorKind::Credentials || self.code == "AuthFailure"
    }

    /// Returns whether the failure concerns only the account that made the call.
    pub(crate) fn is_account_specific(&self) -> bool {
        matches!(self.kind, CallErrorKind::Denied | CallErrorKind::Credentials) || self.code == code::NO_CREDENTIALS
    }

    /// Returns whether a signature with a wrong time can be the cause. Some services report it as denied access.
    pub(super) fn may_be_clock_skew(&self) -> bool {
        matches!(self.kind, CallErrorKind::Credentials | CallErrorKind::Denied)
    }

    /// Returns whether the resource of a change is deleted. A bare status is no proof: a wrong address gives 404 too.
    pub(crate) fn means_deleted(&self) -> bool {
        let is_missing = self.message.contains("does not exist") || self.message.contains("not found");
        match self.kind {
            CallErrorKind::NotFound => names_missing_resource(&self.code),
            _ => self.code == "ValidationError" && is_missing || self.code == "Gateway.NotAttached",
        }
    }

    /// Returns whether a deletion was rejected because the resource is in use, which may end soon.
    pub(crate) fn means_in_use(&self) -> bool {
        matches!(
            self.code.as_str(),
            "DependencyViolation" | "DeleteConflict" | "ResourceInUse" | "ResourceInUseException" | "VolumeInUse"
        ) || self.code.ends_with(".InUse")
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
    /// Returns the meaning of a response's error code and HTTP status.
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
            _ if names_missing_resource(code) => Self::NotFound,
            _ => Self::of_status(status),
        }
    }

    /// Returns whether a later call may succeed.
    pub(crate) fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }

    /// Returns the failure of a unit or an operation that cannot continue without the call.
    pub(crate) fn failure(self) -> FailureKind {
        match self {
            Self::Credentials | Self::Denied => FailureKind::Credentials,
            Self::Configuration => FailureKind::Configuration,
            Self::Throttled | Self::NotFound | Self::Unavailable | Self::Unexpected => FailureKind::Unavailable,
        }
    }

    /// Returns the failure of a call that sets up credentials or the plan. Its parameters come from the settings, so that
    /// an unknown error is a wrong setting and is not retried.
    pub(crate) fn setup_failure(self) -> FailureKind {
        match self {
            Self::NotFound | Self::Unexpected => FailureKind::Configuration,
            _ => self.failure(),
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
