//! Why a call failed, and what follows from it: the one place that judges failures of calls.
//!
//! A failure keeps the service's own error code or one of [`code`], and a [`CallErrorKind`]. A cloud's table of error
//! codes determines the kind and the [`ErrorFacts`]. Whatever depends on them (retries, gaps, the end of a location or
//! a unit, waiting for a deletion) asks a method here.

use std::{fmt, time::Duration};

use worker_proto::{Failure, FailureKind, Why};

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
    /// A service is not in use any more in an account of which the core has resources.
    pub const NOT_IN_USE: &str = "NotInUse";
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
    /// An item belongs to a location that the account does not have.
    pub const UNKNOWN_LOCATION: &str = "UnknownLocation";
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
    /// The service's name, such as `compute`.
    pub service: Box<str>,
    /// The operation's name.
    pub operation: Box<str>,
    /// The region or other location of the call.
    pub region: Box<str>,
    /// The service's error code, the HTTP status, or one of [`code`].
    pub code: String,
    /// The service's message, or our own.
    pub message: Box<str>,
    /// What the failure means for the caller.
    pub kind: CallErrorKind,
    /// What else the cloud's table of error codes says.
    pub facts: ErrorFacts,
    /// The region that has the resource, if the call was sent to another one.
    pub moved_to: Option<Box<str>>,
    /// The pause before another attempt that the service asks for, in milliseconds.
    retry_after_ms: Option<u32>,
}

/// Facts about an error code that its kind does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorFacts {
    /// Another attempt of the call would fail in the same way, whatever the kind.
    pub is_final: bool,
    /// The location rejects the credentials, so that no other call can succeed there, whatever the kind.
    pub rejects_credentials: bool,
    /// The resource of a change does not exist any more.
    pub means_deleted: bool,
    /// A change was rejected because the resource is in use, which may end soon.
    pub means_in_use: bool,
    /// A change was rejected because the resource has changed since it was read.
    pub means_changed: bool,
    /// All calls of the service fail for the account, such as when its billing is closed.
    pub ends_service: bool,
    /// The service is not in use in the account, by its own answer.
    pub is_not_in_use: bool,
}

impl CallError {
    /// Returns an error that does not name its call yet; `of` adds it.
    #[must_use]
    pub fn new(kind: CallErrorKind, code: &str, message: impl Into<String>) -> Self {
        let (service, operation, region) = Default::default();
        let (facts, moved_to, retry_after_ms) = Default::default();
        let (code, message) = (code.to_owned(), message.into().into());
        Self { service, operation, region, code, message, kind, facts, moved_to, retry_after_ms }
    }

    /// Adds the pause before another attempt that the service asks for.
    #[must_use]
    pub fn with_retry_after(self, pause: Duration) -> Self {
        Self { retry_after_ms: Some(u32::try_from(pause.as_millis()).unwrap_or(u32::MAX)), ..self }
    }

    /// Returns the pause before another attempt that the service asks for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(|pause| Duration::from_millis(pause.into()))
    }

    /// Returns the error of a call that is wrong.
    #[must_use]
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Configuration, code::CONFIGURATION, message)
    }

    /// Returns the error that stands for calls that were not made.
    #[must_use]
    pub fn skipped(service: &str, operation: &str, region: &str, message: String) -> Self {
        Self::new(CallErrorKind::Unavailable, code::SKIPPED, message).of(service, operation, region)
    }

    /// Returns the error of a response that something else than the service sent. It is retried like no response.
    #[must_use]
    pub fn foreign_response(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Unavailable, code::INVALID_RESPONSE, message)
    }

    /// Returns the error of a response of the service that its model does not allow. It is not retried.
    #[must_use]
    pub fn unexpected_response(message: impl Into<String>) -> Self {
        Self::new(CallErrorKind::Unexpected, code::INVALID_RESPONSE, message)
    }

    /// Names the call.
    #[must_use]
    pub fn of(mut self, service: &str, operation: &str, region: &str) -> Self {
        self.service = service.into();
        self.operation = operation.into();
        self.region = region.into();
        self
    }

    /// Returns whether another attempt of the same call may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            _ if self.facts.is_final => false,
            CallErrorKind::Throttled => true,
            // The provider of the credentials has its own retries.
            CallErrorKind::Unavailable => self.code != code::NO_CREDENTIALS,
            _ => false,
        }
    }

    /// Returns whether the error is one of these codes.
    #[must_use]
    pub fn has_code(&self, codes: &[String]) -> bool {
        codes.contains(&self.code)
    }

    /// Returns whether the service rejects the credentials, so that no other call can succeed in the location.
    #[must_use]
    pub fn rejects_credentials(&self) -> bool {
        self.kind == CallErrorKind::Credentials || self.facts.rejects_credentials
    }

    /// Returns why what the call would have listed is missing.
    #[must_use]
    pub fn why(&self) -> Why {
        match self.facts.is_not_in_use {
            true => Why::NotInUse { service: self.service.to_string(), operation: self.operation.to_string() },
            false => Why::Unseen,
        }
    }

    /// Returns whether the failure concerns only the account that made the call.
    #[must_use]
    pub fn is_account_specific(&self) -> bool {
        matches!(self.kind, CallErrorKind::Denied | CallErrorKind::Credentials) || self.code == code::NO_CREDENTIALS
    }

    /// Returns whether the resource of a change does not exist any more.
    #[must_use]
    pub fn means_deleted(&self) -> bool {
        self.facts.means_deleted
    }

    /// Returns whether a change was rejected because the resource is in use, which may end soon.
    #[must_use]
    pub fn means_in_use(&self) -> bool {
        self.facts.means_in_use
    }

    /// Returns whether a change was rejected because the resource has changed since it was read.
    #[must_use]
    pub fn means_changed(&self) -> bool {
        self.facts.means_changed
    }
}

/// Returns the failure of a unit or an operation that cannot continue without the call.
#[must_use]
pub fn call_failure(what: &str, error: &CallError) -> Failure {
    Failure { kind: error.kind.failure(), message: format!("{what}: {error}") }
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
    /// Returns the meaning of an HTTP status where the error code tells nothing.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Denied,
            404 => Self::NotFound,
            429 => Self::Throttled,
            408 | 500.. => Self::Unavailable,
            _ => Self::Unexpected,
        }
    }

    /// Returns whether a later call may succeed.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }

    /// Returns the failure of a unit or an operation that cannot continue without the call.
    #[must_use]
    pub fn failure(self) -> FailureKind {
        match self {
            Self::Credentials | Self::Denied => FailureKind::Credentials,
            Self::Configuration => FailureKind::Configuration,
            Self::Throttled | Self::NotFound | Self::Unavailable | Self::Unexpected => FailureKind::Unavailable,
        }
    }

    /// Returns the failure of a call that sets up credentials or the plan. Its parameters come from the settings, so
    /// that an unknown error is a wrong setting and is not retried.
    #[must_use]
    pub fn setup_failure(self) -> FailureKind {
        match self {
            Self::NotFound | Self::Unexpected => FailureKind::Configuration,
            _ => self.failure(),
        }
    }
}
