//! What follows a page of a list.
//!
//! A list ends only where the page says so, or where a page is empty. A value that should say it and cannot be read is an
//! error, as the rest of the list would be missing.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use reqwest::{
    Url,
    header::{HeaderMap, HeaderValue, LINK},
};
use serde_json::{Map, Value};

use super::{
    super::api::Paging,
    redact::cut,
    request::{PAGE_ITEMS, PAGE_URL},
};
use crate::engine::{CallError, Path, Tree, eval::text};

/// Parameters of the next page's call that differ: their values, or `None` for those to remove.
pub(super) type Following = Vec<(String, Option<Value>)>;

/// A page of a list.
pub(super) struct Page<'p> {
    /// The body.
    pub(super) tree: &'p Tree<'p>,
    /// The headers.
    pub(super) headers: &'p HeaderMap,
    /// The parameters of its call.
    pub(super) input: &'p Map<String, Value>,
    /// The elements of the list.
    pub(super) length: usize,
    /// A hash of them.
    pub(super) items: u64,
    /// The address of the API, where all pages are.
    pub(super) base: &'p Url,
}

impl Page<'_> {
    /// Returns the parameters of the next page's call that differ, if there is a next page.
    ///
    /// # Errors
    /// Why it is not known whether there is one.
    pub(super) fn next(&self, pages: &Paging) -> Result<Option<Following>, CallError> {
        let set = |parameter: &str, value: Value| Some(vec![(parameter.to_owned(), Some(value))]);
        // The next page is asked for by its number, which an API may ignore.
        let counted = |parameter: &str, value: i64| {
            let items = (PAGE_ITEMS.to_owned(), Some(self.items.into()));
            Some(vec![(parameter.to_owned(), Some(value.into())), items])
        };
        if self.length > 0 && self.input.get(PAGE_ITEMS).and_then(Value::as_u64) == Some(self.items) {
            let parameter = pages.parameter().unwrap_or_default();
            let what = "the page has the same items as the one before; the API perhaps has no parameter";
            return Err(unexpected(format!("{what} {parameter}")));
        }
        Ok(match pages {
            Paging::None => None,
            Paging::Cursor { next, header, parameter, alone, is_query, .. } => {
                let in_header = || header.as_ref().and_then(|name| self.headers.get(name)).map(readable).transpose();
                let cursor = match self.text(next.as_ref())? {
                    Some(cursor) => Some(cursor),
                    None => in_header()?,
                };
                let cursor = cursor.filter(|cursor| !cursor.is_empty());
                cursor.map(|cursor| following(&cursor, parameter, *alone, *is_query, self.input))
            }
            Paging::Page { parameter, first, last, .. } => {
                let page = self.input.get(parameter).and_then(Value::as_i64).unwrap_or(*first);
                let is_last = match self.number(last.as_ref())? {
                    Some(last) => page >= last,
                    None => self.length == 0,
                };
                if is_last { None } else { counted(parameter, page.saturating_add(1)) }
            }
            Paging::Offset { parameter, total, .. } => {
                let from = self.input.get(parameter).and_then(Value::as_i64).unwrap_or(0);
                let end = from.saturating_add(i64::try_from(self.length).unwrap_or(i64::MAX));
                let is_last = match self.number(total.as_ref())? {
                    Some(total) if self.length == 0 && end < total => {
                        return Err(unexpected(format!("a page is empty, although {end} of {total} items were sent")));
                    }
                    Some(total) => end >= total,
                    None => self.length == 0,
                };
                if is_last { None } else { counted(parameter, end) }
            }
            Paging::Link { next, .. } => {
                let link = match self.text(next.as_ref())? {
                    Some(link) => Some(link),
                    None => linked(self.headers)?,
                };
                let link = link.filter(|link| !link.is_empty());
                link.map(|link| self.inside(&link)).transpose()?.and_then(|url| set(PAGE_URL, url.as_str().into()))
            }
        })
    }

    /// Returns the string at a path in the body, if there is one.
    fn text(&self, path: Option<&Path>) -> Result<Option<String>, CallError> {
        let Some(found) = self.at(path) else { return Ok(None) };
        let unreadable = || unexpected(format!("what follows the page is no string: {}", shown(found)));
        text(found).map(|text| Some(text.into_owned())).ok_or_else(unreadable)
    }

    /// Returns the number at a path in the body, if there is one.
    fn number(&self, path: Option<&Path>) -> Result<Option<i64>, CallError> {
        let Some(found) = self.at(path) else { return Ok(None) };
        // Some APIs have -1 for a number that they do not know.
        let number = text(found).and_then(|text| text.parse().ok()).filter(|number| *number >= 0);
        number.map(Some).ok_or_else(|| unexpected(format!("the end of the list is no number: {}", shown(found))))
    }

    fn at(&self, path: Option<&Path>) -> Option<&Tree<'_>> {
        path.and_then(|path| path.values(self.tree).into_iter().find(|found| !matches!(found, Tree::Null)))
    }

    /// Returns the address of a page of the API itself, as calls have the credentials.
    fn inside(&self, link: &str) -> Result<Url, CallError> {
        let origin = |url: &Url| url.origin().ascii_serialization();
        match self.base.join(link) {
            Ok(url) if url.origin() == self.base.origin() => Ok(url),
            Ok(url) => Err(unexpected(format!(
                "the next page is at {}, and not at {}, so that credentials are not sent there",
                origin(&url),
                origin(self.base)
            ))),
            Err(error) => Err(unexpected(format!("the address of the next page: {error}"))),
        }
    }
}

/// The most bytes of a value in a message.
const MAX_SHOWN: usize = 100;

fn shown(found: &Tree<'_>) -> String {
    cut(&format!("{found:?}"), MAX_SHOWN)
}

fn unexpected(message: String) -> CallError {
    CallError::unexpected_response(message)
}

fn readable(value: &HeaderValue) -> Result<String, CallError> {
    let unreadable = |_| unexpected("the header with the next page has characters that are not ASCII".to_owned());
    value.to_str().map(|text| text.trim().to_owned()).map_err(unreadable)
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

/// Returns the address of the next page in the headers `Link`.
fn linked(headers: &HeaderMap) -> Result<Option<String>, CallError> {
    for value in headers.get_all(LINK) {
        let value = readable(value)?;
        let mut rest = value.as_str();
        while let Some((_, after)) = rest.split_once('<') {
            let Some((address, after)) = after.split_once('>') else {
                return Err(unexpected("the header Link is cut off".to_owned()));
            };
            // The parameters of this address end where the next one begins.
            let (parameters, next) = after.split_at(after.find('<').unwrap_or(after.len()));
            if is_next(parameters) {
                return Ok(Some(address.trim().to_owned()));
            }
            rest = next;
        }
    }
    Ok(None)
}

fn is_next(parameters: &str) -> bool {
    parameters.split([';', ',']).any(|one| {
        let (name, value) = one.split_once('=').unwrap_or_default();
        let mut words = value.trim().trim_matches('"').split_whitespace();
        name.trim().eq_ignore_ascii_case("rel") && words.any(|word| word.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
#[path = "paging_tests.rs"]
mod tests;
