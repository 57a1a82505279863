//! Paging: a sequence of calls that follow the tokens of the responses.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use serde_json::Value;

use super::{
    Client, Request,
    error::CallError,
    model::{self, Operation, Paginator},
    path::Path,
    request::Input,
    response::Response,
    tree::Tree,
};

/// The most pages of an operation. More indicate a service that repeats itself.
const MAX_PAGES: usize = 10_000;
/// The most consecutive pages without an item. A service that filters its results sends fewer.
const MAX_EMPTY_PAGES: usize = 1000;
/// The size in bytes below which a page may be empty. Larger ones are not examined.
const EMPTY_PAGE: usize = 64 * 1024;

/// The pages of an operation. Operations without a paginator have exactly one.
pub struct Pages {
    client: Client,
    service: String,
    operation: String,
    region: String,
    input: Input,
    /// Hashes of the followed tokens, which may have any length.
    seen: HashSet<u64>,
    hasher: RandomState,
    /// The number of consecutive pages without an item.
    empty: usize,
    done: bool,
}

impl Pages {
    pub(super) fn new(client: Client, mut request: Request<'_>) -> Self {
        if let Some(paginator) =
            model::operation(request.service, request.operation).and_then(|operation| operation.paginator.as_ref())
        {
            limit(&mut request.input, paginator);
        }
        Self {
            client,
            service: request.service.to_owned(),
            operation: request.operation.to_owned(),
            region: request.region.to_owned(),
            input: request.input,
            seen: HashSet::new(),
            hasher: RandomState::new(),
            empty: 0,
            done: false,
        }
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
        };
        let response = match self.client.call(request).await {
            Ok(response) => response,
            Err(error) => return Some(Err(error)),
        };
        match self.advance(&response) {
            Ok(()) => Some(Ok(response)),
            Err(error) => Some(Err(error)),
        }
    }

    /// Returns whether the last page is empty and another one follows, so that it need not be kept.
    pub fn is_empty(&self) -> bool {
        self.empty > 0
    }

    /// Prepares the call for the next page, if there is one.
    fn advance(&mut self, response: &Response) -> Result<(), CallError> {
        let Some(paginator) = &response.operation().paginator else { return Ok(()) };
        let tokens = next_tokens(response, paginator)?;
        if tokens.iter().all(Option::is_none) {
            self.empty = 0;
            return Ok(());
        }
        self.empty = if is_empty(response, paginator)? { self.empty + 1 } else { 0 };
        let unexpected =
            |message: &str| CallError::unexpected_response(message).of(&self.service, &self.operation, &self.region);
        if !self.seen.insert(self.hasher.hash_one(&tokens)) {
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
        for (parameter, token) in paginator.input.iter().zip(tokens) {
            match token {
                Some(token) => {
                    drop(self.input.insert((*parameter).to_owned(), number_or_text(response, parameter, token)))
                }
                None => drop(self.input.remove(*parameter)),
            }
        }
        self.done = false;
        Ok(())
    }
}

/// Sets the page size. Without one, a service may return everything in one response of any length, and throttles
/// sooner.
fn limit(input: &mut Input, paginator: &Paginator) {
    let Some((limit, size)) = paginator.limit.zip(paginator.size) else { return };
    if !input.contains_key(limit) && !input.keys().any(|parameter| names_items(parameter)) {
        input.insert(limit.to_owned(), size.into());
    }
}

/// Returns whether a parameter lists the requested items. Some operations reject a page size beside it, and none needs
/// one. A list of owners may match any number of items.
fn names_items(parameter: &str) -> bool {
    ["Ids", "Names", "Arns"].iter().any(|end| parameter.ends_with(end)) && parameter != "OwnerIds"
}

/// Converts a token to the type of its parameter.
fn number_or_text(response: &Response, parameter: &str, token: String) -> Value {
    let number = || matches!(response.operation().parameter(parameter), Some(model::Kind::Integer));
    match token.parse::<i64>() {
        Ok(value) if number() => value.into(),
        _ => Value::String(token),
    }
}

/// Returns the tokens of the next page, one for each of the paginator's parameters; all `None` on the last page.
fn next_tokens(response: &Response, paginator: &Paginator) -> Result<Vec<Option<String>>, CallError> {
    let paths = paginator.output.iter().flatten().chain(&paginator.more);
    let members: Vec<&str> = paths.filter_map(Path::first_member).collect();
    let none = || vec![None; paginator.output.len()];
    if !mentions_any(response, &members) {
        return Ok(none());
    }
    let tree = response.members(Some(&members))?;
    let is_more = |path: &Path| path.values(&tree).first().and_then(|more| more.bool()).unwrap_or_default();
    if paginator.more.as_ref().is_some_and(|path| !is_more(path)) {
        return Ok(none());
    }
    Ok(paginator.output.iter().map(|alternatives| token(&tree, alternatives)).collect())
}

/// Returns whether a page has none of the items that its operation lists.
fn is_empty(response: &Response, paginator: &Paginator) -> Result<bool, CallError> {
    if paginator.results.is_empty() || response.body().len() > EMPTY_PAGE {
        return Ok(false);
    }
    let members: Vec<&str> = paginator.results.iter().filter_map(Path::first_member).collect();
    let tree = response.members(Some(&members))?;
    let has_items = |path: &Path| {
        path.values(&tree).iter().any(|found| match found {
            Tree::Null => false,
            Tree::List(items) => !items.is_empty(),
            Tree::Map(members) => !members.is_empty(),
            _ => true,
        })
    };
    Ok(!paginator.results.iter().any(has_items))
}

/// Returns whether any of these members may be in the response: most last pages have no token at all and need no
/// parsing.
fn mentions_any(response: &Response, wanted: &[&str]) -> bool {
    let operation: &Operation = response.operation();
    let Some(output) = &operation.output else { return false };
    let members = output.get().members.iter().filter(|member| wanted.contains(&member.name));
    members.into_iter().any(|member| contains(response.body(), member.wire.as_bytes()))
}

/// Returns whether bytes contain others. The search starts at the end, where tokens usually are.
fn contains(body: &[u8], needle: &[u8]) -> bool {
    let Some((first, _)) = needle.split_first() else { return true };
    body.windows(needle.len()).rev().any(|window| window.first() == Some(first) && window == needle)
}

/// Returns the token at the first alternative that is present and not empty.
fn token(tree: &Tree<'_>, alternatives: &[Path]) -> Option<String> {
    alternatives.iter().find_map(|path| match path.values(tree).first()? {
        Tree::Text(text) if !text.is_empty() => Some(text.to_string()),
        Tree::Int(number) => Some(number.to_string()),
        _ => None,
    })
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
