//! The client of one cluster's API server.
//!
//! A [`Request`] names group, verb and resource (`request`). `route` connects, `page` reads responses, `error` knows the
//! server's errors. The engine decides about retries. What is special about lists is here: a token of pages that has
//! expired, pages that are too large, and lists of single namespaces.

pub mod error;
mod page;
mod request;
mod route;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use error::Refusal;
pub use page::Page;
pub(crate) use request::DISCOVERY_SERVICE;
use request::{EXPIRIES, Outgoing, PAGE};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use route::Connected;
use serde_json::Value;
use tokio::time::Instant;
use worker_proto::Failure;

use super::access::{Access, Login, Route};
use crate::{
    collector_api::{BoxFuture, UnitWaits},
    engine::{
        Api, Attempt, CallError, CallErrorKind, Calls, Partial, Request, Response, Timeouts, code,
        http::{self, USER_AGENT},
    },
};

/// How often a list, with all its pages, is begun anew or continued after its token has expired.
const MAX_EXPIRIES: u64 = 10;

/// The source of access to a cluster.
pub trait AccessSource: Send + Sync {
    /// Returns access that is valid for some minutes.
    fn access(&self) -> BoxFuture<'_, Result<Access, Failure>>;

    /// Returns other access, after the cluster has rejected this one.
    fn renew<'a>(&'a self, rejected: &'a Access) -> BoxFuture<'a, Result<Access, Failure>>;
}

/// Calls one API server. Clones are cheap, and share connections, access and limiters.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    access: Arc<dyn AccessSource>,
    /// The connections of the last route.
    connected: Mutex<Option<(Route, Connected)>>,
    /// The namespaces whose resources are listed one by one; those of all at once if empty.
    namespaces: Vec<String>,
    calls: Calls,
}

/// The parts of a [`Client`].
pub struct ClientConfig {
    /// The source of access, which is asked before each attempt.
    pub access: Arc<dyn AccessSource>,
    /// The namespaces whose resources are listed one by one; those of all at once if empty.
    pub namespaces: Vec<String>,
    /// When calls must end.
    pub deadline: Option<Instant>,
    /// The registry of calls in progress.
    pub waits: UnitWaits,
}

impl Client {
    /// Returns a client; contacts nothing.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let ClientConfig { access, namespaces, deadline, waits } = config;
        let timeouts = Timeouts { deadline, ..Timeouts::default() };
        let (connected, calls) = (Mutex::default(), Calls::new(waits, timeouts));
        Self { inner: Arc::new(Inner { access, connected, namespaces, calls }) }
    }

    /// Makes a call, with retries.
    ///
    /// # Errors
    /// The server's error, or the reason for its absence, after the last attempt.
    pub async fn call(&self, request: Request<'_>) -> Result<Page, CallError> {
        let inner = &self.inner;
        let by_namespace = request::is_list(&request) && !inner.namespaces.is_empty();
        let answer =
            if by_namespace { inner.list_namespaces(&request).await } else { inner.list(request.clone()).await };
        answer.map_err(|error| error.of(request.service, request.operation, request.region))
    }
}

impl Inner {
    /// Makes a call. A list whose token has expired is continued with the token for the rest, or begun anew: what comes
    /// twice is one node. A page that is too large is asked for with fewer items.
    async fn list(&self, mut request: Request<'_>) -> Result<Page, CallError> {
        let mut expiries = request.input.get(EXPIRIES).and_then(Value::as_u64).unwrap_or(0);
        loop {
            let refusal = match self.exchange(&request).await {
                // The next page goes on counting.
                Ok(page) if expiries > 0 && !page.is_last() => return Ok(page.followed_with(EXPIRIES, expiries)),
                Ok(page) => return Ok(page),
                Err(refusal) => refusal,
            };
            let limit = request.input.get("limit").and_then(Value::as_u64).unwrap_or(PAGE.into());
            match refusal.expired {
                Some(token) if expiries < MAX_EXPIRIES && request.input.contains_key("continue") => {
                    expiries += 1;
                    tracing::debug!(operation = request.operation, "a list has expired; continuing");
                    match token {
                        Some(token) => request.input.insert("continue".to_owned(), token.into()),
                        None => request.input.remove("continue"),
                    };
                }
                _ if refusal.error.code == code::RESPONSE_TOO_LARGE && limit > 1 => {
                    request.input.insert("limit".to_owned(), (limit / 8).max(1).into());
                }
                _ => return Err(refusal.error),
            }
        }
    }

    /// Lists a resource of the next namespace that allows it. Those that do not are named with the page; it is an error
    /// only if none of all does.
    async fn list_namespaces(&self, request: &Request<'_>) -> Result<Page, CallError> {
        let given = request.input.get("namespace").and_then(Value::as_str);
        let first = given.and_then(|given| self.namespaces.iter().position(|known| known == given)).unwrap_or_default();
        let mut silent = Vec::new();
        let mut last = None;
        for (index, namespace) in self.namespaces.iter().enumerate().skip(first) {
            let mut request = request.clone().with("namespace", namespace.as_str());
            if index > first {
                request.input.remove("continue");
                request.input.remove(EXPIRIES);
            }
            match self.list(request).await {
                Ok(page) => return Ok(self.followed(page, index).without(silent)),
                Err(error) if error.kind == CallErrorKind::Denied => {
                    silent.push(partial(namespace, &error));
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match last {
            Some(error) if silent.len() == self.namespaces.len() => Err(error),
            _ => Ok(Page::empty().without(silent)),
        }
    }

    /// Leads from the last page of a namespace to the next one.
    fn followed(&self, page: Page, index: usize) -> Page {
        if !page.is_last() {
            // A token of another namespace's list would be accepted.
            return page.followed_with("namespace", self.namespaces[index].as_str());
        }
        let Some(next) = self.namespaces.get(index + 1) else { return page };
        let set = |name: &str, value: Option<Value>| (name.to_owned(), value);
        let namespace = set("namespace", Some(next.as_str().into()));
        page.followed_by(vec![namespace, set("continue", None), set(EXPIRIES, None)])
    }

    /// Makes the attempts of a call.
    async fn exchange(&self, request: &Request<'_>) -> Result<Page, Refusal> {
        let outgoing = request::outgoing(request).map_err(CallError::configuration)?;
        let is_renewed = AtomicBool::new(false);
        let expired = Mutex::new(None);
        let attempt = || async {
            let limit = self.calls.timeouts(request).attempt;
            let (result, is_corrected) = self.attempt(&outgoing, limit, &is_renewed).await;
            let result = result.map_err(|refusal| {
                *expired.lock().unwrap_or_else(PoisonError::into_inner) = refusal.expired;
                refusal.error
            });
            Attempt { result, is_corrected }
        };
        let done = self.calls.run(request, attempt).await;
        done.map_err(|error| Refusal { error, expired: expired.into_inner().unwrap_or_else(PoisonError::into_inner) })
    }

    /// Makes one attempt. The first rejected access of a call is renewed; returns whether it was.
    async fn attempt(
        &self,
        outgoing: &Outgoing,
        limit: Duration,
        is_renewed: &AtomicBool,
    ) -> (Result<Page, Refusal>, bool) {
        let failed = |error: CallError| (Err(error.into()), false);
        let access = match self.access.access().await {
            Ok(access) => access,
            Err(failure) => return failed(error::no_access(failure)),
        };
        let result = match self.connected(&access.route) {
            Ok(connected) => transfer(&connected, outgoing, &access.login, limit).await,
            Err(error) => return failed(error),
        };
        let is_rejected = result.as_ref().is_err_and(|refusal| refusal.error.kind == CallErrorKind::Credentials);
        if !is_rejected || is_renewed.swap(true, Ordering::Relaxed) {
            return (result, false);
        }
        match self.access.renew(&access).await {
            Ok(renewed) => (result, renewed != access),
            Err(failure) => failed(error::no_access(failure)),
        }
    }

    /// Returns the connections of a route, which are kept until it changes.
    fn connected(&self, route: &Route) -> Result<Connected, CallError> {
        let mut kept = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((known, connected)) if known == route => Ok(connected.clone()),
            _ => {
                let connected = Connected::new(route)?;
                *kept = Some((route.clone(), connected.clone()));
                Ok(connected)
            }
        }
    }
}

/// Sends a request and reads its response.
async fn transfer(connected: &Connected, outgoing: &Outgoing, login: &Login, limit: Duration) -> Result<Page, Refusal> {
    let Connected { http, base, place } = connected;
    let request = http.request(outgoing.method.clone(), format!("{base}{}", outgoing.target)).timeout(limit);
    let request = request.header(ACCEPT, outgoing.accept).header(reqwest::header::USER_AGENT, USER_AGENT);
    let request = match login {
        Login::None => request,
        Login::Token(token) => request.bearer_auth(token),
        Login::Basic(name, password) => request.basic_auth(name, Some(password)),
    };
    let request = match &outgoing.body {
        Some((media, body)) => request.header(CONTENT_TYPE, *media).body(body.clone()),
        None => request,
    };
    let response = request.send().await.map_err(|error| http::explain_final(error, place))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = http::read(response, place).await?;
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if status.is_success() {
        return Page::read(outgoing.expected, content_type, body)
            .map_err(|why| CallError::foreign_response(why).into());
    }
    if status.is_redirection() {
        let target = headers.get(LOCATION).and_then(|target| target.to_str().ok()?.parse::<::http::Uri>().ok());
        // The path may contain a secret.
        let host = target.as_ref().and_then(::http::Uri::host).unwrap_or("another host").to_owned();
        return Err(CallError::foreign_response(format!("HTTP status {status}: a redirect to {host}")).into());
    }
    let mut refusal = error::read(status, content_type, &body);
    if let Some(pause) = http::retry_after(&headers) {
        refusal.error = refusal.error.with_retry_after(pause);
    }
    Err(refusal)
}

/// Returns the part of a list that a namespace withholds.
fn partial(namespace: &str, error: &CallError) -> Partial {
    Partial {
        scope: Some(super::cloud::NAMESPACE.to_owned()),
        id: namespace.to_owned(),
        code: error.code.clone(),
        message: error.message.to_string(),
        is_alone: true,
    }
}

impl Api for Client {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, CallError>> {
        Box::pin(async move { Ok(Response::new(self.call(request).await?)) })
    }

    fn limit_page(&self, request: &mut Request<'_>) {
        if request::is_list(request) {
            request.input.entry("limit").or_insert(PAGE.into());
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("namespaces", &self.inner.namespaces).finish_non_exhaustive()
    }
}
