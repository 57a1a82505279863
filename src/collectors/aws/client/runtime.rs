//! The adapter to the official runtime: signing, credentials, timeouts, connections.
//!
//! No other file names it. One operation of the orchestrator is built per service, region and host and used for all
//! calls there: it receives complete requests and returns unparsed responses.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_runtime::{
    auth::{SigV4OperationSigningConfig, sigv4},
    invocation_id::InvocationIdInterceptor,
};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime::client::{
    identity::IdentityCache,
    orchestrator::operation::Operation as Orchestrated,
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
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
        orchestrator::{HttpRequest, HttpResponse},
        runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
        runtime_plugin::StaticRuntimePlugin,
        stalled_stream_protection::StalledStreamProtectionConfig,
    },
};
use aws_smithy_types::{
    body::SdkBody,
    config_bag::{ConfigBag, Layer},
    timeout::TimeoutConfig,
};
use aws_types::{
    SigningName,
    region::{Region, SigningRegion},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Limited};

use super::{
    ClientConfig,
    clock::{self, Clock},
    endpoint::Endpoint,
    explain::{MAX_BODY, explain},
    model::{Operation, Protocol, Service, Signature},
    request::Outgoing,
    response::{Headers, Response, checked, failure, header},
};
use crate::engine::{Attempt, CallError, Calls, Request, Timeouts};

/// How long a response may make no progress.
const STALL: Duration = Duration::from_secs(20);

/// The statuses after which a connection is not reused: throttling, and failures inside the service.
const POISONING_STATUSES: &[u16] = &[429, 500, 502, 503, 504];

/// The official runtime with one account's settings.
pub(super) struct Runtime {
    timeouts: Timeouts,
    clock: Clock,
    http: SharedHttpClient,
    identities: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    /// By service, region and URL. Buckets with their own hosts are not kept, as there may be many.
    targets: Mutex<HashMap<(&'static str, String, String), ServiceCaller>>,
}

/// The orchestrator's operation for all calls to a service at an endpoint.
type ServiceCaller = Orchestrated<Outgoing, RawResponse, Infallible>;

/// A response before it is parsed.
#[derive(Debug)]
struct RawResponse {
    status: u16,
    headers: Headers,
    body: Bytes,
}

impl Runtime {
    pub(super) fn new(config: ClientConfig) -> Self {
        Self {
            timeouts: config.timeouts,
            clock: Clock::default(),
            http: config.http,
            // The provider caches the credentials, and knows when they must be renewed.
            identities: IdentityCache::no_cache(),
            resolver: SharedIdentityResolver::new(config.credentials),
            targets: Mutex::default(),
        }
    }

    /// Makes the attempts of a call.
    pub(super) async fn invoke(
        &self,
        calls: &Calls,
        request: &Request<'_>,
        operation: &'static Operation,
        endpoint: &Endpoint,
        outgoing: Outgoing,
    ) -> Result<Response, CallError> {
        let target = self.target(operation, request.region, endpoint);
        let attempt = || async {
            let ahead = self.clock.ahead();
            let answer = target.invoke(outgoing.clone()).await;
            let date = answer.as_ref().ok().and_then(|answer| clock::date(header(&answer.headers, "date")?));
            let result = match answer {
                Ok(answer) => parse(operation, request.region, answer),
                Err(error) => Err(explain(error, endpoint)),
            };
            let is_corrected = result.as_ref().err().is_some_and(|error| self.clock.correct(error, date, ahead));
            Attempt { result, is_corrected }
        };
        calls.run(request, attempt).await.map_err(|error| self.clock.explain(error))
    }

    fn target(&self, operation: &'static Operation, region: &str, endpoint: &Endpoint) -> ServiceCaller {
        let service = operation.service;
        if endpoint.is_bucket_host {
            return self.build(service, endpoint);
        }
        let key = (service.name, region.to_owned(), endpoint.url.clone());
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.entry(key).or_insert_with(|| self.build(service, endpoint)).clone()
    }

    fn build(&self, service: &'static Service, endpoint: &Endpoint) -> ServiceCaller {
        Orchestrated::builder()
            .service_name(service.id)
            .operation_name("call")
            .behavior_version(BehaviorVersion::latest())
            .http_client(self.http.clone())
            .endpoint_url(&endpoint.url)
            // Its retries are bounded by a number of attempts, those of `attempts` by time.
            .no_retry()
            .timeout_config(timeout_config(self.timeouts))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL).build())
            .runtime_plugin(self.plugin(service, endpoint))
            .with_connection_poisoning()
            .serializer(http_request)
            .deserializer(|response: &HttpResponse| Ok(answer(response)))
            .build()
    }

    /// Sets up signing, credentials, the statuses after which a connection is not reused, and the limit of the body.
    fn plugin(&self, service: &'static Service, endpoint: &Endpoint) -> StaticRuntimePlugin {
        let mut signing = SigV4OperationSigningConfig::default();
        signing.region = Some(SigningRegion::from(Region::new(endpoint.signing_region.clone())));
        signing.name = Some(SigningName::from_static(service.signing));
        if service.signature == Signature::S3 {
            signing.signing_options.double_uri_encode = false;
            signing.signing_options.normalize_uri_path = false;
            signing.signing_options.content_sha256_header = true;
        }
        let mut layer = Layer::new("account");
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        layer.store_put(signing);
        let components = RuntimeComponentsBuilder::new("account")
            .with_auth_scheme(sigv4::SigV4AuthScheme::new())
            .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID])))
            .with_identity_cache(Some(self.identities.clone()))
            .with_identity_resolver(sigv4::SCHEME_ID, self.resolver.clone())
            .with_time_source(Some(SharedTimeSource::new(self.clock.clone())))
            .with_interceptor(InvocationIdInterceptor::new())
            .with_interceptor(StalledStreamProtectionInterceptor::default())
            .with_interceptor(BoundedBody)
            .with_interceptor(TimeLeft(self.timeouts))
            .with_retry_classifier(TransientErrorClassifier::<Infallible>::new())
            .with_retry_classifier(HttpStatusCodeClassifier::new_from_codes(POISONING_STATUSES));
        StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components)
    }
}

fn http_request(outgoing: Outgoing) -> Result<HttpRequest, BoxError> {
    let mut request = http::Request::builder().method(outgoing.method).uri(outgoing.target);
    if !outgoing.body.is_empty() {
        request = request.header("content-length", outgoing.body.len());
    }
    for (name, value) in outgoing.headers {
        request = request.header(name, value);
    }
    Ok(request.body(SdkBody::from(outgoing.body))?.try_into()?)
}

/// Takes the response as it is: the caller serves all operations of its service, which interpret it.
fn answer(response: &HttpResponse) -> RawResponse {
    let headers = response.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    RawResponse { status: response.status().as_u16(), headers, body: body_of(response) }
}

/// Parses a response of an operation.
fn parse(operation: &'static Operation, region: &str, answer: RawResponse) -> Result<Response, CallError> {
    let RawResponse { status, headers, body } = answer;
    // S3 may fail after it has sent status 200.
    let failed_late = operation.service.protocol == Protocol::RestXml && starts_with_error(&body);
    if status >= 300 || failed_late {
        return Err(failure(operation, status, &headers, &body));
    }
    let size = body.len();
    match checked(operation, status, &headers, body) {
        Ok(body) => Ok(Response { operation, region: region.to_owned(), status, headers, body }),
        Err(message) => Err(CallError::foreign_response(format!("{message} (a response of {size} bytes)"))),
    }
}

/// Returns the body, which the orchestrator has loaded before; the clone shares it.
fn body_of(response: &HttpResponse) -> Bytes {
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

/// Limits each call to a part of the time that is left when it starts.
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
        config.interceptor_state().store_put(timeout_config(self.0.now(None)));
        Ok(())
    }
}

/// Limits the size of a body.
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
