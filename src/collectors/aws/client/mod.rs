//! The client for all services of AWS, driven by compact models of their APIs.
//!
//! A [`Request`] names service, operation, region and parameters. The [`model`] defines how they become an HTTP request
//! (`request`) and how the response becomes a tree (`response`). The official crates do the signing, credentials,
//! timeouts and connections, all in `runtime`; the engine decides about retries. `error` knows AWS's error codes.

pub(super) mod clock;
mod endpoint;
pub(super) mod error;
mod explain;
pub mod model;
mod pages;
mod request;
mod response;
mod runtime;
mod s3;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use endpoint::Endpoints;
pub use endpoint::{EndpointSettings, Region, S3Addressing, S3Settings, partition, region, regions};
pub(super) use endpoint::{check_url, resolve};
pub use error::NoCredentialsNow;
pub use response::Response;
use serde_json::Value;

use crate::{
    collector_api::{BoxFuture, UnitWaits},
    engine::{self, Api, CallError, Calls, Pages, Request, Timeouts},
};

/// Calls the services of AWS for one account. Clones are cheap, and share connections, credentials and limiters.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    endpoints: Endpoints,
    user_agent: String,
    calls: Calls,
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

impl Client {
    /// Returns a client; contacts nothing.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let endpoints = Endpoints::new(config.endpoints.clone());
        let user_agent = user_agent(config.app_id.as_deref());
        let calls = Calls::new(config.waits.clone(), config.timeouts);
        Self { inner: Arc::new(Inner { endpoints, user_agent, calls, runtime: runtime::Runtime::new(config) }) }
    }

    /// Makes a call, with retries.
    ///
    /// # Errors
    /// The service's error, or the reason for its absence, after the last attempt.
    pub async fn call(&self, request: Request<'_>) -> Result<Response, CallError> {
        let answer = self.send(&request).await;
        answer.map_err(|error| error.of(request.service, request.operation, request.region))
    }

    /// Returns the pages of an operation; nothing is sent before the first [`Pages::next`].
    #[must_use]
    pub fn pages(&self, request: Request<'_>) -> Pages<'_> {
        Pages::new(self, request)
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
        self.inner.runtime.invoke(&self.inner.calls, request, operation, &endpoint, outgoing).await
    }
}

impl Api for Client {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<engine::Response, CallError>> {
        Box::pin(async move { Ok(engine::Response::new(self.call(request).await?)) })
    }

    fn limit_page(&self, request: &mut Request<'_>) {
        pages::limit(request);
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
