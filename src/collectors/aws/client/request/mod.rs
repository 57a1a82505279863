//! Requests: from parameters by name to method, path, headers and body of any protocol.
//!
//! Parameters are checked against the model: an unknown one or one of the wrong type is a `Configuration` error, as it
//! is a bug.

mod form;
mod rest;
mod scalar;
#[cfg(test)]
mod tests;
mod xml;

use aws_lc_rs::digest;
use aws_smithy_types::base64;
use serde_json::{Map, Value};

use super::model::{Kind, Operation, Protocol, Structure};

/// A request without host and signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outgoing {
    /// The HTTP method.
    pub method: &'static str,
    /// Path and query, escaped.
    pub target: String,
    /// The headers by name.
    pub headers: Vec<(String, String)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
}

/// Parameters by name.
pub(super) type Input = Map<String, Value>;

/// Builds a request.
///
/// # Errors
/// A sentence that names the parameter.
pub(super) fn outgoing(operation: &'static Operation, input: &Input) -> Result<Outgoing, String> {
    let shape = check(operation, input)?;
    let mut outgoing = match operation.service.protocol {
        Protocol::Query | Protocol::Ec2 => form::outgoing(operation, shape, input)?,
        Protocol::Json => json(operation, shape, input)?,
        Protocol::RestJson | Protocol::RestXml => rest::outgoing(operation, shape, input)?,
    };
    if operation.checksum {
        let digest = digest::digest(&digest::SHA256, &outgoing.body);
        outgoing.headers.push(("x-amz-checksum-sha256".into(), base64::encode(digest)));
        outgoing.headers.push(("x-amz-sdk-checksum-algorithm".into(), "SHA256".into()));
    }
    Ok(outgoing)
}

/// Returns the operation's input, if all parameters are known and none is missing.
fn check(operation: &'static Operation, input: &Input) -> Result<Option<&'static Structure>, String> {
    let Some(shape) = operation.input.as_ref().map(super::model::StructureRef::get) else {
        return match input.keys().next() {
            None => Ok(None),
            Some(name) => Err(format!("{} takes no parameters, not even {name}", operation.name)),
        };
    };
    let missing = shape.members.iter().find(|member| member.required && !input.contains_key(member.name));
    match missing {
        Some(member) => Err(format!("the parameter {} is missing", member.name)),
        None => Ok(Some(shape)),
    }
}

fn json(operation: &Operation, shape: Option<&'static Structure>, input: &Input) -> Result<Outgoing, String> {
    let body = match shape {
        Some(shape) => json_structure(shape, input)?,
        None => Value::Object(Map::new()),
    };
    let service = operation.service;
    let mut headers = vec![
        ("content-type".to_owned(), format!("application/x-amz-json-{}", service.json)),
        ("x-amz-target".to_owned(), format!("{}.{}", service.target, operation.name)),
    ];
    if service.query_compatible {
        headers.push(("x-amzn-query-mode".to_owned(), "true".to_owned()));
    }
    Ok(Outgoing { method: operation.method, target: "/".to_owned(), headers, body: body.to_string().into_bytes() })
}

/// Returns the members by their wire names.
fn json_structure(shape: &'static Structure, input: &Input) -> Result<Value, String> {
    let mut members = Map::with_capacity(input.len());
    for (name, value) in input {
        let member = shape.member(name).ok_or_else(|| unknown(shape, name))?;
        members.insert(member.wire.to_string(), json_value(&member.kind, value).map_err(|why| inside(name, &why))?);
    }
    Ok(Value::Object(members))
}

fn json_value(kind: &'static Kind, value: &Value) -> Result<Value, String> {
    match kind {
        Kind::Document => Ok(value.clone()),
        Kind::Structure(structure) => json_structure(structure.get(), object(value)?),
        Kind::List(list) => {
            let items = array(value)?.iter().map(|item| json_value(&list.item, item));
            Ok(Value::Array(items.collect::<Result<_, _>>()?))
        }
        Kind::Map(map) => {
            let entries = object(value)?.iter().map(|(key, value)| Ok((key.clone(), json_value(&map.value, value)?)));
            Ok(Value::Object(entries.collect::<Result<_, String>>()?))
        }
        Kind::Time(form) => scalar::time(value, form.unwrap_or(super::model::TimeForm::Unix)).map(|text| match form {
            None | Some(super::model::TimeForm::Unix) => {
                serde_json::from_str(&text).map_or(Value::String(text), Value::Number)
            }
            Some(_) => Value::String(text),
        }),
        _ => scalar::check(kind, value).map(|()| value.clone()),
    }
}

fn object(value: &Value) -> Result<&Input, String> {
    value.as_object().ok_or_else(|| unfit("an object", value))
}

fn array(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| unfit("a list", value))
}

fn unfit(wanted: &str, found: &Value) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("must be {wanted}, not {found}")
}

fn unknown(shape: &Structure, name: &str) -> String {
    format!("{} has no parameter {name}", shape.name)
}

fn inside(name: &str, why: &str) -> String {
    format!("the parameter {name}: {why}")
}
