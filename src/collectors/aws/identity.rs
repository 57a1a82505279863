//! Base configuration of the official crates, the form of a secret, and what their errors mean to a user.

use std::{error::Error, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, profile::ProfileFileRegionProvider, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_credential_types::{Credentials as AwsCredentials, provider::error::CredentialsError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::{Deserialize, Serialize};
use worker_proto::{Credentials, Failure, FailureKind};

/// The region that is used where the configuration names none.
pub(crate) const DEFAULT_REGION: &str = "us-east-1";

/// The variable that names an endpoint for all services, and with a suffix one for one service.
const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT_URL";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);
const ATTEMPTS: u32 = 4;

/// No more causes are added to a line of this length in bytes.
const MAX_CAUSES: usize = 300;

/// The collector's form of [`Credentials::secret`].
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Secret {
    /// The access key id.
    pub(crate) access_key_id: String,
    /// The secret access key.
    pub(crate) secret_access_key: String,
    /// The session token of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session_token: Option<String>,
    /// The region of the base configuration, for planning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    /// The endpoint for all services, which a profile may name: a worker reads none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
}

impl Secret {
    /// Reads what a broker wrote.
    ///
    /// # Errors
    /// `Internal` if it is not of this form; the text says nothing of its content.
    pub(crate) fn read(credentials: &Credentials) -> Result<Self, Failure> {
        serde_json::from_str(&credentials.secret).map_err(|_| Failure {
            kind: FailureKind::Internal,
            message: "the credentials received are not of the AWS collector's form".into(),
        })
    }

    /// The official crates' form.
    pub(crate) fn to_aws(&self) -> AwsCredentials {
        AwsCredentials::new(
            &*self.access_key_id,
            &*self.secret_access_key,
            self.session_token.clone(),
            None,
            "ckworker",
        )
    }
}

/// A configuration loader with our bounds on time and attempts; endpoints come from environment and profiles.
pub(crate) fn loader() -> aws_config::ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    match super::http::client() {
        Some(client) => loader.http_client(client),
        None => loader,
    }
}

/// The base configuration: the given key, or the usual chain of sources.
pub(crate) async fn base_config(key: Option<(&str, &str)>) -> SdkConfig {
    // The instance metadata is not asked for a region: without it every start elsewhere would wait for a timeout.
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(Region::new(DEFAULT_REGION));
    let loader = loader().region(region);
    match key {
        Some((id, secret)) => loader.credentials_provider(AwsCredentials::new(id, secret, None, None, "options")),
        None => loader,
    }
    .load()
    .await
}

/// The configuration of a worker that was given a secret.
pub(crate) async fn given_config(secret: &Secret) -> SdkConfig {
    let region = secret.region.as_deref().unwrap_or(DEFAULT_REGION).to_owned();
    let loader = loader().region(Region::new(region)).credentials_provider(secret.to_aws());
    // Given by hand it would win over AWS_ENDPOINT_URL_<SERVICE> too.
    let is_in_environment = std::env::var_os(ENDPOINT_VARIABLE).is_some();
    match secret.endpoint.as_deref().filter(|_| !is_in_environment) {
        Some(endpoint) => loader.endpoint_url(endpoint),
        None => loader,
    }
    .load()
    .await
}

/// Checks the variables that name endpoints: the official crates would panic about an empty one.
///
/// # Errors
/// A sentence that names the variable.
pub(crate) fn check_endpoints(variables: impl Iterator<Item = (String, String)>) -> Result<(), String> {
    for (name, value) in variables.filter(|(name, _)| name.starts_with(ENDPOINT_VARIABLE)) {
        let host = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || value.parse::<http::Uri>().is_err()) {
            return Err(format!(
                "{name} is {value:?}, which is no URL: unset it, or give one such as http://127.0.0.1:5000"
            ));
        }
    }
    Ok(())
}

/// Which endpoint a call to `service` goes to, for messages.
pub(crate) fn endpoint(config: &SdkConfig, service: &str) -> String {
    let specific = std::env::var(format!("{ENDPOINT_VARIABLE}_{}", service.to_uppercase())).ok();
    let specific = specific.filter(|url| !url.is_empty());
    let region = config.region().map_or(DEFAULT_REGION, |region| region.as_ref());
    specific
        .or_else(|| config.endpoint_url().map(str::to_owned))
        .unwrap_or_else(|| format!("the AWS endpoint of {service} in {region}"))
}

/// What is wrong with credentials, and what to do about it.
pub(crate) fn no_credentials(detail: &str) -> Failure {
    Failure {
        kind: FailureKind::Credentials,
        message: format!(
            "no usable AWS credentials: {detail}; give --aws-access-key-id and --aws-secret-access-key, or set up \
             AWS_PROFILE, AWS_ACCESS_KEY_ID, SSO, a web identity, or an instance or container role"
        ),
    }
}

/// What a failed call of the official crates means. `what` says what was tried, `endpoint` where.
pub(crate) fn failure<E, R>(what: &str, endpoint: &str, error: &SdkError<E, R>) -> Failure
where
    E: Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug + 'static,
{
    if let Some(cause) = credentials_cause(error) {
        return no_credentials(&format!("{what}: {}", causes(cause)));
    }
    let (kind, detail) = match error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or("UnknownError");
            let text = answer.err().message().unwrap_or("no message");
            (kind_of(code), format!("{code}: {text}"))
        }
        SdkError::TimeoutError(_) => (FailureKind::Unavailable, format!("no answer from {endpoint} in time")),
        SdkError::DispatchFailure(_) => {
            (FailureKind::Unavailable, format!("{endpoint} cannot be reached: {}", root_cause(error)))
        }
        _ => (FailureKind::Unavailable, format!("{endpoint} answered oddly: {}", root_cause(error))),
    };
    let advice = match kind {
        FailureKind::Credentials => "; check that the credentials are current and are allowed to do this",
        _ => "; check the network and AWS_ENDPOINT_URL if it is set",
    };
    Failure { kind, message: format!("{what}: {detail}{advice}") }
}

/// Whether an error code says that credentials are missing, wrong, expired or not allowed.
fn kind_of(code: &str) -> FailureKind {
    match code {
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnauthorizedOperation"
        | "UnrecognizedClientException" => FailureKind::Credentials,
        _ => FailureKind::Unavailable,
    }
}

fn credentials_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<CredentialsError>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error and its causes in one line of bounded length. The official crates list every source on a line of its own.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(error) = next.filter(|_| line.len() < MAX_CAUSES) {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default().trim_end_matches(" Attempted:").trim_end_matches('.');
        if !line.contains(first) {
            line.push_str(if line.is_empty() { "" } else { ": " });
            line.push_str(first);
        }
        next = error.source();
    }
    line
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<(), String> {
        check_endpoints([(name.to_owned(), value.to_owned())].into_iter())
    }

    #[test]
    fn endpoints_must_be_urls() {
        assert_eq!(check("AWS_ENDPOINT_URL", "http://127.0.0.1:5000"), Ok(()));
        assert_eq!(check("AWS_ENDPOINT_URL_STS", "https://sts.example.com/"), Ok(()));
        assert_eq!(check("OTHER", ""), Ok(()));
        for odd in ["", "127.0.0.1:5000", "http://", "http://a b"] {
            assert!(
                check("AWS_ENDPOINT_URL_EC2", odd).is_err_and(|error| error.contains("AWS_ENDPOINT_URL_EC2")),
                "{odd}"
            );
        }
    }

    #[test]
    fn causes_fit_a_line() {
        let error = CredentialsError::not_loaded("nothing found. Attempted:\n  this\n  that");
        assert_eq!(causes(&error), "the credential provider was not enabled: nothing found");
    }

    #[test]
    fn secrets_keep_their_form() {
        let text = r#"{"access_key_id":"A","secret_access_key":"s"}"#;
        let read = Secret::read(&Credentials { secret: text.into(), expires: None });
        assert_eq!(read.ok().and_then(|secret| serde_json::to_string(&secret).ok()).as_deref(), Some(text));
        let odd = Secret::read(&Credentials { secret: "hidden".into(), expires: None });
        assert!(odd.is_err_and(|failure| !failure.message.contains("hidden")));
    }
}
