//! The functions of AWS's endpoint rules. An absent value is null.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::partition;

/// Calls a function. A call that makes no sense is absent, as is the result of an unknown function.
pub(super) fn call(function: &str, arguments: &[Value]) -> Value {
    let argument = |at: usize| arguments.get(at).unwrap_or(&Value::Null);
    let text = |at: usize| argument(at).as_str();
    let found = match function {
        "isSet" => Some(json!(!argument(0).is_null())),
        "not" => Some(json!(matches!(argument(0), Value::Null | Value::Bool(false)))),
        "booleanEquals" | "stringEquals" => Some(json!(argument(0) == argument(1))),
        "getAttr" => text(1).map(|path| attribute(argument(0), path)),
        "substring" => substring(arguments),
        "uriEncode" => text(0).map(|text| json!(uri_encode(text))),
        "parseURL" => text(0).and_then(parse_url),
        "isValidHostLabel" => text(0).map(|text| json!(is_host(text, argument(1) == &Value::Bool(true)))),
        "aws.partition" => text(0).map(partition::attributes),
        "aws.parseArn" => text(0).and_then(parse_arn),
        "aws.isVirtualHostableS3Bucket" => {
            text(0).map(|bucket| json!(is_bucket_host(bucket, argument(1) == &Value::Bool(true))))
        }
        _ => None,
    };
    found.unwrap_or(Value::Null)
}

/// The attribute at a path such as `name`, `a.b` or `resourceId[0]`.
pub(super) fn attribute(value: &Value, path: &str) -> Value {
    let mut found = value;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (name, index) = match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
            Some((name, index)) => (name, index.parse::<usize>().ok()),
            None => (step, None),
        };
        let member = if name.is_empty() { Some(found) } else { found.get(name) };
        let Some(member) = member.and_then(|member| index.map_or(Some(member), |index| member.get(index))) else {
            return Value::Null;
        };
        found = member;
    }
    found.clone()
}

/// A part of an ASCII text between two positions, counted from the end if the last argument says so.
fn substring(arguments: &[Value]) -> Option<Value> {
    let [text, start, stop, reverse] = arguments else { return None };
    let text = text.as_str().filter(|text| text.is_ascii())?;
    let position = |value: &Value| value.as_u64().and_then(|value| usize::try_from(value).ok());
    let (start, stop) = (position(start)?, position(stop)?);
    if start >= stop || stop > text.len() {
        return None;
    }
    let range = if reverse == &Value::Bool(true) { text.len() - stop..text.len() - start } else { start..stop };
    text.get(range).map(|part| json!(part))
}

fn uri_encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

/// The parts of a URL of HTTP without a query.
fn parse_url(url: &str) -> Option<Value> {
    let (scheme, rest) = url.split_once("://")?;
    if !["http", "https"].contains(&scheme) || rest.contains(['?', '#']) {
        return None;
    }
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if authority.is_empty() {
        return None;
    }
    let normalized = if path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
    let is_ip = host(authority).parse::<Ipv4Addr>().is_ok()
        || host(authority).trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok();
    Some(json!({
        "scheme": scheme,
        "authority": authority,
        "path": path,
        "normalizedPath": normalized,
        "isIp": is_ip,
    }))
}

/// An authority without its port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Whether a text is one label of a host, or several joined by dots where that is allowed.
fn is_host(text: &str, with_dots: bool) -> bool {
    if with_dots {
        return text.split('.').all(|label| is_host(label, false));
    }
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-')
}

/// Whether the name of a bucket can be a part of a host's name.
fn is_bucket_host(bucket: &str, with_dots: bool) -> bool {
    let label = |text: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let end = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
        text.bytes().all(inner) && end(text.as_bytes().first()) && end(text.as_bytes().last())
    };
    (3..=63).contains(&bucket.len())
        && bucket.parse::<Ipv4Addr>().is_err()
        && if with_dots { bucket.split('.').all(label) } else { label(bucket) }
}

/// The parts of an ARN.
fn parse_arn(arn: &str) -> Option<Value> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, service, region, account, resource] = parts[..] else { return None };
    if partition.is_empty() || service.is_empty() || resource.is_empty() {
        return None;
    }
    Some(json!({
        "partition": partition,
        "service": service,
        "region": region,
        "accountId": account,
        "resourceId": resource.split([':', '/']).collect::<Vec<_>>(),
    }))
}
