//! The client: JSON over HTTP, pages by a cursor in the body, and a rate limit that says how long to wait.

use std::time::Duration;

use ckworker::{
    collector_api::{BoxFuture, UnitWaits},
    engine::{
        Api, Attempt, Body, CallError, CallErrorKind, Calls, ErrorFacts, Next, Partial, Request, Response, Timeouts,
        Tree, code,
    },
};
use reqwest::{Client, Method};
use serde_json::Value;

/// The API with the token of one account.
pub struct NimbusApi {
    base: String,
    token: String,
    http: Client,
    calls: Calls,
}

/// A page of JSON.
struct Page(String);

impl NimbusApi {
    /// An API at an address.
    pub fn new(base: &str, token: &str, waits: UnitWaits, timeouts: Timeouts) -> Self {
        let calls = Calls::new(waits, timeouts);
        Self { base: base.to_owned(), token: token.to_owned(), http: Client::new(), calls }
    }

    async fn attempt(&self, method: Method, path: &str, query: &[(String, String)]) -> Result<Page, CallError> {
        let url = reqwest::Url::parse_with_params(&format!("{}/{path}", self.base), query);
        let url = url.map_err(|error| CallError::configuration(error.to_string()))?;
        let unreachable = |error: reqwest::Error| {
            CallError::new(CallErrorKind::Unavailable, code::CONNECTION_LOST, error.without_url().to_string())
        };
        let response = self.http.request(method, url).bearer_auth(&self.token).send().await.map_err(unreachable)?;
        let status = response.status();
        let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.text().await.map_err(unreachable)?;
        if status.is_success() {
            return match serde_json::from_str::<Tree<'_>>(&body) {
                Ok(Tree::Map(_)) => Ok(Page(body)),
                _ => Err(CallError::foreign_response("a body that is no object")),
            };
        }
        let kind = match status.as_u16() {
            401 => CallErrorKind::Credentials,
            status => CallErrorKind::of_status(status),
        };
        let mut error = CallError::new(kind, status.as_str(), body);
        error.facts = ErrorFacts {
            means_deleted: status.as_u16() == 404,
            // Unpaid, and not there at all.
            ends_service: status.as_u16() == 402,
            is_not_in_use: status.as_u16() == 410,
            ..ErrorFacts::default()
        };
        Err(match wait {
            Some(seconds) => error.with_retry_after(Duration::from_secs(seconds)),
            None => error,
        })
    }
}

impl Api for NimbusApi {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, CallError>> {
        Box::pin(async move {
            let (method, path) = request.operation.split_once(' ').unwrap_or(("GET", request.operation));
            let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
            let mut path = path.replace("{location}", request.region);
            let mut query = Vec::new();
            for (name, value) in &request.input {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let brace = format!("{{{name}}}");
                match path.contains(&brace) {
                    true => path = path.replace(&brace, &value),
                    false => query.push((name.clone(), value)),
                }
            }
            let attempt = async || Attempt::from(self.attempt(method.clone(), &path, &query).await);
            self.calls.run(&request, attempt).await.map(Response::new)
        })
    }
}

impl Body for Page {
    fn tree(&self) -> Result<Tree<'_>, CallError> {
        serde_json::from_str(&self.0).map_err(|error| CallError::unexpected_response(error.to_string()))
    }

    /// Locations that did not answer are named as in `zones/north-a`, or in a form that tells no location. After `only `
    /// it is the location without those inside it.
    fn partial(&self) -> Result<Vec<Partial>, CallError> {
        let tree = self.tree()?;
        let silent = tree.path("silent[]").into_iter().filter_map(Tree::text).map(|name| {
            let (is_alone, name) = name.strip_prefix("only ").map_or((false, name), |name| (true, name));
            let (scope, id) = name.split_once("s/").map_or((None, name), |(scope, id)| (Some(scope.to_owned()), id));
            Partial { scope, id: id.to_owned(), code: "UNREACHABLE".to_owned(), message: String::new(), is_alone }
        });
        Ok(silent.collect())
    }

    fn next(&self) -> Result<Next, CallError> {
        let tree = self.tree()?;
        let cursor = tree.get("nextCursor").and_then(Tree::text).filter(|cursor| !cursor.is_empty());
        Ok(cursor.map_or(Next::End, |cursor| {
            let parameters = vec![("cursor".to_owned(), Some(Value::from(cursor)))];
            Next::Page {
                parameters,
                is_empty: tree.entries().iter().all(|(name, _)| name == "nextCursor" || name == "silent"),
            }
        }))
    }
}
