//! Responses: whether they are the service's, and their pages.
//!
//! A missing list is an empty list, so that a response from elsewhere must not count: pages of proxies and portals, empty
//! bodies, and parts of JSON are no responses of the service.

use bytes::Bytes;
use serde_json::Value;

use super::{model::Method, partial::partial};
use crate::engine::{Body, CallError, Next, Partial, Tree, http::is_markup, repair};

/// A successful response.
#[derive(Clone, Debug)]
pub struct Page {
    text: String,
    next: Option<(&'static str, String)>,
    is_empty: bool,
    partial: Vec<Partial>,
}

impl Page {
    /// Reads a response of a method with a status of success.
    ///
    /// # Errors
    /// A sentence that says why it is not the service's.
    pub(super) fn read(method: &'static Method, content_type: Option<&str>, body: Bytes) -> Result<Self, String> {
        if content_type.is_some_and(is_markup) {
            return Err(format!("the response is a web page ({} bytes)", body.len()));
        }
        let text = repair::json(repair::text(body));
        let nothing = Self { text: String::new(), next: None, is_empty: true, partial: Vec::new() };
        if text.trim().is_empty() {
            return match method.response {
                None => Ok(nothing),
                Some(_) => Err("the body is empty".to_owned()),
            };
        }
        let tree: Tree<'_> =
            serde_json::from_str(&text).map_err(|error| format!("{} bytes that are no JSON: {error}", text.len()))?;
        if !matches!(tree, Tree::Map(_)) {
            return Err("the body is JSON, but no object".to_owned());
        }
        let items = method.pages.as_ref().map(|pages| pages.items.values(&tree)).unwrap_or_default();
        check(method, &tree, !items.is_empty())?;
        let token = method.pages.as_ref().and_then(|pages| Some((pages.token, tree.get(pages.next)?.text()?)));
        let next = token.filter(|(_, token)| !token.is_empty()).map(|(name, token)| (name, token.to_owned()));
        let partial = if method.pages.is_some() { partial(&tree) } else { Vec::new() };
        let is_empty = items.is_empty();
        drop(tree);
        Ok(Self { text, next, is_empty, partial })
    }
}

impl Body for Page {
    fn tree(&self) -> Result<Tree<'_>, CallError> {
        if self.text.is_empty() {
            return Ok(Tree::Null);
        }
        serde_json::from_str(&self.text).map_err(|error| CallError::unexpected_response(error.to_string()))
    }

    fn partial(&self) -> Result<Vec<Partial>, CallError> {
        Ok(self.partial.clone())
    }

    fn next(&self) -> Result<Next, CallError> {
        Ok(self.next.as_ref().map_or(Next::End, |(name, token)| {
            let parameters = vec![((*name).to_owned(), Some(Value::from(token.as_str())))];
            Next::Page { parameters, is_empty: self.is_empty }
        }))
    }
}

/// Checks that an object has the form of the method's response.
fn check(method: &Method, tree: &Tree<'_>, has_items: bool) -> Result<(), String> {
    let Some(response) = method.response.map(|response| response.get()) else { return Ok(()) };
    let is_known = |name: &str| response.member(name).is_some();
    if tree.get("error").is_some() && !is_known("error") {
        return Err("an object with an error instead of the response".to_owned());
    }
    // Services whose responses have a kind always send it, so that even an empty list is no empty object.
    if !is_known("kind") || tree.get("kind").is_some() || has_items {
        return Ok(());
    }
    let has_members = tree.entries().iter().any(|(name, _)| is_known(name));
    match method.pages.is_none() && has_members {
        true => Ok(()),
        false => Err(format!("an object without the member kind of {}", response.name)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{super::model::method, *};

    fn page(service: &str, name: &str, body: &str) -> Result<Page, String> {
        Page::read(method(service, name).unwrap(), Some("application/json; charset=UTF-8"), body.to_owned().into())
    }

    fn instances(body: &str) -> Result<Page, String> {
        page("compute", "instances.aggregatedList", body)
    }

    #[test]
    fn responses_from_elsewhere_are_rejected() {
        for body in [
            "",
            " \n",
            "{}",
            "[]",
            "null",
            "{\"kind\": \"compute#insta",
            "{\"nextPageToken\": \"a\"}",
            "{\"error\": {\"code\": 403}}",
            "<html></html>",
            "{} {}",
        ] {
            assert!(instances(body).is_err(), "{body}");
        }
        let get = |body: &str| page("compute", "instances.get", body);
        assert!(get("{}").is_err() && get("{\"welcome\": 1}").is_err() && get("{\"id\": \"1\"}").is_ok());
        let html = Page::read(method("storage", "buckets.delete").unwrap(), Some("text/html"), Bytes::new());
        assert!(html.unwrap_err().contains("web page"));
    }

    #[test]
    fn empty_lists_need_their_kind_if_they_have_one() {
        assert!(instances("{\"kind\": \"compute#instanceAggregatedList\"}").is_ok());
        assert!(page("compute", "regions.list", "{\"items\": [{\"name\": \"a\"}]}").is_ok());
        assert!(page("compute", "regions.list", "{\"items\": []}").is_err());
        assert!(page("cloudresourcemanager", "projects.list", "{}").is_ok(), "its lists have no kind");
    }

    #[test]
    fn next_page_follows_from_token() {
        let next = |body: &str| page("compute", "regions.list", body).unwrap().next().unwrap();
        assert_eq!(next(r#"{"kind": "a"}"#), Next::End);
        assert_eq!(next(r#"{"kind": "a", "nextPageToken": ""}"#), Next::End);
        let parameters = || vec![("pageToken".to_owned(), Some(Value::from("t")))];
        let expected = Next::Page { parameters: parameters(), is_empty: true };
        assert_eq!(next(r#"{"kind": "a", "nextPageToken": "t", "items": []}"#), expected);
        let expected = Next::Page { parameters: parameters(), is_empty: false };
        assert_eq!(next(r#"{"kind": "a", "nextPageToken": "t", "items": [{}]}"#), expected);
    }

    #[test]
    fn aggregated_page_without_items_is_empty() {
        let of = |scopes: &str| {
            let body = format!("{{\"kind\": \"a\", \"nextPageToken\": \"t\", \"items\": {scopes}}}");
            matches!(instances(&body).unwrap().next().unwrap(), Next::Page { is_empty: true, .. })
        };
        assert!(of(r#"{"zones/a": {"warning": {"code": "NO_RESULTS_ON_PAGE", "data": [{}]}}}"#));
        assert!(!of(r#"{"zones/a": {"instances": [{}]}}"#));
    }

    #[test]
    fn unreadable_characters_are_replaced() {
        let body = b"{\"kind\": \"a\", \"name\": \"\xff\", \"description\": \"\\ud800\"}";
        let page = Page::read(method("compute", "instances.get").unwrap(), None, Bytes::from_static(body)).unwrap();
        let tree = page.tree().unwrap();
        let text = |name: &str| tree.get(name).and_then(Tree::text).map(str::to_owned);
        assert_eq!((text("name"), text("description")), (Some("\u{fffd}".into()), Some("\u{fffd}".into())));
    }

    #[test]
    fn response_without_content_is_null() {
        assert_eq!(page("storage", "buckets.delete", "").unwrap().tree().unwrap(), Tree::Null);
    }
}
