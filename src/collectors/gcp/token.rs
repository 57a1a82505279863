//! The client's tokens in a worker, which come through the context of its unit.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use worker_proto::{Credentials, Failure, FailureKind};

use super::{
    client::{self, Client, ClientConfig, Project, Token, TokenSource},
    options::Options,
};
use crate::collector_api::{BoxFuture, CollectContext, CredentialSource};

/// The form of [`Credentials::secret`] for planning: all credentials, in the order of the option.
#[derive(Serialize, Deserialize)]
pub(crate) struct PlanSecret(pub(crate) Vec<PlanCredential>);

/// One of the credentials, for planning.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PlanCredential {
    /// The account's name for messages.
    pub(crate) account: String,
    /// The project to which the account belongs, as far as its credentials tell.
    pub(crate) project: Option<String>,
    /// The token, or why there is none.
    pub(crate) token: Result<Token, Failure>,
}

impl PlanSecret {
    /// Parses the secret.
    ///
    /// # Errors
    /// `Internal` if it is malformed; the message does not contain it.
    pub(crate) fn read(credentials: &Credentials) -> Result<Self, Failure> {
        serde_json::from_str(&credentials.secret).map_err(|_| malformed())
    }
}

/// Returns a client of a unit's project.
///
/// # Errors
/// `Configuration` if TLS cannot be set up.
pub(crate) fn client(context: &CollectContext, project: Project) -> Result<Client, Failure> {
    client_of(context, Some(project), Which::Unit)
}

/// Returns a client for planning with one of the credentials.
///
/// # Errors
/// As [`client()`].
pub(crate) fn plan_client(context: &CollectContext, credential: usize) -> Result<Client, Failure> {
    client_of(context, None, Which::Plan(credential))
}

fn client_of(context: &CollectContext, project: Option<Project>, which: Which) -> Result<Client, Failure> {
    Ok(Client::new(ClientConfig {
        project,
        endpoint: Options::of(context.settings()).endpoint,
        tokens: Arc::new(Tokens { source: context.credentials().clone(), which }),
        timeouts: client::timeouts(context.deadline()),
        waits: context.waits().clone(),
        http: http()?,
    }))
}

/// Returns the connections that all clients of the process share.
///
/// # Errors
/// `Configuration` if TLS cannot be set up.
pub(crate) fn http() -> Result<reqwest::Client, Failure> {
    static HTTP: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    let failure = |message| Failure { kind: FailureKind::Configuration, message };
    HTTP.get_or_init(client::http).clone().map_err(failure)
}

/// The tokens of a unit, or of one of the credentials while planning.
struct Tokens {
    source: CredentialSource,
    which: Which,
}

/// The token that is meant.
#[derive(Clone, Copy)]
enum Which {
    /// The only one.
    Unit,
    /// That of one of the credentials.
    Plan(usize),
}

impl Which {
    fn read(self, credentials: &Credentials) -> Result<Token, Failure> {
        match self {
            Self::Unit => serde_json::from_str(&credentials.secret).map_err(|_| malformed()),
            Self::Plan(index) => {
                let mut all = PlanSecret::read(credentials)?.0;
                if index < all.len() { all.swap_remove(index).token } else { Err(malformed()) }
            }
        }
    }
}

impl TokenSource for Tokens {
    fn token(&self) -> BoxFuture<'_, Result<Token, Failure>> {
        Box::pin(async { self.which.read(&self.source.get().await?) })
    }

    fn renew<'a>(&'a self, rejected: &'a Token) -> BoxFuture<'a, Result<Token, Failure>> {
        Box::pin(async move {
            let current = self.source.get().await?;
            match self.which.read(&current)? {
                token if token == *rejected => self.which.read(&self.source.renew(&current).await?),
                renewed => Ok(renewed),
            }
        })
    }
}

fn malformed() -> Failure {
    Failure { kind: FailureKind::Internal, message: "cannot parse the received GCP credentials".into() }
}
