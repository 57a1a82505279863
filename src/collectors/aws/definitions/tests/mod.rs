//! Every definition against the service models and the kinds.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod changes;
mod collection;
mod shapes;

use std::collections::BTreeSet;

use self::{
    changes::{action, blocked_by, dependant, detach, fields, identity, tag_action, undeletable, wait_deleted},
    collection::{details, item, sources},
    shapes::Mistake,
};
use super::{definition_files, kinds};
use crate::{
    collectors::aws::{client::model, cloud::cloud, options::NAMES},
    engine::definition::{Definition, ListCall, Service},
    graph::Schema,
};

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
    fields(kind).condition(definition.deleted_when.as_deref(), mistakes);
    if definition.tagging {
        let tags = service.tag.iter().chain(&service.untag);
        tags.for_each(|each| tag_action(&service.service, each, kind, mistakes));
    }
}

/// All mistakes of a file, as `file:line: what`.
fn mistakes(file: &str, text: &str) -> Vec<String> {
    let service: Service = match Service::parse(text) {
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
    assert_eq!(definitions.referenced("aws_iam_policy").collect::<Vec<_>>(), [("aws_iam_policy", "arn", false)]);
    assert_eq!(cloud().unwrap().unknown_levels(), [""; 0]);
}

#[test]
fn every_listed_kind_is_collected() {
    let cloud = cloud().unwrap();
    let kinds = kinds().unwrap();
    let bases: BTreeSet<_> = kinds.iter().flat_map(|kind| &kind.bases).collect();
    let of_levels: BTreeSet<_> = cloud.levels.iter().filter_map(|level| level.node).map(|node| node.kind).collect();
    for kind in kinds.iter().map(|kind| &kind.fqn).filter(|kind| !bases.contains(kind)) {
        let is_by_code = cloud.hooks.iter().any(|hook| hook.kinds().contains(&kind.as_str()));
        assert!(cloud.find(kind).is_some() || is_by_code || of_levels.contains(kind.as_str()), "{kind}");
    }
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
    }
    let turned = definitions.iter().flat_map(|(_, definition)| {
        let kind = definition.kind.get_ref().as_str();
        definition.delete_before.iter().map(move |after| (kind, after.as_str()))
    });
    // An edge that is turned would order kinds of two regions.
    assert_eq!(turned.filter(|pair| edges.contains(pair)).collect::<Vec<_>>(), []);
    for (_, definition) in definitions.iter() {
        let kind = definition.kind.get_ref().as_str();
        for taken in definition.cascades_to.iter().map(String::as_str) {
            assert!(
                definitions.find(taken).is_some() && (edges.contains(&(taken, kind)) || edges.contains(&(kind, taken))),
                "{kind} has no edge with {taken}"
            );
        }
    }
    assert_eq!(cloud().unwrap().deletion_circles(), BTreeSet::new());
}
