//! A client whose credentials come through the unit's context, and the connections that all clients of a process share.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, UNIX_EPOCH},
};

use aws_credential_types::{
    Credentials as AwsCredentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use worker_proto::{Failure, FailureKind};

use super::{
    super::{CollectContext, CredentialSource},
    client::{Client, ClientConfig, Overrides, Timeouts},
    http,
    identity::Secret,
};

/// How often a call is tried in all. Throttling is normal: if every second call is, one in 256 fails for good.
const ATTEMPTS: u32 = 8;

/// A client for one account.
///
/// # Errors
/// Why there are no credentials, as their holder says it; `Internal` if the binary was built without an HTTP client.
pub(crate) async fn client(context: &CollectContext, account: &str) -> Result<Client, Failure> {
    let secret = Secret::read(&context.credentials().get().await?)?;
    let mut overrides = Overrides::from_variables(|name| std::env::var(name).ok());
    overrides.all = overrides.all.or(secret.endpoint);
    let provider = Provider(context.credentials().clone());
    Ok(Client::new(ClientConfig {
        credentials: SharedCredentialsProvider::new(provider),
        overrides,
        account: account.to_owned(),
        timeouts: Timeouts { deadline: context.deadline(), ..Timeouts::default() },
        attempts: ATTEMPTS,
        http: connections()?,
    }))
}

/// The connections of this process: reading the system's certificates once is enough.
fn connections() -> Result<SharedHttpClient, Failure> {
    static CLIENT: OnceLock<Option<SharedHttpClient>> = OnceLock::new();
    let none = || "the AWS runtime was built without an HTTP client".to_owned();
    let client = CLIENT.get_or_init(http::client).clone();
    client.ok_or_else(|| Failure { kind: FailureKind::Internal, message: none() })
}

/// Asks the unit's context, which asks the supervisor whenever what it has is about to end.
struct Provider(CredentialSource);

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            let given = self.0.get().await.map_err(|failure| CredentialsError::provider_error(failure.message))?;
            let secret = Secret::read(&given).map_err(|failure| CredentialsError::provider_error(failure.message))?;
            let expiry = given.expires.and_then(|seconds| u64::try_from(seconds).ok());
            let expiry = expiry.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
            let (id, key) = (secret.access_key_id, secret.secret_access_key);
            Ok(AwsCredentials::new(id, key, secret.session_token, expiry, "ckworker"))
        })
    }
}
