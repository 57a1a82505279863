//! Error responses: code and message in each protocol.

use serde_json::Value;

use super::{
    super::{
        error::reported,
        model::{Operation, Protocol},
    },
    Headers, header,
    xml::{Document, local},
};
use crate::engine::{CallError, CallErrorKind};

/// The longest message of a service in an error, in bytes.
const MAX_MESSAGE: usize = 2000;

/// Returns the error of a response.
pub(in super::super) fn failure(operation: &Operation, status: u16, headers: &Headers, body: &[u8]) -> CallError {
    let (code, message) = match operation.service.protocol {
        Protocol::Json | Protocol::RestJson => json(operation, headers, body),
        Protocol::Query | Protocol::Ec2 | Protocol::RestXml => xml(body),
    };
    if let Some(region) = header(headers, "x-amz-bucket-region").filter(|_| is_elsewhere(status, code.as_deref())) {
        let code = code.unwrap_or_else(|| "PermanentRedirect".to_owned());
        let message = format!("the bucket is in region {region}; call that region");
        let mut error = CallError::new(CallErrorKind::Unexpected, &code, message);
        error.moved_to = Some(region.into());
        return error;
    }
    if is_foreign(operation, status, code.as_deref(), body) {
        return CallError::foreign_response(format!(
            "{}, which is not from the service{}",
            named(status),
            leads_to(headers)
        ));
    }
    // A response to HEAD has no body.
    let code = code.unwrap_or_else(|| status.to_string());
    let message = message.unwrap_or_else(|| named(status));
    reported(&code, status, shortened(message))
}

/// Returns whether an error response comes from something between here and the service: the service has a code wherever
/// there is room for one, and only S3 redirects. A gateway's failure may be the service's.
fn is_foreign(operation: &Operation, status: u16, code: Option<&str>, body: &[u8]) -> bool {
    match status {
        400..500 => code.is_none() && !body.trim_ascii().is_empty(),
        500.. => false,
        _ => code.is_none() || operation.service.protocol != Protocol::RestXml,
    }
}

/// Returns the status in words.
fn named(status: u16) -> String {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    format!("HTTP status {status} {}", reason.unwrap_or("without a message"))
}

/// Returns the host of a redirect. Its path may contain a secret.
fn leads_to(headers: &Headers) -> String {
    let host = header(headers, "location").and_then(|target| target.parse::<http::Uri>().ok());
    let host = host.as_ref().and_then(http::Uri::host);
    host.map(|host| format!(": a redirect to {}", shortened(host.to_owned()))).unwrap_or_default()
}

/// Returns whether an error of S3 means that the bucket is in another region. Other errors name the region too.
fn is_elsewhere(status: u16, code: Option<&str>) -> bool {
    match code {
        Some("AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" | "PermanentRedirect") => true,
        // A response to HEAD has no body.
        None => matches!(status, 301 | 307 | 400),
        Some(_) => matches!(status, 301 | 307),
    }
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    message
}

fn json(operation: &Operation, headers: &Headers, body: &[u8]) -> (Option<String>, Option<String>) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |names: &[&str]| {
        names.iter().find_map(|name| match body.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    };
    let code = header(headers, "x-amzn-errortype").map(str::to_owned);
    let code = code.or_else(|| member(&["__type", "code", "Code"]));
    let message = member(&["message", "Message", "errorMessage"]);
    // `aws.protocol#Name:http://...` means `Name`.
    let code = code.map(|code| {
        let name = code.split(':').next().unwrap_or_default();
        name.rsplit('#').next().unwrap_or_default().to_owned()
    });
    let earlier = header(headers, "x-amzn-query-error").filter(|_| operation.service.query_compatible);
    let earlier = earlier.and_then(|value| value.split_once(';')).map(|(code, _)| code.to_owned());
    (earlier.filter(|code| !code.is_empty()).or(code).filter(|code| !code.is_empty()), message)
}

/// Returns the first elements with the names of code and message at any depth: the protocols differ in what is around
/// them.
fn xml(body: &[u8]) -> (Option<String>, Option<String>) {
    let mut found = (None, None);
    if let Ok(text) = std::str::from_utf8(body) {
        let mut document = Document::new(text);
        // The elements before broken XML still count.
        let _ = document.open_root().and_then(|_| search(&mut document, &mut found, 0));
    }
    found
}

fn search(
    document: &mut Document<'_>,
    found: &mut (Option<String>, Option<String>),
    depth: usize,
) -> Result<(), String> {
    while let Some(element) = document.next_child()? {
        match local(&element) {
            "Code" if found.0.is_none() => found.0 = Some(document.text()?.trim().to_owned()),
            "Message" if found.1.is_none() => found.1 = Some(document.text()?.trim().to_owned()),
            "Errors" | "Error" if depth < 4 => search(document, found, depth + 1)?,
            _ => document.skip(&element)?,
        }
    }
    Ok(())
}
