//! Successful responses: whether they are an API server's, what is dropped of them, and what follows a page.
//!
//! Secrets must not leave this file: `kubectl apply` writes the whole object, the content of a Secret too, into an
//! annotation, which requests for metadata bring along. It is dropped of every object before anything else sees it.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;

use crate::engine::{Body, CallError, Next, Partial, Tree, http::is_markup, repair};

/// The annotation with the whole object as it was last applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The size of a page, in bytes, above which the next one has half as many items.
const LARGE: usize = 4 * 1024 * 1024;

/// What a response is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// A list of objects, with this many items at most; with their metadata alone, or all of them.
    List {
        /// The number of items that was asked for.
        limit: u32,
        /// Whether only metadata is wanted.
        is_metadata: bool,
    },
    /// An object; with its metadata alone, or all of it.
    Object {
        /// Whether only metadata is wanted.
        is_metadata: bool,
    },
    /// A document of discovery.
    Discovery,
}

/// A successful response.
#[derive(Clone, Debug)]
pub struct Page {
    text: String,
    next: Vec<(String, Option<Value>)>,
    is_empty: bool,
    partial: Vec<Partial>,
}

impl Page {
    /// Reads a response with a status of success.
    ///
    /// # Errors
    /// A sentence that says why it is not an API server's.
    pub(super) fn read(expected: Expected, content_type: Option<&str>, body: Bytes) -> Result<Self, String> {
        if content_type.is_some_and(is_markup) {
            return Err(format!("the response is a web page ({} bytes)", body.len()));
        }
        let size = body.len();
        let text = repair::json(repair::text(body));
        let mut tree: Tree<'_> =
            serde_json::from_str(&text).map_err(|error| format!("{size} bytes that are no JSON: {error}"))?;
        let kind = tree.get("kind").and_then(Tree::text).unwrap_or_default();
        match expected {
            _ if kind.is_empty() => return Err("the body is JSON, but no object of Kubernetes".to_owned()),
            Expected::List { .. } if !kind.ends_with("List") => return Err(format!("a {kind} instead of a list")),
            Expected::List { .. } if !has_items(&tree) => return Err(format!("a {kind} without its items")),
            Expected::Object { .. } if kind == "Status" && is_failure(&tree) => {
                return Err("a failure as a success".to_owned());
            }
            _ => {}
        }
        let (mut next, mut is_empty) = (Vec::new(), false);
        match expected {
            Expected::List { limit, is_metadata } => {
                is_empty = tree.get("items").is_none_or(|items| items.list().is_empty());
                if let Some(token) = tree.at("metadata.continue").and_then(Tree::text).filter(|token| !token.is_empty())
                {
                    let smaller = if size > LARGE { (limit / 2).max(1) } else { limit };
                    next =
                        vec![("continue".to_owned(), Some(token.into())), ("limit".to_owned(), Some(smaller.into()))];
                }
                each_item(&mut tree, &mut |item| strip(item, is_metadata));
            }
            Expected::Object { is_metadata } => strip(&mut tree, is_metadata),
            Expected::Discovery => {}
        }
        let text = serde_json::to_string(&tree).map_err(|error| error.to_string())?;
        Ok(Self { text, next, is_empty, partial: Vec::new() })
    }

    /// Returns an empty page.
    pub(super) fn empty() -> Self {
        Self { text: "{}".to_owned(), next: Vec::new(), is_empty: true, partial: Vec::new() }
    }

    /// Returns whether it is the last page of its list.
    pub(super) fn is_last(&self) -> bool {
        self.next.is_empty()
    }

    /// Sets the parameters of the next page.
    pub(super) fn followed_by(self, next: Vec<(String, Option<Value>)>) -> Self {
        Self { next, ..self }
    }

    /// Adds a parameter to those of the next page.
    pub(super) fn followed_with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.next.push((name.to_owned(), Some(value.into())));
        self
    }

    /// Adds locations that did not answer.
    pub(super) fn without(mut self, partial: Vec<Partial>) -> Self {
        self.partial.extend(partial);
        self
    }
}

impl Body for Page {
    fn tree(&self) -> Result<Tree<'_>, CallError> {
        serde_json::from_str(&self.text).map_err(|error| CallError::unexpected_response(error.to_string()))
    }

    fn partial(&self) -> Result<Vec<Partial>, CallError> {
        Ok(self.partial.clone())
    }

    fn next(&self) -> Result<Next, CallError> {
        match self.next.is_empty() {
            true => Ok(Next::End),
            false => Ok(Next::Page { parameters: self.next.clone(), is_empty: self.is_empty }),
        }
    }
}

/// Returns whether a list has its items. Servers in Go write an empty list as null if they have made none; a response
/// without the member was cut or made by something else.
fn has_items(list: &Tree<'_>) -> bool {
    let items = list.entries().iter().find(|(name, _)| name == "items");
    matches!(items, Some((_, Tree::List(_) | Tree::Null)))
}

fn is_failure(tree: &Tree<'_>) -> bool {
    tree.get("status").and_then(Tree::text) == Some("Failure")
}

fn member<'m, 'a>(tree: &'m mut Tree<'a>, name: &str) -> Option<&'m mut Tree<'a>> {
    let Tree::Map(members) = tree else { return None };
    members.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn each_item(list: &mut Tree<'_>, change: &mut dyn FnMut(&mut Tree<'_>)) {
    if let Some(Tree::List(items)) = member(list, "items") {
        items.iter_mut().for_each(change);
    }
}

/// Drops what must not be known of an object, and what nothing uses.
fn strip(object: &mut Tree<'_>, is_metadata: bool) {
    // A proxy may answer with whole objects.
    if is_metadata && let Tree::Map(members) = object {
        members.retain(|(name, _)| name == "metadata");
    }
    let Some(metadata) = member(object, "metadata") else { return };
    without(metadata, |name| name == "managedFields");
    if let Some(annotations) = member(metadata, "annotations") {
        without(annotations, |name| name == LAST_APPLIED);
    }
}

fn without(tree: &mut Tree<'_>, is_unwanted: impl Fn(&str) -> bool) {
    if let Tree::Map(members) = tree {
        members.retain(|(name, _): &(Cow<'_, str>, Tree<'_>)| !is_unwanted(name));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    const LIST: Expected = Expected::List { limit: 500, is_metadata: false };
    const WHOLE: Expected = Expected::Object { is_metadata: false };

    fn page(expected: Expected, body: &Value) -> Result<Page, String> {
        Page::read(expected, Some("application/json"), body.to_string().into())
    }

    #[test]
    fn secrets_in_annotations_are_dropped_everywhere() {
        let object = json!({"kind": "Secret", "data": {"a": "hunter2"}, "metadata": {
            "name": "s", "managedFields": [{"manager": "hunter2"}],
            "annotations": {LAST_APPLIED: "{\"data\":\"hunter2\"}", "kept": "yes"}}});
        let list = json!({"kind": "SecretList", "items": [object]});
        let expected = Expected::List { limit: 500, is_metadata: true };
        let found = page(expected, &list).unwrap();
        assert!(!format!("{found:?}").contains("hunter2"));
        assert!(found.tree().unwrap().at("items[].metadata.annotations.kept").is_some());
        let secret = page(Expected::Object { is_metadata: true }, &object).unwrap();
        assert!(!secret.text.contains("hunter2") && secret.tree().unwrap().at("metadata.name").is_some());
        let custom = json!({"kind": "Widget", "metadata": object["metadata"]});
        assert!(!page(WHOLE, &custom).unwrap().text.contains("hunter2"));
    }

    #[test]
    fn large_page_is_followed_by_a_smaller_one() {
        let next = |name: &str| {
            let items = [json!({"metadata": {"name": name}})];
            page(LIST, &json!({"kind": "PodList", "metadata": {"continue": "t"}, "items": items})).unwrap().next
        };
        let expected = |limit: u32| {
            vec![("continue".to_owned(), Some(Value::from("t"))), ("limit".to_owned(), Some(Value::from(limit)))]
        };
        assert_eq!(next("a"), expected(500));
        assert_eq!(next(&"a".repeat(LARGE)), expected(250));
        assert!(page(LIST, &json!({"kind": "PodList", "metadata": {"continue": ""}, "items": []})).unwrap().is_last());
    }

    #[test]
    fn list_without_items_is_invalid_and_null_is_empty() {
        for (list, is_valid) in [
            (json!({"kind": "PodList", "items": []}), true),
            (json!({"kind": "PodList", "items": null}), true),
            (json!({"kind": "PodList", "metadata": {}}), false),
            (json!({"kind": "PodList", "items": {}}), false),
            (json!({"kind": "PodList", "items": "none"}), false),
            (json!({"kind": "PodList", "Items": []}), false),
        ] {
            let read = page(LIST, &list);
            assert_eq!(read.is_ok(), is_valid, "{list}");
            assert!(read.is_err() || read.unwrap().is_empty, "{list}");
        }
    }

    #[test]
    fn responses_from_elsewhere_are_rejected() {
        for body in ["", "{}", "[]", "null", "{\"kind\": \"PodLi", "{\"kind\": \"Pod\"}", "{\"items\": []}", "<html>"] {
            assert!(Page::read(LIST, Some("application/json"), body.to_owned().into()).is_err(), "{body}");
        }
        assert!(Page::read(LIST, Some("text/html"), "{\"kind\": \"PodList\"}".into()).is_err());
        assert!(page(WHOLE, &json!({"kind": "Status", "status": "Failure"})).is_err());
        assert!(page(WHOLE, &json!({"kind": "Status", "status": "Success"})).is_ok());
    }
}
