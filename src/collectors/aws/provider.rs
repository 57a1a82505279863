//! A client whose credentials come through the unit's context.

use std::fmt;

use aws_credential_types::{
    Credentials as AwsCredentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use worker_proto::{Failure, FailureKind};

use super::{
    client::{Client, ClientConfig, NoCredentialsNow},
    identity::Secret,
    official_config::connections,
};
use crate::{
    collector_api::{CollectContext, CredentialSource},
    engine::Timeouts,
};

/// Returns a client with the credentials of the context's unit.
///
/// # Errors
/// The broker's failure if there are no credentials; `Configuration` if trusted certificates cannot be read.
pub(crate) async fn client(context: &CollectContext) -> Result<Client, Failure> {
    let secret = Secret::read(&context.credentials().get().await?)?;
    let settings = secret.settings;
    let http = connections(&settings)?;
    let provider = Provider(context.credentials().clone());
    Ok(Client::new(ClientConfig {
        credentials: SharedCredentialsProvider::new(provider),
        endpoints: settings.endpoints,
        app_id: settings.app_id,
        timeouts: Timeouts { deadline: context.deadline(), ..Timeouts::default() },
        http,
        waits: context.waits().clone(),
    }))
}

/// A provider that requests credentials from the unit's context, which renews them from the supervisor.
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
            let given = self.0.get().await.map_err(error)?;
            let secret = Secret::read(&given).map_err(error)?;
            let (id, key) = (secret.access_key_id, secret.secret_access_key);
            // Without an expiry: the source knows it, and is asked before each attempt.
            Ok(AwsCredentials::new(id, key, secret.session_token, None, "ckworker"))
        })
    }
}

/// Converts a failure to get credentials to a provider's error.
fn error(failure: Failure) -> CredentialsError {
    match failure.kind {
        FailureKind::Unavailable | FailureKind::Cancelled => {
            CredentialsError::provider_error(NoCredentialsNow(failure.message))
        }
        _ => CredentialsError::provider_error(failure.message),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn only_transient_failure_means_no_credentials_now() {
        for (kind, is_for_now) in [
            (FailureKind::Unavailable, true),
            (FailureKind::Cancelled, true),
            (FailureKind::Credentials, false),
            (FailureKind::Configuration, false),
            (FailureKind::Internal, false),
        ] {
            let error = error(Failure { kind, message: "no".into() });
            let found = error.source().is_some_and(|cause| cause.is::<NoCredentialsNow>());
            assert_eq!(found, is_for_now, "{kind:?}");
        }
    }
}
