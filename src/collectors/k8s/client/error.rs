//! Errors of an API server: its `Status`, the plain texts of its handlers, and what both mean.

use reqwest::StatusCode;
use serde::Deserialize;
use worker_proto::{Failure, FailureKind};

use crate::engine::{CallError, CallErrorKind, ErrorFacts, code, http::is_markup};

/// The longest message that is kept, in bytes.
const MAX_MESSAGE: usize = 1000;

/// The code of a group or version that the API server does not have.
pub(crate) const UNKNOWN_API: &str = "UnknownApi";

/// The reason of a token of pages that is too old.
const EXPIRED: &str = "Expired";

/// The name of a user who has not logged in.
const ANONYMOUS: &str = "\"system:anonymous\"";

/// An error as the API server reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    kind: String,
    reason: String,
    message: String,
    metadata: Metadata,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(rename = "continue")]
    token: String,
}

/// A failed call, with what only the client needs to know.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The error.
    pub(super) error: CallError,
    /// Whether a list cannot be continued with its token; with the token for the rest, if there is one.
    pub(super) expired: Option<Option<String>>,
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Self { error, expired: None }
    }
}

/// Reads the body of a response without success.
pub(super) fn read(status: StatusCode, content_type: Option<&str>, body: &[u8]) -> Refusal {
    let reported = serde_json::from_slice::<Status>(body).ok().filter(|status| status.kind == "Status");
    let Some(reported) = reported.filter(|_| !content_type.is_some_and(is_markup)) else {
        return plain(status, content_type, body).into();
    };
    let Status { reason, message, metadata: Metadata { token }, .. } = reported;
    let code = if reason.is_empty() { status.as_u16().to_string() } else { reason };
    let expired = (status == StatusCode::GONE || code == EXPIRED).then_some(token);
    let expired = expired.map(|token| Some(token).filter(|token| !token.is_empty()));
    let kind = match status.as_u16() {
        401 => CallErrorKind::Credentials,
        403 if message.contains(ANONYMOUS) => CallErrorKind::Credentials,
        status => CallErrorKind::of_status(status),
    };
    let facts = ErrorFacts {
        means_deleted: kind == CallErrorKind::NotFound && code == "NotFound",
        means_changed: code == "Conflict",
        ..ErrorFacts::default()
    };
    let mut error = CallError::new(kind, &code, shortened(message));
    error.facts = facts;
    Refusal { error, expired }
}

/// Returns the error of a response that is no `Status`. Some handlers of the API server answer in plain text; anything
/// else is from something between here and the server.
fn plain(status: StatusCode, content_type: Option<&str>, body: &[u8]) -> CallError {
    let is_text = content_type.is_some_and(|kind| kind.starts_with("text/plain"));
    let text = String::from_utf8_lossy(body.get(..MAX_MESSAGE).unwrap_or(body)).trim().to_owned();
    match status.as_u16() {
        // Other programs in Go answer so too: whether the server has the API is for its discovery to say.
        404 if is_text && text == "404 page not found" => {
            CallError::new(CallErrorKind::NotFound, UNKNOWN_API, "the API server has no such API")
        }
        401 => CallError::new(CallErrorKind::Credentials, "Unauthorized", "the login was rejected"),
        429 => CallError::new(CallErrorKind::Throttled, "TooManyRequests", text),
        503 if is_text => CallError::new(CallErrorKind::Unavailable, "ServiceUnavailable", text),
        _ => CallError::foreign_response(format!("HTTP status {status}, which is not from an API server")),
    }
}

/// Returns the error of a call without access.
pub(super) fn no_access(failure: Failure) -> CallError {
    let kind = match failure.kind {
        FailureKind::Unavailable | FailureKind::Cancelled => CallErrorKind::Unavailable,
        FailureKind::Configuration => CallErrorKind::Configuration,
        _ => CallErrorKind::Credentials,
    };
    CallError::new(kind, code::NO_CREDENTIALS, failure.message)
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn status(code: u16, reason: &str, message: &str) -> Refusal {
        let body = format!(
            r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":{},"reason":"{reason}","code":{code}}}"#,
            serde_json::to_string(message).unwrap()
        );
        read(StatusCode::from_u16(code).unwrap(), Some("application/json"), body.as_bytes())
    }

    #[test]
    fn status_decides_kind() {
        use CallErrorKind::{Credentials, Denied, NotFound, Throttled, Unavailable, Unexpected};
        for (code, reason, message, kind) in [
            (401, "Unauthorized", "Unauthorized", Credentials),
            (403, "Forbidden", "pods is forbidden: User \"me\" cannot list resource \"pods\"", Denied),
            (403, "Forbidden", "forbidden: User \"system:anonymous\" cannot get path \"/\"", Credentials),
            (404, "NotFound", "pods \"a\" not found", NotFound),
            (409, "Conflict", "the UID in the precondition does not match", Unexpected),
            (429, "TooManyRequests", "too many", Throttled),
            (500, "InternalError", "conversion webhook failed", Unavailable),
        ] {
            let error = status(code, reason, message).error;
            assert_eq!((error.kind, error.code.as_str()), (kind, reason), "{message}");
            assert_eq!(error.means_deleted(), code == 404);
        }
        assert!(status(409, "Conflict", "").error.means_changed());
    }

    #[test]
    fn expired_token_has_one_for_the_rest() {
        let body = br#"{"kind":"Status","reason":"Expired","code":410,"metadata":{"continue":"abc"}}"#;
        let refusal = read(StatusCode::GONE, Some("application/json"), body);
        assert_eq!(refusal.expired, Some(Some("abc".to_owned())));
        assert_eq!(status(410, "Expired", "").expired, Some(None));
        assert_eq!(status(403, "Forbidden", "").expired, None);
    }

    #[test]
    fn plain_texts_are_those_of_the_server() {
        let of =
            |code: u16, kind: &str, text: &str| plain(StatusCode::from_u16(code).unwrap(), Some(kind), text.as_bytes());
        let text = "text/plain; charset=utf-8";
        let unknown = of(404, text, "404 page not found\n");
        assert!(unknown.code == UNKNOWN_API && !unknown.facts.is_not_in_use && !unknown.means_deleted());
        assert_eq!(of(404, text, "default backend - 404").code, code::INVALID_RESPONSE);
        assert_eq!(of(503, text, "service unavailable\n").code, "ServiceUnavailable");
        assert_eq!(of(429, text, "Too many requests").kind, CallErrorKind::Throttled);
        for (code, kind) in [(404, "text/html"), (403, "text/html"), (200, text), (302, text)] {
            let error = of(code, kind, "<html>");
            assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Unavailable, code::INVALID_RESPONSE));
        }
    }
}
