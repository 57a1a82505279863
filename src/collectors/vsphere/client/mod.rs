//! The client of vCenter's SOAP API: the few operations that collecting and changing machines needs.
//!
//! An operation of the engine is one or several calls (`list`, `change`). Each call has its own attempts. `soap` has
//! envelopes and faults, `element` parses XML, `machine` makes the items. Sessions come from the broker: a call in a
//! session that has ended is repeated once in another one, and a list, whose view ends with the session, begins again.

mod change;
mod element;
mod list;
mod login;
mod machine;
mod soap;

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderValue, SET_COOKIE, USER_AGENT};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker_proto::{Credentials, Failure, FailureKind};

pub(crate) use self::soap::fault;
use self::{
    element::Element,
    list::Listing,
    soap::{Fault, Object, named},
};
use crate::{
    collector_api::{BoxFuture, CollectContext, CredentialSource, Waits},
    engine::{
        Api, Body, CallError, CallErrorKind, Calls, Next, Request, Response, Timeouts, Tree, code,
        http::{self, Verify},
    },
};

/// The service in errors and gaps.
pub(crate) const SERVICE: &str = "vim";

/// The operations of the engine.
pub(crate) mod operation {
    pub(crate) const LIST: &str = "ListMachines";
    pub(crate) const READ: &str = "ReadMachine";
    pub(crate) const SET: &str = "SetAttribute";
    pub(crate) const CLEAR: &str = "ClearAttribute";
    pub(crate) const DELETE: &str = "DeleteMachine";
}

/// A session on the server, and what the server is. There is no `Debug`, as the cookie is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The cookie, `name=value`.
    cookie: String,
    /// The version of the API.
    version: String,
    content: Content,
}

/// The objects through which the API is used.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    root: Object,
    properties: Object,
    views: Object,
    sessions: Object,
    /// A single host has no custom attributes.
    fields: Option<Object>,
}

impl Session {
    /// Parses credentials.
    ///
    /// # Errors
    /// `Internal` if they are malformed; the message does not contain them.
    fn read(credentials: &Credentials) -> Result<Self, CallError> {
        serde_json::from_str(&credentials.secret)
            .map_err(|_| CallError::new(CallErrorKind::Unexpected, code::NO_CREDENTIALS, "cannot parse the session"))
    }
}

/// The client of one server.
pub(crate) struct Client {
    host: String,
    /// The URL of the API.
    url: String,
    http: reqwest::Client,
    calls: Calls,
    /// The source of sessions; `None` for the broker.
    source: Option<CredentialSource>,
    /// The list in progress.
    listing: Mutex<Listing>,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The host's name, as it was given.
    pub(crate) host: String,
    /// The URL before the path.
    pub(crate) base: String,
    /// Whether certificates are not checked.
    pub(crate) is_insecure: bool,
}

impl Client {
    /// Returns a client in a worker; contacts nothing.
    ///
    /// # Errors
    /// `Configuration` if TLS cannot be set up.
    pub(crate) fn new(context: &CollectContext, address: &Address) -> Result<Self, Failure> {
        let timeouts = Timeouts { deadline: context.deadline(), ..Timeouts::default() };
        let calls = Calls::new(context.waits().clone(), timeouts);
        Self::with(address, calls, Some(context.credentials().clone()))
    }

    /// Returns a client without a session, whose calls take at most `limit`. They are not repeated.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub(crate) fn without_session(address: &Address, limit: Duration) -> Result<Self, Failure> {
        let timeouts = Timeouts { attempt: limit, operation: limit, retry: Duration::ZERO, ..Timeouts::default() };
        Self::with(address, Calls::new(Waits::default().unit(0), timeouts), None)
    }

    fn with(address: &Address, calls: Calls, source: Option<CredentialSource>) -> Result<Self, Failure> {
        let failure = |message| Failure { kind: FailureKind::Configuration, message };
        let http = connections(address.is_insecure).map_err(failure)?;
        let (host, url) = (address.host.clone(), format!("{}/sdk", address.base));
        Ok(Self { host, url, http, calls, source, listing: Mutex::default() })
    }

    /// Returns the current session.
    async fn session(&self) -> Result<Session, CallError> {
        let Some(source) = &self.source else { return Err(no_session("there is no session")) };
        Session::read(&source.get().await.map_err(|failure| no_credentials(&failure))?)
    }

    /// Calls a method of an object of the current session, with retries. If the session has ended, the call is repeated
    /// once in another one.
    async fn invoke(
        &self,
        method: &str,
        limit: Option<Duration>,
        call: impl Fn(&Session) -> (Object, String),
    ) -> Result<Element, Fault> {
        let end = limit.map(|limit| Instant::now() + limit);
        let named = |error| named(error, method, &self.host);
        let session = self.session().await.map_err(named)?;
        let result = self.invoke_in(&session, method, limit, call(&session)).await;
        if !result.as_ref().is_err_and(Fault::is_session_over) {
            return result;
        }
        self.renew(&session).await.map_err(named)?;
        let session = self.session().await.map_err(named)?;
        let limit = end.map(|end| end.saturating_duration_since(Instant::now()));
        self.invoke_in(&session, method, limit, call(&session)).await
    }

    /// Calls a method in this session, with retries.
    async fn invoke_in(
        &self,
        session: &Session,
        method: &str,
        limit: Option<Duration>,
        (this, parameters): (Object, String),
    ) -> Result<Element, Fault> {
        let mut request = Request::new(SERVICE, method, &self.host);
        request.limit = limit;
        let object = Mutex::new(None);
        let attempt = async || {
            let body = soap::envelope(method, &this, &parameters);
            let timeout = self.calls.timeouts(&request).attempt;
            let result = self.exchange(method, body, Some(session), timeout).await.map(|(element, _)| element);
            let result = result.map_err(|fault| {
                *object.lock().unwrap_or_else(PoisonError::into_inner) = fault.object;
                *fault.error
            });
            result.into()
        };
        let result = self.calls.run(&request, attempt).await;
        let object = object.into_inner().unwrap_or_else(PoisonError::into_inner);
        result.map_err(|error| Fault { error: Box::new(error), object })
    }

    /// Replaces a session that has ended.
    async fn renew(&self, ended: &Session) -> Result<(), CallError> {
        let Some(source) = &self.source else { return Err(no_session("there is no session")) };
        let current = source.get().await.map_err(|failure| no_credentials(&failure))?;
        // Another call may have replaced it.
        if Session::read(&current)? != *ended {
            return Ok(());
        }
        source.renew(&current).await.map(drop).map_err(|failure| no_credentials(&failure))
    }

    /// Sends one request. Returns the response, and the cookie that it sets.
    async fn exchange(
        &self,
        method: &str,
        body: String,
        session: Option<&Session>,
        timeout: Duration,
    ) -> Result<(Element, Option<String>), Fault> {
        let version = session.map_or("", |session| session.version.as_str());
        let action = if version.is_empty() { "urn:vim25".to_owned() } else { format!("urn:vim25/{version}") };
        let cookie = session.map(|session| session.cookie.as_str()).filter(|cookie| !cookie.is_empty());
        let mut request = self.http.post(&self.url).timeout(timeout).header(CONTENT_TYPE, "text/xml; charset=utf-8");
        request = request.header(USER_AGENT, http::USER_AGENT).header("SOAPAction", format!("\"{action}\""));
        if let Some(cookie) = cookie {
            let mut value =
                HeaderValue::try_from(cookie).map_err(|_| no_session("the cookie of the session is malformed"))?;
            value.set_sensitive(true);
            request = request.header(COOKIE, value);
        }
        let response = request.body(body).send().await.map_err(|error| http::explain(error, &self.host))?;
        let status = response.status();
        // A load balancer sets cookies of its own.
        let cookies = response.headers().get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies = cookies.filter_map(|cookie| cookie.split(';').next()).map(str::trim).collect::<Vec<_>>();
        let cookie = (!cookies.is_empty()).then(|| cookies.join("; "));
        let body: Bytes = http::read(response, &self.host).await?;
        let text = String::from_utf8_lossy(&body);
        let result = soap::response(method, &text);
        // A fault has the status 500.
        match result {
            Err(fault) if fault.error.code == code::INVALID_RESPONSE && !status.is_success() => {
                let message = format!("HTTP status {status}, which is not from the API; check host and port");
                Err(CallError::foreign_response(message).into())
            }
            Ok(element) => Ok((element, cookie)),
            Err(fault) => Err(fault),
        }
    }
}

/// Returns the connections that all clients of the process share.
fn connections(is_insecure: bool) -> Result<reqwest::Client, String> {
    static SYSTEM: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    static INSECURE: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    match is_insecure {
        true => INSECURE.get_or_init(|| http::connections(Verify::Nothing)).clone(),
        false => SYSTEM.get_or_init(|| http::connections(Verify::System)).clone(),
    }
}

fn no_session(why: &str) -> CallError {
    CallError::new(CallErrorKind::Credentials, code::NO_CREDENTIALS, why)
}

/// Returns the error of a call without a session.
fn no_credentials(failure: &Failure) -> CallError {
    let kind = match failure.kind {
        FailureKind::Unavailable => CallErrorKind::Unavailable,
        _ => CallErrorKind::Credentials,
    };
    CallError::new(kind, code::NO_CREDENTIALS, failure.message.clone())
}

/// The response to an operation: an item, and the parameters of the next page.
struct Page {
    item: Value,
    token: Option<String>,
    /// The number of the page, from 0 on. A server may use a token again, for another page.
    number: u64,
    is_empty: bool,
}

impl Page {
    /// Returns the response to an operation without pages.
    fn single(item: Value) -> Self {
        Self { item, token: None, number: 0, is_empty: false }
    }
}

impl Body for Page {
    fn tree(&self) -> Result<Tree<'_>, CallError> {
        Ok(Tree::from(self.item.clone()))
    }

    fn next(&self) -> Result<Next, CallError> {
        let page = |token: &String| Next::Page {
            parameters: vec![
                ("token".to_owned(), Some(token.clone().into())),
                ("page".to_owned(), Some((self.number + 1).into())),
            ],
            is_empty: self.is_empty,
        };
        Ok(self.token.as_ref().map_or(Next::End, page))
    }
}

impl Api for Client {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, CallError>> {
        Box::pin(async move {
            let result = match request.operation {
                operation::LIST => self.list(&request).await,
                operation::READ => self.read(&request).await,
                operation::SET | operation::CLEAR => self.set_attribute(&request).await,
                operation::DELETE => self.delete(&request).await,
                other => Err(CallError::configuration(format!("there is no operation {other}"))),
            };
            let page = result.map_err(|error| error.of(request.service, request.operation, request.region))?;
            Ok(Response::new(page))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_that_is_used_again_is_another_page() {
        let page = |number| Page { item: Value::Null, token: Some("1".to_owned()), number, is_empty: false };
        assert!(page(0).next() != page(1).next());
        assert_eq!(Page::single(Value::Null).next(), Ok(Next::End));
    }
}
