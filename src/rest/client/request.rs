//! Requests: the URL and body of an operation with its parameters.

use form_urlencoded::Serializer;
use reqwest::Url;
use serde_json::{Map, Value};

use super::super::{
    api::{BodyForm, Paging, Verb},
    operation::Operation,
};

/// The parameter with the address of a page, which replaces path and parameters. No API has one of this name.
pub(super) const PAGE_URL: &str = "@url";

/// The parameter with a hash of the items of the page before, which is not sent.
pub(super) const PAGE_ITEMS: &str = "@items";

/// An HTTP request without its headers.
pub(in super::super) struct Outgoing {
    pub(in super::super) verb: Verb,
    pub(in super::super) url: Url,
    /// Content type and text.
    pub(in super::super) body: Option<(&'static str, String)>,
}

/// Returns the request of an operation.
///
/// # Errors
/// A sentence that names the parameter.
pub(super) fn outgoing(
    base: &Url,
    operation: &Operation,
    form: BodyForm,
    input: &Map<String, Value>,
) -> Result<Outgoing, String> {
    let verb = operation.verb;
    if let Some(Value::String(address)) = input.get(PAGE_URL) {
        let url = Url::parse(address).map_err(|error| format!("the address of the next page: {error}"))?;
        return Ok(Outgoing { verb, url, body: None });
    }
    let texts: Vec<(String, String)> = input.iter().flat_map(|(name, value)| texts(name, value)).collect();
    let value = |name: &str| texts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let path = operation.fill(value)?;
    let base = base.as_str().trim_end_matches('/');
    let mut url = Url::parse(&format!("{base}/{path}")).map_err(|error| format!("the path {path:?}: {error}"))?;
    let in_path: Vec<&str> = operation.parameters().chain([PAGE_ITEMS]).collect();
    let rest: Vec<(String, String)> = texts.into_iter().filter(|(name, _)| !in_path.contains(&name.as_str())).collect();
    let body = match (verb, form) {
        (Verb::Get, _) => {
            if !rest.is_empty() {
                url.query_pairs_mut().extend_pairs(&rest);
            }
            None
        }
        (Verb::Post, _) if rest.is_empty() => None,
        (Verb::Post, BodyForm::Form) => Some(body(form, &rest)),
        (Verb::Post, BodyForm::Json) => {
            let members: Map<String, Value> =
                input.iter().filter(|(name, _)| !in_path.contains(&name.as_str())).map(cloned).collect();
            Some(("application/json", Value::Object(members).to_string()))
        }
    };
    Ok(Outgoing { verb, url, body })
}

fn cloned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// Returns content type and text of a body with these parameters.
pub(super) fn body(form: BodyForm, parameters: &[(String, String)]) -> (&'static str, String) {
    match form {
        BodyForm::Form => {
            ("application/x-www-form-urlencoded", Serializer::new(String::new()).extend_pairs(parameters).finish())
        }
        BodyForm::Json => {
            let members: Map<String, Value> =
                parameters.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
            ("application/json", Value::Object(members).to_string())
        }
    }
}

/// Returns the texts of a parameter: one for each element of a list.
fn texts(name: &str, value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![(name.to_owned(), text.clone())],
        Value::Array(list) => list.iter().flat_map(|one| texts(name, one)).collect(),
        other => vec![(name.to_owned(), other.to_string())],
    }
}

/// Adds the parameters of the first page.
pub(super) fn first_page(pages: &Paging, input: &mut Map<String, Value>) {
    if let Some(limit) = pages.limit() {
        input.entry(limit.parameter.as_str()).or_insert_with(|| limit.size.into());
    }
    if let Paging::Page { parameter, first, .. } = pages {
        input.entry(parameter.as_str()).or_insert_with(|| (*first).into());
    }
}

/// The most parameters in a message, and the most characters of each.
const MAX_SHOWN: usize = 3;
const MAX_CHARACTERS: usize = 60;

/// Returns a message with what was asked for, so that one of many calls of an operation can be found.
pub(super) fn described(pages: &Paging, input: &Map<String, Value>, message: &str) -> String {
    let of_pages =
        [pages.limit().map(|limit| limit.parameter.as_str()), pages.parameter(), Some(PAGE_URL), Some(PAGE_ITEMS)];
    let asked = input.iter().filter(|(name, _)| !of_pages.contains(&Some(name.as_str())));
    let shown = asked.flat_map(|(name, value)| texts(name, value)).take(MAX_SHOWN).map(|(name, value)| {
        let cut: String = value.chars().take(MAX_CHARACTERS).collect();
        format!("{name}={cut}")
    });
    let mut parts: Vec<String> = vec![shown.collect::<Vec<_>>().join(" "), message.to_owned()];
    parts.retain(|part| !part.is_empty());
    parts.join(": ")
}
