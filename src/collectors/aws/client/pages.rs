//! Paging by the models: page sizes, and the tokens of the next page.

use serde_json::Value;

use super::{
    model::{self, Operation, Paginator},
    response::Response,
};
use crate::engine::{CallError, Next, Path, Request, Tree};

/// The size in bytes below which a page may be empty. Larger ones are not examined.
const EMPTY_PAGE: usize = 64 * 1024;

/// Sets the page size. Without one, a service may return everything in one response of any length, and throttles
/// sooner.
pub(super) fn limit(request: &mut Request<'_>) {
    let operation = model::operation(request.service, request.operation);
    let Some(paginator) = operation.and_then(|operation| operation.paginator.as_ref()) else { return };
    let Some((limit, size)) = paginator.limit.zip(paginator.size) else { return };
    let input = &mut request.input;
    if !input.contains_key(limit) && !input.keys().any(|parameter| names_items(parameter)) {
        input.insert(limit.to_owned(), size.into());
    }
}

/// Returns what follows a page. Operations without a paginator have exactly one.
pub(super) fn next(response: &Response) -> Result<Next, CallError> {
    let Some(paginator) = &response.operation().paginator else { return Ok(Next::End) };
    let tokens = next_tokens(response, paginator)?;
    if tokens.iter().all(Option::is_none) {
        return Ok(Next::End);
    }
    let is_empty = is_empty(response, paginator)?;
    let parameters = paginator.input.iter().zip(tokens).map(|(parameter, token)| {
        ((*parameter).to_owned(), token.map(|token| number_or_text(response, parameter, token)))
    });
    Ok(Next::Page { parameters: parameters.collect(), is_empty })
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
