//! What the engine needs of a cloud's API: calls by name, and responses as trees.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};

use super::{CallError, Tree};
use crate::collector_api::BoxFuture;

/// The API of a cloud, with the credentials of one account.
pub trait Api: Send + Sync {
    /// Makes a call, with retries.
    ///
    /// # Errors
    /// The service's error, or the reason for its absence, after the last attempt.
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, CallError>>;

    /// Adds the parameters of the first page to a call whose pages are followed, such as the largest page size.
    fn limit_page(&self, _request: &mut Request<'_>) {}
}

/// A call.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The service's name, such as `compute`.
    pub service: &'a str,
    /// The operation's name.
    pub operation: &'a str,
    /// The region or other location of the call.
    pub region: &'a str,
    /// The parameters by name.
    pub input: Map<String, Value>,
    /// The timeout of the call with all its attempts, if shorter than usual.
    pub limit: Option<Duration>,
}

impl<'a> Request<'a> {
    /// Returns a call without parameters.
    #[must_use]
    pub fn new(service: &'a str, operation: &'a str, region: &'a str) -> Self {
        Self { service, operation, region, input: Map::new(), limit: None }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn with(mut self, parameter: &str, value: impl Into<Value>) -> Self {
        self.input.insert(parameter.to_owned(), value.into());
        self
    }

    /// Sets all parameters.
    #[must_use]
    pub fn input(self, input: Map<String, Value>) -> Self {
        Self { input, ..self }
    }

    /// Limits the time of the call with all its attempts.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

/// The body of a successful response, in the form of its API.
pub trait Body: Send + Sync {
    /// Returns the response as a tree that borrows from it. Parses on each call.
    ///
    /// # Errors
    /// A response that the API does not allow.
    fn tree(&self) -> Result<Tree<'_>, CallError>;

    /// Returns the error that a successful response reports of what was asked, if any.
    ///
    /// # Errors
    /// As for [`Body::tree`].
    fn refusal(&self) -> Result<Option<CallError>, CallError> {
        Ok(None)
    }

    /// Returns the locations that did not answer, by a successful response that has only what the others have.
    ///
    /// # Errors
    /// As for [`Body::tree`].
    fn partial(&self) -> Result<Vec<Partial>, CallError> {
        Ok(Vec::new())
    }

    /// Returns what follows this page.
    ///
    /// # Errors
    /// As for [`Body::tree`].
    fn next(&self) -> Result<Next, CallError>;
}

/// A location that did not answer a call, although the response is a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The level of the location, such as `zone`; `None` if it is not known which location is missing.
    pub scope: Option<String>,
    /// The location's ID in its level.
    pub id: String,
    /// The service's code for the failure in that location.
    pub code: String,
    /// The service's message, which may be empty.
    pub message: String,
    /// Whether the response says for itself which of the locations inside it did not answer.
    pub is_alone: bool,
}

/// What follows a page.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Nothing: it is the last one.
    End,
    /// Another page.
    Page {
        /// The parameters of its call that differ: their values, or `None` for those to remove.
        parameters: Vec<(String, Option<Value>)>,
        /// Whether the current page has no items.
        is_empty: bool,
    },
}

/// A successful response.
pub struct Response(Box<dyn Body>);

impl Response {
    /// Returns a response with this body.
    pub fn new(body: impl Body + 'static) -> Self {
        Self(Box::new(body))
    }

    /// Returns the response as a tree that borrows from it. Parses on each call.
    ///
    /// # Errors
    /// A response that the API does not allow.
    pub fn tree(&self) -> Result<Tree<'_>, CallError> {
        self.0.tree()
    }

    pub(super) fn refusal(&self) -> Result<Option<CallError>, CallError> {
        self.0.refusal()
    }

    /// Returns the locations that did not answer. What the response has of all others is complete.
    ///
    /// # Errors
    /// A response that the API does not allow.
    pub fn partial(&self) -> Result<Vec<Partial>, CallError> {
        self.0.partial()
    }

    pub(super) fn next(&self) -> Result<Next, CallError> {
        self.0.next()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Response").field(&self.tree()).finish()
    }
}
