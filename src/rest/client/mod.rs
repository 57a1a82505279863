//! The client of a REST API that definition files describe.
//!
//! `request` makes an HTTP request of an operation and its parameters, `response` reads responses, `paging` says what
//! follows a page and `failure` what a failed call means, and `pacer` spreads calls over a minute. The engine decides about
//! retries.

mod cache;
mod failure;
mod pacer;
mod paging;
mod redact;
mod request;
mod response;
mod server;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub(super) use redact::{cut, redacted};
pub(super) use request::Outgoing;
use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, USER_AGENT},
};
use response::Page;
use serde::{Deserialize, Serialize};
use server::Server;
use tokio::time::Instant;
use worker_proto::{Failure, FailureKind, WaitOn};

use super::{
    api::{Auth, BodyForm, Verb},
    code::{Caller, ComposedBody},
    description::Description,
};
use crate::{
    collector_api::{BoxFuture, CredentialSource, UnitWaits},
    engine::{
        Api, Attempt, CallError, CallErrorKind, Calls, Pages, Path, Request, Response, Timeouts, Tree, code,
        http::{self, Verify},
    },
};

/// The longest wait of a call for its turn, and the part of the time left that it may take at most.
const LONGEST_TURN: Duration = Duration::from_secs(3600);
const TURN_PART: f64 = 0.8;

/// The redirects that a call follows, inside the API.
const MAX_REDIRECTS: usize = 5;

/// The status of a response, and that of one which has not changed.
const OK: u16 = 200;
const NOT_MODIFIED: u16 = 304;

/// The seconds in which a connection is tried again as long as none was made. A server may just be starting.
const FIRST_CONTACT: Duration = Duration::from_secs(3);

/// Returns the timeouts of calls to a server that was never reached.
pub(super) fn first_timeouts() -> Timeouts {
    Timeouts { first_contact: Some(FIRST_CONTACT), ..Timeouts::default() }
}

/// The header that authorizes calls. There is no `Debug`: it is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Authorization {
    /// The header's name.
    pub(super) header: String,
    /// Its value.
    pub(super) value: String,
}

/// Where the authorization of calls comes from.
pub(super) enum Authorized {
    /// Calls need none, or have it among their headers.
    Always,
    /// From the broker, through the context of the unit.
    ByBroker(CredentialSource),
}

/// What a client needs beside the description.
pub(super) struct Config {
    /// The address in front of all paths.
    pub(super) base: Url,
    /// Whether the server's certificate is not verified.
    pub(super) is_unverified: bool,
    /// The authorization of calls.
    pub(super) authorized: Authorized,
    /// The options, for code.
    pub(super) options: Tree<'static>,
    /// The end of the unit.
    pub(super) deadline: Option<Instant>,
    /// The registry of calls in progress.
    pub(super) waits: UnitWaits,
}

/// Calls an API. Clones share connections and limits.
#[derive(Clone)]
pub(super) struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    description: &'static Description,
    base: Url,
    http: reqwest::Client,
    authorized: Authorized,
    options: Tree<'static>,
    calls: Calls,
    deadline: Option<Instant>,
    waits: UnitWaits,
    server: Arc<Server>,
}

/// A response before anything is known about its form.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: bytes::Bytes,
}

impl Client {
    /// Returns a client; contacts nothing.
    ///
    /// # Errors
    /// `Configuration` if TLS cannot be set up.
    pub(super) fn new(description: &'static Description, config: Config) -> Result<Self, Failure> {
        let Config { base, is_unverified, authorized, options, deadline, waits } = config;
        let verify = if is_unverified { Verify::Nothing } else { Verify::System };
        let failure = |message| Failure { kind: FailureKind::Configuration, message };
        let retry_failures = Some(Duration::from_secs(description.api.retry.into()));
        let server = Server::of(description.cloud.name, &base);
        let usual = if server.is_reached() { Timeouts::default() } else { first_timeouts() };
        let timeouts = Timeouts { retry: usual.operation, retry_failures, deadline, ..usual };
        let calls = Calls::new(waits.clone(), timeouts).with_one_limit();
        let http = http::connections(verify).map_err(failure)?;
        let inner = Inner { description, base, http, authorized, options, calls, deadline, waits, server };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the pages of an operation; nothing is sent before the first [`Pages::next`].
    pub(super) fn pages(&self, request: Request<'_>) -> Pages<'_> {
        Pages::new(self, request)
    }

    /// Returns the options.
    pub(super) fn options(&self) -> &Tree<'static> {
        &self.inner.options
    }

    /// Returns the path to each item of an operation.
    pub(super) fn items_of(&self, operation: &str) -> Option<&'static Path> {
        self.inner.description.operations.get(operation)?.items.first()
    }

    async fn page(&self, request: &Request<'_>) -> Result<Page, CallError> {
        let inner = &self.inner;
        let Some(operation) = inner.description.operations.get(request.operation) else {
            return Err(CallError::configuration(format!("there is no operation {}", request.operation)));
        };
        let api = &inner.description.api;
        let outgoing = request::outgoing(&inner.base, operation, api.body, &request.input);
        let outgoing = outgoing.map_err(CallError::configuration)?;
        inner.wait_for_turn(request, operation.per_minute).await?;
        let (is_renewed, is_repeated) = (AtomicBool::new(false), AtomicBool::new(false));
        let attempt = || async {
            let limit = inner.calls.timeouts(request).attempt;
            if is_repeated.swap(true, Ordering::Relaxed) {
                inner.server.pacer.wait_again(request.operation, operation.per_minute).await;
            }
            let (answer, authorization) = match inner.authorized_exchange(&outgoing, limit).await {
                Ok(done) => done,
                Err(error) => return Err(error).into(),
            };
            if let Some(pause) = failure::window(&api.limits, &answer.headers) {
                inner.calls.pause(request, pause);
            }
            tracing::debug!(operation = request.operation, status = answer.status, bytes = answer.body.len(), "called");
            let result = response::read(inner.description, operation, &request.input, &inner.base, answer);
            let result = result.map_err(|error| redacted(error, &secrets(authorization.as_ref())));
            inner.renewed(result, authorization, &is_renewed).await
        };
        let page = inner.calls.run(request, attempt).await.map_err(|mut error| {
            error.message = request::described(&operation.pages, &request.input, &error.message).into();
            error
        })?;
        if inner.description.is_users && page.is_perhaps_cut_off() && inner.server.is_new(request.operation) {
            let (collector, operation) = (inner.description.cloud.name, request.operation);
            tracing::warn!(collector, operation, "a list ends with a full page: check next or header of pages");
        }
        Ok(page)
    }
}

impl Inner {
    /// Waits until a call of an operation that the API limits may be made.
    async fn wait_for_turn(&self, request: &Request<'_>, per_minute: Option<u32>) -> Result<(), CallError> {
        let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()).mul_f64(TURN_PART));
        let longest = left.unwrap_or(LONGEST_TURN).min(LONGEST_TURN);
        let _wait = per_minute.map(|_| self.waits.begin(WaitOn::Call, format!("the turn of {}", request.operation)));
        if self.server.pacer.wait(request.operation, per_minute, longest).await {
            return Ok(());
        }
        let message = format!("per_minute of the operation leaves no time for it within {} s", longest.as_secs());
        Err(CallError::new(CallErrorKind::Throttled, code::QUEUE_TIMEOUT, message))
    }

    /// Sends a request with the current authorization, which it returns too.
    async fn authorized_exchange(
        &self,
        outgoing: &Outgoing,
        limit: Duration,
    ) -> Result<(Answer, Option<worker_proto::Credentials>), CallError> {
        let mut headers = fixed_headers(self.description)?;
        let credentials = match &self.authorized {
            Authorized::Always => None,
            Authorized::ByBroker(source) => {
                let credentials = source.get().await.map_err(failure::no_credentials)?;
                let Authorization { header, value } = serde_json::from_str(&credentials.secret)
                    .map_err(|_| CallError::configuration("cannot read the received credentials"))?;
                insert(&mut headers, &header, &value)?;
                Some(credentials)
            }
        };
        let secret = credentials.as_ref().map_or("", |credentials| &credentials.secret);
        Ok((self.exchange(outgoing, headers, secret, limit).await?, credentials))
    }

    /// Sends a request. An answer that has not changed since it was kept is not sent again.
    async fn exchange(
        &self,
        outgoing: &Outgoing,
        mut headers: HeaderMap,
        credentials: &str,
        limit: Duration,
    ) -> Result<Answer, CallError> {
        let is_kept = self.description.api.etags && outgoing.verb == Verb::Get;
        let kept = is_kept.then(|| cache::kept(&outgoing.url, credentials)).flatten();
        if let Some(kept) = &kept {
            headers.insert(IF_NONE_MATCH, kept.tag.clone());
        }
        let answer = exchange(&self.http, &self.base, outgoing, &headers, limit).await;
        let answer = answer.map_err(|error| failure::unreached(self.description, false, error))?;
        self.server.set_reached();
        match kept {
            Some(kept) if answer.status == NOT_MODIFIED => return Ok(Answer::clone(&kept.answer)),
            _ if is_kept && answer.status == OK => cache::keep(&outgoing.url, credentials, &answer),
            _ => {}
        }
        Ok(answer)
    }

    /// Renews credentials that the first attempt of a call was refused for.
    async fn renewed(
        &self,
        result: Result<Page, CallError>,
        used: Option<worker_proto::Credentials>,
        is_renewed: &AtomicBool,
    ) -> Attempt<Page> {
        let is_rejected = result.as_ref().is_err_and(|error| error.kind == CallErrorKind::Credentials);
        let (Authorized::ByBroker(source), Some(used)) = (&self.authorized, used) else { return result.into() };
        if !is_rejected || is_renewed.swap(true, Ordering::Relaxed) {
            return result.into();
        }
        match source.renew(&used).await {
            // A new token may have the value of the rejected one.
            Ok(_) => Attempt {
                result,
                is_corrected: matches!(self.description.api.auth.get_ref(), Auth::ClientCredentials(_)),
            },
            Err(failure) => Err(failure::no_credentials(failure)).into(),
        }
    }
}

/// Returns the secrets that a call was sent with.
fn secrets(used: Option<&worker_proto::Credentials>) -> Vec<String> {
    let authorization = used.and_then(|used| serde_json::from_str(&used.secret).ok());
    authorization.as_ref().map(redact::secrets_of).unwrap_or_default()
}

impl Api for Client {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, CallError>> {
        Box::pin(async move {
            let composed = self.inner.description.code.operations.iter().find(|(name, _)| *name == request.operation);
            if let Some((_, compose)) = composed {
                let caller = Caller { client: self, request: &request };
                return Ok(Response::new(ComposedBody::from(compose(caller).await?)));
            }
            let page = self.page(&request).await;
            page.map(Response::new).map_err(|error| error.of(request.service, request.operation, request.region))
        })
    }

    fn limit_page(&self, request: &mut Request<'_>) {
        let Some(operation) = self.inner.description.operations.get(request.operation) else { return };
        if operation.is_list() {
            request::first_page(&operation.pages, &mut request.input);
        }
    }
}

/// Sends a request, and follows redirects inside the API.
///
/// # Errors
/// Why there is no response.
pub(super) async fn exchange(
    connections: &reqwest::Client,
    base: &Url,
    outgoing: &Outgoing,
    headers: &HeaderMap,
    limit: Duration,
) -> Result<Answer, CallError> {
    let host = base.host_str().unwrap_or_default();
    let place = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let place = place.as_str();
    let mut url = outgoing.url.clone();
    for _ in 0..=MAX_REDIRECTS {
        let mut request = match outgoing.verb {
            Verb::Get => connections.get(url.clone()),
            Verb::Post => connections.post(url.clone()),
        };
        if let Some((content_type, body)) = &outgoing.body {
            request = request.header(reqwest::header::CONTENT_TYPE, *content_type).body(body.clone());
        }
        let response = request.headers(headers.clone()).timeout(limit).send().await;
        let response = response.map_err(|error| http::explain_final(error, place))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_redirection() || status == reqwest::StatusCode::NOT_MODIFIED {
            let body = http::read(response, place).await?;
            return Ok(Answer { status: status.as_u16(), headers, body });
        }
        let target = headers.get(LOCATION).and_then(|target| target.to_str().ok()).and_then(|text| url.join(text).ok());
        url = redirected(outgoing.verb, base, target)?;
    }
    Err(CallError::unexpected_response(format!("more than {MAX_REDIRECTS} redirects")))
}

/// Returns the target of a redirect that may be followed.
fn redirected(verb: Verb, base: &Url, target: Option<Url>) -> Result<Url, CallError> {
    let host = target.as_ref().and_then(Url::host_str).unwrap_or("an unknown place").to_owned();
    match target.filter(|target| verb == Verb::Get && target.origin() == base.origin()) {
        Some(target) => Ok(target),
        // Something between here and the API, or a login page, has sent it.
        None => Err(CallError::foreign_response(format!("a redirect to {host}, which is not followed"))),
    }
}

/// Returns the headers of every call.
///
/// # Errors
/// `Configuration` if a header of the description is none.
pub(super) fn fixed_headers(description: &Description) -> Result<HeaderMap, CallError> {
    let mut headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(http::USER_AGENT))]);
    for (name, value) in &description.api.headers {
        insert(&mut headers, name, value)?;
    }
    Ok(headers)
}

/// Adds a header, whose value never appears in an error.
pub(super) fn insert(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), CallError> {
    let header = HeaderName::try_from(name).map_err(|_| ());
    let value = HeaderValue::try_from(value).map_err(|_| ()).map(|mut value| {
        value.set_sensitive(true);
        value
    });
    let (Ok(header), Ok(value)) = (header, value) else {
        let message = format!("the header {name} has characters that no header may have");
        return Err(CallError::new(CallErrorKind::Credentials, code::NO_CREDENTIALS, message));
    };
    headers.insert(header, value);
    Ok(())
}

/// Returns an error of a call for a token with its remedy, if the server was not reached.
pub(super) fn no_token_server(description: &Description, error: CallError) -> CallError {
    failure::unreached(description, true, error)
}

/// Returns the form of a body of the API, for a call that the description does not list.
pub(super) fn body(form: BodyForm, parameters: &[(String, String)]) -> (&'static str, String) {
    request::body(form, parameters)
}

/// Reads the answer to a call for a token.
pub(super) fn token_tree(description: &Description, answer: &Answer) -> Result<serde_json::Value, CallError> {
    response::object(description, answer)
}
