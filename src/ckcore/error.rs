//! Errors of requests to the core and of the connection.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::LOCATION};
use reqwest::Url;
use thiserror::Error;

/// The limit of a response's text in an error, in bytes.
const MESSAGE_LIMIT: usize = 1000;

/// The limit of a redirect's target in an error, in bytes.
const DESTINATION_LIMIT: usize = 300;

/// The limit of an error text in a result, in bytes.
pub(super) const ERROR_LIMIT: usize = 4000;

/// A request to the core, or the connection to it, failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{what} failed{}: {message}", .status.map(|status| format!(" ({status})")).unwrap_or_default())]
pub struct CoreError {
    /// The request, such as `merge of the graph`.
    pub what: &'static str,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The message of the core or the network, truncated, with a remedy if one is known.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

impl CoreError {
    /// The request could not be sent, or its response not be read.
    pub(super) fn transport(what: &'static str, message: &str) -> Self {
        Self { what, status: None, message: bounded(message), retryable: true }
    }

    /// There was no response within the timeout.
    pub(super) fn timeout(what: &'static str, after: Duration) -> Self {
        Self::transport(what, &format!("no response from the core within {:.1} s", after.as_secs_f64()))
    }

    /// Whether the core itself rejected the content of the request. A proxy in front of the core uses other forms of
    /// message.
    pub(crate) fn is_about_content(&self) -> bool {
        let said = self.message.starts_with("Error: ") && self.message.contains("\nMessage: ");
        !self.retryable && matches!(self.status, Some(400 | 404)) && said
    }

    /// Whether the core rejected the pre-shared key.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.status == Some(401)
    }

    /// The deadline passed during the request.
    pub(super) fn at_deadline(what: &'static str) -> Self {
        Self::transport(what, "the deadline passed before the core responded")
    }

    /// The request can never succeed.
    pub(super) fn permanent(what: &'static str, message: &str) -> Self {
        Self { what, status: None, message: bounded(message), retryable: false }
    }

    /// The response has no status of success. A redirect is never followed, because the token is for the core alone;
    /// the error names its target.
    pub(super) fn answered(what: &'static str, status: StatusCode, headers: &HeaderMap, body: &str) -> Self {
        if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
            return Self::refused(what, status.as_u16(), body);
        }
        let to = headers.get(LOCATION).map(|location| destination(&String::from_utf8_lossy(location.as_bytes())));
        let message = format!(
            "the core redirects to {}, and redirects are not followed: give the address of the core itself with \
             --ckcore-uri (something in between may want a login, or https)",
            to.as_deref().unwrap_or("an address that it does not name")
        );
        Self { what, status: Some(status.as_u16()), message: bounded(&message), retryable: false }
    }

    /// The core rejected the request.
    pub(super) fn refused(what: &'static str, status: u16, body: &str) -> Self {
        // A rejected token is renewed, and a core may be given the former key again. `transport/retry.rs` bounds the
        // time.
        let retryable = matches!(status, 401 | 408 | 429 | 500..=599) || may_pass(body);
        Self { what, status: Some(status), message: explain(status, body), retryable }
    }
}

/// Whether an error with status 400 is transient: another merge is running, or the body arrived too slowly.
fn may_pass(body: &str) -> bool {
    body.contains("ConflictingChangeInProgress") || body.trim_end().ends_with("Message: Empty()")
}

fn explain(status: u16, body: &str) -> String {
    if status == 401 {
        return "the core rejected the pre-shared key: start the worker with the same --psk as the core, and check that both \
                clocks agree"
            .to_owned();
    }
    let text = bounded(body.trim());
    if body.contains("Chunk too big") {
        return format!("{text} (a line is longer than the 131072 bytes that this core accepts)");
    }
    if body.contains("HTTPRequestEntityTooLarge") {
        return format!("{text} (the body is larger than the 1 MiB that this core accepts)");
    }
    if text.is_empty() { "the core gave no reason".to_owned() } else { text }
}

/// Returns the target of a redirect without its possible secrets: user, password, query and fragment.
fn destination(location: &str) -> String {
    let bare = match Url::parse(location) {
        Ok(mut url) => {
            // The calls fail only for a URL that cannot have a user or a password.
            let _ = (url.set_username(""), url.set_password(None));
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        }
        Err(_) => location.split(['?', '#']).next().unwrap_or_default().to_owned(),
    };
    cut(&bare, DESTINATION_LIMIT)
}

/// Returns the text, truncated to a length for a log line.
pub(super) fn bounded(text: &str) -> String {
    cut(text, MESSAGE_LIMIT)
}

/// Returns the text, truncated to `limit` bytes at a character boundary and then marked with an ellipsis.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_transient_rejections_are_retryable() {
        let conflict =
            "Error: ImportAborted\nMessage: ConflictingChangeInProgress('Conflicting change in progress: c!')";
        for (status, body, retryable) in [
            (400, conflict, true),
            (400, "Error: ImportAborted\nMessage: Empty()", true),
            (429, "", true),
            (503, "", true),
            (400, "Error: ImportAborted\nMessage: KeyError('x')", false),
            (401, "401: Unauthorized", true),
            (404, "Error: NoSuchGraph\nMessage: No graph with this name ck", false),
        ] {
            assert_eq!(CoreError::refused("merge", status, body).retryable, retryable, "{status} {body}");
        }
    }

    #[test]
    fn rejection_by_core_is_distinguished_from_that_of_proxy() {
        for (status, body, is_about_content) in [
            (400, "Error: ValueError\nMessage: Chunk too big", true),
            (400, "Error: HTTPRequestEntityTooLarge\nMessage: Request Entity Too Large", true),
            (404, "Error: NoSuchGraph\nMessage: No graph with this name ck", true),
            (400, "Error: ImportAborted\nMessage: Empty()", false),
            (404, "404 page not found", false),
            (403, "Forbidden", false),
            (503, "Error: X\nMessage: y", false),
        ] {
            assert_eq!(
                CoreError::refused("change", status, body).is_about_content(),
                is_about_content,
                "{status} {body}"
            );
        }
        assert!(!CoreError::permanent("check", "Error: X\nMessage: y").is_about_content());
    }

    #[test]
    fn redirect_names_its_target_without_secrets() {
        for (location, shown) in [
            (Some("https://login.example/start?token=geheim#x"), "https://login.example/start,"),
            (Some("https://me:geheim@core.example:8900/"), "https://core.example:8900/,"),
            (Some("/login?token=geheim"), "redirects to /login,"),
            (Some("//core.example/a?token=geheim"), "redirects to //core.example/a,"),
            (Some(""), "redirects to ,"),
            (None, "an address that it does not name"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(location) = location {
                headers.insert(LOCATION, location.parse().unwrap());
            }
            for status in [301, 302, 303, 307, 308] {
                let status = StatusCode::from_u16(status).unwrap();
                let error = CoreError::answered("registration", status, &headers, "<html>").to_string();
                assert!(error.contains(shown) && error.contains("--ckcore-uri"), "{error}");
                assert!(!error.contains("geheim") && !error.contains("no reason"), "{error}");
            }
        }
        let long = format!("http://core.example/{}", "a".repeat(5000)).parse().unwrap();
        let headers = HeaderMap::from_iter([(LOCATION, long)]);
        assert!(CoreError::answered("merge", StatusCode::FOUND, &headers, "").to_string().len() < 700);
        let other = CoreError::answered("merge", StatusCode::BAD_REQUEST, &HeaderMap::new(), "");
        assert_eq!(other, CoreError::refused("merge", 400, ""));
    }

    #[test]
    fn message_of_core_is_truncated() {
        let error = CoreError::refused("merge", 400, &"ä".repeat(2000));
        assert!(error.message.len() <= MESSAGE_LIMIT + '…'.len_utf8());
        assert!(error.to_string().starts_with("merge failed (400): ää"));
    }

    #[test]
    fn rejected_key_names_the_option() {
        assert!(CoreError::refused("registration", 401, "401: Unauthorized").to_string().contains("--psk"));
    }
}
