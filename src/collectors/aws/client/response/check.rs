//! Whether a reply is one of the service: what a proxy, a portal or a cut connection sends instead is no answer.
//!
//! A list that is missing in a reply is an empty list, so nothing may count as a reply that the service did not send. The
//! status must be one of success, the content type one that the protocol can have, the body whole, and its outermost
//! element or object the one that the model names.

use bytes::Bytes;
use http::Method;

use super::{
    super::model::{Binding, Kind, Operation, Protocol, Structure},
    Headers, header, json, repair, xml,
};

/// Types of content that no API has, by their beginnings: those of pages for people and of media.
const NO_API: [&str; 10] = [
    "application/javascript",
    "application/pdf",
    "application/xhtml",
    "audio/",
    "font/",
    "image/",
    "text/css",
    "text/html",
    "text/javascript",
    "video/",
];

/// The status of a reply without a body, which has no type.
const NO_CONTENT: u16 = 204;

/// The members of JSON objects that report an error.
const ERROR_MEMBERS: [&str; 8] = ["__type", "Code", "Message", "code", "error", "errorMessage", "errors", "message"];

/// The body of a reply of the service, with characters that cannot be read replaced.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(in super::super) fn checked(
    operation: &Operation,
    status: u16,
    headers: &Headers,
    body: Bytes,
) -> Result<Bytes, String> {
    if !(200..300).contains(&status) {
        return Err(format!("HTTP status {status} that the service does not have"));
    }
    if operation.method == Method::HEAD.as_str() {
        return Ok(body);
    }
    let output = operation.output.as_ref().map(|output| output.get());
    let content = Content::of(output);
    if status != NO_CONTENT {
        check_type(operation.service.protocol, content, headers)?;
    }
    if let Content::Raw = content {
        return Ok(body);
    }
    let is_json = matches!(operation.service.protocol, Protocol::Json | Protocol::RestJson);
    if body.trim_ascii().is_empty() {
        return match content {
            Content::Members(_) => Err("the body is empty".to_owned()),
            _ => Ok(body),
        };
    }
    let body = if is_json { repair::json(body) } else { repair::xml(body) };
    match (is_json, content) {
        (true, Content::Members(structure)) => check_object(&body, Some(structure))?,
        (true, _) => check_object(&body, None)?,
        (false, _) => {
            let text = std::str::from_utf8(&body).map_err(|error| format!("the body is not UTF-8: {error}"))?;
            xml::check(text, operation, operation.wrapper.filter(|_| output.is_some()))?;
        }
    }
    Ok(body)
}

/// What the body of a reply holds.
#[derive(Clone, Copy)]
enum Content<'s> {
    /// Nothing: there is no output, or it stands in the headers.
    Nothing,
    /// The members of a structure.
    Members(&'s Structure),
    /// Bytes or text that are one member, of any form.
    Raw,
}

impl<'s> Content<'s> {
    fn of(output: Option<&'s Structure>) -> Self {
        let Some(output) = output else { return Self::Nothing };
        let Some(payload) = output.payload.and_then(|name| output.member(name)) else {
            let has_members = output.members.iter().any(|member| member.binding == Binding::Body);
            return if has_members { Self::Members(output) } else { Self::Nothing };
        };
        match &payload.kind {
            Kind::Structure(structure) => Self::Members(structure.get()),
            _ => Self::Raw,
        }
    }
}

fn check_type(protocol: Protocol, content: Content<'_>, headers: &Headers) -> Result<(), String> {
    let Some(given) = header(headers, "content-type") else { return Ok(()) };
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence.ends_with("json") || essence.contains("json-");
    let is_impossible = match (protocol, content) {
        (Protocol::Query | Protocol::Ec2 | Protocol::RestXml, Content::Members(_)) => is_json,
        _ => false,
    };
    match is_impossible || NO_API.iter().any(|unfit| essence.starts_with(unfit)) {
        true => Err(format!("the content type {essence} that the service does not have")),
        false => Ok(()),
    }
}

/// Checks that a body is one JSON object, and not one that reports an error instead of the output.
fn check_object(body: &[u8], output: Option<&Structure>) -> Result<(), String> {
    let keys = json::keys(body)?;
    let Some(output) = output else { return Ok(()) };
    let is_known = |key: &String| output.members.iter().any(|member| member.wire == **key);
    let error = keys.iter().find(|key| ERROR_MEMBERS.contains(&key.as_str()));
    match error.filter(|_| !keys.iter().any(is_known)) {
        Some(error) => Err(format!("an object with {error:?} instead of the members of {}", output.name)),
        None => Ok(()),
    }
}
