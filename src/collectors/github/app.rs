//! Tokens of a GitHub App: a signed statement of who it is buys a token of its installation for an hour.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use worker_proto::{Failure, FailureKind};

use crate::{
    collector_api::BoxFuture,
    engine::{CallError, CallErrorKind},
    rest::code::{Token, TokenCaller},
};

/// The statement is valid from a minute ago, as clocks differ, for less than the ten minutes that GitHub allows.
const BACK: u64 = 60;
const AHEAD: u64 = 540;

#[derive(Serialize)]
struct Claims<'a> {
    iat: u64,
    exp: u64,
    iss: &'a str,
}

/// Gets a token of the app's installation, if an app is configured.
pub(super) fn token(caller: &dyn TokenCaller) -> BoxFuture<'_, Result<Option<Token>, Failure>> {
    Box::pin(async move {
        let (id, key) = match (caller.option("app-id"), caller.option("app-key")) {
            (None, None) => return Ok(None),
            (Some(id), Some(key)) => (id, key),
            _ => return Err(wrong("--github-app-id and --github-app-key belong together".to_owned())),
        };
        let statement = signed(id, key).map_err(wrong)?;
        let installation = match caller.option("app-installation") {
            Some(installation) => installation.to_owned(),
            None => {
                let found = caller.call(false, "app/installations?per_page=100", &statement).await;
                only(&found.map_err(|error| refused(&error))?)?
            }
        };
        if !installation.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong(format!("--github-app-installation {installation}: expected a number")));
        }
        let path = format!("app/installations/{installation}/access_tokens");
        let issued = caller.call(true, &path, &statement).await.map_err(|error| refused(&error))?;
        let Some(token) = issued["token"].as_str() else {
            let message = "GitHub gave the app no token, and no error".to_owned();
            return Err(Failure { kind: FailureKind::Unavailable, message });
        };
        let end = issued["expires_at"].as_str().and_then(|end| OffsetDateTime::parse(end, &Rfc3339).ok());
        Ok(Some(Token { token: token.to_owned(), expires: end.map(OffsetDateTime::unix_timestamp) }))
    })
}

/// Returns the statement of an app, signed with the key in a file.
fn signed(id: &str, file: &str) -> Result<String, String> {
    let pem = fs::read(file).map_err(|error| format!("--github-app-key {file}: {error}"))?;
    let key = EncodingKey::from_rsa_pem(&pem)
        .map_err(|_| format!("--github-app-key {file}: no private RSA key in PEM form"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = Claims { iat: now.saturating_sub(BACK), exp: now + AHEAD, iss: id };
    encode(&Header::new(Algorithm::RS256), &claims, &key).map_err(|error| format!("--github-app-key {file}: {error}"))
}

/// Returns the ID of the only installation.
fn only(installations: &Value) -> Result<String, Failure> {
    let all: Vec<(i64, &str)> = installations.as_array().into_iter().flatten().filter_map(named).collect();
    match all.as_slice() {
        [(id, _)] => Ok(id.to_string()),
        [] => Err(wrong("the GitHub App has no installation; install it in an organization or account".to_owned())),
        all => {
            let all: Vec<String> = all.iter().map(|(id, owner)| format!("{id} ({owner})")).collect();
            let all = all.join(", ");
            Err(wrong(format!(
                "the GitHub App has several installations, {all}: choose one by --github-app-installation"
            )))
        }
    }
}

fn named(installation: &Value) -> Option<(i64, &str)> {
    Some((installation["id"].as_i64()?, installation["account"]["login"].as_str().unwrap_or_default()))
}

fn refused(error: &CallError) -> Failure {
    let remedy = match error.kind {
        CallErrorKind::Credentials | CallErrorKind::Denied | CallErrorKind::NotFound => {
            "; check --github-app-id, --github-app-key and --github-app-installation, and the clock of this machine"
        }
        _ => "",
    };
    Failure { kind: error.kind.setup_failure(), message: format!("GitHub gives the app no token: {error}{remedy}") }
}

fn wrong(message: String) -> Failure {
    Failure { kind: FailureKind::Configuration, message }
}
