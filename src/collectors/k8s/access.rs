//! Access to a cluster: what a unit's credentials hold, and their source in a worker.

use serde::{Deserialize, Serialize};
use worker_proto::{Credentials, Failure, FailureKind};

use super::client::AccessSource;
use crate::collector_api::{BoxFuture, CredentialSource};

/// How a worker reaches a cluster. There is no `Debug`: it holds secrets.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// How it connects.
    pub route: Route,
    /// How it logs in with each request.
    pub login: Login,
}

/// How a worker connects to a cluster's API server. There is no `Debug`: it holds a key.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The URL of the API server, without a slash at its end.
    pub server: String,
    /// The certificates of authorities, as PEM; those of the system if `None`.
    pub authorities: Option<String>,
    /// Whether the server's certificate is not verified.
    pub is_insecure: bool,
    /// The name in the server's certificate, if it is not the host's.
    pub server_name: Option<String>,
    /// The URL of a proxy; that of the environment if `None`.
    pub proxy: Option<String>,
    /// The client's certificate and its key, as PEM.
    pub identity: Option<(String, String)>,
}

/// How a worker logs in with each request. There is no `Debug`: it is a secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Login {
    /// Not at all, or with the client's certificate.
    #[default]
    None,
    /// With a token.
    Token(String),
    /// With name and password.
    Basic(String, String),
}

/// The form of [`Credentials::secret`] for planning: the names of the selected clusters.
#[derive(Serialize, Deserialize)]
pub(super) struct PlanSecret {
    /// The names.
    pub(super) clusters: Vec<String>,
    /// Whether the options name all clusters that are to be collected.
    pub(super) is_whole: bool,
}

/// Writes the secret of credentials.
///
/// # Errors
/// `Internal`, for a bug.
pub(super) fn write(secret: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(secret)
        .map_err(|_| Failure { kind: FailureKind::Internal, message: "cannot write credentials as JSON".into() })
}

/// Reads the secret of credentials.
///
/// # Errors
/// `Internal` if it is malformed; the message does not contain it.
pub(super) fn read<S: for<'de> Deserialize<'de>>(credentials: &Credentials) -> Result<S, Failure> {
    serde_json::from_str(&credentials.secret).map_err(|_| Failure {
        kind: FailureKind::Internal,
        message: "cannot parse the received Kubernetes credentials".into(),
    })
}

/// The access of a unit.
pub(super) struct UnitAccess(pub(super) CredentialSource);

impl AccessSource for UnitAccess {
    fn access(&self) -> BoxFuture<'_, Result<Access, Failure>> {
        Box::pin(async { read(&self.0.get().await?) })
    }

    fn renew<'a>(&'a self, rejected: &'a Access) -> BoxFuture<'a, Result<Access, Failure>> {
        Box::pin(async move {
            let current = self.0.get().await?;
            match read::<Access>(&current)? {
                access if access == *rejected => read(&self.0.renew(&current).await?),
                renewed => Ok(renewed),
            }
        })
    }
}
