//! Access tokens, as the client needs them.

use serde::{Deserialize, Serialize};
use worker_proto::Failure;

use crate::collector_api::BoxFuture;

/// An access token. There is no `Debug`: it is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The token.
    pub token: String,
    /// The project whose quotas and enabled APIs count for the calls, if it is not the called one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_project: Option<String>,
}

/// The source of a unit's tokens.
pub trait TokenSource: Send + Sync {
    /// Returns a token that is valid for some minutes.
    fn token(&self) -> BoxFuture<'_, Result<Token, Failure>>;

    /// Returns another token, after a service has rejected this one as expired or unknown.
    fn renew<'a>(&'a self, rejected: &'a Token) -> BoxFuture<'a, Result<Token, Failure>>;
}
