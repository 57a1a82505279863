//! What a path may lead to, and what an operation accepts: the checks of paths and parameters against a model.

use crate::{
    collectors::aws::client::model::{self, Kind, Operation, Structure},
    engine::{
        Path,
        definition::{Condition, Input, Parameter, Part, Source, Template},
        path::Step,
    },
};

/// A mistake: where in the file, and what.
pub(super) type Mistake = (usize, String);

/// Where a path may lead: a structure of the model, any part of it, or a shape that only code knows.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Structure(&'static Structure),
    Kind(&'static Kind),
    Code(&'static [&'static str]),
}

/// The roots of paths in one definition.
pub(super) struct Roots {
    pub(super) item: Shape,
    pub(super) named: Vec<(String, Shape)>,
}

/// All paths of a source that start at the item or a named value.
pub(super) fn paths(source: &Source) -> Vec<&Path> {
    let rule = &source.0;
    let several = rule.first.iter().chain(&rule.all).flatten();
    let mut paths: Vec<&Path> = rule.path.iter().chain(several).collect();
    paths.extend(rule.condition.iter().chain(&rule.when).map(|condition| &condition.path));
    paths.extend(rule.template.iter().flat_map(|template| &template.0).filter_map(|part| match part {
        Part::Path(path) => Some(path),
        Part::Text(_) => None,
    }));
    paths
}

/// Returns the name of a parameter; `None` if there are paths in it.
pub(super) fn literal(name: &Template) -> Option<&str> {
    match name.0.as_slice() {
        [Part::Text(text)] => Some(text),
        _ => None,
    }
}

pub(super) fn walk(shape: Shape, steps: &[Step]) -> Result<Shape, String> {
    steps.iter().try_fold(shape, |shape, step| {
        let below = match (shape, step) {
            (Shape::Structure(structure), _) => structure.step(step),
            (Shape::Kind(kind), _) => kind.step(step),
            (Shape::Code(members), Step::Member(name)) if members.contains(&&**name) => {
                return Ok(Shape::Code(&[]));
            }
            // A list that a hook made.
            (Shape::Code([]), Step::Each) => return Ok(Shape::Code(&[])),
            (Shape::Code(_), step) => return Err(format!("{step:?} does not fit")),
        };
        below.map(Shape::Kind).map_err(|error| error.to_string())
    })
}

impl Roots {
    pub(super) fn check(&self, at: usize, path: &Path, mistakes: &mut Vec<Mistake>) -> Option<Shape> {
        let shape = match &path.root {
            None => Some(self.item),
            Some(name) => self.named.iter().find(|(known, _)| **known == **name).map(|(_, shape)| *shape),
        };
        let found = shape.ok_or_else(|| format!("there is no @{}", path.root.as_deref().unwrap_or_default()));
        match found.and_then(|shape| walk(shape, &path.steps)) {
            Ok(Shape::Kind(kind)) if path.part.is_some() && !matches!(kind, Kind::Text) => {
                mistakes.push((at, format!("a {} has no parts", kind.label())));
                None
            }
            Ok(shape) => Some(shape),
            Err(mistake) => {
                mistakes.push((at, mistake));
                None
            }
        }
    }

    pub(super) fn source(&self, at: usize, source: &Source, mistakes: &mut Vec<Mistake>) {
        for path in paths(source) {
            let shape = self.check(at, path, mistakes);
            let (Some(shape), Some(each)) = (shape, &source.0.element) else { continue };
            if let Err(mistake) = walk(shape, &each.steps) {
                mistakes.push((at, mistake));
            }
        }
    }

    pub(super) fn condition(&self, condition: Option<&toml::Spanned<Condition>>, mistakes: &mut Vec<Mistake>) {
        if let Some(condition) = condition {
            self.check(condition.span().start, &condition.get_ref().path, mistakes);
        }
    }

    /// Checks that an operation takes these parameters, and that their paths lead somewhere.
    pub(super) fn input(&self, operation: &Operation, input: &toml::Spanned<Input>, mistakes: &mut Vec<Mistake>) {
        let at = input.span().start;
        let given = input.get_ref();
        match operation.input.as_ref().map(model::StructureRef::get) {
            Some(structure) => self.parameters(at, structure, given, mistakes),
            None if given.is_empty() => {}
            None => mistakes.push((at, format!("{} takes nothing", operation.name))),
        }
    }

    pub(super) fn parameters(
        &self,
        at: usize,
        structure: &'static Structure,
        given: &Input,
        mistakes: &mut Vec<Mistake>,
    ) {
        for member in structure.members.iter().filter(|member| member.required) {
            if !given.keys().any(|name| literal(name) == Some(member.name)) {
                mistakes.push((at, format!("{} needs {}", structure.name, member.name)));
            }
        }
        for (name, parameter) in given {
            match literal(name).and_then(|name| structure.member(name)) {
                Some(member) => self.parameter(at, &member.kind, parameter, mistakes),
                None => mistakes.push((at, format!("{} has no member {name}", structure.name))),
            }
        }
    }

    pub(super) fn parameter(&self, at: usize, kind: &'static Kind, given: &Parameter, mistakes: &mut Vec<Mistake>) {
        match (kind, given) {
            (Kind::List(list), Parameter::List(items)) => {
                items.iter().for_each(|item| self.parameter(at, &list.item, item, mistakes));
            }
            (Kind::Structure(structure), Parameter::Map(members)) => {
                self.parameters(at, structure.get(), members, mistakes);
            }
            (Kind::Text, Parameter::Text(template)) => {
                for part in &template.0 {
                    if let Part::Path(path) = part {
                        self.check(at, path, mistakes);
                    }
                }
            }
            // A part of an answer that goes back as it came.
            (Kind::Structure(_), Parameter::Text(template)) => {
                let [Part::Path(path)] = template.0.as_slice() else {
                    return mistakes.push((at, "a structure is made of one path".to_owned()));
                };
                let same = matches!((self.check(at, path, mistakes), kind), (Some(Shape::Kind(found)), kind) if found.label() == kind.label());
                if !same {
                    mistakes.push((at, format!("{template:?} is no {}", kind.label())));
                }
            }
            (Kind::Map(map), Parameter::Map(entries)) => {
                entries.values().for_each(|value| self.parameter(at, &map.value, value, mistakes));
            }
            (Kind::Bool, Parameter::Bool(_)) | (Kind::Integer, Parameter::Int(_)) => {}
            (Kind::Bool, Parameter::Text(template)) => {
                let [Part::Path(path)] = template.0.as_slice() else {
                    return mistakes.push((at, "a bool is made of one path".to_owned()));
                };
                if !matches!(self.check(at, path, mistakes), Some(Shape::Kind(Kind::Bool))) {
                    mistakes.push((at, format!("{template:?} is no bool")));
                }
            }
            (kind, given) => mistakes.push((at, format!("a {} takes no {given:?}", kind.label()))),
        }
    }
}

pub(super) fn operation(
    service: &str,
    name: &toml::Spanned<String>,
    mistakes: &mut Vec<Mistake>,
) -> Option<&'static Operation> {
    let found = model::operation(service, name.get_ref());
    if found.is_none() {
        mistakes.push((name.span().start, format!("{service} has no operation {}", name.get_ref())));
    }
    found
}

pub(super) fn output(operation: &'static Operation) -> Option<Shape> {
    operation.output.as_ref().map(|output| Shape::Structure(output.get()))
}
