//! The broker of credentials: it holds all of them in the supervisor, and hands out access tokens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker_proto::{Credentials, Failure, FailureKind, Unit};

use super::{
    client::{self, Client, ClientConfig, Project, Token, TokenSource},
    cloud::GLOBAL,
    credential::{Credential, Issued, expiry},
    options::Options,
    source::{Source, Variables},
    token::{self, PlanCredential, PlanSecret},
};
use crate::{
    collector_api::{BoxFuture, Broker, Waits},
    engine::{Request, call_failure},
};

/// The payload of a unit, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The project's ID.
    pub(crate) project: String,
    /// The project's number, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<String>,
    /// The project as it was listed, with its name, labels and time of creation.
    pub(crate) item: Value,
    /// The number of the credentials that see it, from 0 on; `None` if that is unknown, as for operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credential: Option<usize>,
}

impl Payload {
    /// Parses the payload of a unit.
    ///
    /// # Errors
    /// `Internal` if it is malformed.
    pub(crate) fn read(unit: &Unit) -> Result<Self, Failure> {
        serde_json::from_str(&unit.payload).map_err(|error| Failure {
            kind: FailureKind::Internal,
            message: format!("cannot read the payload of GCP project {}: {error}", unit.id),
        })
    }

    /// Writes the payload of a unit.
    ///
    /// # Errors
    /// `Internal`, for a bug.
    pub(crate) fn write(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| Failure {
            kind: FailureKind::Internal,
            message: format!("cannot write the payload of GCP project {}: {error}", self.project),
        })
    }

    /// Returns the project, for the client.
    pub(crate) fn project(&self) -> Project {
        Project { id: self.project.clone(), number: self.number.clone() }
    }
}

/// The broker of the GCP collector.
pub(crate) struct GcpBroker {
    /// The credentials, or why the option is rejected.
    credentials: Result<Vec<Credential>, String>,
    endpoint: Option<String>,
    /// The credentials that see a project, as far as that was found out.
    seeing: Mutex<HashMap<String, usize>>,
}

impl GcpBroker {
    /// Returns a broker; contacts nothing.
    pub(crate) fn new(options: &Options, variables: &Variables) -> Self {
        let sources = Source::all(&options.service_accounts);
        let credential = |source| Credential::new(source, variables.clone());
        Self {
            credentials: sources.map(|sources| sources.into_iter().map(credential).collect()),
            endpoint: options.endpoint.clone(),
            seeing: Mutex::default(),
        }
    }

    fn all(&self) -> Result<&[Credential], Failure> {
        let failure = |message: &String| Failure { kind: FailureKind::Configuration, message: message.clone() };
        self.credentials.as_deref().map_err(failure)
    }

    async fn issue(&self, unit: Option<&Unit>, is_renewal: bool) -> Result<Credentials, Failure> {
        let secret = match unit {
            Some(unit) => write(&self.token_of(&Payload::read(unit)?, is_renewal).await?),
            None => write(&self.plan(is_renewal).await?),
        };
        Ok(Credentials { secret: secret?, expires: expiry() })
    }

    /// Returns the tokens of all credentials, for planning.
    ///
    /// # Errors
    /// If there is not one token: the first failure that may be transient, otherwise the first one.
    async fn plan(&self, is_renewal: bool) -> Result<PlanSecret, Failure> {
        let credentials = self.all()?;
        let issued = join_all(credentials.iter().map(|credential| credential.token(is_renewal))).await;
        let failures: Vec<&Failure> = issued.iter().filter_map(|issued| issued.as_ref().err()).collect();
        if failures.len() == credentials.len() {
            let transient = failures.iter().find(|failure| failure.kind == FailureKind::Unavailable);
            let worst =
                transient.or_else(|| failures.iter().find(|failure| failure.kind != FailureKind::NoCredentials));
            return Err(worst.or(failures.first()).map_or_else(no_credentials, |failure| (**failure).clone()));
        }
        let entry = |(credential, issued): (&Credential, _)| match issued {
            Ok(Issued { account, project, token }) => PlanCredential { account, project, token: Ok(token) },
            Err(failure) => PlanCredential { account: credential.label(), project: None, token: Err(failure) },
        };
        Ok(PlanSecret(credentials.iter().zip(issued).map(entry).collect()))
    }

    async fn token_of(&self, payload: &Payload, is_renewal: bool) -> Result<Token, Failure> {
        let credentials = self.all()?;
        let index = match payload.credential {
            Some(index) => {
                self.note(&payload.project, index);
                index
            }
            None => self.find(credentials, &payload.project).await?,
        };
        let credential = credentials.get(index).ok_or_else(no_credentials)?;
        Ok(credential.token(is_renewal).await?.token)
    }

    /// Finds the credentials that see a project: the only ones, those of the last plan, or the first ones that may read
    /// it.
    async fn find(&self, credentials: &[Credential], project: &str) -> Result<usize, Failure> {
        if credentials.len() == 1 {
            return Ok(0);
        }
        if let Some(index) = self.seeing.lock().unwrap_or_else(PoisonError::into_inner).get(project) {
            return Ok(*index);
        }
        let reads = credentials.iter().map(|credential| self.read(credential, project));
        self.first(project, reads).await
    }

    /// Returns the first credentials that may read a project. They are noted unless others before them failed for a
    /// reason that may pass, as those may be the ones that can change it.
    ///
    /// # Errors
    /// If none may read it: the first failure that may pass, otherwise the last one.
    async fn first(
        &self,
        project: &str,
        reads: impl Iterator<Item = impl Future<Output = Result<(), Failure>>>,
    ) -> Result<usize, Failure> {
        let (mut transient, mut last) = (None, None);
        for (index, read) in reads.enumerate() {
            match read.await {
                Ok(()) => {
                    if transient.is_none() {
                        self.note(project, index);
                    }
                    return Ok(index);
                }
                Err(failure) if failure.kind.is_retryable() => transient = transient.or(Some(failure)),
                Err(failure) => last = Some(failure),
            }
        }
        let failure = transient.or(last).unwrap_or_else(no_credentials);
        let message =
            format!("none of the GCP credentials can read project {project}; one of them: {}", failure.message);
        Err(Failure { message, ..failure })
    }

    /// Reads a project.
    async fn read(&self, credential: &Credential, project: &str) -> Result<(), Failure> {
        let client = Client::new(ClientConfig {
            project: None,
            endpoint: self.endpoint.clone(),
            tokens: Arc::new(Fixed(credential.token(false).await?.token)),
            timeouts: client::timeouts(None),
            waits: Waits::default().unit(0),
            http: token::http()?,
        });
        let request = Request::new("cloudresourcemanager", "projects.get", GLOBAL).with("projectId", project);
        let found = client.call(request).await;
        found.map(|_| ()).map_err(|error| call_failure(&format!("cannot read GCP project {project}"), &error))
    }

    fn note(&self, project: &str, index: usize) {
        self.seeing.lock().unwrap_or_else(PoisonError::into_inner).insert(project.to_owned(), index);
    }
}

/// A token for a single call.
struct Fixed(Token);

impl TokenSource for Fixed {
    fn token(&self) -> BoxFuture<'_, Result<Token, Failure>> {
        Box::pin(async { Ok(self.0.clone()) })
    }

    fn renew<'a>(&'a self, rejected: &'a Token) -> BoxFuture<'a, Result<Token, Failure>> {
        Box::pin(async { Ok(rejected.clone()) })
    }
}

fn write(secret: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(secret)
        .map_err(|_| Failure { kind: FailureKind::Internal, message: "cannot write credentials as JSON".into() })
}

fn no_credentials() -> Failure {
    Failure {
        kind: FailureKind::Internal,
        message: "a unit's GCP credentials do not exist; please report this bug".into(),
    }
}

impl Broker for GcpBroker {
    fn credentials<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        Box::pin(self.issue(unit, false))
    }

    fn renewed<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        Box::pin(self.issue(unit, true))
    }
}

#[cfg(test)]
#[path = "broker_tests.rs"]
mod tests;
