//! Interpreter of AWS's endpoint rules, which decide the address of a service from region and settings.
//!
//! `scripts/aws-models` writes the rules (`../models/rules/SERVICE.json`); `../models/README.md` describes the format. The
//! rule set that was used last stays parsed: those of all services would be a tenth of a worker's memory, and a client
//! keeps what they decided.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::functions;

macro_rules! rule_sets {
    ($($name:literal),* $(,)?) => {
        /// The text of each service's rules.
        const RULE_SETS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../models/rules/", $name, ".json")))),*];
    };
}

rule_sets!(
    "autoscaling",
    "cloudformation",
    "cloudwatch",
    "ec2",
    "eks",
    "elb",
    "elbv2",
    "iam",
    "organizations",
    "pricing",
    "rds",
    "s3",
    "service-quotas",
    "sts",
);

/// The rules of one service.
#[derive(Debug, Deserialize)]
struct RuleSet {
    /// The values of parameters that are not given.
    defaults: Map<String, Value>,
    rules: Vec<Rule>,
}

/// One rule: conditions, and one of further rules, an error or an address.
#[derive(Debug, Deserialize)]
struct Rule {
    #[serde(default, rename = "if")]
    conditions: Vec<Value>,
    #[serde(default)]
    rules: Vec<Rule>,
    error: Option<Value>,
    url: Option<Value>,
    #[serde(default)]
    properties: Value,
}

/// What the rules decide.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// The address.
    pub(super) url: String,
    /// Properties such as `authSchemes`; null if there are none.
    pub(super) properties: Value,
}

/// Applies the rules of a service to parameters such as `Region` and `UseFIPS`.
///
/// # Errors
/// The error that the rules name, or the service if there are no rules for it.
pub(super) fn resolve(service: &str, parameters: Map<String, Value>) -> Result<Found, String> {
    let rule_set = rule_set(service)?;
    let mut values = rule_set.defaults.clone();
    values.extend(parameters);
    let mut scope = Scope(values);
    scope.first(&rule_set.rules).unwrap_or_else(|| Err(format!("no endpoint rule of {service} applies")))
}

/// The names of the services that have rules.
#[cfg(test)]
pub(super) fn services() -> impl Iterator<Item = &'static str> {
    RULE_SETS.iter().map(|(name, _)| *name)
}

fn rule_set(service: &str) -> Result<Arc<RuleSet>, String> {
    static LAST: Mutex<Option<(&str, Arc<RuleSet>)>> = Mutex::new(None);
    let find = || RULE_SETS.iter().find(|(name, _)| *name == service);
    let (name, text) = find().ok_or_else(|| format!("there are no endpoint rules of {service}"))?;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = last.as_ref().filter(|(known, _)| known == name) {
        return Ok(Arc::clone(known));
    }
    let read: RuleSet =
        serde_json::from_str(text).map_err(|error| format!("cannot read the endpoint rules of {service}: {error}"))?;
    let (_, parsed) = last.insert((*name, Arc::new(read)));
    Ok(Arc::clone(parsed))
}

/// The values that rules refer to. Rules assign each name at most once on the way to a decision.
struct Scope(Map<String, Value>);

impl Scope {
    /// The decision of the first rule whose conditions hold. Such a rule is final, whatever its own rules decide.
    fn first(&mut self, rules: &[Rule]) -> Option<Result<Found, String>> {
        for rule in rules {
            let mut assigned = Vec::new();
            if rule.conditions.iter().all(|condition| self.holds(condition, &mut assigned)) {
                return Some(self.decide(rule));
            }
            for name in assigned {
                self.0.remove(&name);
            }
        }
        None
    }

    fn decide(&mut self, rule: &Rule) -> Result<Found, String> {
        if let Some(url) = &rule.url {
            return Ok(Found { url: text(&self.value(url)), properties: self.filled(&rule.properties) });
        }
        if let Some(error) = &rule.error {
            return Err(text(&self.value(error)));
        }
        self.first(&rule.rules).unwrap_or_else(|| Err("no endpoint rule applies".to_owned()))
    }

    /// Whether a condition holds: its value is neither absent nor false. Notes the name that it assigns.
    fn holds(&mut self, condition: &Value, assigned: &mut Vec<String>) -> bool {
        let value = match condition.as_array().map(Vec::as_slice) {
            Some([Value::String(sign), Value::String(name), call]) if sign == "=" => {
                let value = self.value(call);
                if !value.is_null() {
                    self.0.insert(name.clone(), value.clone());
                    assigned.push(name.clone());
                }
                value
            }
            _ => self.value(condition),
        };
        !matches!(value, Value::Null | Value::Bool(false))
    }

    /// The value of an expression: a call, a reference, or a constant whose text may have references in braces.
    fn value(&self, expression: &Value) -> Value {
        match expression {
            Value::String(text) => match text.strip_prefix('@') {
                Some(name) => self.0.get(name).cloned().unwrap_or(Value::Null),
                None => Value::String(self.template(text)),
            },
            Value::Array(call) => {
                let Some((Value::String(function), arguments)) = call.split_first() else { return Value::Null };
                let arguments: Vec<Value> = arguments.iter().map(|argument| self.value(argument)).collect();
                functions::call(function, &arguments)
            }
            constant => constant.clone(),
        }
    }

    /// Properties with the references in their texts filled.
    fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.template(text)),
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::Object(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), self.filled(value))).collect())
            }
            other => other.clone(),
        }
    }

    /// A text with references such as `{Region}` and `{PartitionResult#dnsSuffix}` filled; `{{` stands for a brace.
    fn template(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                filled.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let Some((reference, after)) = from[1..].split_once('}') else { break };
            let (name, path) = reference.split_once('#').unwrap_or((reference, ""));
            let value = self.0.get(name).map_or(Value::Null, |value| functions::attribute(value, path));
            filled.push_str(&self::text(&value));
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(String::new, str::to_owned)
}
