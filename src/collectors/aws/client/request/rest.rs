//! Requests with parameters in path, query, headers and body.

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
    if !body.is_empty() {
        let json = operation.service.protocol == Protocol::RestJson;
        let form = if json { "application/json" } else { "application/xml" };
        headers.push(("content-type".to_owned(), form.to_owned()));
    }
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
        match kind {
            Kind::List(list) => {
                for item in array(value)? {
                    self.query.push((wire.clone(), scalar::text(&list.item, item, TimeForm::Iso8601)?));
                }
            }
            Kind::Map(map) => {
                for (key, value) in object(value)? {
                    self.query(key.clone(), &map.value, value)?;
                }
            }
            _ => self.query.push((wire, scalar::text(kind, value, TimeForm::Iso8601)?)),
        }
        Ok(())
    }

    fn header(&mut self, wire: String, kind: &'static Kind, value: &Value) -> Result<(), String> {
        let text = match kind {
            Kind::List(list) => {
                let items = array(value)?.iter().map(|item| scalar::text(&list.item, item, TimeForm::Rfc822));
                items.collect::<Result<Vec<_>, _>>()?.join(",")
            }
            _ => scalar::text(kind, value, TimeForm::Rfc822)?,
        };
        if !text.is_empty() {
            self.headers.push((wire, text));
        }
        Ok(())
    }
}

fn body(operation: &'static Operation, shape: Option<&'static Structure>, input: &Input) -> Result<Vec<u8>, String> {
    let Some(shape) = shape else { return Ok(Vec::new()) };
    let json = operation.service.protocol == Protocol::RestJson;
    if let Some(member) = shape.payload.and_then(|name| shape.member(name)) {
        let Some(value) = input.get(member.name) else { return Ok(Vec::new()) };
        return match &member.kind {
            Kind::Text => Ok(scalar::text(&member.kind, value, TimeForm::Iso8601)?.into_bytes()),
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
