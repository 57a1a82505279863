//! The checks of how a kind is listed and built: its list, its calls, its details and the sources of its values.

use super::shapes::{Mistake, Roots, Shape, operation, output, walk};
use crate::{
    collectors::aws::cloud::cloud,
    engine::{
        definition::{Call, Definition, Service},
        path::Step,
    },
};

/// The members of the account's item, which code makes.
const ACCOUNT_ITEM: &[&str] = &["account", "role"];

/// The shape of the items of a definition.
pub(super) fn item(service: &Service, definition: &Definition, mistakes: &mut Vec<Mistake>) -> Option<Shape> {
    let Some(list) = &definition.list else {
        let is_account = definition.kind.get_ref() == cloud().unwrap().account;
        return Some(Shape::Code(if is_account { ACCOUNT_ITEM } else { &[] }));
    };
    let operation = operation(&service.service, &list.operation, mistakes)?;
    let roots = Roots { item: parent(service, definition, mistakes).unwrap_or(Shape::Code(&[])), named: Vec::new() };
    list.inputs.iter().for_each(|input| roots.input(operation, input, mistakes));
    let answer = Roots { item: output(operation)?, named: Vec::new() };
    answer.check(list.items.span().start, &list.items.get_ref().clone(), mistakes)
}

/// The shape of the items in the details of the service, and whether they stand in for the list.
pub(super) fn details(
    service: &Service,
    definition: &Definition,
    mistakes: &mut Vec<Mistake>,
) -> Option<(Shape, bool)> {
    let (from, details) = (definition.details.as_ref()?, service.details.as_ref()?);
    let operation = operation(&service.service, &details.operation, mistakes)?;
    Roots { item: Shape::Code(&[]), named: Vec::new() }.input(operation, &details.input, mistakes);
    let answer = Roots { item: output(operation)?, named: Vec::new() };
    let shape = answer.check(from.items.span().start, from.items.get_ref(), mistakes)?;
    if let Some(by) = &from.key
        && let Err(mistake) = walk(shape, &[Step::Member(by.get_ref().as_str().into())])
    {
        mistakes.push((by.span().start, mistake));
    }
    Some((shape, from.key.is_none()))
}

/// The shape of the items that a definition is below.
pub(super) fn parent(service: &Service, definition: &Definition, mistakes: &mut Vec<Mistake>) -> Option<Shape> {
    let below = definition.parent.as_ref()?;
    item(service, service.kinds.iter().find(|known| known.kind.get_ref() == below.get_ref())?, mistakes)
}

pub(super) fn call(service: &str, call: &Call, roots: &mut Roots, mistakes: &mut Vec<Mistake>) {
    let Some(operation) = operation(service, &call.operation, mistakes) else { return };
    if let Some(input) = &call.input {
        roots.input(operation, input, mistakes);
    }
    let Some(item) = output(operation) else { return };
    let mut answer = Roots { item, named: Vec::new() };
    if let Some(batch) = &call.batch {
        roots.check(batch.item_key.span().start, batch.item_key.get_ref(), mistakes);
        let Some(part) = answer.check(batch.items.span().start, batch.items.get_ref(), mistakes) else { return };
        if let Err(mistake) = walk(part, &[Step::Member(batch.key.get_ref().as_str().into())]) {
            mistakes.push((batch.key.span().start, mistake));
        }
        answer.item = part;
    }
    if let Some(taken) = answer.check(call.result.span().start, call.result.get_ref(), mistakes) {
        roots.named.push((call.name.clone(), taken));
    }
}

/// Checks all that starts at an item, which may have details.
pub(super) fn sources(
    service: &Service,
    definition: &Definition,
    (item, details): (Shape, Option<Shape>),
    mistakes: &mut Vec<Mistake>,
) {
    let mut roots = Roots { item, named: Vec::new() };
    roots.named.extend(details.map(|shape| ("details".to_owned(), shape)));
    let hooks = definition.hooks.iter().filter_map(|hook| cloud().unwrap().hook(hook.hook.get_ref()));
    roots.named.extend(hooks.map(|hook| (hook.name().to_owned(), Shape::Code(hook.values()))));
    roots.named.extend(parent(service, definition, mistakes).map(|shape| ("parent".to_owned(), shape)));
    definition.calls.iter().for_each(|each| call(&service.service, each, &mut roots, mistakes));
    roots.source(definition.id.span().start, definition.id.get_ref(), mistakes);
    for source in definition.name.iter().chain(definition.properties.values()) {
        roots.source(source.span().start, source.get_ref(), mistakes);
    }
    if let Some(tags) = &definition.tags {
        roots.source(tags.span().start, tags.get_ref(), mistakes);
    }
    for condition in [&definition.protected, &definition.phantom, &definition.cleaned] {
        roots.condition(condition.as_deref(), mistakes);
    }
    for reference in definition.references() {
        roots.source(reference.value.span().start, reference.value.get_ref(), mistakes);
    }
}
