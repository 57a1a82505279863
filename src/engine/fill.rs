//! Fills templates and the parameters of calls with values.
//!
//! Collection omits a parameter whose path leads to nothing, as the services have optional parameters. A change fails
//! instead: a call without one of its parameters may concern everything.

use serde_json::{Map, Value as Json};

use super::{
    definition::{Input, Parameter, Part, Template},
    eval::text,
    path::Path,
    tree::Tree,
};

/// What follows if a parameter's path leads to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnMissing {
    /// The parameter is omitted.
    Omit,
    /// The call is not made.
    Fail,
}

/// The path that leads to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MissingValue(pub(crate) String);

/// Fills templates with the values that `find` returns.
pub(crate) struct Filler<'f, 't> {
    /// Returns the first value at a path.
    pub(crate) find: &'f dyn Fn(&Path) -> Option<&'t Tree<'t>>,
    /// What follows if a parameter's path leads to nothing.
    pub(crate) on_missing: OnMissing,
}

impl Filler<'_, '_> {
    /// Returns the parameters of a call.
    ///
    /// # Errors
    /// With [`OnMissing::Fail`], the first path that leads to nothing.
    pub(crate) fn input(&self, input: &Input) -> Result<Map<String, Json>, MissingValue> {
        let mut parameters = Map::new();
        for (name, parameter) in input {
            match self.template(name).and_then(|name| Ok((name, self.parameter(parameter)?))) {
                Ok((name, value)) => drop(parameters.insert(name, value)),
                Err(_) if self.on_missing == OnMissing::Omit => {}
                Err(missing) => return Err(missing),
            }
        }
        Ok(parameters)
    }

    /// Returns a template's string.
    ///
    /// # Errors
    /// The first path that leads to nothing, whatever the policy.
    pub(crate) fn template(&self, template: &Template) -> Result<String, MissingValue> {
        let mut filled = String::new();
        for part in &template.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Path(path) => {
                    let value = (self.find)(path).and_then(text).and_then(|text| path.take(text));
                    filled.push_str(&value.ok_or_else(|| MissingValue(path.to_string()))?);
                }
            }
        }
        Ok(filled)
    }

    fn parameter(&self, parameter: &Parameter) -> Result<Json, MissingValue> {
        Ok(match parameter {
            Parameter::Bool(value) => Json::Bool(*value),
            Parameter::Int(number) => Json::from(*number),
            Parameter::Text(template) => match self.part_of_response(template) {
                Some(part) => part,
                None => Json::String(self.template(template)?),
            },
            Parameter::List(list) => {
                list.iter().map(|element| self.parameter(element)).collect::<Result<Vec<_>, _>>()?.into()
            }
            Parameter::Map(members) => Json::Object(self.input(members)?),
        })
    }

    /// Returns what a template of one path stands for if that is no string: a structure, a list or a boolean.
    fn part_of_response(&self, template: &Template) -> Option<Json> {
        let [Part::Path(path @ Path { part: None, .. })] = template.0.as_slice() else { return None };
        let part = (self.find)(path).filter(|part| matches!(part, Tree::Map(_) | Tree::List(_) | Tree::Bool(_)))?;
        serde_json::to_value(part).ok()
    }
}
