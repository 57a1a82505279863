//! The configuration of the official crates' clients: the user's settings, and bounds on time and attempts.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials as AwsCredentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::app_name::AppName;
use worker_proto::{Failure, FailureKind};

use super::{
    client::resolve,
    http,
    sdk_settings::{ReadSettings, SdkSettings},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);
const ATTEMPTS: u32 = 4;

/// Returns the configuration of a client of one service. Only the settings decide about its endpoint.
///
/// # Errors
/// `Configuration` if the service has no endpoint with these settings, or trusted certificates cannot be read.
pub(crate) fn config(
    settings: &SdkSettings,
    service: &str,
    credentials: SharedCredentialsProvider,
) -> Result<SdkConfig, Failure> {
    Ok(with_client(settings, service, credentials, connections(settings)?)?.build())
}

pub(super) fn with_client(
    settings: &SdkSettings,
    service: &str,
    credentials: SharedCredentialsProvider,
    client: SharedHttpClient,
) -> Result<aws_types::sdk_config::Builder, Failure> {
    let endpoint = resolve(service, &settings.region, &settings.endpoints)
        .map_err(|error| configuration(format!("cannot call {service} in {}: {error}", settings.region)))?;
    let mut builder = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(client)
        .timeout_config(timeouts())
        .retry_config(retries())
        .credentials_provider(credentials)
        .region(Region::new(endpoint.signing_region))
        .endpoint_url(endpoint.url);
    builder.set_app_name(app_name(settings));
    Ok(builder)
}

/// Returns the base credentials: the given key, or the usual chain of sources.
///
/// # Errors
/// `Configuration` if trusted certificates cannot be read, `Credentials` if there is no source.
pub(crate) async fn base_credentials(
    read: &ReadSettings,
    key: Option<(&str, &str)>,
) -> Result<Option<SharedCredentialsProvider>, Failure> {
    if let Some((id, secret)) = key {
        return Ok(Some(SharedCredentialsProvider::new(AwsCredentials::new(id, secret, None, None, "options"))));
    }
    let settings = &read.settings;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts())
        .retry_config(retries())
        .http_client(connections(settings)?)
        .profile_files(read.files.clone())
        .profile_name(&read.profile)
        // Without it, the metadata of an instance would be requested, which times out elsewhere.
        .region(Region::new(settings.region.clone()))
        .use_fips(settings.endpoints.use_fips)
        .use_dual_stack(settings.endpoints.use_dual_stack);
    if let Some(name) = app_name(settings) {
        loader = loader.app_name(name);
    }
    Ok(loader.load().await.credentials_provider())
}

/// Returns the connections of this process. The system's certificates are loaded once.
///
/// # Errors
/// `Configuration` if trusted certificates cannot be read.
pub(crate) fn connections(settings: &SdkSettings) -> Result<SharedHttpClient, Failure> {
    static CLIENT: Mutex<Option<(Option<PathBuf>, SharedHttpClient)>> = Mutex::new(None);
    let mut known = CLIENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, client)) = known.as_ref().filter(|(bundle, _)| *bundle == settings.ca_bundle) {
        return Ok(client.clone());
    }
    let bundle = settings.ca_bundle.as_deref().map(http::trusted).transpose().map_err(configuration)?;
    let client = http::client(bundle.as_ref()).map_err(configuration)?;
    *known = Some((settings.ca_bundle.clone(), client.clone()));
    Ok(client)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

fn app_name(settings: &SdkSettings) -> Option<AppName> {
    settings.app_id.clone().and_then(|name| AppName::new(name).ok())
}

fn configuration(message: String) -> Failure {
    Failure { kind: FailureKind::Configuration, message }
}
