//! What it means that a login or a command failed, by what the client wrote.

use std::time::Duration;

use crate::engine::{CallError, CallErrorKind, ErrorFacts, code as general};

/// The codes of failures that only SSH has.
pub(crate) mod code {
    /// The server accepts none of the keys.
    pub(crate) const AUTHENTICATION_FAILED: &str = "AuthenticationFailed";
    /// A command did not do what it is for.
    pub(crate) const COMMAND_FAILED: &str = "CommandFailed";
    /// The server's host key is unknown, revoked, or another one.
    pub(crate) const HOST_KEY: &str = "HostKeyVerificationFailed";
    /// The key cannot be used, such as because of a wrong passphrase.
    pub(crate) const KEY_UNUSABLE: &str = "KeyUnusable";
}

/// What the client writes if it cannot run the helper for passphrases. It goes on without the key.
const NO_HELPER: &str = "ssh_askpass: exec(";

/// The characters of the client's messages that an error quotes.
const SHOWN: usize = 400;

use CallErrorKind::{Denied, Unavailable};

/// Parts of the client's messages, and what they mean: the kind, the code, and whether another attempt would fail in the
/// same way. The first one counts.
const MEANINGS: &[(&str, CallErrorKind, &str, bool)] = &[
    ("Host key verification failed", Denied, code::HOST_KEY, true),
    ("HOST IDENTIFICATION HAS CHANGED", Denied, code::HOST_KEY, true),
    (NO_HELPER, Denied, code::KEY_UNUSABLE, true),
    ("incorrect passphrase", Denied, code::KEY_UNUSABLE, true),
    ("UNPROTECTED PRIVATE KEY FILE", Denied, code::KEY_UNUSABLE, true),
    ("invalid format", Denied, code::KEY_UNUSABLE, true),
    ("Permission denied (", Denied, code::AUTHENTICATION_FAILED, true),
    ("Too many authentication failures", Denied, code::AUTHENTICATION_FAILED, true),
    ("Could not resolve hostname", Unavailable, general::UNKNOWN_HOST, true),
    ("Bad configuration option", CallErrorKind::Configuration, general::CONFIGURATION, true),
    ("Bad owner or permissions", CallErrorKind::Configuration, general::CONFIGURATION, true),
    ("stdio forwarding failed", Unavailable, general::CONNECTION_FAILED, true),
    ("Connection refused", Unavailable, general::CONNECTION_FAILED, true),
    ("No route to host", Unavailable, general::CONNECTION_FAILED, true),
    ("Network is unreachable", Unavailable, general::CONNECTION_FAILED, true),
    ("port 65535 timed out", Unavailable, general::CONNECTION_FAILED, true),
    ("Connection timed out", Unavailable, general::CONNECTION_FAILED, true),
    // What a server does that has too many connections which are not logged in yet.
    ("kex_exchange_identification", Unavailable, general::CONNECTION_LOST, false),
    ("Connection reset", Unavailable, general::CONNECTION_LOST, false),
    ("Connection closed", Unavailable, general::CONNECTION_LOST, false),
    ("Broken pipe", Unavailable, general::CONNECTION_LOST, false),
    ("banner exchange", Unavailable, general::CONNECTION_LOST, false),
];

/// Returns the meaning of a failed login.
pub(super) fn of_login(stderr: &str) -> CallError {
    let found = MEANINGS.iter().find(|(part, ..)| stderr.contains(part));
    let (_, kind, code, is_final) = found.copied().unwrap_or(("", Unavailable, general::CONNECTION_FAILED, true));
    let quoted = shown(stderr);
    let message = match kind {
        _ if quoted.is_empty() => "the client ended without a message".to_owned(),
        _ if stderr.contains(NO_HELPER) => format!(
            "{quoted}; the helper that gives the key's passphrase cannot run: let TMPDIR name a directory on a file system \
             that is not mounted noexec, or load the key into an agent"
        ),
        _ if code == code::KEY_UNUSABLE => {
            format!("{quoted}; check --onprem-ssh-key and --onprem-ssh-key-pass, or load the key into an agent")
        }
        _ => quoted,
    };
    let mut error = CallError::new(kind, code, message);
    error.facts = ErrorFacts { is_final, ..ErrorFacts::default() };
    error
}

/// Returns the meaning of a connection that broke before a command had ended.
pub(super) fn of_command(stderr: &str) -> CallError {
    let quoted = shown(stderr);
    let why = if quoted.is_empty() { "the connection broke before the command ended" } else { &quoted };
    CallError::new(Unavailable, general::CONNECTION_LOST, why)
}

/// Returns the failure of what did not happen in time.
pub(super) fn too_slow(what: &str, limit: Duration) -> CallError {
    let message = format!("did not {what} within {:.1} s", limit.as_secs_f32());
    let mut error = CallError::new(Unavailable, general::TIMEOUT, message);
    // Others wait for their turn.
    error.facts.is_final = true;
    error
}

/// Returns the client's messages on one line, without control characters.
pub(super) fn shown(stderr: &str) -> String {
    let is_frame = |line: &str| line.chars().all(|c| c == '@' || c.is_whitespace());
    let lines = stderr.lines().map(|line| line.trim_matches(['@', ' ', '\r'])).filter(|line| !is_frame(line));
    let text = lines.collect::<Vec<_>>().join("; ");
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(printable).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_client_have_a_meaning() {
        for (stderr, kind, code, is_retryable) in [
            ("root@h: Permission denied (publickey).", Denied, code::AUTHENTICATION_FAILED, false),
            (
                "No ED25519 host key is known for [h]:22 and you have requested strict checking.\r\nHost key \
                 verification failed.",
                Denied,
                code::HOST_KEY,
                false,
            ),
            ("ssh: connect to host h port 1: Connection refused", Unavailable, general::CONNECTION_FAILED, false),
            ("ssh: Could not resolve hostname h: Name or service not known", Unavailable, general::UNKNOWN_HOST, false),
            (
                "kex_exchange_identification: read: Connection reset by peer",
                Unavailable,
                general::CONNECTION_LOST,
                true,
            ),
            (
                "kex_exchange_identification: Connection closed by remote host",
                Unavailable,
                general::CONNECTION_LOST,
                true,
            ),
            (
                "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\n\
                 kex_exchange_identification: Connection closed by remote host",
                Unavailable,
                general::CONNECTION_FAILED,
                false,
            ),
            (
                "Load key \"id\": incorrect passphrase supplied to decrypt private key\nroot@h: Permission denied \
                 (publickey).",
                Denied,
                code::KEY_UNUSABLE,
                false,
            ),
            (
                "ssh_askpass: exec(/d/helper): Permission denied\r\nroot@h: Permission denied (publickey).",
                Denied,
                code::KEY_UNUSABLE,
                false,
            ),
            ("something new", Unavailable, general::CONNECTION_FAILED, false),
        ] {
            let error = of_login(stderr);
            assert_eq!((error.kind, error.code.as_str(), error.is_retryable()), (kind, code, is_retryable), "{stderr}");
        }
    }

    #[test]
    fn helper_that_cannot_run_has_its_own_remedy() {
        let error = of_login("ssh_askpass: exec(/d/helper): Permission denied\nPermission denied (publickey).");
        assert!(error.message.contains("noexec") && !error.message.contains("--onprem-ssh-key"), "{error}");
    }

    #[test]
    fn messages_are_quoted_on_one_bounded_line() {
        assert_eq!(shown("@@@@@\n@  WARNING!  @\r\n\nno\u{7}\n"), "WARNING!; no\u{fffd}");
        assert_eq!(shown(&"x".repeat(10_000)).len(), SHOWN);
    }
}
