//! Paging: a sequence of calls that follow what each response says about the next page.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use serde_json::{Map, Value};

use super::{
    api::{Api, Next, Request, Response},
    error::CallError,
};

/// The most pages of an operation. More indicate a service that repeats itself.
const MAX_PAGES: usize = 10_000;
/// The most consecutive pages without an item. A service that filters its results sends fewer.
const MAX_EMPTY_PAGES: usize = 1000;

/// The pages of an operation. Nothing is sent before the first [`Pages::next`].
pub struct Pages<'a> {
    api: &'a dyn Api,
    service: String,
    operation: String,
    region: String,
    input: Map<String, Value>,
    limit: Option<Duration>,
    /// Hashes of the followed parameters, which may have any length.
    seen: HashSet<u64>,
    hasher: RandomState,
    /// The number of consecutive pages without an item.
    empty: usize,
    done: bool,
}

impl<'a> Pages<'a> {
    /// Returns the pages of a call.
    #[must_use]
    pub fn new(api: &'a dyn Api, mut request: Request<'_>) -> Self {
        api.limit_page(&mut request);
        Self {
            api,
            service: request.service.to_owned(),
            operation: request.operation.to_owned(),
            region: request.region.to_owned(),
            input: request.input,
            limit: request.limit,
            seen: HashSet::new(),
            hasher: RandomState::new(),
            empty: 0,
            done: false,
        }
    }

    /// Returns the next page, see [`Pages::next`]; fails if it says that a location did not answer.
    pub async fn next_complete(&mut self) -> Option<Result<Response, CallError>> {
        let page = self.next().await?;
        let complete = page.and_then(|page| match page.partial()?.first() {
            Some(part) => Err(part.error().of(&self.service, &self.operation, &self.region)),
            None => Ok(page),
        });
        Some(complete)
    }

    /// Returns the next page; `None` after the last one and after an error.
    pub async fn next(&mut self) -> Option<Result<Response, CallError>> {
        if self.done {
            return None;
        }
        self.done = true;
        let request = Request {
            service: &self.service,
            operation: &self.operation,
            region: &self.region,
            input: self.input.clone(),
            limit: self.limit,
        };
        let response = match self.api.call(request).await {
            Ok(response) => response,
            Err(error) => return Some(Err(error)),
        };
        match self.advance(&response) {
            Ok(()) => Some(Ok(response)),
            Err(error) => Some(Err(error)),
        }
    }

    /// Returns whether the last page is empty and another one follows, so that it need not be kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.empty > 0
    }

    /// Prepares the call for the next page, if there is one.
    fn advance(&mut self, response: &Response) -> Result<(), CallError> {
        let Next::Page { parameters, is_empty } = response.next()? else {
            self.empty = 0;
            return Ok(());
        };
        self.empty = if is_empty { self.empty + 1 } else { 0 };
        let unexpected =
            |message: &str| CallError::unexpected_response(message).of(&self.service, &self.operation, &self.region);
        if !self.seen.insert(self.hasher.hash_one(&parameters)) {
            return Err(unexpected("the token for the next page was repeated"));
        }
        if self.seen.len() >= MAX_PAGES {
            return Err(unexpected(&format!("more than {MAX_PAGES} pages")));
        }
        if self.empty >= MAX_EMPTY_PAGES {
            return Err(unexpected(&format!(
                "{MAX_EMPTY_PAGES} consecutive pages without an item, and still a token for the next"
            )));
        }
        for (parameter, value) in parameters {
            match value {
                Some(value) => drop(self.input.insert(parameter, value)),
                None => drop(self.input.remove(&parameter)),
            }
        }
        self.done = false;
        Ok(())
    }
}
