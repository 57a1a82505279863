//! Why a connection failed: the messages of an error and its causes.

use std::error::Error;

use crate::certificates;

/// The messages of resolvers for unknown names: of glibc, of musl, and of glibc for a name without addresses.
const UNKNOWN_HOST: [&str; 3] =
    ["Name or service not known", "Name does not resolve", "No address associated with hostname"];

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
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
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

/// Iterates over an error and its causes.
pub(crate) fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| Error::source(*error))
}
