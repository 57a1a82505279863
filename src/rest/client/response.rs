//! Responses: whether they are the API's, and what follows a page.
//!
//! A missing list is no empty list: a body without the list that the definition names is from elsewhere, or the
//! definition is wrong.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap, LINK},
};
use serde_json::{Map, Value};

use super::{
    super::{api::Paging, description::Description, operation::Operation},
    Answer, failure,
    request::PAGE_URL,
};
use crate::engine::{Body, CallError, Next, Partial, Path, Tree, eval::text, http::is_markup, repair};

/// The status of a success without a body.
const NO_CONTENT: u16 = 204;

/// The most characters of a header in a message.
const MAX_HEADER: usize = 500;

/// Parameters of the next page's call that differ: their values, or `None` for those to remove.
type Following = Vec<(String, Option<Value>)>;

/// A successful response.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    /// The parameters of the call of the next page that differ.
    next: Option<Following>,
    is_empty: bool,
    missing: Vec<Partial>,
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
    let text = checked_text(description, status, &headers, body)?;
    let tree = parse(&text)?;
    // A status of its own says that there is nothing.
    if status != NO_CONTENT
        && let Some(container) = operation.container()
        && !container.values(&tree).iter().any(|found| matches!(found, Tree::List(_) | Tree::Map(_)))
    {
        let message = format!("the response has no list at {container}");
        return Err(CallError::unexpected_response(message));
    }
    let items = operation.items.as_ref().map_or(0, |items| items.values(&tree).len());
    let pages = if operation.is_list() { &operation.pages } else { &Paging::None };
    let next = next(pages, &tree, &headers, input, items)?;
    if let Some(address) = next.as_ref().and_then(|next| next.iter().find(|(name, _)| name == PAGE_URL)) {
        check_origin(address.1.as_ref(), base)?;
    }
    drop(tree);
    let missing = missing(description, &headers).into_iter().collect();
    Ok(Page { text, next, is_empty: operation.items.is_some() && items == 0, missing })
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
    let text = checked_text(description, *status, headers, body.clone())?;
    serde_json::from_str(&text).map_err(|error| CallError::unexpected_response(error.to_string()))
}

/// Returns the body of a successful response; nothing has the form of null.
fn checked_text(description: &Description, status: u16, headers: &HeaderMap, body: Bytes) -> Result<String, CallError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(is_markup) {
        return Err(CallError::foreign_response(format!(
            "HTTP status {status} with a web page ({} bytes)",
            body.len()
        )));
    }
    let text = repair::json(repair::text(body));
    let tree: Option<Tree<'_>> = serde_json::from_str(&text).ok();
    failure::judge(&description.api, status, headers, tree.as_ref())?;
    match tree {
        Some(_) => Ok(text),
        None if text.trim().is_empty() && status == NO_CONTENT => Ok("null".to_owned()),
        None => Err(CallError::foreign_response(format!("{} bytes that are no JSON", text.len()))),
    }
}

fn parse(text: &str) -> Result<Tree<'_>, CallError> {
    serde_json::from_str(text).map_err(|error| CallError::unexpected_response(error.to_string()))
}

/// Returns the parameters of the next page's call that differ, if there is a next page.
fn next(
    pages: &Paging,
    tree: &Tree<'_>,
    headers: &HeaderMap,
    input: &Map<String, Value>,
    items: usize,
) -> Result<Option<Following>, CallError> {
    let number = |parameter: &str, otherwise: i64| input.get(parameter).map_or(Some(otherwise), Value::as_i64);
    let at =
        |path: &Option<Path>| path.as_ref().and_then(|path| path.values(tree).into_iter().next().and_then(Tree::int));
    let set = |parameter: &str, value: Value| Some(vec![(parameter.to_owned(), Some(value))]);
    Ok(match pages {
        Paging::None => None,
        Paging::Cursor { next, header, parameter, alone, is_query, .. } => {
            let in_body = next.as_ref().and_then(|path| path.values(tree).into_iter().next()).and_then(text);
            let in_header = || header.as_ref().and_then(|name| headers.get(name)?.to_str().ok()).map(Into::into);
            let cursor = in_body.or_else(in_header).filter(|cursor| !cursor.is_empty());
            cursor.map(|cursor| following(&cursor, parameter, *alone, *is_query, input))
        }
        Paging::Page { last, .. } if items == 0 && last.is_none() => None,
        Paging::Page { parameter, first, last, .. } => {
            let page = number(parameter, *first).unwrap_or(*first);
            let is_last = at(last).is_some_and(|last| page >= last);
            if is_last { None } else { set(parameter, (page + 1).into()) }
        }
        Paging::Offset { total, .. } if items == 0 && total.is_none() => None,
        Paging::Offset { parameter, total, .. } => {
            let end = number(parameter, 0).unwrap_or(0).saturating_add(i64::try_from(items).unwrap_or(i64::MAX));
            let total = at(total);
            if items == 0 && total.is_some_and(|total| end < total) {
                let message = format!("a page has no items, although {end} of {total:?} were sent");
                return Err(CallError::unexpected_response(message));
            }
            if items == 0 || total.is_some_and(|total| end >= total) { None } else { set(parameter, end.into()) }
        }
        Paging::Link { next, .. } => {
            let in_body = next.as_ref().and_then(|path| path.values(tree).into_iter().next()).and_then(text);
            let link = in_body.map(|link| link.into_owned()).or_else(|| linked(headers));
            link.filter(|link| !link.is_empty()).and_then(|link| set(PAGE_URL, link.into()))
        }
    })
}

/// Returns the parameters that follow from a cursor.
fn following(cursor: &str, parameter: &str, alone: bool, is_query: bool, input: &Map<String, Value>) -> Following {
    let mut next = match is_query.then(|| query(cursor)).flatten() {
        Some(pairs) => pairs.into_iter().map(|(name, value)| (name, Some(Value::from(value)))).collect(),
        None => vec![(parameter.to_owned(), Some(Value::from(cursor)))],
    };
    if alone {
        let replaced: Vec<String> =
            input.keys().filter(|name| !next.iter().any(|(known, _)| known == *name)).cloned().collect();
        next.extend(replaced.into_iter().map(|name| (name, None)));
    }
    next
}

/// Returns the pairs of a query string in base64, which may be percent-encoded; `None` if it is none.
fn query(cursor: &str) -> Option<Vec<(String, String)>> {
    // Base64 has a plus itself, which is no blank.
    let encoded = format!("cursor={}", cursor.replace('+', "%2B"));
    let (_, decoded) = form_urlencoded::parse(encoded.as_bytes()).next()?;
    let text = String::from_utf8(STANDARD_NO_PAD.decode(decoded.trim().trim_end_matches('=')).ok()?).ok()?;
    let pairs: Vec<_> =
        form_urlencoded::parse(text.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    (!pairs.is_empty() && text.contains('=')).then_some(pairs)
}

/// Returns the address of the next page in the header `Link`.
fn linked(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).find_map(|link| {
        let (address, parameters) = link.split_once(';')?;
        let is_next = parameters.split(';').any(|one| {
            let (name, value) = one.split_once('=').unwrap_or_default();
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
        });
        let address = address.trim().strip_prefix('<')?.strip_suffix('>')?;
        is_next.then(|| address.to_owned())
    })
}

/// Checks that the next page is of the API itself, as its calls have the credentials.
fn check_origin(address: Option<&Value>, base: &Url) -> Result<(), CallError> {
    let url = address.and_then(Value::as_str).and_then(|address| base.join(address).ok());
    match url {
        Some(url) if url.origin() == base.origin() => Ok(()),
        Some(url) => {
            let message = format!(
                "the next page is at {}, and not at {}, so that credentials are not sent there",
                url.origin().ascii_serialization(),
                base.origin().ascii_serialization()
            );
            Err(CallError::unexpected_response(message))
        }
        None => Err(CallError::unexpected_response("the address of the next page is none")),
    }
}
