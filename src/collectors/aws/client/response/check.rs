//! Checks that a response is the service's: proxies, portals and broken connections send others.
//!
//! A missing list in a response is an empty list, so a response from elsewhere must not count. The status must mean
//! success, the content type must be one of the protocol, the body must be complete, and its root element or object
//! must be that of the model.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use super::{
    super::model::{Binding, Kind, Operation, Protocol, Structure},
    Body, Headers, header, json, xml,
};
use crate::engine::repair;

/// Prefixes of content types that no API has: those of web pages and media.
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

/// The status of a response without a body, which has no content type.
const NO_CONTENT: u16 = 204;

/// The members of JSON objects that report an error.
const ERROR_MEMBERS: [&str; 8] = ["__type", "Code", "Message", "code", "error", "errorMessage", "errors", "message"];

/// Returns the body of a response of the service, with unreadable characters replaced.
///
/// # Errors
/// A sentence that says what is wrong.
pub(in super::super) fn checked(
    operation: &Operation,
    status: u16,
    headers: &Headers,
    body: Bytes,
) -> Result<Body, String> {
    if !(200..300).contains(&status) {
        return Err(format!("unexpected HTTP status {status}"));
    }
    if operation.method == Method::HEAD.as_str() {
        return Ok(Body::Bytes(body));
    }
    let output = operation.output.as_ref().map(|output| output.get());
    let content = Content::of(output);
    if status != NO_CONTENT {
        check_type(operation.service.protocol, content, headers)?;
    }
    if let Content::Raw = content {
        return Ok(Body::Bytes(body));
    }
    let is_json = matches!(operation.service.protocol, Protocol::Json | Protocol::RestJson);
    if body.trim_ascii().is_empty() {
        return match content {
            Content::Members(_) => Err("the body is empty".to_owned()),
            _ => Ok(Body::Bytes(body)),
        };
    }
    let text = repair::text(body);
    let text = if is_json { repair::json(text) } else { text };
    match (is_json, content) {
        (true, Content::Members(structure)) => check_object(&text, Some(structure))?,
        (true, _) => check_object(&text, None)?,
        (false, _) => xml::check(&text, operation, operation.wrapper.filter(|_| output.is_some()))?,
    }
    Ok(Body::Text(Arc::new(text)))
}

/// The content of a response's body.
#[derive(Clone, Copy)]
enum Content<'s> {
    /// Nothing: there is no output, or it is in the headers.
    Nothing,
    /// The members of a structure.
    Members(&'s Structure),
    /// Bytes or a string that are one member, in any format.
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
        true => Err(format!("unexpected content type {essence}")),
        false => Ok(()),
    }
}

/// Checks that a body is one JSON object, and not one that reports an error instead of the output.
fn check_object(body: &str, output: Option<&Structure>) -> Result<(), String> {
    let keys = json::keys(body)?;
    let Some(output) = output else { return Ok(()) };
    let is_known = |key: &String| output.members.iter().any(|member| member.wire == **key);
    let error = keys.iter().find(|key| ERROR_MEMBERS.contains(&key.as_str()));
    match error.filter(|_| !keys.iter().any(is_known)) {
        Some(error) => Err(format!("an object with {error:?} instead of the members of {}", output.name)),
        None => Ok(()),
    }
}
