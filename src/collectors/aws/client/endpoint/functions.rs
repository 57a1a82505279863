//! The functions of AWS's endpoint rules.

use std::{
    borrow::Cow,
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{
    partition,
    value::{Value, part},
};

/// The most arguments that a function has.
pub(super) const MAX_ARGUMENTS: usize = 4;

/// Calls a function. A call that makes no sense is absent, as is the result of an unknown function.
pub(super) fn call<'a>(function: &str, arguments: &[Value<'a>; MAX_ARGUMENTS]) -> Value<'a> {
    let [first, second, ..] = arguments;
    let text = first.as_text();
    let found = match function {
        "isSet" => Some(Value::Bool(*first != Value::Absent)),
        "not" => Some(Value::Bool(!first.holds())),
        "booleanEquals" | "stringEquals" => Some(Value::Bool(first == second)),
        "substring" => substring(arguments),
        "uriEncode" => text.map(|text| Value::Text(uri_encoded(text))),
        "parseURL" => text.filter(|text| Url::parse(text).is_some()).cloned().map(Value::Url),
        "isValidHostLabel" => text.map(|text| is_host(text, *second == Value::Bool(true)).into()),
        "aws.partition" => text.and_then(|region| partition::of_rules(region)).map(Value::Partition),
        "aws.parseArn" => text.filter(|text| arn(text).is_some()).cloned().map(Value::Arn),
        "aws.isVirtualHostableS3Bucket" => {
            text.map(|bucket| is_bucket_host(bucket, *second == Value::Bool(true)).into())
        }
        _ => None,
    };
    found.unwrap_or_default()
}

/// A part of an ASCII text between two positions, counted from the end if the last argument says so.
fn substring<'a>(arguments: &[Value<'a>; MAX_ARGUMENTS]) -> Option<Value<'a>> {
    let [Value::Text(text), Value::Number(start), Value::Number(stop), reverse] = arguments else { return None };
    if !text.is_ascii() || start >= stop || *stop > text.len() {
        return None;
    }
    let range = if *reverse == Value::Bool(true) { text.len() - stop..text.len() - start } else { *start..*stop };
    part(text, range).map(Value::Text)
}

fn uri_encoded<'a>(text: &Cow<'a, str>) -> Cow<'a, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if text.bytes().all(is_plain) {
        return text.clone();
    }
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        match is_plain(byte) {
            true => encoded.push(char::from(byte)),
            // Writing into a string does not fail.
            false => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    Cow::Owned(encoded)
}

/// A URL of HTTP without a query: the lengths of its scheme and of what precedes its path.
struct Url {
    scheme: usize,
    origin: usize,
}

/// What stands between scheme and authority.
const SEPARATOR: &str = "://";

impl Url {
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once(SEPARATOR)?;
        if !["http", "https"].contains(&scheme) || rest.contains(['?', '#']) {
            return None;
        }
        let authority = rest.find('/').unwrap_or(rest.len());
        (authority > 0).then(|| Self { scheme: scheme.len(), origin: scheme.len() + SEPARATOR.len() + authority })
    }
}

/// Returns an attribute of a URL.
pub(super) fn url_attribute<'a>(url: &Cow<'a, str>, name: &str) -> Value<'a> {
    let Some(Url { scheme, origin }) = Url::parse(url) else { return Value::Absent };
    let authority = scheme + SEPARATOR.len()..origin;
    let found = match name {
        "scheme" => part(url, 0..scheme),
        "authority" => part(url, authority),
        "path" => part(url, origin..url.len()),
        "normalizedPath" if url[origin..].ends_with('/') => part(url, origin..url.len()),
        "normalizedPath" => Some(Cow::Owned(format!("{}/", &url[origin..]))),
        "isIp" => {
            let host = host(&url[authority]);
            let is_ip = host.parse::<Ipv4Addr>().is_ok() || host.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok();
            return Value::Bool(is_ip);
        }
        _ => None,
    };
    found.map_or(Value::Absent, Value::Text)
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

/// The parts of an ARN after `arn`: partition, service, region, account and resource.
fn arn(arn: &str) -> Option<[&str; 5]> {
    let mut parts = arn.strip_prefix("arn:")?.splitn(5, ':');
    let parts = [parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let [partition, service, _, _, resource] = parts;
    (!partition.is_empty() && !service.is_empty() && !resource.is_empty()).then_some(parts)
}

/// Returns an attribute of an ARN.
pub(super) fn arn_attribute<'a>(text: &Cow<'a, str>, path: &str) -> Value<'a> {
    fn find<'t>(text: &'t str, path: &str) -> Option<&'t str> {
        let [partition, service, region, account, resource] = arn(text)?;
        match path {
            "partition" => Some(partition),
            "service" => Some(service),
            "region" => Some(region),
            "accountId" => Some(account),
            _ => {
                let index = path.strip_prefix("resourceId[")?.strip_suffix(']')?.parse().ok()?;
                resource.split([':', '/']).nth(index)
            }
        }
    }
    let found = match text {
        Cow::Borrowed(text) => find(text, path).map(Cow::Borrowed),
        Cow::Owned(text) => find(text, path).map(|part| Cow::Owned(part.to_owned())),
    };
    found.map_or(Value::Absent, Value::Text)
}
