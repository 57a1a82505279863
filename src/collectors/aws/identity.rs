//! The format of secrets, and the failures of official crates as users read them.

use std::error::Error;

use aws_credential_types::{Credentials as AwsCredentials, provider::error::CredentialsError};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::{Deserialize, Serialize};
use worker_proto::{Credentials, Failure, FailureKind};

use super::{
    client::{clock::Off, error},
    official::clock_difference,
    sdk_settings::SdkSettings,
};
use crate::{
    certificates,
    engine::{
        CallErrorKind,
        causes::{is_unknown_host, is_untrusted},
    },
};

/// The length of a line in bytes after which no more causes are added.
const MAX_CAUSES: usize = 300;

/// The collector's format of [`Credentials::secret`].
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Secret {
    /// The access key ID.
    pub(crate) access_key_id: String,
    /// The secret access key.
    pub(crate) secret_access_key: String,
    /// The session token of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session_token: Option<String>,
    /// The settings of AWS's own tools: a worker reads neither variables nor files.
    pub(crate) settings: SdkSettings,
}

impl Secret {
    /// Parses a broker's secret.
    ///
    /// # Errors
    /// `Internal` if it is malformed; the message does not contain it.
    pub(crate) fn read(credentials: &Credentials) -> Result<Self, Failure> {
        serde_json::from_str(&credentials.secret).map_err(|_| Failure {
            kind: FailureKind::Internal,
            message: "cannot parse the received AWS credentials".into(),
        })
    }

    /// Converts to the format of the official crates.
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

/// Returns the endpoint of a service, for messages.
pub(crate) fn endpoint(settings: &SdkSettings, service: &str) -> String {
    let own = settings.endpoints.url(service).map(str::to_owned);
    own.unwrap_or_else(|| format!("the AWS endpoint of {service} in {}", settings.region))
}

/// Returns the failure for unusable credentials, with a remedy.
pub(crate) fn no_credentials(detail: &str) -> Failure {
    no_credentials_of(named_profile().as_deref(), detail)
}

/// Returns the failure for base credentials that no source has. It is [`FailureKind::NoCredentials`] unless the
/// environment names a profile, which was to have them.
pub(crate) fn no_source(detail: &str) -> Failure {
    let profile = named_profile();
    let failure = no_credentials_of(profile.as_deref(), detail);
    Failure { kind: if profile.is_some() { failure.kind } else { FailureKind::NoCredentials }, ..failure }
}

fn named_profile() -> Option<String> {
    std::env::var("AWS_PROFILE").ok().filter(|profile| !profile.is_empty())
}

fn no_credentials_of(profile: Option<&str>, detail: &str) -> Failure {
    let named = profile.map(|profile| format!(" (AWS_PROFILE names {profile:?})")).unwrap_or_default();
    let advice = match profile {
        _ if !needs_login(detail) => {
            "give --aws-access-key-id and --aws-secret-access-key, or set up AWS_PROFILE, AWS_ACCESS_KEY_ID, SSO, a web \
             identity, or an instance or container role"
                .to_owned()
        }
        Some(profile) => format!("run `aws sso login --profile {profile}`"),
        None => "run `aws sso login`".to_owned(),
    };
    let message = format!("no usable AWS credentials{named}: {detail}; {advice}");
    Failure { kind: FailureKind::Credentials, message }
}

/// Returns whether the user must sign in to SSO: the token is missing, expired or rejected.
fn needs_login(detail: &str) -> bool {
    detail.contains("SSO token") || detail.contains("Session token not found or invalid")
}

/// Returns the failure of an official crate's call. `what` is the attempted action, `endpoint` its address.
pub(crate) fn failure<E>(what: &str, endpoint: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: Error + ProvideErrorMetadata + 'static,
{
    if let Some(cause) = credentials_cause(error) {
        return no_credentials(&format!("{what}: {}", causes(cause)));
    }
    if is_untrusted(error) {
        let cause = root_cause(error);
        let advice = "name the file of the certificates to trust in AWS_CA_BUNDLE";
        let message = format!("{what}: {endpoint} is not trusted: {cause}; {advice}");
        return Failure { kind: FailureKind::Configuration, message };
    }
    let detail = match error {
        SdkError::ServiceError(answer) => {
            let (status, text) = (answer.raw().status().as_u16(), answer.err().message().unwrap_or("no message"));
            match answer.err().code() {
                Some(code) => {
                    let mut failure = refused(what, code, text, status);
                    if let Some(ahead) = clock_difference(error).filter(|_| failure.kind == FailureKind::Credentials) {
                        failure.message.push_str(&format!("; the clock of this machine is {}", Off(ahead)));
                    }
                    return failure;
                }
                // Something else than the service, such as a proxy.
                None => format!("unexpected response from {endpoint}: status {status} without a code"),
            }
        }
        SdkError::TimeoutError(_) => format!("no response from {endpoint} in time"),
        SdkError::DispatchFailure(_) if is_unknown_host(error) => format!("the host of {endpoint} does not exist"),
        SdkError::DispatchFailure(_) => format!("cannot reach {endpoint}: {}", root_cause(error)),
        _ => format!("unexpected response from {endpoint}: {}", root_cause(error)),
    };
    let advice = "check the network and AWS_ENDPOINT_URL if it is set";
    Failure { kind: FailureKind::Unavailable, message: format!("{what}: {detail}; {advice}") }
}

/// Returns whether the service denies the call.
pub(crate) fn is_denied<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(answer) = error else { return false };
    let Some(code) = answer.err().code() else { return false };
    error::kind(code, answer.raw().status().as_u16()) == CallErrorKind::Denied && !is_setting(code)
}

/// Returns the failure of a service's error. Codes have the same meaning as in the collector's own client; permanent
/// errors are final.
fn refused(what: &str, code: &str, text: &str, status: u16) -> Failure {
    let kind = match is_setting(code) {
        true => FailureKind::Configuration,
        false => error::kind(code, status).setup_failure(),
    };
    let advice = match code {
        "AWSOrganizationsNotInUseException" => "this account is in no organization: leave out --aws-scrape-org",
        "RegionDisabledException" => {
            "STS is not enabled for that account in this region: set AWS_REGION to another one"
        }
        "RequestExpired" | "RequestTimeTooSkewed" => "check the clock of this machine",
        "InvalidSignatureException" | "SignatureDoesNotMatch" => {
            "check the secret access key and the clock of this machine"
        }
        "ValidationError" | "ValidationException" => "check the names that were given, such as --aws-role",
        _ => match kind {
            FailureKind::Credentials => "check that the credentials are current and have the permission",
            FailureKind::Unavailable => "AWS is throttling or unavailable; retry later",
            _ => "AWS rejects this call: check the AWS options",
        },
    };
    Failure { kind, message: format!("{what}: {code}: {text}; {advice}") }
}

/// Returns whether a code concerns the setup of an account, although its status means a denied call.
fn is_setting(code: &str) -> bool {
    matches!(code, "AWSOrganizationsNotInUseException" | "RegionDisabledException")
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

/// Joins an error and its causes in one line of bounded length. The official crates list each source on its own line.
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
    certificates::explained(deepest.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]

    use aws_smithy_types::{body::SdkBody, error::ErrorMetadata};

    use super::*;

    /// Returns the failure for a service's status and code.
    fn answered(status: u16, code: Option<&str>) -> (FailureKind, String, bool) {
        let answer = HttpResponse::new(status.try_into().expect("a status"), SdkBody::empty());
        let error = ErrorMetadata::builder().message("No.");
        let error = if let Some(code) = code { error.code(code) } else { error };
        let error = SdkError::service_error(error.build(), answer);
        let failure = failure("it cannot be done", "http://127.0.0.1:5000", &error);
        (failure.kind, failure.message, is_denied(&error))
    }

    #[test]
    fn permanent_errors_are_final_with_specific_advice() {
        use FailureKind::{Configuration, Credentials, Unavailable};
        for (status, code, kind, advice, denied) in [
            (400, "AWSOrganizationsNotInUseException", Configuration, "leave out --aws-scrape-org", false),
            (400, "ValidationError", Configuration, "--aws-role", false),
            (403, "RegionDisabledException", Configuration, "AWS_REGION", false),
            (400, "RequestExpired", Credentials, "clock", false),
            (403, "InvalidSignatureException", Credentials, "secret access key", false),
            (403, "AccessDenied", Credentials, "have the permission", true),
            (403, "InvalidClientTokenId", Credentials, "are current", false),
            (400, "SomethingNewException", Configuration, "AWS options", false),
            (400, "ThrottlingException", Unavailable, "retry later", false),
            (503, "ServiceUnavailable", Unavailable, "retry later", false),
        ] {
            let (found, message, is_denied) = answered(status, Some(code));
            assert_eq!((found, is_denied), (kind, denied), "{message}");
            assert!(message.starts_with(&format!("it cannot be done: {code}: No.; ")), "{message}");
            assert!(message.contains(advice) && !message.contains("AWS_ENDPOINT_URL"), "{message}");
        }
    }

    #[test]
    fn foreign_response_is_transient() {
        for status in [200, 403] {
            let (kind, message, is_denied) = answered(status, None);
            assert_eq!((kind, is_denied), (FailureKind::Unavailable, false), "{message}");
            assert!(message.contains("http://127.0.0.1:5000") && message.contains("AWS_ENDPOINT_URL"), "{message}");
        }
    }

    #[test]
    fn expired_sso_session_is_advised_with_one_command() {
        let expired =
            "an error occurred while loading an access token: the SSO token has expired and cannot be refreshed";
        for (profile, detail, advice) in [
            (Some("dev"), expired, "; run `aws sso login --profile dev`"),
            (None, "failed to load the cached SSO token", "; run `aws sso login`"),
            (Some("dev"), "UnauthorizedException: Session token not found or invalid", "--profile dev`"),
            (Some("dev"), "nothing found", "an instance or container role"),
        ] {
            let message = no_credentials_of(profile, detail).message;
            assert!(message.ends_with(advice), "{message}");
        }
    }

    #[test]
    fn clock_skew_is_reported() {
        let mut answer = HttpResponse::new(http::StatusCode::FORBIDDEN.into(), SdkBody::empty());
        answer.headers_mut().insert("date", "Mon, 01 Nov 2021 00:00:00 GMT");
        let error = ErrorMetadata::builder().code("SignatureDoesNotMatch").message("No.").build();
        let failure = failure("it cannot be done", "x", &SdkError::service_error(error, answer));
        assert!(failure.message.contains("; the clock of this machine is "), "{}", failure.message);
        assert!(failure.message.ends_with(" s ahead of that of AWS"), "{}", failure.message);
    }

    #[test]
    fn causes_fit_a_line() {
        let error = CredentialsError::not_loaded("nothing found. Attempted:\n  this\n  that");
        assert_eq!(causes(&error), "the credential provider was not enabled: nothing found");
    }

    #[test]
    fn secrets_keep_their_form() {
        let settings = SdkSettings { region: "eu-west-1".into(), ..SdkSettings::default() };
        let secret = Secret { access_key_id: "A".into(), secret_access_key: "s".into(), session_token: None, settings };
        let text = serde_json::to_string(&secret).expect("a secret can be written");
        let read = Secret::read(&Credentials { secret: text.clone(), expires: None }).expect("a secret can be read");
        assert_eq!(read.settings.region, "eu-west-1");
        assert_eq!(serde_json::to_string(&read).ok(), Some(text));
        let odd = Secret::read(&Credentials { secret: "hidden".into(), expires: None });
        assert!(odd.is_err_and(|failure| !failure.message.contains("hidden")));
    }
}
