//! Code of a collector, for what its definitions cannot express: operations that are made of others, and tokens.

use serde_json::{Map, Value};
use worker_proto::Failure;

use super::client::Client;
use crate::{
    collector_api::BoxFuture,
    engine::{Body, CallError, Next, Partial, Request, Tree},
};

/// The code of a collector.
#[derive(Clone, Copy)]
pub(crate) struct Code {
    /// Operations by name.
    pub(crate) operations: &'static [(&'static str, Compose)],
    /// A token that takes precedence over the description's authorization.
    pub(crate) token: Option<TokenOf>,
}

impl Code {
    /// No code.
    pub(crate) const NONE: Self = Self { operations: &[], token: None };
}

/// Makes the response to an operation of those to others.
pub(crate) type Compose = for<'a> fn(Caller<'a>) -> BoxFuture<'a, Result<Composed, CallError>>;

/// A composed response.
pub(crate) struct Composed {
    /// The items.
    pub(crate) items: Vec<Value>,
    /// What is missing among them.
    pub(crate) missing: Vec<Partial>,
}

/// What code may call.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(super) client: &'a Client,
    pub(super) request: &'a Request<'a>,
}

impl<'a> Caller<'a> {
    /// Returns the values of an option with a list.
    pub(crate) fn list(self, option: &str) -> Vec<&'a str> {
        let options = self.client.options();
        options.get(option).map(Tree::list).unwrap_or_default().iter().filter_map(Tree::text).collect()
    }

    /// Returns the items of all pages of an operation, and what the pages say is missing.
    ///
    /// # Errors
    /// The error of a call; a part of the pages is not enough.
    pub(crate) async fn items(self, operation: &str, input: &[(&str, &str)]) -> Result<Composed, CallError> {
        let Request { service, region, .. } = *self.request;
        let input: Map<String, Value> =
            input.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        let path = self.client.items_of(operation);
        let mut pages = self.client.pages(Request::new(service, operation, region).input(input));
        let (mut items, mut missing) = (Vec::new(), Vec::new());
        while let Some(page) = pages.next().await {
            let page = page?;
            missing.extend(page.partial()?);
            let tree = page.tree()?;
            let found = path.map_or_else(|| vec![&tree], |path| path.values(&tree));
            items.extend(found.into_iter().filter_map(|item| serde_json::to_value(item).ok()));
        }
        Ok(Composed { items, missing })
    }
}

/// The body of a composed response.
pub(super) struct ComposedBody {
    text: String,
    missing: Vec<Partial>,
}

impl From<Composed> for ComposedBody {
    fn from(composed: Composed) -> Self {
        Self { text: Value::Array(composed.items).to_string(), missing: composed.missing }
    }
}

impl Body for ComposedBody {
    fn tree(&self) -> Result<Tree<'_>, CallError> {
        serde_json::from_str(&self.text).map_err(|error| CallError::unexpected_response(error.to_string()))
    }

    fn partial(&self) -> Result<Vec<Partial>, CallError> {
        Ok(self.missing.clone())
    }

    fn next(&self) -> Result<Next, CallError> {
        Ok(Next::End)
    }
}

/// Gets a token, or returns `None` if the options for it are not set.
pub(crate) type TokenOf = for<'a> fn(&'a dyn TokenCaller) -> BoxFuture<'a, Result<Option<Token>, Failure>>;

/// A token for the header `Authorization: Bearer`. There is no `Debug`: it is a secret.
pub(crate) struct Token {
    /// The token.
    pub(crate) token: String,
    /// Its end in seconds since 1970.
    pub(crate) expires: Option<i64>,
}

/// What code may use to get a token. It runs in the supervisor.
pub(crate) trait TokenCaller: Sync {
    /// Returns the value of an option, secrets among them.
    fn option(&self, name: &str) -> Option<&str>;

    /// Calls a path of the API with a token of its own, by POST if `posts`.
    fn call<'a>(&'a self, posts: bool, path: &'a str, token: &'a str) -> BoxFuture<'a, Result<Value, CallError>>;
}
