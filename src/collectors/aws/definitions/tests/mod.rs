//! Every definition against the service models and the kinds.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;

use super::definition_files;
use crate::{
    collectors::aws::{
        client::model::{self, Kind, Operation, Structure},
        cloud::cloud,
        options::NAMES,
    },
    engine::{
        Path,
        definition::{
            BlockedBy, Call, Condition, Constant, CurrentTag, Definition, Dependant, Detach, Identity, Input, ListCall,
            Listing, Parameter, Part, ResourceCall, Service, Source, TagCall, Template, Undeletable, WaitDeleted,
        },
        path::Step,
    },
    graph::{self, Schema},
};

/// A mistake: where in the file, and what.
type Mistake = (usize, String);

/// Where a path may lead: a structure of the model, any part of it, or a shape that only code knows.
#[derive(Clone, Copy)]
enum Shape {
    Structure(&'static Structure),
    Kind(&'static Kind),
    Code(&'static [&'static str]),
}

/// The roots of paths in one definition.
struct Roots {
    item: Shape,
    named: Vec<(String, Shape)>,
}

/// All paths of a source that start at the item or a named value.
fn paths(source: &Source) -> Vec<&Path> {
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
fn literal(name: &Template) -> Option<&str> {
    match name.0.as_slice() {
        [Part::Text(text)] => Some(text),
        _ => None,
    }
}

/// The members of what code makes.
const ACCOUNT_ITEM: &[&str] = &["account", "role"];
const TAG: [&str; 2] = ["key", "value"];

fn walk(shape: Shape, steps: &[Step]) -> Result<Shape, String> {
    steps.iter().try_fold(shape, |shape, step| {
        let below = match (shape, step) {
            (Shape::Structure(structure), _) => structure.step(step),
            (Shape::Kind(kind), _) => kind.step(step),
            (Shape::Code(members), Step::Member(name)) if members.contains(&name.as_str()) => {
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
    fn check(&self, at: usize, path: &Path, mistakes: &mut Vec<Mistake>) -> Option<Shape> {
        let shape = match &path.root {
            None => Some(self.item),
            Some(name) => self.named.iter().find(|(known, _)| known == name).map(|(_, shape)| *shape),
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

    fn source(&self, at: usize, source: &Source, mistakes: &mut Vec<Mistake>) {
        for path in paths(source) {
            let shape = self.check(at, path, mistakes);
            let (Some(shape), Some(each)) = (shape, &source.0.element) else { continue };
            if let Err(mistake) = walk(shape, &each.steps) {
                mistakes.push((at, mistake));
            }
        }
    }

    fn condition(&self, condition: Option<&toml::Spanned<Condition>>, mistakes: &mut Vec<Mistake>) {
        if let Some(condition) = condition {
            self.check(condition.span().start, &condition.get_ref().path, mistakes);
        }
    }

    /// Checks that an operation takes these parameters, and that their paths lead somewhere.
    fn input(&self, operation: &Operation, input: &toml::Spanned<Input>, mistakes: &mut Vec<Mistake>) {
        let at = input.span().start;
        let given = input.get_ref();
        match operation.input.as_ref().map(model::StructureRef::get) {
            Some(structure) => self.parameters(at, structure, given, mistakes),
            None if given.is_empty() => {}
            None => mistakes.push((at, format!("{} takes nothing", operation.name))),
        }
    }

    fn parameters(&self, at: usize, structure: &'static Structure, given: &Input, mistakes: &mut Vec<Mistake>) {
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

    fn parameter(&self, at: usize, kind: &'static Kind, given: &Parameter, mistakes: &mut Vec<Mistake>) {
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

fn operation(service: &str, name: &toml::Spanned<String>, mistakes: &mut Vec<Mistake>) -> Option<&'static Operation> {
    let found = model::operation(service, name.get_ref());
    if found.is_none() {
        mistakes.push((name.span().start, format!("{service} has no operation {}", name.get_ref())));
    }
    found
}

fn output(operation: &'static Operation) -> Option<Shape> {
    operation.output.as_ref().map(|output| Shape::Structure(output.get()))
}

/// The shape of the items of a definition.
fn item(service: &Service, definition: &Definition, mistakes: &mut Vec<Mistake>) -> Option<Shape> {
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
fn details(service: &Service, definition: &Definition, mistakes: &mut Vec<Mistake>) -> Option<(Shape, bool)> {
    let (from, details) = (definition.details.as_ref()?, service.details.as_ref()?);
    let operation = operation(&service.service, &details.operation, mistakes)?;
    Roots { item: Shape::Code(&[]), named: Vec::new() }.input(operation, &details.input, mistakes);
    let answer = Roots { item: output(operation)?, named: Vec::new() };
    let shape = answer.check(from.items.span().start, from.items.get_ref(), mistakes)?;
    if let Some(by) = &from.key
        && let Err(mistake) = walk(shape, &[Step::Member(by.get_ref().clone())])
    {
        mistakes.push((by.span().start, mistake));
    }
    Some((shape, from.key.is_none()))
}

/// The shape of the items that a definition is below.
fn parent(service: &Service, definition: &Definition, mistakes: &mut Vec<Mistake>) -> Option<Shape> {
    let below = definition.parent.as_ref()?;
    item(service, service.kinds.iter().find(|known| known.kind.get_ref() == below.get_ref())?, mistakes)
}

fn call(service: &str, call: &Call, roots: &mut Roots, mistakes: &mut Vec<Mistake>) {
    let Some(operation) = operation(service, &call.operation, mistakes) else { return };
    if let Some(input) = &call.input {
        roots.input(operation, input, mistakes);
    }
    let Some(item) = output(operation) else { return };
    let mut answer = Roots { item, named: Vec::new() };
    if let Some(batch) = &call.batch {
        roots.check(batch.item_key.span().start, batch.item_key.get_ref(), mistakes);
        let Some(part) = answer.check(batch.items.span().start, batch.items.get_ref(), mistakes) else { return };
        if let Err(mistake) = walk(part, &[Step::Member(batch.key.get_ref().clone())]) {
            mistakes.push((batch.key.span().start, mistake));
        }
        answer.item = part;
    }
    if let Some(taken) = answer.check(call.result.span().start, call.result.get_ref(), mistakes) {
        roots.named.push((call.name.clone(), taken));
    }
}

/// The roots of calls that change the cloud; braces hold fields of the kind.
fn fields(kind: &'static graph::Kind) -> Roots {
    let known: Vec<&'static str> = kind.fields.iter().map(|field| field.name.as_str()).chain(TAG).collect();
    Roots { item: Shape::Code(Vec::leak(known)), named: Vec::new() }
}

/// Checks a call that changes the cloud.
fn action(service: &str, action: &ResourceCall, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let Some(operation) = operation(service, &action.operation, mistakes) else { return };
    fields(kind).input(operation, &action.input, mistakes);
}

/// Checks a listing and returns the shape of its items.
fn listing(service: &str, list: &Listing, roots: &Roots, mistakes: &mut Vec<Mistake>) -> Option<Shape> {
    let listing = operation(service, &list.operation, mistakes)?;
    roots.input(listing, &list.input, mistakes);
    let answer = Roots { item: output(listing)?, named: Vec::new() };
    answer.check(list.items.span().start, list.items.get_ref(), mistakes)
}

fn detach(service: &str, detach: &Detach, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
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

fn dependant(service: &str, dependant: &Dependant, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let mut roots = fields(kind);
    let Some(item) = listing(service, &dependant.list, &roots, mistakes) else { return };
    roots.named.push(("item".to_owned(), item));
    roots.condition(dependant.when.as_ref(), mistakes);
    if let Some(operation) = operation(service, &dependant.delete.operation, mistakes) {
        roots.input(operation, &dependant.delete.input, mistakes);
    }
    dependant.wait_deleted.iter().for_each(|each| wait_deleted(service, each, &roots, mistakes));
}

fn blocked_by(service: &str, blocked: &BlockedBy, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let Some(listing) = operation(service, &blocked.operation, mistakes) else { return };
    fields(kind).input(listing, &blocked.input, mistakes);
    let Some(item) = output(listing) else { return };
    for path in blocked.names.values() {
        Roots { item, named: Vec::new() }.check(path.span().start, path.get_ref(), mistakes);
    }
}

fn undeletable(service: &str, state: &Undeletable, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let mut roots = fields(kind);
    if let Some(call) = &state.call {
        action(service, call, kind, mistakes);
        let answer = model::operation(service, call.operation.get_ref()).and_then(output);
        roots.named.extend(answer.map(|answer| ("response".to_owned(), answer)));
    }
    roots.condition(Some(&state.when), mistakes);
}

fn tag_action(service: &str, tag: &TagCall, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let mut roots = fields(kind);
    let shape = tag.current.as_ref().and_then(|each| current(service, each, &roots, mistakes));
    roots.named.extend(shape);
    if let Some(operation) = operation(service, &tag.operation, mistakes) {
        roots.input(operation, &tag.input, mistakes);
    }
}

/// The shape of a tag before it is changed.
fn current(service: &str, current: &CurrentTag, roots: &Roots, mistakes: &mut Vec<Mistake>) -> Option<(String, Shape)> {
    let listing = operation(service, &current.operation, mistakes)?;
    roots.input(listing, &current.input, mistakes);
    let answer = Roots { item: output(listing)?, named: Vec::new() };
    let tag = answer.check(current.items.span().start, current.items.get_ref(), mistakes)?;
    let mut names = vec![&current.key];
    names.extend(current.default.keys());
    for name in names {
        let found = walk(tag, &[Step::Member(name.get_ref().clone())]);
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

fn wait_deleted(service: &str, wait: &WaitDeleted, roots: &Roots, mistakes: &mut Vec<Mistake>) {
    let service = wait.service.as_deref().unwrap_or(service);
    let Some(operation) = operation(service, &wait.operation, mistakes) else { return };
    roots.input(operation, &wait.input, mistakes);
    if let Some(item) = output(operation) {
        Roots { item, named: Vec::new() }.check(wait.states.span().start, wait.states.get_ref(), mistakes);
    }
}

fn identity(service: &str, identity: &Identity, kind: &'static graph::Kind, mistakes: &mut Vec<Mistake>) {
    let Some(operation) = operation(service, &identity.operation, mistakes) else { return };
    fields(kind).input(operation, &identity.input, mistakes);
    if let Some(item) = output(operation) {
        Roots { item, named: Vec::new() }.check(identity.value.span().start, identity.value.get_ref(), mistakes);
    }
}

fn definition(service: &Service, definition: &Definition, schema: &'static Schema, mistakes: &mut Vec<Mistake>) {
    let Some(kind) = schema.kind(definition.kind.get_ref()) else { return };
    let calls = definition.calls.iter().filter_map(|call| call.collector.as_ref());
    for collector in definition.collector.iter().chain(calls) {
        // A newer kind may have a new name.
        if definition.schema.is_none() && !NAMES.contains(&collector.get_ref().as_str()) {
            mistakes.push((collector.span().start, format!("there is no collector {}", collector.get_ref())));
        }
    }
    let Some(item) = item(service, definition, mistakes) else { return };
    let details = details(service, definition, mistakes);
    sources(service, definition, (item, details.map(|(shape, _)| shape)), mistakes);
    if let Some((shape, true)) = details {
        // The same definition is used for the items of both.
        sources(service, definition, (shape, Some(shape)), mistakes);
    }
    definition.delete.iter().for_each(|delete| action(&service.service, delete, kind, mistakes));
    definition.identity.iter().for_each(|each| identity(&service.service, each, kind, mistakes));
    definition.detach.iter().for_each(|each| detach(&service.service, each, kind, mistakes));
    definition.wait_deleted.iter().for_each(|each| wait_deleted(&service.service, each, &fields(kind), mistakes));
    definition.undeletable.iter().for_each(|each| undeletable(&service.service, each, kind, mistakes));
    definition.blocked_by.iter().for_each(|each| blocked_by(&service.service, each, kind, mistakes));
    definition.dependants.iter().for_each(|each| dependant(&service.service, each, kind, mistakes));
    fields(kind).condition(definition.deleted_when.as_ref(), mistakes);
    if definition.tagging {
        let tags = service.tag.iter().chain(&service.untag);
        tags.for_each(|each| tag_action(&service.service, each, kind, mistakes));
    }
}

/// Checks all that starts at an item, which may have details.
fn sources(
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
        roots.condition(condition.as_ref(), mistakes);
    }
    for reference in definition.references() {
        roots.source(reference.value.span().start, reference.value.get_ref(), mistakes);
    }
}

/// All mistakes of a file, as `file:line: what`.
fn mistakes(file: &str, text: &str) -> Vec<String> {
    let service: Service = match toml::from_str(text) {
        Ok(service) => service,
        Err(error) => return vec![format!("{file}: {error}")],
    };
    let cloud = cloud().unwrap();
    let mut found: Vec<Mistake> =
        cloud.mistakes(&service).into_iter().map(|mistake| (mistake.at, mistake.what)).collect();
    if model::service(&service.service).is_none() {
        found.push((0, format!("there is no model of {}", service.service)));
    }
    service.kinds.iter().for_each(|each| definition(&service, each, cloud.schema, &mut found));
    let line = |at: usize| text[..at].lines().count().max(1);
    found.into_iter().map(|(at, what)| format!("{file}:{}: {what}", line(at + 1))).collect()
}

#[test]
fn definitions_agree_with_models_and_schema() {
    let found: Vec<String> = definition_files().flat_map(|(file, text)| mistakes(file, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn mistake_is_reported_with_file_and_line() {
    let (_, text) = definition_files().find(|(file, _)| *file == "ec2.toml").unwrap();
    let cases = [
        ("\"DescribeVpcs\"", "\"DescribeVpc\"", "ec2 has no operation DescribeVpc"),
        ("id = \"VpcId\"", "id = \"VpcIdd\"", "Vpc has no member VpcIdd"),
        ("is_default = \"IsDefault\"", "is_fault = \"IsDefault\"", "aws_vpc has no field is_fault"),
        ("\"Vpcs[]\"", "\"Vpcz[]\"", "has no member Vpcz"),
        ("VpcId = \"{id}\"", "Vpc = \"{id}\"", "has no member Vpc"),
        ("VpcId = \"{id}\"", "VpcId = \"{vpc}\"", "does not fit"),
        ("scope = \"region\"", "scope = \"zone\"", "there is no scope zone; there are global, region"),
        ("collector = \"vpcs\"", "collector = \"vpc\"", "there is no collector vpc"),
        ("path = \"is_default\"", "path = \"is_fault\"", "aws_vpc has no field is_fault"),
        ("Associations[].Main\"", "Associations[].Mein\"", "RouteTableAssociation has no member Mein"),
        ("\"NetworkInterfaces[].NetworkInterfaceId\"", "\"NetworkInterfaces[].Id\"", "has no member Id"),
        ("\"snapshot_volume\"", "\"snapshot\"", "there is no hook snapshot"),
        ("path = \"instance_status\"", "path = \"state\"", "has no field state"),
        ("\"@instance_type.cores\"", "\"@instance_typ.cores\"", "there is no @instance_typ"),
    ];
    for (right, wrong, expected) in cases {
        let line = text[..text.find(right).unwrap()].lines().count();
        let found = mistakes("ec2.toml", &text.replacen(right, wrong, 1)).join("\n");
        assert!(found.contains(expected), "{wrong}: {found}");
        let lines = [format!("ec2.toml:{line}:"), format!("ec2.toml:{}:", line + 1)];
        assert!(lines.iter().any(|line| found.contains(line.as_str())), "{wrong} at {line}: {found}");
    }
    let broken = mistakes("ec2.toml", &text.replacen("\"Vpcs[]\"", "\"Vpcs[\"", 1)).join("\n");
    assert!(broken.contains("invalid at") && broken.contains("line "), "{broken}");
}

#[test]
fn definitions_parse_and_kinds_are_unique() {
    let definitions = &cloud().unwrap_or_else(|mistake| panic!("{mistake:?}")).definitions;
    let mut kinds = BTreeSet::new();
    for (_, definition) in definitions.iter() {
        assert!(kinds.insert(definition.kind.get_ref()), "{}", definition.kind.get_ref());
    }
    assert_eq!(definitions.referenced("aws_iam_policy").collect::<Vec<_>>(), [("arn", false)]);
    assert_eq!(cloud().unwrap().unknown_levels(), [""; 0]);
}

#[test]
fn paged_listings_have_a_paginator() {
    // Without a paginator, a listing with a token would lose all but the first page.
    for (service, definition) in cloud().unwrap().definitions.iter() {
        let lists = definition.list.iter().map(|ListCall { operation, .. }| operation);
        for name in lists.chain(definition.calls.iter().map(|call| &call.operation)) {
            let operation = model::operation(&service.service, name.get_ref()).unwrap();
            let Some(output) = &operation.output else { continue };
            let has_token = ["NextToken", "nextToken", "Marker", "NextMarker", "ContinuationToken"]
                .iter()
                .any(|token| output.get().member(token).is_some());
            assert!(!has_token || operation.paginator.is_some(), "{}", operation.name);
        }
    }
}

/// The kinds of the parents of a node of this kind.
fn parents_of(definition: &Definition) -> impl Iterator<Item = &str> {
    let references = definition.predecessors.iter().map(|reference| &reference.kind);
    references.chain(&definition.parent).map(|kind| kind.get_ref().as_str())
}

#[test]
fn deletion_order_of_kinds_has_no_cycle() {
    let definitions = &cloud().unwrap().definitions;
    let mut edges: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (_, definition) in definitions.iter() {
        let kind = definition.kind.get_ref().as_str();
        edges.extend(parents_of(definition).map(|parent| (parent, kind)));
        edges.extend(definition.successors.iter().map(|reference| (kind, reference.kind.get_ref().as_str())));
        edges.extend(definition.delete_before.iter().map(|upper| (upper.as_str(), kind)));
        for named in definition.delete_before.iter().chain(&definition.cascades_to) {
            assert!(definitions.find(named).is_some(), "{kind}: {named} is no kind");
        }
    }
    for (_, definition) in definitions.iter() {
        let kind = definition.kind.get_ref().as_str();
        for taken in definition.cascades_to.iter().map(String::as_str) {
            assert!(
                edges.contains(&(taken, kind)) || edges.contains(&(kind, taken)),
                "{kind} has no edge with {taken}"
            );
        }
    }
    // Roots are removed until no edge is left.
    while !edges.is_empty() {
        let lower: BTreeSet<&str> = edges.iter().map(|(_, lower)| *lower).collect();
        let before = edges.len();
        edges.retain(|(upper, _)| lower.contains(upper));
        assert!(edges.len() < before, "cycle: {edges:?}");
    }
}
