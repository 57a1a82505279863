//! What can go wrong with the core.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::LOCATION};
use reqwest::Url;
use thiserror::Error;

/// The longest part of an answer of the core that goes into an error, in bytes.
const MESSAGE_LIMIT: usize = 1000;

/// The longest destination of a redirect that goes into an error, in bytes.
const DESTINATION_LIMIT: usize = 300;

/// The longest error text that goes into an answer or a result, in bytes.
pub(super) const ERROR_LIMIT: usize = 4000;

/// A request to the core, or the connection to it, failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{what} failed{}: {message}", .status.map(|status| format!(" ({status})")).unwrap_or_default())]
pub struct CoreError {
    /// What was tried, such as `merge of the graph`.
    pub what: &'static str,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What the core or the network said, bounded in length, and what to do where we know.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

impl CoreError {
    /// The request could not be sent or its answer not be read.
    pub(super) fn transport(what: &'static str, message: &str) -> Self {
        Self { what, status: None, message: bounded(message), retryable: true }
    }

    /// There was no answer within the time that was allowed.
    pub(super) fn timeout(what: &'static str, after: Duration) -> Self {
        Self::transport(what, &format!("no answer from the core within {:.1} s", after.as_secs_f64()))
    }

    /// Whether the core read the request and minds what is in it, in its own form of words: what stands between us and the
    /// core refuses in others.
    pub(crate) fn is_about_content(&self) -> bool {
        let said = self.message.starts_with("Error: ") && self.message.contains("\nMessage: ");
        !self.retryable && matches!(self.status, Some(400 | 404)) && said
    }

    /// Whether our key was refused.
    pub(crate) fn is_unauthorized(&self) -> bool {
        self.status == Some(401)
    }

    /// The time for the whole undertaking was over.
    pub(super) fn at_deadline(what: &'static str) -> Self {
        Self::transport(what, "the deadline came while the core was working on it")
    }

    /// The request can never succeed as it is.
    pub(super) fn permanent(what: &'static str, message: &str) -> Self {
        Self { what, status: None, message: bounded(message), retryable: false }
    }

    /// The answer has no status of success. A redirect is named with its destination; it is never followed, because the
    /// token is for the core alone.
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

    /// The core refused.
    pub(super) fn refused(what: &'static str, status: u16, body: &str) -> Self {
        // A token that was refused is made anew; and a core that was given another key may be given the old one again. How
        // long that is hoped for is said in `transport/retry.rs`.
        let retryable = matches!(status, 401 | 408 | 429 | 500..=599) || may_pass(body);
        Self { what, status: Some(status), message: explain(status, body), retryable }
    }
}

/// Refusals with status 400 that go away by themselves: another merge is running, or our body came too slowly.
fn may_pass(body: &str) -> bool {
    body.contains("ConflictingChangeInProgress") || body.trim_end().ends_with("Message: Empty()")
}

fn explain(status: u16, body: &str) -> String {
    if status == 401 {
        return "the core does not accept our pre-shared key: start the worker with the same --psk as the core, and check \
                that both clocks agree"
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

/// The destination of a redirect, without what may be secret in it: user, password, query and fragment.
fn destination(location: &str) -> String {
    let bare = match Url::parse(location) {
        Ok(mut url) => {
            // A URL that cannot have them has none.
            let _ = (url.set_username(""), url.set_password(None));
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        }
        Err(_) => location.split(['?', '#']).next().unwrap_or_default().to_owned(),
    };
    cut(&bare, DESTINATION_LIMIT)
}

/// A text cut to a length that is good for a log line.
pub(super) fn bounded(text: &str) -> String {
    cut(text, MESSAGE_LIMIT)
}

/// A text cut to `limit` bytes at most, at a border of characters, with a mark where it was cut.
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
    fn refusals_that_may_pass_are_retryable() {
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
    fn a_refusal_is_about_the_content_if_the_core_itself_says_so() {
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
    fn redirect_names_its_destination_without_secrets() {
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
    fn the_text_of_the_core_is_carried_and_cut() {
        let error = CoreError::refused("merge", 400, &"ä".repeat(2000));
        assert!(error.message.len() <= MESSAGE_LIMIT + '…'.len_utf8());
        assert!(error.to_string().starts_with("merge failed (400): ää"));
    }

    #[test]
    fn a_refused_key_says_what_to_do() {
        assert!(CoreError::refused("registration", 401, "401: Unauthorized").to_string().contains("--psk"));
    }
}
