//! Responses: whether they are the API's, and what follows a page.
//!
//! A missing list is no empty list: a body without the list that the definition names is from elsewhere, or the
//! definition is wrong.

use bytes::Bytes;
use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::{Map, Value};

use super::{
    super::{api::Paging, description::Description, operation::Operation},
    Answer,
    failure::{self, NO_CONTENT},
    paging::{self, Following},
};
use crate::engine::{Body, CallError, Next, Partial, Tree, definition::Condition, http::is_markup, repair};

/// The most characters of a header in a message.
const MAX_HEADER: usize = 500;

/// A successful response.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    /// The parameters of the call of the next page that differ.
    next: Option<Following>,
    is_empty: bool,
    /// See [`Page::is_perhaps_cut_off`].
    is_full_end: bool,
    missing: Vec<Partial>,
}

impl Page {
    /// Returns whether the list ends with a page that is full, because nothing says that another one follows.
    pub(super) fn is_perhaps_cut_off(&self) -> bool {
        self.is_full_end
    }
}

impl Body for Page {
    fn tree(&self) -> Result<Tree<'_>, CallError> {
        parse(&self.text)
    }

    fn partial(&self) -> Result<Vec<Partial>, CallError> {
        Ok(self.missing.clone())
    }

    fn next(&self) -> Result<Next, CallError> {
        let page = |parameters: &Vec<_>| Next::Page { parameters: parameters.clone(), is_empty: self.is_empty };
        Ok(self.next.as_ref().map_or(Next::End, page))
    }
}

/// Reads a response of an operation that was called with `input`.
///
/// # Errors
/// The API's error, or why the response is none of the API's.
pub(super) fn read(
    description: &Description,
    operation: &Operation,
    input: &Map<String, Value>,
    base: &Url,
    answer: Answer,
) -> Result<Page, CallError> {
    let Answer { status, headers, body } = answer;
    let success = description.api.response.success.as_ref();
    let text = checked_text(description, success, (status, &headers), body)?;
    let tree = parse(&text)?;
    // A status of its own says that there is nothing.
    let length =
        if status == NO_CONTENT { 0 } else { operation.length(&tree).map_err(CallError::unexpected_response)? };
    let pages = if operation.is_list() { &operation.pages } else { &Paging::None };
    let next = paging::Page { tree: &tree, headers: &headers, input, length, items: operation.digest(&tree), base }
        .next(pages)?;
    drop(tree);
    let full = pages.limit().and_then(|limit| usize::try_from(limit.size).ok());
    let is_full = full.is_some_and(|full| length >= full);
    let is_full_end = is_full && next.is_none() && matches!(pages, Paging::Cursor { .. } | Paging::Link { .. });
    let missing = missing(description, &headers).into_iter().collect();
    Ok(Page { text, next, is_empty: length == 0, is_full_end, missing })
}

/// Returns what a header says is missing in a successful response.
fn missing(description: &Description, headers: &HeaderMap) -> Option<Partial> {
    let partial = description.api.response.partial.as_ref()?;
    let value = headers.get(&partial.header)?.to_str().ok()?;
    let message = value.chars().take(MAX_HEADER).collect();
    let is_said = value.contains(&partial.contains);
    is_said.then(|| Partial { scope: None, id: String::new(), code: partial.code.clone(), message, is_alone: false })
}

/// Returns the body of a response that is one object and no failure, for the call of a token.
pub(super) fn object(description: &Description, answer: &Answer) -> Result<Value, CallError> {
    let Answer { status, headers, body } = answer;
    // What each success of the API has is not in those of its server of tokens.
    let text = checked_text(description, None, (*status, headers), body.clone())?;
    serde_json::from_str(&text).map_err(|error| CallError::unexpected_response(error.to_string()))
}

/// Returns the body of a successful response; nothing has the form of null.
fn checked_text(
    description: &Description,
    success: Option<&Condition>,
    (status, headers): (u16, &HeaderMap),
    body: Bytes,
) -> Result<String, CallError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(is_markup) {
        // Gateways in front of an API have pages for their errors.
        failure::judge(&description.api, None, (status, headers), None).and_then(|()| {
            Err(CallError::foreign_response(format!("HTTP status {status} with a web page ({} bytes)", body.len())))
        })?;
    }
    let text = repair::json(repair::text(body));
    let tree: Option<Tree<'_>> = serde_json::from_str(&text).ok();
    failure::judge(&description.api, success, (status, headers), tree.as_ref())?;
    match tree {
        Some(_) => Ok(text),
        None if text.trim().is_empty() && status == NO_CONTENT => Ok("null".to_owned()),
        None => Err(CallError::foreign_response(format!("{} bytes that are no JSON", text.len()))),
    }
}

fn parse(text: &str) -> Result<Tree<'_>, CallError> {
    serde_json::from_str(text).map_err(|error| CallError::unexpected_response(error.to_string()))
}
