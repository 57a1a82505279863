//! The client for all of AWS: one for every service, driven by compact models of their APIs.
//!
//! A [`Request`] names service, operation, region and parameters; the [`model`] says how they become an HTTP request
//! (`request`) and how the answer becomes a [`Tree`] (`response`). What the official crates can do, they do: signing,
//! credentials, timeouts and connections, all in `runtime`; which attempts are repeated says `attempts`.

mod attempts;
pub(super) mod clock;
mod endpoint;
mod error;
pub(super) mod explain;
mod limiter;
pub mod model;
mod pages;
pub mod path;
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
pub use response::Reply;
use serde_json::{Map, Value};
use tokio::time::Instant;
pub use tree::Tree;
use worker_proto::WaitOn;

use crate::collector_api::UnitWaits;

/// Calls the services of AWS for one account. Cloning is cheap, and clones share connections, credentials and rates.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    /// The longest that a call may take, if that is less than usual.
    limit: Option<Duration>,
}

struct Inner {
    endpoints: Endpoints,
    user_agent: String,
    waits: UnitWaits,
    runtime: runtime::Runtime,
}

/// What a [`Client`] is made from.
pub struct ClientConfig {
    /// Gives the credentials, fresh ones whenever the old ones come near their end; asked before each attempt.
    pub credentials: SharedCredentialsProvider,
    /// What the user's settings say about addresses.
    pub endpoints: EndpointSettings,
    /// The user's name for this application, sent to the services.
    pub app_id: Option<String>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// The connections, to be shared by all clients of a process.
    pub http: SharedHttpClient,
    /// Where calls in progress are registered.
    pub waits: UnitWaits,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For one attempt, from sending to the last byte.
    pub attempt: Duration,
    /// For a call with all its attempts and the pauses between them.
    pub operation: Duration,
    /// Before the second attempt, at most; the most doubles with each attempt, up to a few seconds.
    pub pause: Duration,
    /// How long after its beginning a call that is throttled may begin another attempt, and one that fails for two thirds of
    /// it; nothing is tried again if this is zero.
    pub retry: Duration,
    /// When everything has to be over. Nothing waits for more than a part of what is left until then, so that what hangs
    /// costs its own time only.
    pub deadline: Option<Instant>,
}

/// The part of the time left that one call may take with all its attempts.
const OPERATION_PART: u32 = 5;

/// The part of a call's time that one attempt may take.
const ATTEMPT_PART: u32 = 2;

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        let (connect, attempt, operation) = (seconds(5), seconds(60), seconds(300));
        Self { connect, attempt, operation, pause: seconds(1), retry: seconds(60), deadline: None }
    }
}

impl Timeouts {
    /// The same for a call that begins now and may take no longer than this.
    pub(super) fn now(self, limit: Option<Duration>) -> Self {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()) / OPERATION_PART);
        let Some(limit) = left.into_iter().chain(limit).min() else { return self };
        let operation = self.operation.min(limit);
        let attempt = self.attempt.min(operation / ATTEMPT_PART);
        Self { connect: self.connect.min(attempt), attempt, operation, ..self }
    }
}

/// One call.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The service as `botocore` names it, such as `ec2`.
    pub service: &'a str,
    /// The operation, such as `DescribeInstances`.
    pub operation: &'a str,
    /// The region to ask. Global services answer for their partition, whatever its region.
    pub region: &'a str,
    /// Parameters by their names in the model. Times in ISO 8601 or seconds since 1970, bytes in base64.
    pub input: Map<String, Value>,
}

impl<'a> Request<'a> {
    /// A call without parameters.
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
    /// Makes a client; contacts nothing.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let (endpoints, waits) = (Endpoints::new(config.endpoints.clone()), config.waits.clone());
        let user_agent = user_agent(config.app_id.as_deref());
        let inner = Inner { endpoints, user_agent, waits, runtime: runtime::Runtime::new(config) };
        Self { inner: Arc::new(inner), limit: None }
    }

    /// The same client for calls that may take no longer than this, with all their attempts.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { inner: Arc::clone(&self.inner), limit: Some(limit) }
    }

    /// Makes one call, with retries.
    ///
    /// # Errors
    /// What the service says, or why it said nothing, after the last attempt.
    pub async fn call(&self, request: Request<'_>) -> Result<Reply, CallError> {
        let Request { service, operation, region, .. } = request;
        let _call = self.inner.waits.begin(WaitOn::Call, format!("{service} {operation} in {region}"));
        let answer = self.send(&request).await;
        answer.map_err(|error| error.of(request.service, request.operation, request.region))
    }

    /// The pages of an operation, from the first one on; nothing is sent before the first [`Pages::next`].
    #[must_use]
    pub fn pages(&self, request: Request<'_>) -> Pages {
        Pages::new(self.clone(), request)
    }

    async fn send(&self, request: &Request<'_>) -> Result<Reply, CallError> {
        let service = model::service(request.service)
            .ok_or_else(|| CallError::configuration(format!("there is no model of a service {}", request.service)))?;
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

/// The name under which the services know the calls: the program, and what the user calls it.
fn user_agent(app_id: Option<&str>) -> String {
    let program = concat!("ckworker/", env!("CARGO_PKG_VERSION"));
    app_id.map_or_else(|| program.to_owned(), |app_id| format!("{program} app/{app_id}"))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoints", &self.inner.endpoints).finish_non_exhaustive()
    }
}
