//! All embedded models.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;

use super::*;

/// Visits every structure that can be reached from a kind, and checks that the model has it.
fn reach(kind: &'static Kind, seen: &mut HashSet<*const Structure>) {
    match kind {
        Kind::List(list) => reach(&list.item, seen),
        Kind::Map(map) => reach(&map.value, seen),
        Kind::Structure(reference) => reach_structure(reference, seen),
        _ => {}
    }
}

fn reach_structure(reference: &StructureRef, seen: &mut HashSet<*const Structure>) {
    let structure = reference.get();
    assert_eq!(structure.name, format!("{reference:?}"), "is not in the model");
    if seen.insert(structure) {
        structure.members.iter().for_each(|member| reach(&member.kind, seen));
    }
}

#[test]
fn every_operation_and_structure_can_be_parsed() {
    for name in services() {
        let service = service(name).unwrap();
        assert_eq!(service.name, name);
        let mut seen = HashSet::new();
        for name in service.operations() {
            let operation = service.operation(name).unwrap();
            assert_eq!(operation.name, name);
            operation.input.iter().chain(&operation.output).for_each(|reference| reach_structure(reference, &mut seen));
        }
        assert_eq!(seen.len(), service.structures.lines().count(), "structures of {name} that nothing leads to");
    }
}

#[test]
fn every_paginator_fits_its_operation() {
    let mut paginators = 0;
    for operation in services().flat_map(|name| {
        let service = service(name).unwrap();
        service.operations().map(|name| service.operation(name).unwrap())
    }) {
        let Some(paginator) = &operation.paginator else { continue };
        paginators += 1;
        assert_eq!(paginator.input.len(), paginator.output.len(), "{}", operation.name);
        for parameter in paginator.input.iter().chain(&paginator.limit) {
            assert!(operation.parameter(parameter).is_some(), "{} {parameter}", operation.name);
        }
        if let Some(size) = paginator.size {
            let kind = operation.parameter(paginator.limit.unwrap()).unwrap();
            assert_eq!((kind.label(), (1..=1000).contains(&size)), ("integer", true), "{} {size}", operation.name);
        }
        let tokens = paginator.output.iter().flatten();
        for path in tokens.chain(&paginator.more).chain(&paginator.results) {
            let kind = operation.output_kind(path);
            assert!(kind.is_ok(), "{} {path}: {kind:?}", operation.name);
        }
    }
    assert!(paginators > 300, "{paginators}");
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

#[test]
fn paths_are_checked_against_model() {
    let instances = operation("ec2", "DescribeInstances").unwrap();
    let label = |text: &str| instances.output_kind(&path(text)).map(Kind::label);
    assert_eq!(label("Reservations"), Ok("list"));
    assert_eq!(label("Reservations[].Instances[]"), Ok("structure"));
    assert_eq!(label("Reservations[0].Instances[-1]"), Ok("structure"));
    assert_eq!(label("Reservations[].Instances[].Tags[Key=Name].Value"), Ok("text"));
    assert_eq!(label("Reservations[].Instances[].State.Name"), Ok("text"));
    assert_eq!(label("Reservations[].Instances[].LaunchTime"), Ok("time"));
    assert_eq!(label("Reservations[].Instances[].BlockDeviceMappings[].Ebs.DeleteOnTermination"), Ok("bool"));
    assert_eq!(label("Reservations[].Instances[].CpuOptions.CoreCount"), Ok("integer"));
    let missing = PathError::NoMember { structure: "Instance", member: "Status".into() };
    assert_eq!(label("Reservations[].Instances[].Status.Name"), Err(missing));
    let unfit = |step: &str, found| Err(PathError::Unfit { step: step.into(), found });
    assert_eq!(label("Reservations.Instances"), unfit("Instances", "list"));
    assert_eq!(label("Reservations[].ReservationId[]"), unfit("[]", "text"));
    assert_eq!(label("[]"), unfit("[]", "structure"));
    assert_eq!(instances.input_kind(&path("Filters[].Values[]")).map(Kind::label), Ok("text"));
    let summary = operation("iam", "GetAccountSummary").unwrap();
    assert_eq!(summary.output_kind(&path("SummaryMap.Users")).map(Kind::label), Ok("integer"));
    let delete = operation("s3", "DeleteBucket").unwrap();
    let nothing = PathError::Nothing { operation: "DeleteBucket" };
    assert_eq!(delete.output_kind(&path("x")).map(Kind::label), Err(nothing));
}

#[test]
fn unknown_names_are_not_found() {
    assert!(service("ec").is_none());
    assert!(operation("ec2", "DescribeInstance").is_none());
    assert!(operation("ec2", "").is_none());
    assert!(operation("ec2", "Zzz").is_none());
}

#[test]
fn operations_of_cleanup_and_tags_exist() {
    for (service, operations) in [
        ("ec2", &["CreateTags", "TerminateInstances", "RevokeSecurityGroupEgress", "CreateSnapshot"][..]),
        ("s3", &["DeleteObjects", "ListObjectVersions", "DeleteBucket"]),
        ("autoscaling", &["CreateOrUpdateTags"]),
        ("cloudformation", &["UpdateStack"]),
        ("eks", &["UntagResource", "DeleteNodegroup"]),
    ] {
        operations.iter().for_each(|name| assert!(operation(service, name).is_some(), "{service} {name}"));
    }
}

#[test]
fn line_is_found_at_any_position() {
    let text = "a 1\nab 2\nb\nc 4";
    let find = |name| find_line(text, name, ' ');
    assert_eq!(["a", "ab", "b", "c"].map(find), [Some("a 1"), Some("ab 2"), Some("b"), Some("c 4")]);
    assert_eq!(["", "aa", "abc", "d"].map(find), [None; 4]);
}

#[test]
fn wire_names_bindings_and_flags_are_read() {
    let service = service("s3").unwrap();
    let request = service.structure("DeleteObjectsRequest").unwrap();
    assert_eq!(request.payload, Some("Delete"));
    let delete = request.member("Delete").unwrap();
    assert_eq!(delete.namespace, Some("http://s3.amazonaws.com/doc/2006-03-01/"));
    assert!(delete.required);
    assert_eq!(request.member("Bucket").unwrap().binding, Binding::Path);
    assert_eq!(request.member("MFA").unwrap().wire, "x-amz-mfa");
    let grantee = service.structure("Grantee").unwrap().member("Type").unwrap();
    assert_eq!((grantee.binding, &*grantee.wire), (Binding::Attribute, "xsi:type"));
}
