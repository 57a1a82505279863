//! The broker of credentials: it holds the base credentials in the supervisor and issues each unit its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError};
use serde::{Deserialize, Serialize};
use tokio::{sync::OnceCell, time::timeout};
use worker_proto::{Credentials, Failure, FailureKind, Unit};

use super::{
    identity::{Secret, causes, endpoint, failure, is_denied, no_credentials, no_source},
    official::{ServiceTime, insist},
    official_config,
    options::Options,
    sdk_settings::{self, ReadSettings, Variables},
    selection::role_arn,
};
use crate::collector_api::{BoxFuture, Broker};

/// The timeout of all sources of base credentials together.
const SOURCES_TIMEOUT: Duration = Duration::from_secs(60);

/// The payload of a unit, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The account ID.
    pub(crate) account: String,
    /// The role to assume; `None` means the base credentials.
    pub(crate) role: Option<String>,
    /// The partition of the account.
    pub(crate) partition: String,
    /// The regions to collect.
    pub(crate) regions: Vec<String>,
    /// Whether the account comes from a graph and not from the cloud, so that the base credentials must be verified to
    /// belong to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) verify: bool,
}

impl Payload {
    /// Parses the payload of a unit.
    ///
    /// # Errors
    /// `Internal` if it is malformed.
    pub(crate) fn read(unit: &Unit) -> Result<Self, Failure> {
        serde_json::from_str(&unit.payload).map_err(|error| Failure {
            kind: FailureKind::Internal,
            message: format!("cannot read the payload of AWS account {}: {error}", unit.id),
        })
    }
}

/// The broker of the AWS collector.
pub(crate) struct AwsBroker {
    key: Option<(String, String)>,
    /// The settings of AWS's tools, or why they are rejected.
    read: Result<ReadSettings, String>,
    external_id: Option<String>,
    session_name: Option<String>,
    provider: OnceCell<SharedCredentialsProvider>,
    /// The account of the base credentials.
    own: OnceCell<String>,
}

impl AwsBroker {
    /// Returns a broker; contacts nothing.
    pub(crate) fn new(options: &Options) -> Self {
        let key = options.access_key();
        let read = sdk_settings::read(&Variables::of_process(), key.is_some());
        for warning in read.iter().flat_map(|read| &read.warnings) {
            tracing::warn!("{warning}");
        }
        Self {
            key: key.map(|(id, secret)| (id.to_owned(), secret.to_owned())),
            read,
            external_id: options.external_id.clone(),
            session_name: options.session_name.clone(),
            provider: OnceCell::new(),
            own: OnceCell::new(),
        }
    }

    fn read(&self) -> Result<&ReadSettings, Failure> {
        let failure = |message: &String| Failure { kind: FailureKind::Configuration, message: message.clone() };
        self.read.as_ref().map_err(failure)
    }

    async fn provider(&self) -> Result<SharedCredentialsProvider, Failure> {
        let key = self.key.as_ref().map(|(id, secret)| (id.as_str(), secret.as_str()));
        let read = self.read()?;
        let find = async || {
            let found = official_config::base_credentials(read, key).await?;
            found.ok_or_else(|| no_source("no source is configured"))
        };
        self.provider.get_or_try_init(find).await.cloned()
    }

    async fn sts(&self) -> Result<aws_sdk_sts::Client, Failure> {
        let config = official_config::config(&self.read()?.settings, "sts", self.provider().await?)?;
        Ok(aws_sdk_sts::Client::new(&config))
    }

    async fn base(&self) -> Result<Credentials, Failure> {
        let provider = self.provider().await?;
        let found = timeout(SOURCES_TIMEOUT, provider.provide_credentials()).await;
        let found = found.map_err(|_| no_credentials("the sources did not respond in time"))?;
        let found = found.map_err(|error| match error {
            CredentialsError::CredentialsNotLoaded(_) => no_source(&causes(&error)),
            _ => no_credentials(&causes(&error)),
        })?;
        let secret = Secret {
            access_key_id: found.access_key_id().to_owned(),
            secret_access_key: found.secret_access_key().to_owned(),
            session_token: found.session_token().map(str::to_owned),
            settings: self.read()?.settings.clone(),
        };
        Ok(Credentials { secret: write(&secret)?, expires: found.expiry().and_then(seconds) })
    }

    /// Returns the base credentials, if they belong to this account.
    async fn base_of(&self, account: &str) -> Result<Credentials, Failure> {
        let credentials = self.base().await?;
        let own = self.own.get_or_try_init(|| self.own_account()).await?;
        if own == account {
            return Ok(credentials);
        }
        Err(Failure {
            kind: FailureKind::Credentials,
            message: format!(
                "AWS account {account}: it has no role, and the base credentials are of account {own}; collect it with a \
                 role, or give --aws-role and --aws-role-override"
            ),
        })
    }

    async fn own_account(&self) -> Result<String, Failure> {
        let endpoint = endpoint(&self.read()?.settings, "sts");
        let what = "cannot verify the AWS credentials";
        let client = self.sts().await?;
        let answer = insist(|| client.get_caller_identity().send()).await;
        let answer = answer.map_err(|error| failure(what, &endpoint, &error))?;
        answer.account().map(str::to_owned).ok_or_else(|| Failure {
            kind: FailureKind::Unavailable,
            message: format!("{what}: {endpoint} named no account"),
        })
    }

    async fn assumed(&self, payload: &Payload, role: &str) -> Result<Credentials, Failure> {
        let settings = &self.read()?.settings;
        let arn = role_arn(&payload.partition, &payload.account, role);
        let own_name = || format!("{}-{:016x}", payload.account, fastrand::u64(..));
        let request = self
            .sts()
            .await?
            .assume_role()
            .role_arn(&arn)
            .role_session_name(self.session_name.clone().unwrap_or_else(own_name))
            .set_external_id(self.external_id.clone());
        let what = format!("AWS account {}: the role {role} ({arn}) cannot be assumed", payload.account);
        let time = ServiceTime::default();
        let send = || request.clone().customize().interceptor(time.clone()).send();
        let answer = insist(send).await.map_err(|error| {
            let mut failure = failure(&what, &endpoint(settings, "sts"), &error);
            if is_denied(&error) {
                failure.message.push_str("; the role must exist there, and its trust policy must name who you are");
                if self.external_id.is_none() {
                    failure.message.push_str(" (if it requires an external ID, give --aws-external-id)");
                }
            }
            failure
        })?;
        let found = answer.credentials().ok_or_else(|| Failure {
            kind: FailureKind::Unavailable,
            message: format!("{what}: the answer holds no credentials"),
        })?;
        let secret = Secret {
            access_key_id: found.access_key_id().to_owned(),
            secret_access_key: found.secret_access_key().to_owned(),
            session_token: Some(found.session_token().to_owned()),
            settings: settings.clone(),
        };
        Ok(Credentials { secret: write(&secret)?, expires: Some(time.here(found.expiration().secs())) })
    }
}

fn write(secret: &Secret) -> Result<String, Failure> {
    serde_json::to_string(secret)
        .map_err(|_| Failure { kind: FailureKind::Internal, message: "cannot write credentials as JSON".into() })
}

fn seconds(time: SystemTime) -> Option<i64> {
    time.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok())
}

impl Broker for AwsBroker {
    fn credentials<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        Box::pin(async move {
            let Some(unit) = unit else { return self.base().await };
            let payload = Payload::read(unit)?;
            match &payload.role {
                Some(role) => self.assumed(&payload, role).await,
                None if payload.verify => self.base_of(&payload.account).await,
                None => self.base().await,
            }
        })
    }
}
