//! The client for all of Google's APIs, driven by compact models of them.
//!
//! A [`Request`] names service, method and parameters. The [`model`] defines how they become an HTTP request
//! (`request`, and `link` for calls by a resource's link) and which responses are the service's (`response`). A method
//! that begins an operation returns when the operation is done (`operation`). The engine decides about retries; `error`
//! knows Google's errors.

pub mod error;
mod link;
pub mod model;
mod operation;
mod partial;
mod request;
mod response;
mod token;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use error::Asked;
use request::Outgoing;
use reqwest::{
    Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION},
};
pub use response::Page;
use serde_json::Value;
pub use token::{Token, TokenSource};
use tokio::time::Instant;

use crate::{
    collector_api::{BoxFuture, UnitWaits},
    engine::{
        Api, Attempt, CallError, CallErrorKind, Calls, Pages, Request, Response, Timeouts, code,
        http::{self, Verify},
    },
};

/// Google compresses responses only for programs that name it.
const USER_AGENT: &str = concat!("ckworker/", env!("CARGO_PKG_VERSION"), " (gzip)");

/// The header that names the project whose quotas and enabled APIs count.
const QUOTA_PROJECT: &str = "x-goog-user-project";

/// The parameter with which a list over several locations says which did not answer, instead of failing.
const PARTIAL_SUCCESS: &str = "returnPartialSuccess";

/// How long a throttled call is retried: quotas are counted per minute.
const RETRY: Duration = Duration::from_secs(90);

/// Returns the connections for all clients of a process.
///
/// # Errors
/// Why TLS cannot be set up.
pub fn http() -> Result<reqwest::Client, String> {
    http::connections(Verify::System)
}

/// Returns the timeouts of calls that must end at the deadline.
#[must_use]
pub fn timeouts(deadline: Option<Instant>) -> Timeouts {
    Timeouts { retry: RETRY, deadline, ..Timeouts::default() }
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The ID, such as `example` or `example.com:app`.
    pub id: String,
    /// The number, in digits.
    pub number: Option<String>,
}

impl Project {
    /// Returns whether this is its ID or number.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.id == name || self.number.as_deref() == Some(name)
    }
}

/// Calls Google's services for one project. Clones are cheap, and share connections, tokens and limiters.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    project: Option<Project>,
    /// What stands before the host in URLs.
    base: String,
    tokens: Arc<dyn TokenSource>,
    http: reqwest::Client,
    calls: Calls,
}

/// The parts of a [`Client`].
pub struct ClientConfig {
    /// The project that is called; `None` for calls that are about no project.
    pub project: Option<Project>,
    /// A URL that replaces `https://`, so that calls go to `URL/HOST/PATH`.
    pub endpoint: Option<String>,
    /// The source of the tokens, which is asked before each attempt.
    pub tokens: Arc<dyn TokenSource>,
    /// The timeouts of calls, see [`timeouts`].
    pub timeouts: Timeouts,
    /// The registry of calls in progress.
    pub waits: UnitWaits,
    /// The connections, see [`http()`].
    pub http: reqwest::Client,
}

impl Client {
    /// Returns a client; contacts nothing.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let ClientConfig { project, endpoint, tokens, timeouts, waits, http } = config;
        let base = endpoint.map_or_else(|| "https://".to_owned(), |url| format!("{}/", url.trim_end_matches('/')));
        Self { inner: Arc::new(Inner { project, base, tokens, http, calls: Calls::new(waits, timeouts) }) }
    }

    /// Makes a call, with retries. If it begins an operation, awaits that.
    ///
    /// # Errors
    /// The service's error, or the reason for its absence, after the last attempt.
    pub async fn call(&self, request: Request<'_>) -> Result<Page, CallError> {
        let answer = self.send(&request).await;
        answer.map_err(|error| error.of(request.service, request.operation, request.region))
    }

    /// Returns the pages of a method; nothing is sent before the first [`Pages::next`].
    #[must_use]
    pub fn pages(&self, request: Request<'_>) -> Pages<'_> {
        Pages::new(self, request)
    }

    async fn send(&self, request: &Request<'_>) -> Result<Page, CallError> {
        let inner = &self.inner;
        // What began is awaited as long as the caller has time, and not only as long as a call may take.
        let end = Instant::now() + request.limit.unwrap_or_else(|| inner.calls.timeouts(request).operation);
        let outgoing = inner.outgoing(request)?;
        let page = inner.exchange(request, &outgoing, None).await?;
        match outgoing.method.begins_operation {
            true => operation::finish(inner, request, page, end).await,
            false => Ok(page),
        }
    }
}

impl Inner {
    fn outgoing(&self, request: &Request<'_>) -> Result<Outgoing, CallError> {
        request::outgoing(request, self.project.as_ref()).map_err(CallError::configuration)
    }

    /// Makes the attempts of a call. `limit` is the timeout of each, if it is not the usual one.
    async fn exchange(
        &self,
        request: &Request<'_>,
        outgoing: &Outgoing,
        limit: Option<Duration>,
    ) -> Result<Page, CallError> {
        let is_renewed = AtomicBool::new(false);
        let attempt = || {
            let limit = limit.unwrap_or_else(|| self.calls.timeouts(request).attempt);
            self.attempt(outgoing, limit, &is_renewed)
        };
        self.calls.run(request, attempt).await
    }

    /// Makes one attempt. The first rejected token of a call is renewed.
    async fn attempt(&self, outgoing: &Outgoing, limit: Duration, is_renewed: &AtomicBool) -> Attempt<Page> {
        let token = match self.tokens.token().await {
            Ok(token) => token,
            Err(failure) => return Err(error::no_token(failure)).into(),
        };
        let result = self.transfer(outgoing, &token, limit).await;
        let is_rejected = result.as_ref().is_err_and(|error| error.kind == CallErrorKind::Credentials);
        if !is_rejected || is_renewed.swap(true, Ordering::Relaxed) {
            return result.into();
        }
        match self.tokens.renew(&token).await {
            Ok(_) => Attempt { result, is_corrected: true },
            Err(failure) => Err(error::no_token(failure)).into(),
        }
    }

    /// Sends a request and reads its response.
    async fn transfer(&self, outgoing: &Outgoing, token: &Token, limit: Duration) -> Result<Page, CallError> {
        let Outgoing { method, host, target, body, .. } = outgoing;
        let verb = Method::from_bytes(method.verb.as_bytes()).unwrap_or_default();
        let request = self.http.request(verb.clone(), format!("{}{host}/{target}", self.base)).timeout(limit);
        let mut request = request.headers(headers(token)?);
        match body {
            Some(body) => request = request.header(CONTENT_TYPE, "application/json").body(body.clone()),
            // Without it Google rejects the request.
            None if verb == Method::POST => request = request.header(CONTENT_LENGTH, 0),
            None => {}
        }
        // Another endpoint is part of the place.
        let place = format!("{}{host}", self.base.trim_start_matches("https://"));
        let response = request.send().await.map_err(|error| http::explain(error, &place))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = http::read(response, &place).await?;
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if status.is_success() {
            return Page::read(method, content_type, body).map_err(CallError::foreign_response);
        }
        let reported = error::read(&body).filter(|_| !content_type.is_some_and(http::is_markup));
        let asked = Asked { service: method.service.name, project: outgoing.project.as_ref() };
        let error = reported.map_or_else(|| foreign(status, &headers), |reported| reported.of(asked, status.as_u16()));
        Err(match http::retry_after(&headers) {
            Some(pause) => error.with_retry_after(pause),
            None => error,
        })
    }
}

/// Returns the headers of every request.
fn headers(token: &Token) -> Result<HeaderMap, CallError> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.token)).map_err(|_| {
        let message = "the access token has characters that no header may have";
        CallError::new(CallErrorKind::Credentials, code::NO_CREDENTIALS, message)
    })?;
    bearer.set_sensitive(true);
    let mut headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
    headers.insert(reqwest::header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    if let Some(project) = &token.quota_project {
        let value = HeaderValue::try_from(project.as_str());
        let value = value.map_err(|_| {
            CallError::configuration(format!(
                "the quota project {project:?} is no ID of a project; correct quota_project_id in the credentials or \
                 GOOGLE_CLOUD_QUOTA_PROJECT"
            ))
        })?;
        headers.insert(QUOTA_PROJECT, value);
    }
    Ok(headers)
}

/// Returns the error of a response without an error of Google's: something between here and the service has sent it.
fn foreign(status: StatusCode, headers: &HeaderMap) -> CallError {
    let location = headers.get(LOCATION).and_then(|target| target.to_str().ok()?.parse::<::http::Uri>().ok());
    // The path may contain a secret.
    let leads_to = location.as_ref().and_then(::http::Uri::host).map(|host| format!(": a redirect to {host}"));
    let leads_to = leads_to.unwrap_or_default();
    CallError::foreign_response(format!("HTTP status {status}, which is not from the service{leads_to}"))
}

impl Api for Client {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, CallError>> {
        Box::pin(async move { Ok(Response::new(self.call(request).await?)) })
    }

    fn limit_page(&self, request: &mut Request<'_>) {
        let Ok((method, _)) = request::resolve(request, self.inner.project.as_ref()) else { return };
        let Some(pages) = &method.pages else { return };
        if let (Some(limit), Some(size)) = (pages.limit, pages.size) {
            request.input.entry(limit).or_insert(size.into());
        }
        if method.has_query(PARTIAL_SUCCESS) {
            request.input.entry(PARTIAL_SUCCESS).or_insert(Value::Bool(true));
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { project, base, .. } = &*self.inner;
        f.debug_struct("Client").field("project", project).field("base", base).finish_non_exhaustive()
    }
}
