//! The holder of the base credentials: lives in the supervisor and gives each account's worker only its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use serde::{Deserialize, Serialize};
use tokio::{sync::OnceCell, time::timeout};
use worker_proto::{Credentials, Failure, FailureKind, Unit};

use super::{
    super::{BoxFuture, Broker},
    identity::{Secret, base_config, causes, endpoint, failure, is_denied, no_credentials},
    official::{ServiceTime, insist},
    selection::role_arn,
};
use crate::settings::Settings;

/// The longest that all sources of base credentials together may take.
const SOURCES_TIMEOUT: Duration = Duration::from_secs(60);

/// What a unit's payload says, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The account id.
    pub(crate) account: String,
    /// The role to assume; none means the base credentials.
    pub(crate) role: Option<String>,
    /// The partition of the account.
    pub(crate) partition: String,
    /// The regions to collect.
    pub(crate) regions: Vec<String>,
    /// Whether the account was read from a graph and not from the cloud: base credentials must prove to be of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) verify: bool,
}

impl Payload {
    /// Reads the payload of a unit.
    ///
    /// # Errors
    /// `Internal` if it is not one of ours.
    pub(crate) fn read(unit: &Unit) -> Result<Self, Failure> {
        serde_json::from_str(&unit.payload).map_err(|error| Failure {
            kind: FailureKind::Internal,
            message: format!("the payload of AWS account {} cannot be read: {error}", unit.id),
        })
    }
}

/// The broker of the AWS collector.
pub(crate) struct AwsBroker {
    key: Option<(String, String)>,
    config: OnceCell<SdkConfig>,
    /// The account of the base credentials.
    own: OnceCell<String>,
}

impl AwsBroker {
    /// A broker that has not contacted anything yet.
    pub(crate) fn new(settings: &Settings) -> Self {
        let key = settings.text("aws-access-key-id").zip(settings.text("aws-secret-access-key"));
        Self {
            key: key.map(|(id, secret)| (id.to_owned(), secret.to_owned())),
            config: OnceCell::new(),
            own: OnceCell::new(),
        }
    }

    async fn config(&self) -> &SdkConfig {
        let key = self.key.as_ref().map(|(id, secret)| (id.as_str(), secret.as_str()));
        self.config.get_or_init(|| base_config(key)).await
    }

    async fn base(&self) -> Result<Credentials, Failure> {
        let config = self.config().await;
        let provider = config.credentials_provider().ok_or_else(|| no_credentials("no source is configured"))?;
        let found = timeout(SOURCES_TIMEOUT, provider.provide_credentials()).await;
        let found = found.map_err(|_| no_credentials("the sources did not answer in time"))?;
        let found = found.map_err(|error| no_credentials(&causes(&error)))?;
        let secret = Secret {
            access_key_id: found.access_key_id().to_owned(),
            secret_access_key: found.secret_access_key().to_owned(),
            session_token: found.session_token().map(str::to_owned),
            region: config.region().map(ToString::to_string),
            endpoint: config.endpoint_url().map(str::to_owned),
        };
        Ok(Credentials { secret: write(&secret)?, expires: found.expiry().and_then(seconds) })
    }

    /// The base credentials, if they are of this account.
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
        let config = self.config().await;
        let what = "the AWS credentials cannot be verified";
        let client = aws_sdk_sts::Client::new(config);
        let answer = insist(|| client.get_caller_identity().send()).await;
        let answer = answer.map_err(|error| failure(what, &endpoint(config, "sts"), &error))?;
        answer.account().map(str::to_owned).ok_or_else(|| Failure {
            kind: FailureKind::Unavailable,
            message: format!("{what}: {} named no account", endpoint(config, "sts")),
        })
    }

    async fn assumed(&self, payload: &Payload, role: &str) -> Result<Credentials, Failure> {
        let config = self.config().await;
        let arn = role_arn(&payload.partition, &payload.account, role);
        let request = aws_sdk_sts::Client::new(config).assume_role().role_arn(&arn).role_session_name(format!(
            "{}-{:016x}",
            payload.account,
            fastrand::u64(..)
        ));
        let what = format!("AWS account {}: the role {role} ({arn}) cannot be assumed", payload.account);
        let time = ServiceTime::default();
        let send = || request.clone().customize().interceptor(time.clone()).send();
        let answer = insist(send).await.map_err(|error| {
            let mut failure = failure(&what, &endpoint(config, "sts"), &error);
            if is_denied(&error) {
                failure.message.push_str("; the role must exist there, and its trust policy must name who you are");
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
            region: None,
            endpoint: config.endpoint_url().map(str::to_owned),
        };
        Ok(Credentials { secret: write(&secret)?, expires: Some(time.here(found.expiration().secs())) })
    }
}

fn write(secret: &Secret) -> Result<String, Failure> {
    serde_json::to_string(secret)
        .map_err(|_| Failure { kind: FailureKind::Internal, message: "credentials cannot be written as JSON".into() })
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
