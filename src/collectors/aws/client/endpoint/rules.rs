//! Interpreter of AWS's endpoint rules, which decide the address of a service from region and settings.
//!
//! `scripts/aws-models` writes the rules (`../models/rules/SERVICE.txt`); `../models/README.md` describes the format.
//! They are read where they are, line by line, and no line is kept: a decision evaluates a few of the 400 rules of S3.

use std::cmp::Ordering;

use super::{
    functions::{self, MAX_ARGUMENTS},
    value::Value,
};
use crate::collectors::aws::services;

/// The values that are given to the rules by name.
pub(super) type Parameters<'a> = Vec<(&'a str, Value<'a>)>;

/// What the rules decide.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// The address.
    pub(super) url: String,
    /// Properties such as `authSchemes`; null if there are none.
    pub(super) properties: serde_json::Value,
}

/// Applies the rules of a service to parameters such as `Region` and `UseFIPS`.
///
/// # Errors
/// The error that the rules name, or the service if there are no rules for it.
pub(super) fn resolve(service: &str, parameters: Parameters<'_>) -> Result<Found, String> {
    let text = services::rules(service).and_then(|text| text.split_once("\n\n"));
    let (head, rules) = text.ok_or_else(|| format!("there are no endpoint rules of {service}"))?;
    let mut scope = Scope(parameters);
    for line in head.lines() {
        if let Some((name, value)) = line.strip_prefix("default ").and_then(|line| line.split_once(' ')) {
            // A parameter that is given comes first.
            let value = scope.value(value).0;
            scope.0.push((name, value));
        }
    }
    let (decision, number) = scope.decide(rules).ok_or_else(|| format!("no endpoint rule of {service} applies"))?;
    if let Some(error) = decision.strip_prefix('!') {
        return Err(scope.filled(error));
    }
    let properties = match number {
        Some(number) => properties(head, number)
            .map_err(|error| format!("cannot read properties in the endpoint rules of {service}: {error}"))?,
        None => serde_json::Value::Null,
    };
    Ok(Found { url: scope.filled(&decision[1..]), properties: scope.all_filled(&properties) })
}

/// Returns the properties that a decision names by their position.
fn properties(head: &str, number: &str) -> Result<serde_json::Value, serde_json::Error> {
    let mut lines = head.lines().filter_map(|line| line.strip_prefix("properties "));
    let text = number.parse().ok().and_then(|number| lines.nth(number));
    serde_json::from_str(text.unwrap_or_default())
}

/// The values that rules refer to. Rules assign each name at most once on the way to a decision.
struct Scope<'a>(Parameters<'a>);

impl<'a> Scope<'a> {
    /// Returns the decision of the first rule whose conditions hold, an address or an error, and the number of its
    /// properties. A rule without a decision leaves it to those below it, and is final even if none of them decides.
    fn decide(&mut self, rules: &'static str) -> Option<(&'static str, Option<&'static str>)> {
        let mut depth = 0;
        for line in rules.lines() {
            let rule = line.trim_start_matches(' ');
            match (line.len() - rule.len()).cmp(&depth) {
                // Below a rule whose conditions do not hold.
                Ordering::Greater => continue,
                Ordering::Less => return None,
                Ordering::Equal => {}
            }
            let assigned = self.0.len();
            let mut fields = rule.split('\t');
            let is_decision = |field: &str| field.starts_with(['>', '!']);
            match fields.find(|field| is_decision(field) || !self.holds(field)) {
                Some(decision) if is_decision(decision) => return Some((decision, fields.next())),
                Some(_) => self.0.truncate(assigned),
                None => depth += 1,
            }
        }
        None
    }

    /// Whether a condition holds: its value is neither absent nor false. Keeps the value under the name that it
    /// assigns.
    fn holds(&mut self, condition: &'static str) -> bool {
        let assigned = condition.split_once('=').filter(|(name, _)| !name.contains('('));
        let value = self.value(assigned.map_or(condition, |(_, call)| call)).0;
        let holds = value.holds();
        if let Some((name, _)) = assigned {
            self.0.push((name, value));
        }
        holds
    }

    /// Returns the value of the expression at the start of a text, and what follows it.
    fn value(&self, text: &'static str) -> (Value<'a>, &'static str) {
        if let Some((quoted, rest)) = text.strip_prefix('"').and_then(|text| text.split_once('"')) {
            return (Value::text(quoted), rest);
        }
        let end = text.find(['(', ')', ',']).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        if let Some(rest) = rest.strip_prefix('(') {
            return self.call(word, rest);
        }
        let value = match word.strip_prefix('@') {
            Some(reference) => self.reference(reference),
            None => match word {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                number => number.parse().map_or(Value::Absent, Value::Number),
            },
        };
        (value, rest)
    }

    /// Returns the value of a call, whose arguments are at the start of a text, and what follows it.
    fn call(&self, function: &str, mut text: &'static str) -> (Value<'a>, &'static str) {
        let mut arguments: [Value<'a>; MAX_ARGUMENTS] = Default::default();
        for argument in &mut arguments {
            let rest;
            (*argument, rest) = self.value(text);
            let Some(next) = rest.strip_prefix(',') else {
                text = rest;
                break;
            };
            text = next;
        }
        (functions::call(function, &arguments), text.strip_prefix(')').unwrap_or(text))
    }

    /// Returns the value of a reference such as `Region` or `PartitionResult#dnsSuffix`.
    fn reference(&self, reference: &str) -> Value<'a> {
        let (name, path) = reference.split_once('#').map_or((reference, None), |(name, path)| (name, Some(path)));
        match self.0.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => path.map_or_else(|| value.clone(), |path| value.attribute(path)),
            None => Value::Absent,
        }
    }

    /// Returns properties with the references in their texts filled.
    fn all_filled(&self, value: &serde_json::Value) -> serde_json::Value {
        use serde_json::Value::{Array, Object, String};
        match value {
            String(text) => String(self.filled(text)),
            Array(items) => items.iter().map(|item| self.all_filled(item)).collect(),
            Object(members) => {
                Object(members.iter().map(|(name, value)| (name.clone(), self.all_filled(value))).collect())
            }
            other => other.clone(),
        }
    }

    /// Returns a text with references in braces filled; `{{` stands for a brace.
    fn filled(&self, text: &str) -> String {
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
            if let Value::Text(text) | Value::Url(text) | Value::Arn(text) = self.reference(reference) {
                filled.push_str(&text);
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}
