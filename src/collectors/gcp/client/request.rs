//! Requests: from parameters by name to URL and body.
//!
//! Parameters are checked against the model: an unknown or missing one, or one of the wrong type, is a `Configuration`
//! error, as it is a bug.

use serde_json::{Map, Value};

use super::{
    Project, link,
    model::{self, Kind, Method, Service, Structure, Values, encoded},
};
use crate::engine::Request;

/// The parameter of calls by link.
const LINK: &str = "link";

/// The parameter that makes a change idempotent: all attempts of a call have the same.
const REQUEST_ID: &str = "requestId";

/// A request without host and token.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// The method of the model.
    pub(super) method: &'static Method,
    /// The host.
    pub(super) host: String,
    /// Path and query, percent-encoded; without a slash at the beginning.
    pub(super) target: String,
    /// The body, in JSON.
    pub(super) body: Option<String>,
    /// The project that the call is about.
    pub(super) project: Option<Project>,
}

/// Returns the method of a call, and the parameters of its path if a link gives them.
///
/// # Errors
/// A sentence that names what is unknown.
pub(super) fn resolve(
    request: &Request<'_>,
    project: Option<&Project>,
) -> Result<(&'static Method, Option<Values>), String> {
    let service = model::service(request.service);
    let service = service.ok_or_else(|| format!("there is no model of the service {}", request.service))?;
    if request.operation.contains('.') {
        let method = service.method(request.operation);
        let unknown = || format!("the model of {} has no method {}", service.name, request.operation);
        return method.map(|method| (method, None)).ok_or_else(unknown);
    }
    let link = request.input.get(LINK).and_then(Value::as_str);
    let link = link.ok_or_else(|| format!("the parameter {LINK} is missing"))?;
    let (method, values) = link::resolve(service, request.operation, request.region, link, project)?;
    Ok((method, Some(values)))
}

/// Builds a request.
///
/// # Errors
/// A sentence that names the parameter.
pub(super) fn outgoing(request: &Request<'_>, project: Option<&Project>) -> Result<Outgoing, String> {
    let (method, linked) = resolve(request, project)?;
    let mut input = request.input.clone();
    if linked.is_some() {
        input.remove(LINK);
    }
    let default = |name: &str| project.filter(|_| name == "project").map(|project| Value::from(project.id.as_str()));
    let path = match linked {
        Some(values) => values,
        None => {
            let value = |name: &'static str| {
                let given = input.remove(name).or_else(|| default(name)).ok_or_else(|| missing(name))?;
                Ok((name, text(name, &given)?))
            };
            method.path.parameters().map(value).collect::<Result<_, String>>()?
        }
    };
    let mut query: Vec<(&str, String)> = Vec::new();
    for name in method.required.iter().chain(&method.query) {
        let is_required = method.required.contains(name);
        let given = input.remove(*name).or_else(|| default(name).filter(|_| is_required));
        match given {
            Some(Value::Array(values)) => {
                query.extend(
                    values.iter().map(|value| Ok((*name, text(name, value)?))).collect::<Result<Vec<_>, String>>()?,
                );
            }
            Some(value) => query.push((*name, text(name, &value)?)),
            None if is_required => return Err(missing(name)),
            None => {}
        }
    }
    if method.begins_operation && method.has_query(REQUEST_ID) && query.iter().all(|(name, _)| *name != REQUEST_ID) {
        query.push((REQUEST_ID, uuid()));
    }
    let asked = path.iter().chain(&query).find(|(name, _)| *name == "project").map(|(_, value)| value.as_str());
    let about = match asked {
        Some(asked) if project.is_none_or(|project| !project.is(asked)) => {
            Some(Project { id: asked.into(), number: None })
        }
        _ => project.cloned(),
    };
    let fields: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let mark = if fields.is_empty() { "" } else { "?" };
    let target = format!("{}{}{mark}{}", method.service.path, method.path.fill(&path)?, fields.join("&"));
    let body = body(method, input)?;
    Ok(Outgoing { method, host: host(method.service, request.region)?, target, body, project: about })
}

/// Returns the host of a service, for a call to a region.
///
/// # Errors
/// If the host has the region in it, and it is none.
pub(super) fn host(service: &Service, region: &str) -> Result<String, String> {
    const REGION: &str = "{region}";
    let is_label = || !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match service.host.contains(REGION) {
        true if !is_label() => Err(format!("the host of {} needs a region, and {region:?} is none", service.name)),
        _ => Ok(service.host.replace(REGION, region)),
    }
}

/// Returns the body: all parameters that are neither in the path nor in the query.
fn body(method: &Method, input: Map<String, Value>) -> Result<Option<String>, String> {
    let Some(request) = method.request else {
        return match input.keys().next() {
            None => Ok(None),
            Some(name) => Err(format!("{} has no parameter {name}", method.name)),
        };
    };
    check_members(request.get(), &input)?;
    Ok(Some(Value::Object(input).to_string()))
}

fn check_members(structure: &Structure, given: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in given {
        let kind = structure.member(name).ok_or_else(|| format!("{} has no member {name}", structure.name))?;
        check(kind, value).map_err(|why| format!("the parameter {name}: {why}"))?;
    }
    Ok(())
}

/// Checks the type of a value in a body. Null removes a member.
fn check(kind: &Kind, value: &Value) -> Result<(), String> {
    match (kind, value) {
        (_, Value::Null) | (Kind::Document, _) => Ok(()),
        (Kind::Structure(structure), Value::Object(members)) => check_members(structure.get(), members),
        (Kind::List(item), Value::Array(items)) => items.iter().try_for_each(|value| check(item, value)),
        (Kind::Map(inner), Value::Object(entries)) => entries.values().try_for_each(|value| check(inner, value)),
        (Kind::Text | Kind::Time | Kind::Blob | Kind::Long, Value::String(_))
        | (Kind::Bool, Value::Bool(_))
        | (Kind::Float, Value::Number(_)) => Ok(()),
        (Kind::Integer | Kind::Long, Value::Number(number)) if !number.is_f64() => Ok(()),
        _ => Err(format!("{} cannot be sent as {}", described(value), kind.label())),
    }
}

/// Returns a value as it is in a path or a query.
fn text(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err(format!("the parameter {name} cannot be {}", described(value))),
    }
}

fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Returns a random UUID (version 4).
fn uuid() -> String {
    let random = fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let digits = format!("{random:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

fn missing(name: &str) -> String {
    format!("the parameter {name} is missing")
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
