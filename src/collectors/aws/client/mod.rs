//! The client for all services of AWS, driven by compact models of their APIs.
//!
//! A [`Request`] names service, operation, region and parameters. The [`model`] defines how they become an HTTP request
//! (`request`) and how the response becomes a [`Tree`] (`response`). The official crates do the signing, credentials,
//! timeouts and connections, all in `runtime`; `attempts` decides about retries.

mod attempts;
pub(super) mod clock;
mod endpoint;
mod error;
pub(super) mod explain;
mod limiter;
pub mod model;
mod pages;
pub mod path;
#[cfg(test)]
mod protocol_tests;
mod request;
mod response;
mod runtime;
mod s3;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod tree;

use std::{fmt, sync::Arc, time::Duration};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use endpoint::Endpoints;
pub use endpoint::{EndpointSettings, Region, S3Addressing, S3Settings, partition, region, regions};
pub(super) use endpoint::{check_url, resolve};
pub use error::{CallError, CallErrorKind, NoCredentialsNow, code};
pub use pages::Pages;
pub use path::Path;
pub use response::Response;
use serde_json::{Map, Value};
use tokio::time::Instant;
pub use tree::Tree;
use worker_proto::WaitOn;

use crate::collector_api::UnitWaits;

/// Calls the services of AWS for one account. Clones are cheap, and share connections, credentials and limiters.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    /// The timeout of a call, if shorter than usual.
    limit: Option<Duration>,
}

struct Inner {
    endpoints: Endpoints,
    user_agent: String,
    waits: UnitWaits,
    runtime: runtime::Runtime,
}

/// The parts of a [`Client`].
pub struct ClientConfig {
    /// The provider of the credentials, which is asked before each attempt and renews them.
    pub credentials: SharedCredentialsProvider,
    /// The endpoints of the user's settings.
    pub endpoints: EndpointSettings,
    /// The user's name for this application, sent to the services.
    pub app_id: Option<String>,
    /// The timeouts of calls.
    pub timeouts: Timeouts,
    /// The connections, shared by all clients of a process.
    pub http: SharedHttpClient,
    /// The registry of calls in progress.
    pub waits: UnitWaits,
}

/// The timeouts of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The timeout of a connection attempt.
    pub connect: Duration,
    /// The timeout of an attempt, from sending to the last byte.
    pub attempt: Duration,
    /// The timeout of a call with all its attempts and the pauses between them.
    pub operation: Duration,
    /// The longest pause before the second attempt. It doubles with each attempt, up to a few seconds.
    pub pause: Duration,
    /// The time after its start in which a throttled call may start another attempt; other transient failures have two
    /// thirds of it. Zero means no retries.
    pub retry: Duration,
    /// When the unit must end. A call may take only a part of the time left until then, so that a hanging one leaves
    /// time for others.
    pub deadline: Option<Instant>,
}

/// The divisor of the time left that gives the timeout of a call with all its attempts.
const OPERATION_PART: u32 = 5;

/// The divisor of a call's timeout that gives the timeout of an attempt.
const ATTEMPT_PART: u32 = 2;

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let (connect, attempt, operation) = (seconds(5), seconds(60), seconds(300));
        Self { connect, attempt, operation, pause: seconds(1), retry: seconds(60), deadline: None }
    }
}

impl Timeouts {
    /// Returns the timeouts of a call that starts now and may take at most `limit`.
    pub(super) fn now(self, limit: Option<Duration>) -> Self {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()) / OPERATION_PART);
        let Some(limit) = left.into_iter().chain(limit).min() else { return self };
        let operation = self.operation.min(limit);
        let attempt = self.attempt.min(operation / ATTEMPT_PART);
        Self { connect: self.connect.min(attempt), attempt, operation, ..self }
    }
}

/// A call.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The service's name in `botocore`, such as `ec2`.
    pub service: &'a str,
    /// The operation, such as `DescribeInstances`.
    pub operation: &'a str,
    /// The region of the call. Global services respond for their partition, whatever its region.
    pub region: &'a str,
    /// The parameters by their names in the model: times in ISO 8601 or seconds since 1970, bytes in base64.
    pub input: Map<String, Value>,
}

impl<'a> Request<'a> {
    /// Returns a call without parameters.
    #[must_use]
    pub fn new(service: &'a str, operation: &'a str, region: &'a str) -> Self {
        Self { service, operation, region, input: Map::new() }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn with(mut self, parameter: &str, value: impl Into<Value>) -> Self {
        self.input.insert(parameter.to_owned(), value.into());
        self
    }
}

impl Client {
    /// Returns a client; contacts nothing.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let (endpoints, waits) = (Endpoints::new(config.endpoints.clone()), config.waits.clone());
        let user_agent = user_agent(config.app_id.as_deref());
        let inner = Inner { endpoints, user_agent, waits, runtime: runtime::Runtime::new(config) };
        Self { inner: Arc::new(inner), limit: None }
    }

    /// Returns the same client for calls that may take at most `limit`, with all their attempts.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { inner: Arc::clone(&self.inner), limit: Some(limit) }
    }

    /// Makes a call, with retries.
    ///
    /// # Errors
    /// The service's error, or the reason for its absence, after the last attempt.
    pub async fn call(&self, request: Request<'_>) -> Result<Response, CallError> {
        let Request { service, operation, region, .. } = request;
        let _call = self.inner.waits.begin(WaitOn::Call, format!("{service} {operation} in {region}"));
        let answer = self.send(&request).await;
        answer.map_err(|error| error.of(request.service, request.operation, request.region))
    }

    /// Returns the pages of an operation; nothing is sent before the first [`Pages::next`].
    #[must_use]
    pub fn pages(&self, request: Request<'_>) -> Pages {
        Pages::new(self.clone(), request)
    }

    async fn send(&self, request: &Request<'_>) -> Result<Response, CallError> {
        let service = model::service(request.service)
            .ok_or_else(|| CallError::configuration(format!("there is no model of the service {}", request.service)))?;
        let operation = service.operation(request.operation).ok_or_else(|| {
            CallError::configuration(format!("the model of {} has no operation {}", service.name, request.operation))
        })?;
        let mut outgoing = request::outgoing(operation, &request.input).map_err(CallError::configuration)?;
        let has_buckets = service.signature == model::Signature::S3;
        let bucket = request.input.get("Bucket").and_then(Value::as_str).filter(|_| has_buckets);
        let endpoints = &self.inner.endpoints;
        let endpoint = match bucket {
            Some(bucket) => s3::address(operation, endpoints, request.region, &mut outgoing, bucket).map(Arc::new),
            None => endpoints.of(service.name, request.region),
        };
        let endpoint = endpoint.map_err(CallError::configuration)?;
        outgoing.headers.push(("user-agent".into(), self.inner.user_agent.clone()));
        self.inner.runtime.invoke(operation, request.region, &endpoint, outgoing, self.limit).await
    }
}

/// Returns the user agent: the program, and the user's name for it.
fn user_agent(app_id: Option<&str>) -> String {
    let program = concat!("ckworker/", env!("CARGO_PKG_VERSION"));
    app_id.map_or_else(|| program.to_owned(), |app_id| format!("{program} app/{app_id}"))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoints", &self.inner.endpoints).finish_non_exhaustive()
    }
}
