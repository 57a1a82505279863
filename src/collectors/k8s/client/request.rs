//! Requests: from operation and parameters to URL, headers and body.
//!
//! The service of a call is a group with its version (`v1`, `apps/v1`), and the operation a verb with a resource
//! (`list pods`). Gaps name both, so that they read like a rule of RBAC.

use reqwest::Method;
use serde_json::{Map, Value};

use super::page::Expected;
use crate::engine::Request;

/// The size of a page.
pub(super) const PAGE: u32 = 500;

/// The media type for objects without all but their metadata.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// The media type for an object without all but its metadata.
const OBJECT_METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// The media types of discovery, the aggregated ones first.
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                         application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// The parameter with the number of times that a list has expired so far.
pub(super) const EXPIRIES: &str = "expiries";

/// The service of calls that are about no group.
pub(crate) const DISCOVERY_SERVICE: &str = "discovery";

/// A request without address and login.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outgoing {
    /// The method.
    pub(super) method: Method,
    /// Path and query, percent-encoded.
    pub(super) target: String,
    /// The media types that are accepted.
    pub(super) accept: &'static str,
    /// The body and its media type.
    pub(super) body: Option<(&'static str, String)>,
    /// What the response is.
    pub(super) expected: Expected,
}

/// Returns whether a call lists a resource.
pub(super) fn is_list(request: &Request<'_>) -> bool {
    request.operation.starts_with("list ")
}

/// Builds a request.
///
/// # Errors
/// What is unknown or missing.
pub(super) fn outgoing(request: &Request<'_>) -> Result<Outgoing, String> {
    let mut input = request.input.clone();
    let (verb, resource) = request.operation.split_once(' ').unwrap_or((request.operation, ""));
    if request.service == DISCOVERY_SERVICE {
        check_rest(verb, "get", &input)?;
        let expected = Expected::Discovery;
        return Ok(Outgoing {
            method: Method::GET,
            target: resource.to_owned(),
            accept: DISCOVERY,
            body: None,
            expected,
        });
    }
    if !resource.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        || resource.is_empty()
    {
        return Err(format!("{} names no resource", request.operation));
    }
    let mut path = base(request.service)?;
    if let Some(namespace) = text(&mut input, "namespace")? {
        path += &format!("/namespaces/{}", encoded(&namespace));
    }
    path += &format!("/{resource}");
    if verb == "list" {
        return list(path, input);
    }
    let name = text(&mut input, "name")?.filter(|name| !name.is_empty()).ok_or("the parameter name is missing")?;
    let target = format!("{path}/{}", encoded(&name));
    let body = input.remove("body").map(|body| body.to_string());
    let (method, media) = match verb {
        "get" => (Method::GET, ""),
        "patch" => (Method::PATCH, "application/merge-patch+json"),
        "delete" => (Method::DELETE, "application/json"),
        _ => return Err(format!("there is no verb {verb}")),
    };
    let is_metadata = flag(&mut input, "metadata");
    check_rest(verb, verb, &input)?;
    if body.is_some() == (verb == "get") {
        return Err(format!("{verb} has a body where it must not, or none"));
    }
    let body = body.map(|body| (media, body));
    let accept = if is_metadata { OBJECT_METADATA } else { "application/json" };
    Ok(Outgoing { method, target, accept, body, expected: Expected::Object { is_metadata } })
}

fn list(path: String, mut input: Map<String, Value>) -> Result<Outgoing, String> {
    let is_metadata = flag(&mut input, "metadata");
    // It counts for the client alone.
    input.remove(EXPIRIES);
    let limit = input.remove("limit").and_then(|limit| u32::try_from(limit.as_u64()?).ok()).unwrap_or(PAGE);
    let token = text(&mut input, "continue")?;
    check_rest("list", "list", &input)?;
    let token = token.map(|token| format!("&continue={}", encoded(&token))).unwrap_or_default();
    Ok(Outgoing {
        method: Method::GET,
        target: format!("{path}?limit={limit}{token}"),
        accept: if is_metadata { METADATA } else { "application/json" },
        body: None,
        expected: Expected::List { limit, is_metadata },
    })
}

/// Returns the path of a group with its version.
fn base(service: &str) -> Result<String, String> {
    let is_name =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    match service.split_once('/') {
        None if is_name(service) => Ok(format!("/api/{service}")),
        Some((group, version)) if is_name(group) && is_name(version) => Ok(format!("/apis/{group}/{version}")),
        _ => Err(format!("{service} is no group with a version")),
    }
}

fn check_rest(verb: &str, expected: &str, input: &Map<String, Value>) -> Result<(), String> {
    match input.keys().next() {
        _ if verb != expected => Err(format!("there is no verb {verb} here")),
        Some(name) => Err(format!("{verb} has no parameter {name}")),
        None => Ok(()),
    }
}

fn flag(input: &mut Map<String, Value>, name: &str) -> bool {
    input.remove(name).and_then(|value| value.as_bool()).unwrap_or(false)
}

fn text(input: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match input.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("the parameter {name} is no string")),
    }
}

/// Percent-encodes all but unreserved characters.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn built(service: &str, operation: &str, input: Value) -> Result<Outgoing, String> {
        let Value::Object(input) = input else { return Err("no object".to_owned()) };
        outgoing(&Request::new(service, operation, "").input(input))
    }

    #[test]
    fn paths_follow_from_group_and_resource() {
        for (service, operation, input, expected) in [
            ("v1", "list pods", json!({}), "/api/v1/pods?limit=500"),
            (
                "apps/v1",
                "list deployments",
                json!({"namespace": "shop", "limit": 10, "continue": "a+/="}),
                "/apis/apps/v1/namespaces/shop/deployments?limit=10&continue=a%2B%2F%3D",
            ),
            ("v1", "get namespaces", json!({"name": "shop"}), "/api/v1/namespaces/shop"),
            (
                "ck.test/v1",
                "delete widgets",
                json!({"namespace": "n", "name": "system:a", "body": {}}),
                "/apis/ck.test/v1/namespaces/n/widgets/system%3Aa",
            ),
            (DISCOVERY_SERVICE, "get /apis", json!({}), "/apis"),
        ] {
            assert_eq!(built(service, operation, input).unwrap().target, expected);
        }
        let metadata = built("v1", "list secrets", json!({"metadata": true})).unwrap();
        assert!(metadata.accept.contains("PartialObjectMetadataList"));
        assert_eq!(metadata.expected, Expected::List { limit: PAGE, is_metadata: true });
        let secret = json!({"name": "a", "metadata": true, "body": {}});
        let (get, delete) = (json!({"name": "a", "metadata": true}), built("v1", "delete secrets", secret.clone()));
        for call in [built("v1", "get secrets", get), built("v1", "patch secrets", secret), delete] {
            let call = call.unwrap();
            assert!(call.accept.starts_with("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"));
            assert_eq!(call.expected, Expected::Object { is_metadata: true });
        }
        let patch = built("v1", "patch pods", json!({"name": "a", "body": {"b": null}})).unwrap();
        assert_eq!(patch.body, Some(("application/merge-patch+json", r#"{"b":null}"#.to_owned())));
    }

    #[test]
    fn wrong_calls_are_refused() {
        for (service, operation, input, expected) in [
            ("v1", "list", json!({}), "names no resource"),
            ("v1", "list pods/../secrets", json!({}), "names no resource"),
            ("apps/v1/x", "list pods", json!({}), "no group"),
            ("", "list pods", json!({}), "no group"),
            ("v1", "get pods", json!({}), "name is missing"),
            ("v1", "delete pods", json!({"name": "a"}), "body"),
            ("v1", "watch pods", json!({"name": "a"}), "no verb watch"),
            ("v1", "list pods", json!({"selector": "a"}), "no parameter selector"),
        ] {
            let error = built(service, operation, input).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
