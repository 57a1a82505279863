//! Errors without secrets and of a bounded length. A server may repeat what it was sent, and may say as much as it
//! wants.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::Authorization;
use crate::engine::CallError;

/// The longest message and code of an error, in bytes.
const MAX_MESSAGE: usize = 2000;
const MAX_CODE: usize = 100;

/// Shorter secrets are not looked for: they would be found in many words.
const MIN_SECRET: usize = 4;

/// What replaces a secret.
const HIDDEN: &str = "***";

/// Returns the secrets of a header: its value, the token in it, and the password if it has one.
pub(super) fn secrets_of(authorization: &Authorization) -> Vec<String> {
    let value = authorization.value.as_str();
    let token = value.rsplit(' ').next().unwrap_or_default();
    let pair = value.strip_prefix("Basic ").and_then(|pair| String::from_utf8(STANDARD.decode(pair).ok()?).ok());
    let password = pair.as_deref().and_then(|pair| pair.split_once(':')).map(|(_, password)| password);
    [Some(value), Some(token), pair.as_deref(), password].into_iter().flatten().map(str::to_owned).collect()
}

/// Returns an error whose code and message have none of these secrets.
pub(in super::super) fn redacted(mut error: CallError, secrets: &[String]) -> CallError {
    let (code, message) = (without(&error.code, secrets), without(&error.message, secrets));
    error.code = cut(&code, MAX_CODE);
    error.message = cut(&message, MAX_MESSAGE).into();
    error
}

fn without(text: &str, secrets: &[String]) -> String {
    let secrets = secrets.iter().filter(|secret| secret.len() >= MIN_SECRET);
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
}

/// Cuts a text of a server.
pub(in super::super) fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(longest)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::CallErrorKind;

    #[test]
    fn error_has_neither_secrets_nor_any_length() {
        let basic = format!("Basic {}", STANDARD.encode("ada:pass word"));
        let pair = STANDARD.encode("ada:pass word");
        let long = "ü".repeat(5000);
        for (value, code, message, expected) in [
            ("Bearer t0ken", "403", "no role for t0ken here", ("403", "no role for *** here")),
            ("Bearer t0ken", "bad t0ken", "Bearer t0ken", ("bad ***", "***")),
            ("t0ken", "403", "t0ken", ("403", "***")),
            (basic.as_str(), "401", "wrong: ada:pass word", ("401", "wrong: ***")),
            (&basic, "401", "pass word", ("401", "***")),
            (&basic, "401", &format!("sent {pair}"), ("401", "sent ***")),
            ("Bearer abc", "abc", "abc", ("abc", "abc")),
            ("", "e", "nothing is hidden", ("e", "nothing is hidden")),
            ("Bearer t0ken", &long, &long, (&format!("{}…", "ü".repeat(50)), &format!("{}…", "ü".repeat(1000)))),
        ] {
            let authorization = Authorization { header: "Authorization".to_owned(), value: value.to_owned() };
            let error = CallError::new(CallErrorKind::Denied, code, message);
            let error = redacted(error, &secrets_of(&authorization));
            assert_eq!((error.code.as_str(), &*error.message), expected, "{value}");
        }
    }
}
