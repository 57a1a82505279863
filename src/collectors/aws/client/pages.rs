//! Pages: the calls that follow each other until a service has no more to say.

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
    response::Reply,
    tree::Tree,
};

/// More pages than any account has; what comes then is a service that goes round in circles.
const MAX_PAGES: usize = 10_000;
/// More pages without an item, one after the other, than a service that filters what it finds sends.
const MAX_EMPTY_PAGES: usize = 1000;
/// A page without items is shorter than this, in bytes. Longer ones are not looked through.
const EMPTY_PAGE: usize = 64 * 1024;

/// The pages of one operation. Operations without pages have exactly one.
pub struct Pages {
    client: Client,
    service: String,
    operation: String,
    region: String,
    input: Input,
    /// Hashes of the tokens that were followed. A token may have any length.
    seen: HashSet<u64>,
    hasher: RandomState,
    /// Pages without an item, since the last one with any.
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

    /// The next page; `None` after the last one and after an error.
    pub async fn next(&mut self) -> Option<Result<Reply, CallError>> {
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
        let reply = match self.client.call(request).await {
            Ok(reply) => reply,
            Err(error) => return Some(Err(error)),
        };
        match self.advance(&reply) {
            Ok(()) => Some(Ok(reply)),
            Err(error) => Some(Err(error)),
        }
    }

    /// Whether the last page is followed by others and has no items, so that nobody needs to keep it.
    pub fn is_empty(&self) -> bool {
        self.empty > 0
    }

    /// Prepares the call for the page after this one, if there is one.
    fn advance(&mut self, reply: &Reply) -> Result<(), CallError> {
        let Some(paginator) = &reply.operation().paginator else { return Ok(()) };
        let tokens = next_tokens(reply, paginator)?;
        if tokens.iter().all(Option::is_none) {
            self.empty = 0;
            return Ok(());
        }
        self.empty = if is_empty(reply, paginator)? { self.empty + 1 } else { 0 };
        let odd =
            |message: &str| CallError::unexpected_response(message).of(&self.service, &self.operation, &self.region);
        if !self.seen.insert(self.hasher.hash_one(&tokens)) {
            return Err(odd("the same token for the next page came twice"));
        }
        if self.seen.len() >= MAX_PAGES {
            return Err(odd(&format!("more than {MAX_PAGES} pages")));
        }
        if self.empty >= MAX_EMPTY_PAGES {
            return Err(odd(&format!(
                "{MAX_EMPTY_PAGES} pages in a row without an item, and still a token for the next"
            )));
        }
        for (parameter, token) in paginator.input.iter().zip(tokens) {
            match token {
                Some(token) => {
                    drop(self.input.insert((*parameter).to_owned(), number_or_text(reply, parameter, token)))
                }
                None => drop(self.input.remove(*parameter)),
            }
        }
        self.done = false;
        Ok(())
    }
}

/// Asks for pages of a size. Without one a service may answer with everything at once, in a reply of any length, and bears
/// fewer such calls.
fn limit(input: &mut Input, paginator: &Paginator) {
    let Some((limit, size)) = paginator.limit.zip(paginator.size) else { return };
    if !input.contains_key(limit) && !input.keys().any(|parameter| names_items(parameter)) {
        input.insert(limit.to_owned(), size.into());
    }
}

/// Whether a parameter names what is wanted, one by one. Some operations refuse a size of pages beside that, and none needs
/// it. What belongs to owners may be any number.
fn names_items(parameter: &str) -> bool {
    ["Ids", "Names", "Arns"].iter().any(|end| parameter.ends_with(end)) && parameter != "OwnerIds"
}

/// A token in the type that its parameter has.
fn number_or_text(reply: &Reply, parameter: &str, token: String) -> Value {
    let number = || matches!(reply.operation().parameter(parameter), Some(model::Kind::Integer));
    match token.parse::<i64>() {
        Ok(value) if number() => value.into(),
        _ => Value::String(token),
    }
}

/// Returns the tokens of the next page, one for each of the paginator's parameters; all `None` on the last page.
fn next_tokens(reply: &Reply, paginator: &Paginator) -> Result<Vec<Option<String>>, CallError> {
    let paths = paginator.output.iter().flatten().chain(&paginator.more);
    let members: Vec<&str> = paths.filter_map(Path::first_member).collect();
    let none = || vec![None; paginator.output.len()];
    if !mentions_any(reply, &members) {
        return Ok(none());
    }
    let tree = reply.members(Some(&members))?;
    let is_more = |path: &Path| path.values(&tree).first().and_then(|more| more.bool()).unwrap_or_default();
    if paginator.more.as_ref().is_some_and(|path| !is_more(path)) {
        return Ok(none());
    }
    Ok(paginator.output.iter().map(|alternatives| token(&tree, alternatives)).collect())
}

/// Returns whether a page has none of the items that its operation lists.
fn is_empty(reply: &Reply, paginator: &Paginator) -> Result<bool, CallError> {
    if paginator.results.is_empty() || reply.body().len() > EMPTY_PAGE {
        return Ok(false);
    }
    let members: Vec<&str> = paginator.results.iter().filter_map(Path::first_member).collect();
    let tree = reply.members(Some(&members))?;
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

/// Whether any of these members can be in the reply: most last pages do not name a token at all, and need no parsing.
fn mentions_any(reply: &Reply, wanted: &[&str]) -> bool {
    let operation: &Operation = reply.operation();
    let Some(output) = &operation.output else { return false };
    let members = output.get().members.iter().filter(|member| wanted.contains(&member.name));
    members.into_iter().any(|member| contains(reply.body(), member.wire.as_bytes()))
}

/// Whether bytes contain others. Looks from the end, where tokens mostly are.
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
