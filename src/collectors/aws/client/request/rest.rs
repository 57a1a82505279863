//! Requests with parameters in path, query, headers and body.

use aws_smithy_types::base64;
use serde_json::Value;

use super::{
    super::model::{Binding, Kind, Member, Operation, Protocol, Structure, TimeForm},
    Input, Outgoing, array, inside, json_structure, json_value, object, scalar, unknown, xml,
};

/// The parts of a request so far.
#[derive(Default)]
struct Parts {
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    /// Fields from maps, whose keys are the names. A parameter with the same name takes precedence.
    map_query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Input,
}

pub(super) fn outgoing(
    operation: &'static Operation,
    shape: Option<&'static Structure>,
    input: &Input,
) -> Result<Outgoing, String> {
    let mut parts = Parts::default();
    if let Some(shape) = shape {
        for (name, value) in input {
            let member = shape.member(name).ok_or_else(|| unknown(shape, name))?;
            parts.bind(member, value).map_err(|why| inside(name, &why))?;
        }
    }
    let body = body(operation, shape, &parts.body)?;
    let mut headers = parts.headers;
    let is_typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !body.is_empty() && !is_typed {
        headers.push(("content-type".to_owned(), content_type(operation, shape).to_owned()));
    }
    let from_maps = parts.map_query.into_iter().filter(|(name, _)| !parts.query.iter().any(|(known, _)| known == name));
    let from_maps: Vec<_> = from_maps.collect();
    parts.query.extend(from_maps);
    let target = target(operation.uri, &parts.path, &parts.query)?;
    Ok(Outgoing { method: operation.method, target, headers, body })
}

impl Parts {
    fn bind(&mut self, member: &'static Member, value: &Value) -> Result<(), String> {
        let wire = member.wire.to_string();
        match member.binding {
            Binding::Path => self.path.push((wire, scalar::text(&member.kind, value, TimeForm::Iso8601)?)),
            Binding::Query => self.query(wire, &member.kind, value)?,
            Binding::Header => self.header(wire, &member.kind, value)?,
            Binding::Headers => {
                for (name, value) in object(value)? {
                    let text = scalar::text(&Kind::Text, value, TimeForm::Rfc822)?;
                    self.headers.push((format!("{wire}{name}"), text));
                }
            }
            Binding::Body | Binding::Attribute | Binding::Status => {
                self.body.insert(member.name.to_owned(), value.clone());
            }
        }
        Ok(())
    }

    fn query(&mut self, wire: String, kind: &'static Kind, value: &Value) -> Result<(), String> {
        let Kind::Map(map) = kind else {
            self.query.extend(texts(kind, value)?.into_iter().map(|text| (wire.clone(), text)));
            return Ok(());
        };
        for (key, value) in object(value)? {
            self.map_query.extend(texts(&map.value, value)?.into_iter().map(|text| (key.clone(), text)));
        }
        Ok(())
    }

    fn header(&mut self, wire: String, kind: &'static Kind, value: &Value) -> Result<(), String> {
        let text = match kind {
            Kind::List(list) => {
                let items = array(value)?.iter().map(|item| scalar::text(&list.item, item, TimeForm::Rfc822));
                let items = items.map(|item| item.map(|item| if is_text(&list.item) { quoted(item) } else { item }));
                items.collect::<Result<Vec<_>, _>>()?.join(", ")
            }
            _ => scalar::text(kind, value, TimeForm::Rfc822)?,
        };
        if !text.is_empty() {
            self.headers.push((wire, text));
        }
        Ok(())
    }
}

/// Returns a scalar, or a list of scalars, as strings.
fn texts(kind: &'static Kind, value: &Value) -> Result<Vec<String>, String> {
    match kind {
        Kind::List(list) => {
            array(value)?.iter().map(|item| scalar::text(&list.item, item, TimeForm::Iso8601)).collect()
        }
        _ => Ok(vec![scalar::text(kind, value, TimeForm::Iso8601)?]),
    }
}

/// Returns an item of a list in a header, in quotes if it contains a comma or a quote.
fn quoted(item: String) -> String {
    if !item.contains([',', '"']) {
        return item;
    }
    format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\""))
}

fn is_text(kind: &Kind) -> bool {
    matches!(kind, Kind::Text)
}

/// Returns the media type of a body.
fn content_type(operation: &Operation, shape: Option<&'static Structure>) -> &'static str {
    let payload = shape.and_then(|shape| shape.member(shape.payload?));
    match (payload.map(|member| &member.kind), operation.service.protocol) {
        (Some(Kind::Text), _) => "text/plain",
        (Some(Kind::Blob), _) => "application/octet-stream",
        (_, Protocol::RestJson) => "application/json",
        _ => "application/xml",
    }
}

fn body(operation: &'static Operation, shape: Option<&'static Structure>, input: &Input) -> Result<Vec<u8>, String> {
    let Some(shape) = shape else { return Ok(Vec::new()) };
    let json = operation.service.protocol == Protocol::RestJson;
    if let Some(member) = shape.payload.and_then(|name| shape.member(name)) {
        let Some(value) = input.get(member.name) else { return Ok(Vec::new()) };
        return match &member.kind {
            Kind::Text => Ok(scalar::text(&member.kind, value, TimeForm::Iso8601)?.into_bytes()),
            Kind::Blob => {
                let text = scalar::text(&member.kind, value, TimeForm::Iso8601)?;
                base64::decode(text).map_err(|_| inside(member.name, "must be in base64"))
            }
            kind if json => Ok(json_value(kind, value)?.to_string().into_bytes()),
            _ => xml::element(member, value),
        };
    }
    if !shape.members.iter().any(|member| member.binding == Binding::Body) {
        return Ok(Vec::new());
    }
    if json {
        return Ok(json_structure(shape, input)?.to_string().into_bytes());
    }
    match operation.root {
        Some(root) if !input.is_empty() => xml::root(root, operation.namespace, shape, input),
        _ => Ok(Vec::new()),
    }
}

/// Returns the path and query with the parameters filled in.
fn target(uri: &str, path: &[(String, String)], query: &[(String, String)]) -> Result<String, String> {
    let (template, fixed) = uri.split_once('?').map_or((uri, None), |(path, query)| (path, Some(query)));
    let mut target = String::new();
    let mut rest = template;
    while let Some((before, (label, after))) =
        rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        target.push_str(before);
        let (name, keep) = label.strip_suffix('+').map_or((label, &b""[..]), |name| (name, &b"/"[..]));
        let value = path.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match value.filter(|value| !value.is_empty()) {
            Some(value) => scalar::escape(value, keep, &mut target),
            None => return Err(format!("the parameter {name} is missing")),
        }
        rest = after;
    }
    target.push_str(rest);
    let mut separator = '?';
    if let Some(fixed) = fixed {
        target.push(separator);
        target.push_str(fixed);
        separator = '&';
    }
    for (name, value) in query {
        target.push(separator);
        scalar::escape(name, b"", &mut target);
        target.push('=');
        scalar::escape(value, b"", &mut target);
        separator = '&';
    }
    Ok(target)
}
