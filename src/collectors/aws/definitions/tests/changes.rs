//! The checks of how a resource is changed: tags, deletion, and what blocks a deletion.

use super::shapes::{Mistake, Roots, Shape, operation, output, walk};
use crate::{
    collectors::aws::client::model::{self, Kind},
    engine::{
        definition::{
            BlockedBy, Constant, CurrentTag, Dependant, Detach, Identity, Listing, ResourceCall, TagCall, Undeletable,
            WaitDeleted,
        },
        path::Step,
    },
    graph,
};

/// The fields that a call for a tag has beside those of the node.
const TAG: [&str; 2] = ["key", "value"];

/// The roots of calls that change the cloud; braces hold fields of the kind.
pub(super) fn fields(kind: &'static graph::Kind) -> Roots {
    let known: Vec<&'static str> = kind.fields.iter().map(|field| field.name.as_str()).chain(TAG).collect();
    Roots { item: Shape::Code(Vec::leak(known)), named: Vec::new() }
}

/// Checks a call that changes the cloud.
pub(super) fn action(service: &str, action: &ResourceCall, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let Some(operation) = operation(service, &action.operation, mistakes) else { return };
    fields(kind).input(operation, &action.input, mistakes);
}

/// Checks a listing and returns the shape of its items.
pub(super) fn listing(service: &str, list: &Listing, roots: &Roots, mistakes: &mut Vec<Mistake>) -> Option<Shape> {
    let listing = operation(service, &list.operation, mistakes)?;
    roots.input(listing, &list.input, mistakes);
    let answer = Roots { item: output(listing)?, named: Vec::new() };
    answer.check(list.items.span().start, list.items.get_ref(), mistakes)
}

pub(super) fn detach(service: &str, detach: &Detach, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let mut roots = fields(kind);
    let Some(item) = listing(service, &detach.list, &roots, mistakes) else { return };
    roots.named.push(("item".to_owned(), item));
    for call in &detach.calls {
        roots.condition(call.when.as_ref(), mistakes);
        if let Some(operation) = operation(service, &call.operation, mistakes) {
            roots.input(operation, &call.input, mistakes);
        }
    }
}

pub(super) fn dependant(service: &str, dependant: &Dependant, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let mut roots = fields(kind);
    let Some(item) = listing(service, &dependant.list, &roots, mistakes) else { return };
    roots.named.push(("item".to_owned(), item));
    roots.condition(dependant.when.as_ref(), mistakes);
    if let Some(operation) = operation(service, &dependant.delete.operation, mistakes) {
        roots.input(operation, &dependant.delete.input, mistakes);
    }
    dependant.wait_deleted.iter().for_each(|each| wait_deleted(service, each, &roots, mistakes));
}

pub(super) fn blocked_by(service: &str, blocked: &BlockedBy, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let Some(listing) = operation(service, &blocked.operation, mistakes) else { return };
    fields(kind).input(listing, &blocked.input, mistakes);
    let Some(item) = output(listing) else { return };
    for path in blocked.names.values() {
        Roots { item, named: Vec::new() }.check(path.span().start, path.get_ref(), mistakes);
    }
}

pub(super) fn undeletable(service: &str, state: &Undeletable, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let mut roots = fields(kind);
    if let Some(call) = &state.call {
        action(service, call, kind, mistakes);
        let answer = model::operation(service, call.operation.get_ref()).and_then(output);
        roots.named.extend(answer.map(|answer| ("response".to_owned(), answer)));
    }
    roots.condition(Some(&state.when), mistakes);
}

pub(super) fn tag_action(service: &str, tag: &TagCall, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let mut roots = fields(kind);
    let shape = tag.current.as_ref().and_then(|each| current(service, each, &roots, mistakes));
    roots.named.extend(shape);
    if let Some(operation) = operation(service, &tag.operation, mistakes) {
        roots.input(operation, &tag.input, mistakes);
    }
}

/// The shape of a tag before it is changed.
pub(super) fn current(
    service: &str,
    current: &CurrentTag,
    roots: &Roots,
    mistakes: &mut Vec<Mistake>,
) -> Option<(String, Shape)> {
    let listing = operation(service, &current.operation, mistakes)?;
    roots.input(listing, &current.input, mistakes);
    let answer = Roots { item: output(listing)?, named: Vec::new() };
    let tag = answer.check(current.items.span().start, current.items.get_ref(), mistakes)?;
    let mut names = vec![&current.key];
    names.extend(current.default.keys());
    for name in names {
        let found = walk(tag, &[Step::Member(name.get_ref().as_str().into())]);
        let value = current.default.iter().find(|(known, _)| known.get_ref() == name.get_ref()).map(|(_, value)| value);
        let fits = match (found, value) {
            (Ok(Shape::Kind(Kind::Bool)), Some(Constant::Bool(_))) => Ok(()),
            (Ok(Shape::Kind(Kind::Text)), Some(Constant::Text(_)) | None) => Ok(()),
            (Ok(_), value) => Err(format!("{} is no {value:?}", name.get_ref())),
            (Err(mistake), _) => Err(mistake),
        };
        mistakes.extend(fits.err().map(|mistake| (name.span().start, mistake)));
    }
    Some(("current".to_owned(), tag))
}

pub(super) fn wait_deleted(service: &str, wait: &WaitDeleted, roots: &Roots, mistakes: &mut Vec<Mistake>) {
    let service = wait.service.as_deref().unwrap_or(service);
    let Some(operation) = operation(service, &wait.operation, mistakes) else { return };
    roots.input(operation, &wait.input, mistakes);
    if let Some(item) = output(operation) {
        Roots { item, named: Vec::new() }.check(wait.states.span().start, wait.states.get_ref(), mistakes);
    }
}

pub(super) fn identity(service: &str, identity: &Identity, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let Some(operation) = operation(service, &identity.operation, mistakes) else { return };
    fields(kind).input(operation, &identity.input, mistakes);
    if let Some(item) = output(operation) {
        Roots { item, named: Vec::new() }.check(identity.value.span().start, identity.value.get_ref(), mistakes);
    }
}
