//! All embedded models.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeSet, HashSet};

use super::*;

/// Visits every structure that can be reached from a kind, and checks that the model has it.
fn reach(kind: &'static Kind, seen: &mut HashSet<&'static str>) {
    match kind {
        Kind::List(item) => reach(item, seen),
        Kind::Map(value) => reach(value, seen),
        Kind::Structure(reference) => reach_structure(*reference, seen),
        _ => {}
    }
}

fn reach_structure(reference: StructureRef, seen: &mut HashSet<&'static str>) {
    let structure = reference.get();
    assert_eq!(structure.name, format!("{reference:?}"), "is not in the model");
    if seen.insert(structure.name) {
        structure.members.iter().for_each(|(_, kind)| reach(kind, seen));
    }
}

#[test]
fn every_method_and_structure_can_be_parsed() {
    for name in services() {
        let service = service(name).unwrap();
        assert_eq!(service.name, name);
        assert!(service.path.is_empty() || service.path.ends_with('/'));
        assert_eq!(service.methods().count(), service.method_lines.lines().count(), "methods of {name}");
        let mut seen = HashSet::new();
        for method in service.methods() {
            let shapes = method.request.into_iter().chain(method.response);
            shapes.for_each(|reference| reach_structure(reference, &mut seen));
        }
        assert_eq!(seen.len(), service.structure_lines.lines().count(), "structures of {name} that nothing leads to");
    }
}

#[test]
fn every_page_has_its_token_and_items() {
    for method in services().flat_map(|name| service(name).unwrap().methods()) {
        let is_list = ["aggregatedList", "list", "listInstances", "search"].contains(&method.action());
        assert_eq!(method.pages.is_some(), is_list, "{}", method.name);
        let Some(pages) = &method.pages else { continue };
        assert!(method.has_query(pages.token) && method.responds_with(pages.next), "{}", method.name);
        assert!(matches!(method.output_kind(&pages.items), Ok(Kind::Structure(_))), "{}", method.name);
        assert!(pages.limit.is_some_and(|limit| method.has_query(limit)), "{}", method.name);
    }
}

#[test]
fn every_file_is_part_of_the_program() {
    assert!(MODELS.is_sorted_by_key(|(name, _)| name));
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/collectors/gcp/models");
    let paths = directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.extension().is_some_and(|found| found == "txt"));
    let names: BTreeSet<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, services().map(str::to_owned).collect());
}

#[test]
fn paths_are_checked() {
    let instances = method("compute", "instances.aggregatedList").unwrap();
    let kind = |path: &str| instances.output_kind(&Path::parse(path).unwrap()).map(Kind::label);
    assert_eq!(kind("items[*].instances[].disks[].diskSizeGb"), Ok("long"));
    assert_eq!(kind("items[*].instances[].labels"), Ok("map"));
    assert_eq!(kind("items[*].warning.code"), Ok("text"));
    assert!(matches!(kind("items[*].instances[].size"), Err(PathError::NoMember { structure: "Instance", .. })));
    assert!(matches!(kind("items[0]"), Err(PathError::Unfit { .. })));
    let delete = method("storage", "buckets.delete").unwrap();
    assert_eq!(
        delete.output_kind(&Path::parse("kind").unwrap()).unwrap_err().to_string(),
        "buckets.delete has nothing there"
    );
}

#[test]
fn only_calls_that_begin_operations_are_awaited() {
    let begins = |service: &str, name: &str| method(service, name).unwrap().begins_operation;
    assert!(begins("compute", "instances.delete") && begins("compute", "globalForwardingRules.setLabels"));
    assert!(begins("sqladmin", "instances.patch"));
    for (service, name) in [
        ("compute", "zoneOperations.wait"),
        ("compute", "zoneOperations.get"),
        ("sqladmin", "operations.get"),
        ("storage", "buckets.patch"),
    ] {
        assert!(!begins(service, name), "{name}");
    }
}
