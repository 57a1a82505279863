//! The glue to the official runtime: signing, credentials, retries, timeouts, connections.
//!
//! The only file that knows it. One operation of the orchestrator is built per service, region and host and then used
//! for all calls there: the request comes in ready made, and the reply goes out as bytes.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_runtime::{
    auth::{SigV4OperationSigningConfig, sigv4},
    invocation_id::InvocationIdInterceptor,
    request_info::RequestInfoInterceptor,
    retries::classifiers::AwsErrorCodeClassifier,
    service_clock_skew::{ServiceClockSkewClassifier, ServiceClockSkewInterceptor},
};
use aws_smithy_runtime::client::{
    identity::IdentityCache,
    orchestrator::operation::Operation as Orchestrated,
    retries::{
        RetryPartition, TokenBucket,
        classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
    },
    stalled_stream_protection::StalledStreamProtectionInterceptor,
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{AuthSchemeOptionResolverParams, static_resolver::StaticAuthSchemeOptionResolver},
        behavior_version::BehaviorVersion,
        http::SharedHttpClient,
        identity::{SharedIdentityCache, SharedIdentityResolver},
        interceptors::{
            Intercept,
            context::{BeforeDeserializationInterceptorContextMut, BeforeSerializationInterceptorContextRef},
        },
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        result::SdkError,
        runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
        runtime_plugin::StaticRuntimePlugin,
        stalled_stream_protection::StalledStreamProtectionConfig,
    },
};
use aws_smithy_types::{
    body::SdkBody,
    config_bag::{ConfigBag, Layer},
    error::{ErrorMetadata, metadata::ProvideErrorMetadata},
    retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_types::{
    SigningName,
    region::{Region, SigningRegion},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{
    ClientConfig, Timeouts,
    endpoint::Endpoint,
    error::{CallError, CallErrorKind, NoCredentialsNow},
    model::{Operation, Protocol, Service},
    pace::Pace,
    request::Outgoing,
    response::{Headers, Reply, failure},
};

/// No body of a reply may be larger, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// How long a reply may stand still.
const STALL: Duration = Duration::from_secs(20);

/// The statuses after which a call is tried again whatever the code: too many calls, and failures inside the service.
const PASSING: &[u16] = &[429, 500, 502, 503, 504];

/// What is said of us to the services.
const USER_AGENT: &str = concat!("ckworker/", env!("CARGO_PKG_VERSION"));

/// The official runtime with one account's settings.
pub(super) struct Runtime {
    account: String,
    timeouts: Timeouts,
    attempts: u32,
    http: SharedHttpClient,
    identities: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    /// By service, region and URL. Buckets with hosts of their own are not kept: there may be many.
    targets: Mutex<HashMap<(&'static str, String, String), Target>>,
    /// By service and region.
    paces: Mutex<HashMap<(&'static str, String), Arc<Pace>>>,
}

/// A service in a region.
type Target = Orchestrated<Outgoing, Answer, Refusal>;

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Headers,
    body: Bytes,
}

/// A refusal as the retry classifiers want it.
#[derive(Debug)]
struct Refusal(Box<(ErrorMetadata, CallError)>);

impl Runtime {
    pub(super) fn new(config: ClientConfig) -> Self {
        Self {
            account: config.account,
            timeouts: config.timeouts,
            attempts: config.attempts.max(1),
            http: config.http,
            // Who gives the credentials keeps them, and knows best when they need to be fresh.
            identities: IdentityCache::no_cache(),
            resolver: SharedIdentityResolver::new(config.credentials),
            targets: Mutex::default(),
            paces: Mutex::default(),
        }
    }

    pub(super) async fn invoke(
        &self,
        operation: &'static Operation,
        region: &str,
        endpoint: Endpoint,
        outgoing: Outgoing,
    ) -> Result<Reply, CallError> {
        let pace = self.pace(operation.service, region);
        let waited = tokio::time::timeout(self.timeouts.now().operation, Arc::clone(&pace).turn(operation.name)).await;
        let _turn = waited.map_err(|_| {
            CallError::new(
                CallErrorKind::Throttled,
                "NoTurn",
                "other calls of it that are slowed down took all the time",
            )
        })?;
        let target = self.target(operation, region, &endpoint, pace);
        let timeouts = self.timeouts.now();
        let answer = target.invoke(outgoing).await.map_err(|error| explain(error, timeouts))?;
        let Answer { status, headers, body } = answer;
        Ok(Reply { operation, region: region.to_owned(), status, headers, body })
    }

    /// The pace of a service in a region.
    pub(super) fn pace(&self, service: &'static Service, region: &str) -> Arc<Pace> {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(paces.entry((service.name, region.to_owned())).or_insert_with(|| Arc::new(Pace::new())))
    }

    fn target(&self, operation: &'static Operation, region: &str, endpoint: &Endpoint, pace: Arc<Pace>) -> Target {
        let service = operation.service;
        if service.protocol == Protocol::RestXml && !endpoint.overridden {
            return self.build(operation, region, endpoint, pace);
        }
        let key = (service.name, region.to_owned(), endpoint.url.clone());
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.entry(key).or_insert_with(|| self.build(operation, region, endpoint, pace)).clone()
    }

    fn build(&self, operation: &'static Operation, region: &str, endpoint: &Endpoint, pace: Arc<Pace>) -> Target {
        let service = operation.service;
        Orchestrated::builder()
            .service_name(service.id)
            .operation_name("call")
            .behavior_version(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .endpoint_url(&endpoint.url)
            // Not the adaptive mode: one throttled call makes it send less than a call a second for minutes. The pace
            // adapts the number of calls at once, and each that is throttled waits longer and longer.
            .standard_retry(&self.retries())
            .timeout_config(timeout_config(self.timeouts))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL).build())
            .runtime_plugin(self.plugin(service, region, endpoint))
            .with_connection_poisoning()
            .serializer(http_request)
            .deserializer(move |response: &HttpResponse| heard(&pace, operation.service, answer(operation, response)))
            .build()
    }

    fn retries(&self) -> RetryConfig {
        RetryConfig::standard().with_max_attempts(self.attempts).with_initial_backoff(self.timeouts.pause)
    }

    /// Signing, credentials, the key of the retries, what is retried, and the bound of the body.
    fn plugin(&self, service: &'static Service, region: &str, endpoint: &Endpoint) -> StaticRuntimePlugin {
        let mut signing = SigV4OperationSigningConfig::default();
        signing.region = Some(SigningRegion::from(Region::new(endpoint.signing_region.clone())));
        signing.name = Some(SigningName::from_static(service.signing));
        if service.name == "s3" {
            signing.signing_options.double_uri_encode = false;
            signing.signing_options.normalize_uri_path = false;
            signing.signing_options.content_sha256_header = true;
        }
        let mut layer = Layer::new("account");
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        layer.store_put(signing);
        // No quota of retries: one that is empty fails calls after their first attempt. The pace and the number of
        // attempts are bound enough.
        let retries = RetryPartition::custom(format!("{}/{region}/{}", self.account, service.name));
        layer.store_put(retries.token_bucket(TokenBucket::unlimited()).build());
        let components = RuntimeComponentsBuilder::new("account")
            .with_auth_scheme(sigv4::SigV4AuthScheme::new())
            .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID])))
            .with_identity_cache(Some(self.identities.clone()))
            .with_identity_resolver(sigv4::SCHEME_ID, self.resolver.clone())
            .with_interceptor(ServiceClockSkewInterceptor::new())
            .with_interceptor(RequestInfoInterceptor::new())
            .with_interceptor(InvocationIdInterceptor::new())
            .with_interceptor(StalledStreamProtectionInterceptor::default())
            .with_interceptor(BoundedBody)
            .with_interceptor(TimeLeft(self.timeouts))
            .with_retry_classifier(TransientErrorClassifier::<Refusal>::new())
            .with_retry_classifier(AwsErrorCodeClassifier::<Refusal>::new())
            .with_retry_classifier(ServiceClockSkewClassifier::<Refusal>::new())
            .with_retry_classifier(HttpStatusCodeClassifier::new_from_codes(PASSING));
        StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components)
    }
}

fn http_request(outgoing: Outgoing) -> Result<HttpRequest, BoxError> {
    let mut request = http::Request::builder().method(outgoing.method).uri(outgoing.target);
    request = request.header("user-agent", USER_AGENT);
    if !outgoing.body.is_empty() {
        request = request.header("content-length", outgoing.body.len());
    }
    for (name, value) in outgoing.headers {
        request = request.header(name, value);
    }
    Ok(request.body(SdkBody::from(outgoing.body))?.try_into()?)
}

fn answer(operation: &'static Operation, response: &HttpResponse) -> Result<Answer, OrchestratorError<Refusal>> {
    let status = response.status().as_u16();
    let body = loaded(response);
    let headers = response.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    // S3 may find out that it failed after it has said 200.
    let failed_late = operation.service.protocol == Protocol::RestXml && starts_with_error(&body);
    if status < 300 && !failed_late {
        return Ok(Answer { status, headers, body });
    }
    let error = failure(operation, status, &headers, &body);
    let metadata = ErrorMetadata::builder().code(&error.code).message(&error.message).build();
    Err(OrchestratorError::operation(Refusal(Box::new((metadata, error)))))
}

/// Tells the pace how an attempt ended.
fn heard(
    pace: &Arc<Pace>,
    service: &Service,
    answer: Result<Answer, OrchestratorError<Refusal>>,
) -> Result<Answer, OrchestratorError<Refusal>> {
    let refusal = answer.as_ref().err().and_then(OrchestratorError::as_operation_error);
    if refusal.is_some_and(|refusal| refusal.0.1.kind == CallErrorKind::Throttled) {
        if let Some(limit) = pace.refused(Instant::now()) {
            tracing::debug!(service = service.name, limit, "AWS asks for fewer calls");
        }
    } else if answer.is_ok() {
        pace.answered();
    }
    answer
}

/// The body, which the orchestrator has loaded before; cloning it costs nothing.
fn loaded(response: &HttpResponse) -> Bytes {
    let body = response.body().try_clone().map(BodyExt::collect).and_then(FutureExt::now_or_never);
    body.and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

fn starts_with_error(body: &[u8]) -> bool {
    let start = body.get(..200).unwrap_or(body);
    let start =
        start.strip_prefix(b"<?xml").and_then(|rest| rest.splitn(2, |byte| *byte == b'>').nth(1)).unwrap_or(start);
    start.trim_ascii_start().starts_with(b"<Error>")
}

fn timeout_config(timeouts: Timeouts) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(timeouts.connect)
        .operation_attempt_timeout(timeouts.attempt)
        .operation_timeout(timeouts.operation)
        .build()
}

/// Lets each call wait for a part of the time that is left when it begins.
#[derive(Debug)]
struct TimeLeft(Timeouts);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for TimeLeft {
    fn name(&self) -> &'static str {
        "TimeLeft"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(timeout_config(self.0.now()));
        Ok(())
    }
}

/// Ends a body that is too large.
#[derive(Debug)]
struct BoundedBody;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for BoundedBody {
    fn name(&self) -> &'static str {
        "BoundedBody"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = std::mem::replace(context.response_mut().body_mut(), SdkBody::taken());
        *context.response_mut().body_mut() =
            body.map_preserve_contents(|body| SdkBody::from_body_1_x(Limited::new(body, MAX_BODY)));
        Ok(())
    }
}

/// What an error of the orchestrator means.
fn explain(error: SdkError<Refusal, HttpResponse>, timeouts: Timeouts) -> CallError {
    use CallErrorKind::{Configuration, Credentials, Odd, Unavailable};
    match error {
        SdkError::ServiceError(refused) => refused.into_err().0.1,
        SdkError::TimeoutError(_) => {
            let seconds = timeouts.operation.as_secs_f32();
            CallError::new(
                Unavailable,
                "Timeout",
                format!("no complete answer in time (at most {seconds:.1} s in all, a part of what --timeout left)"),
            )
        }
        SdkError::DispatchFailure(ref failed) if failed.is_timeout() || failed.is_io() => {
            CallError::new(Unavailable, "NoConnection", chain(&error))
        }
        SdkError::ResponseError(_) if mentions::<LengthLimitError>(&error) => {
            CallError::new(Odd, "ReplyTooLarge", format!("the reply is larger than {} MiB", MAX_BODY >> 20))
        }
        SdkError::ResponseError(_) => CallError::new(Unavailable, "BrokenReply", chain(&error)),
        _ if mentions::<NoCredentialsNow>(&error) => CallError::new(Unavailable, "NoCredentials", chain(&error)),
        _ if mentions::<aws_credential_types::provider::error::CredentialsError>(&error) => {
            CallError::new(Credentials, "NoCredentials", chain(&error))
        }
        SdkError::DispatchFailure(_) => CallError::new(Unavailable, "NoConnection", chain(&error)),
        _ => CallError::new(Configuration, "NotSent", chain(&error)),
    }
}

/// The messages of an error and its causes, each once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let message = cause.to_string();
        if !text.contains(&message) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&message);
        }
    }
    text
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| Error::source(*error))
}

fn mentions<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<E>())
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.1.code)
    }
}

impl Error for Refusal {}

impl ProvideErrorMetadata for Refusal {
    fn meta(&self) -> &ErrorMetadata {
        &self.0.0
    }
}
