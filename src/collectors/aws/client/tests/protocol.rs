//! AWS's own test cases for requests and responses of each protocol.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
};

use aws_smithy_types::base64;
use bytes::Bytes;
use flate2::read::GzDecoder;
use quick_xml::events::Event;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::{
    model::{Kind, Operation, Service, Structure},
    request::{self, Outgoing},
    response::{Response, checked, failure, header},
};
use crate::engine::Tree;

/// The cases, see `tests/aws/README.md`.
const CASES: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aws/protocols.ndjson.gz"));

/// The IDs of cases that do not apply, by reason.
type Skipped = &'static [(&'static str, &'static [&'static str])];

const SKIPPED_REQUESTS: Skipped = &[
    (
        "requests are short and are not compressed",
        &[
            "SDKAppliedContentEncoding_ec2Query",
            "SDKAppendsGzipAndIgnoresHttpProvidedEncoding_ec2Query",
            "SDKAppliedContentEncoding_awsJson1_1",
            "SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_1",
            "SDKAppliedContentEncoding_awsJson1_0",
            "SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_0",
            "SDKAppliedContentEncoding_awsQuery",
            "SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsQuery",
            "SDKAppliedContentEncoding_restJson1",
            "SDKAppendedGzipAfterProvidedEncoding_restJson1",
            "SDKAppliedContentEncoding_restXml",
            "SDKAppendedGzipAfterProvidedEncoding_restXml",
        ],
    ),
    (
        "the runtime prepends the path of the endpoint to that of the request",
        &[
            "Ec2QueryHostWithPath",
            "AwsJson11HostWithPath",
            "AwsJson10HostWithPath",
            "QueryHostWithPath",
            "RestJsonHostWithPath",
        ],
    ),
    (
        "the models do not mark idempotency tokens: an absent parameter is not sent",
        &[
            "Ec2ProtocolIdempotencyTokenAutoFill",
            "QueryProtocolIdempotencyTokenAutoFill",
            "RestJsonQueryIdempotencyTokenAutoFill",
            "QueryIdempotencyTokenAutoFill",
        ],
    ),
    ("a body that requires a checksum has SHA-256 instead of MD5", &["RestJsonHttpChecksumRequired"]),
    ("the models do not distinguish JSON in headers from strings", &["MediaTypeHeaderInputBase64"]),
    ("a header without a value is not sent", &["RestJsonNullAndEmptyHeaders", "NullAndEmptyHeaders"]),
    (
        "the models do not distinguish unions, whose body may be empty, from structures",
        &["RestJsonHttpWithEmptyStructurePayload", "RestJsonHttpWithHeadersButNoPayload"],
    ),
    (
        "the models of services have the names of elements at the member, and of flat lists at the item",
        &[
            "QueryFlattenedListArgWithXmlName",
            "BodyWithXmlName",
            "RestXmlHttpPayloadWithUnion",
            "HttpPayloadWithXmlName",
            "HttpPayloadWithXmlNamespace",
            "HttpPayloadWithXmlNamespaceAndPrefix",
            "XmlAttributesOnPayload",
            "XmlLists",
        ],
    ),
    (
        "no operation that ckworker calls has namespaces inside a body",
        &["RestXmlXmlMapWithXmlNamespace", "XmlNamespaces"],
    ),
];

const SKIPPED_RESPONSES: Skipped = &[
    ("the models of services have the names of flat lists at the item", &["Ec2XmlLists", "QueryXmlLists", "XmlLists"]),
    (
        "an empty body is no response if the output is a structure, see `response::check`",
        &["RestJsonHttpPayloadWithUnsetUnion", "RestXmlHttpPayloadWithUnsetUnion"],
    ),
    ("the models cannot express all headers; no service has such a member", &["HttpPrefixHeadersResponse"]),
    ("the models do not mark maps whose values may be null", &["RestJsonDeserializesDenseSetMapAndSkipsNull"]),
    ("the models do not distinguish JSON in headers from strings", &["MediaTypeHeaderOutputBase64"]),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    id: String,
    protocol: String,
    operation: String,
    model: String,
    #[serde(default)]
    params: Value,
    serialized: Option<ExpectedRequest>,
    response: Option<RecordedResponse>,
    #[serde(default)]
    result: Value,
    error_code: Option<String>,
    error_message: Option<String>,
}

/// The expected request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExpectedRequest {
    method: String,
    uri: String,
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    require_headers: Vec<String>,
    #[serde(default)]
    forbid_headers: Vec<String>,
}

/// The response of the service.
#[derive(Deserialize)]
struct RecordedResponse {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

impl Case {
    fn operation(&self) -> &'static Operation {
        let service: &'static Service = Box::leak(Box::new(Service::parse(self.model.clone().leak()).unwrap()));
        service.operation(&self.operation).unwrap()
    }

    /// Runs the case.
    ///
    /// # Errors
    /// The first difference.
    fn run(&self) -> Result<(), String> {
        match (&self.serialized, &self.response) {
            (Some(expected), None) => self.check_request(expected),
            (None, Some(response)) => self.check_response(response),
            _ => Err("unknown form of a case".to_owned()),
        }
    }

    fn check_request(&self, expected: &ExpectedRequest) -> Result<(), String> {
        let operation = self.operation();
        let input = match operation.input.as_ref() {
            Some(shape) => given_members(shape.get(), &self.params),
            None => self.params.as_object().unwrap().clone(),
        };
        let outgoing = request::outgoing(operation, &input)?;
        same("method", outgoing.method, expected.method.as_str())?;
        same("target", split_target(&outgoing.target), split_target(&expected.uri))?;
        for (name, value) in &expected.headers {
            let found = header(&outgoing.headers, name).map(|value| without_charset(name, value));
            same(name, found, Some(without_charset(name, value)))?;
        }
        for (names, must) in [(&expected.require_headers, true), (&expected.forbid_headers, false)] {
            for name in names {
                same(name, has_header(&outgoing, name), must)?;
            }
        }
        let Some(body) = &expected.body else { return Ok(()) };
        let content_type = header(&outgoing.headers, "content-type").unwrap_or_default();
        let found = String::from_utf8(outgoing.body.clone()).map_err(|error| error.to_string())?;
        same("body", content(content_type, &found), content(content_type, body))
    }

    fn check_response(&self, recorded: &RecordedResponse) -> Result<(), String> {
        let (operation, status) = (self.operation(), recorded.status_code);
        let headers = recorded.headers.clone().into_iter().collect();
        let body = Bytes::from(recorded.body.clone());
        if let Some(code) = &self.error_code {
            let error = failure(operation, status, &headers, &body);
            same("code", error.code.as_str(), code)?;
            return self
                .error_message
                .as_ref()
                .map_or(Ok(()), |message| same("message", &error.message.as_ref(), &message.as_str()));
        }
        let body = checked(operation, status, &headers, body)?;
        let response = Response { operation, region: "eu-central-1".into(), status, headers, body };
        let tree = response.tree().map_err(|error| error.to_string())?;
        same("result", plain(&tree), numbers(self.result.clone()))
    }
}

/// Fails if two values differ.
fn same<T: PartialEq + std::fmt::Debug>(subject: &str, found: T, expected: T) -> Result<(), String> {
    (found == expected).then_some(()).ok_or_else(|| format!("{subject}: {found:?} instead of {expected:?}"))
}

/// Splits a target into its path and its sorted query fields, as their order is irrelevant.
fn split_target(target: &str) -> (String, Vec<&str>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut fields: Vec<_> = query.split('&').filter(|field| !field.is_empty()).collect();
    fields.sort_unstable();
    (path.to_owned(), fields)
}

fn without_charset<'v>(name: &str, value: &'v str) -> &'v str {
    if name.eq_ignore_ascii_case("content-type") { value.split(';').next().unwrap() } else { value }
}

/// Returns whether a request has a header. The runtime sets the length later, if there is a body.
fn has_header(outgoing: &Outgoing, name: &str) -> bool {
    match name {
        "Content-Length" => !outgoing.body.is_empty(),
        _ => header(&outgoing.headers, name).is_some(),
    }
}

/// Converts parameters to those of the client's callers: bytes in base64, and no null.
fn given(kind: &'static Kind, value: &Value) -> Value {
    match (kind, value) {
        (Kind::Blob, Value::String(text)) => json!(base64::encode(text)),
        (Kind::Structure(shape), Value::Object(_)) => given_members(shape.get(), value).into(),
        (Kind::List(list), Value::Array(items)) => items.iter().map(|item| given(&list.item, item)).collect(),
        (Kind::Map(map), Value::Object(entries)) => {
            entries.iter().map(|(key, value)| (key.clone(), given(&map.value, value))).collect()
        }
        _ => value.clone(),
    }
}

fn given_members(shape: &'static Structure, value: &Value) -> Map<String, Value> {
    let members = value.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    members
        .map(|(name, value)| {
            let kind = shape.member(name).map(|member| &member.kind);
            (name.clone(), kind.map_or_else(|| value.clone(), |kind| given(kind, value)))
        })
        .collect()
}

/// Converts a tree to a value as in the cases: times in seconds, bytes as a string.
fn plain(tree: &Tree<'_>) -> Value {
    match tree {
        Tree::Time(time) => json!(time.unix_timestamp_nanos() as f64 / 1e9),
        Tree::Blob(bytes) => json!(String::from_utf8_lossy(bytes)),
        Tree::Float(number) if number.is_nan() => json!("NaN"),
        Tree::Float(number) if number.is_infinite() => json!(if *number > 0.0 { "Infinity" } else { "-Infinity" }),
        Tree::List(items) => items.iter().map(plain).collect(),
        Tree::Map(entries) => entries.iter().map(|(key, value)| (key.to_string(), plain(value))).collect(),
        other => numbers(serde_json::to_value(other).unwrap()),
    }
}

/// Converts all numbers of a value to one type.
fn numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(numbers).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, numbers(value))).collect(),
        other => other,
    }
}

/// Parses a body into a value that is equal for equivalent bodies.
fn content(content_type: &str, body: &str) -> Value {
    match content_type {
        _ if body.is_empty() => Value::Null,
        form if form.contains("form-urlencoded") => json!(split_target(&format!("?{body}")).1),
        kind if kind.contains("json") => serde_json::from_str(body).map_or_else(|_| json!(body), numbers),
        kind if kind.contains("xml") => xml(body),
        _ => json!(body),
    }
}

/// Parses an XML document into a value: elements with sorted attributes and sorted children, and their text.
fn xml(text: &str) -> Value {
    let mut reader = quick_xml::Reader::from_str(text);
    let mut open: Vec<(String, Vec<String>, String)> = vec![(String::new(), Vec::new(), String::new())];
    loop {
        let event = reader.read_event().unwrap();
        let (start, is_empty) = match event {
            Event::Eof => break,
            Event::Start(element) => (Some(element), false),
            Event::Empty(element) => (Some(element), true),
            Event::Text(text) => {
                open.last_mut().unwrap().2.push_str(&text.into_inner());
                continue;
            }
            Event::GeneralRef(reference) => {
                open.last_mut().unwrap().2.push_str(&format!("&{};", reference.into_inner()));
                continue;
            }
            Event::End(_) => (None, true),
            _ => continue,
        };
        if let Some(element) = start {
            let name = element.name().as_ref().to_owned();
            let attributes = element.attributes().map(|attribute| {
                let attribute = attribute.unwrap();
                format!("{}={}", attribute.key.as_ref(), attribute.value)
            });
            let mut attributes: Vec<_> = attributes.collect();
            attributes.sort_unstable();
            open.push((format!("{name} {}", attributes.join(" ")), Vec::new(), String::new()));
        }
        if is_empty {
            let (name, mut children, text) = open.pop().unwrap();
            children.sort_unstable();
            open.last_mut().unwrap().1.push(format!("<{name}>{children:?}{}", text.trim()));
        }
    }
    json!(open.pop().unwrap().1)
}

#[test]
fn protocol_cases_of_aws_pass_unless_listed() {
    let (mut ran, mut skipped_count) = (0, 0);
    let mut failures = Vec::new();
    for line in BufReader::new(GzDecoder::new(CASES)).lines() {
        let case: Case = serde_json::from_str(&line.unwrap()).unwrap();
        let skipped = if case.serialized.is_some() { SKIPPED_REQUESTS } else { SKIPPED_RESPONSES };
        let is_skipped = skipped.iter().any(|(_, ids)| ids.contains(&case.id.as_str()));
        match case.run() {
            Err(error) if !is_skipped => failures.push(format!("{} {}: {error}", case.protocol, case.id)),
            Ok(()) if is_skipped => failures.push(format!("{}: listed as skipped, but passes", case.id)),
            _ => {}
        }
        *if is_skipped { &mut skipped_count } else { &mut ran } += 1;
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    let listed = SKIPPED_REQUESTS.iter().chain(SKIPPED_RESPONSES).map(|(_, ids)| ids.len()).sum::<usize>();
    assert_eq!((ran + skipped_count, skipped_count), (678, listed));
}
