//! What a failed call means, by the API's description.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use worker_proto::{Failure, FailureKind};

use super::super::{
    api::{Api, Errors, Limits, ResetForm},
    description::Description,
};
use crate::engine::{CallError, CallErrorKind, Tree, code, definition::Condition, eval::Item, http};

/// The statuses with which APIs say that there are too many calls. 403 is one only if something else says so too.
const TOO_MANY: u16 = 429;
const FORBIDDEN: u16 = 403;

/// The code of a call that was one too many, if the API has none.
const RATE_LIMITED: &str = "RateLimited";

/// Parts of the messages if the server of an https address does not use TLS.
const PLAIN_HTTP: [&str; 3] = ["tls handshake eof", "InvalidContentType", "corrupt message"];

/// The status of a success without a body.
pub(super) const NO_CONTENT: u16 = 204;

/// The status of a response that is not there yet.
const ACCEPTED: u16 = 202;

/// Fails if a response is an error of the API, or no response of it: one that has not what each `success` has.
pub(super) fn judge(
    api: &Api,
    success: Option<&Condition>,
    (status, headers): (u16, &HeaderMap),
    tree: Option<&Tree<'_>>,
) -> Result<(), CallError> {
    let null = Tree::Null;
    let item = Item::plain(tree.unwrap_or(&null));
    let code = api.response.code.as_ref().and_then(|path| item.path_text(path)).filter(|code| !code.is_empty());
    let is_success = (200..300).contains(&status) && status != ACCEPTED;
    // A response without a body has no form.
    let has_form = status == NO_CONTENT || success.is_none_or(|condition| item.holds(condition));
    match (is_success, has_form, &code) {
        (true, true, _) => return Ok(()),
        (true, false, None) => {
            return Err(CallError::foreign_response("the response lacks what each success of the API has"));
        }
        _ => {}
    }
    let message = api.response.message.as_ref().and_then(|source| item.text(source)).unwrap_or_default();
    let kind = kind(api, status, headers, code.as_deref(), &message);
    let code = code.unwrap_or_else(|| match kind {
        CallErrorKind::Throttled => RATE_LIMITED.to_owned(),
        _ => status.to_string(),
    });
    let is_final = has(&api.errors.r#final, &code, status);
    let mut error = CallError::new(kind, &code, message);
    error.facts.is_final = is_final;
    let is_throttled = kind == CallErrorKind::Throttled;
    let window = || reset(&api.limits, headers).filter(|_| is_throttled && is_spent(&api.limits, headers));
    let usual = || api.limits.pause.filter(|_| is_throttled).map(|pause| Duration::from_secs(pause.into()));
    let pause = http::retry_after(headers).or_else(window).or_else(usual);
    Err(match pause {
        Some(pause) => error.with_retry_after(pause),
        None => error,
    })
}

fn kind(api: &Api, status: u16, headers: &HeaderMap, code: Option<&str>, message: &str) -> CallErrorKind {
    let Errors { credentials, denied, throttled, throttled_messages, not_found, unavailable, .. } = &api.errors;
    let by_code = [
        (throttled, CallErrorKind::Throttled),
        (credentials, CallErrorKind::Credentials),
        (denied, CallErrorKind::Denied),
        (not_found, CallErrorKind::NotFound),
        (unavailable, CallErrorKind::Unavailable),
    ];
    let known = by_code.into_iter().find(|(codes, _)| has(codes, code.unwrap_or_default(), status));
    let is_told = || throttled_messages.iter().any(|part| message.contains(part));
    match (known, status) {
        (Some((_, kind)), _) => kind,
        (None, TOO_MANY) => CallErrorKind::Throttled,
        (None, FORBIDDEN) if headers.contains_key(RETRY_AFTER) || is_spent(&api.limits, headers) || is_told() => {
            CallErrorKind::Throttled
        }
        (None, 401) => CallErrorKind::Credentials,
        // The API still computes the response.
        (None, ACCEPTED) => CallErrorKind::Unavailable,
        (None, 200..300) => CallErrorKind::Unexpected,
        (None, status) => CallErrorKind::of_status(status),
    }
}

fn has(codes: &[String], code: &str, status: u16) -> bool {
    codes.iter().any(|known| known == code || *known == status.to_string())
}

fn is_spent(limits: &Limits, headers: &HeaderMap) -> bool {
    number(headers, limits.remaining.as_deref()) == Some(0)
}

/// Returns the pause after which others have their share of the calls again, if this response has used ours up.
pub(super) fn window(limits: &Limits, headers: &HeaderMap) -> Option<Duration> {
    // Without a reserve, the call that is one too many says best how long.
    let remaining = number(headers, limits.remaining.as_deref()).filter(|_| limits.reserve > 0)?;
    let reserved =
        number(headers, limits.limit.as_deref()).map_or(0, |limit| limit.saturating_mul(limits.reserve.into()) / 100);
    (remaining <= reserved).then(|| reset(limits, headers)).flatten()
}

/// Returns the time until the window of calls ends.
fn reset(limits: &Limits, headers: &HeaderMap) -> Option<Duration> {
    let end = Duration::from_secs(number(headers, limits.reset.as_deref())?);
    Some(match limits.reset_form {
        ResetForm::Seconds => end,
        ResetForm::Epoch => end.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
    })
}

fn number(headers: &HeaderMap, name: Option<&str>) -> Option<u64> {
    headers.get(name?)?.to_str().ok()?.trim().parse().ok()
}

/// Returns the error of a call without credentials.
pub(super) fn no_credentials(failure: Failure) -> CallError {
    let kind = match failure.kind {
        FailureKind::Unavailable | FailureKind::Cancelled => CallErrorKind::Unavailable,
        _ => CallErrorKind::Credentials,
    };
    CallError::new(kind, code::NO_CREDENTIALS, failure.message)
}

/// Returns the error of a call that made no connection with its remedy: the setting that is probably wrong.
pub(super) fn unreached(description: &Description, for_token: bool, mut error: CallError) -> CallError {
    let name = description.cloud.name;
    let of_file = if for_token { "url of [api] and [api.auth]" } else { "url of [api]" };
    let setting = match description.is_users {
        true => format!("{of_file}, and --{name}-endpoint-url if it is set"),
        false => format!("--{name}-endpoint-url, if it is set"),
    };
    let is_plain = PLAIN_HTTP.iter().any(|part| error.message.contains(part));
    let remedy = match (error.code.as_str(), error.kind) {
        (code::CONNECTION_FAILED, CallErrorKind::Configuration) => format!(
            "correct the server's name in {setting}; or trust the authority of its certificate with SSL_CERT_FILE, or set \
             --{name}-do-not-verify-cert (insecure)"
        ),
        (code::CONNECTION_FAILED, _) if is_plain => {
            format!("it is perhaps a port for http, not https: check {setting}")
        }
        (code::CONNECTION_FAILED | code::UNKNOWN_HOST, _) => format!("check {setting}"),
        _ => return error,
    };
    error.message = format!("{}; {remedy}", error.message).into();
    error
}
