//! Every definition against the kinds, and against the resources of a recorded API server.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path as FilePath,
};

use super::{FILES, kinds};
use crate::{
    collectors::k8s::{
        cloud::{CLUSTER_KIND, NAMESPACE_KIND, cloud},
        options::NAMES,
    },
    engine::definition::Service,
    graph::ANY_KIND,
};

/// The resources of an API server by group and version: kind, and whether they are in namespaces.
const RESOURCES: &str = include_str!("../../../../tests/golden/k8s/resources.json");

/// The mistakes of a file, as `file:line: what`.
fn mistakes(file: &str, text: &str) -> Vec<String> {
    let service = match Service::parse(text) {
        Ok(service) => service,
        Err(error) => return vec![format!("{file}: {error}")],
    };
    let resources: BTreeMap<String, BTreeMap<String, (String, bool)>> = serde_json::from_str(RESOURCES).unwrap();
    let resources = &resources[&service.service];
    let mut found: Vec<_> = cloud().unwrap().mistakes(&service).into_iter().map(|one| (one.at, one.what)).collect();
    for definition in &service.kinds {
        let Some(list) = &definition.list else { continue };
        let operation = list.operation.get_ref();
        // The kinds whose base it is are listed by code.
        let is_base = definition.schema.as_ref().is_some_and(|schema| schema.is_abstract);
        if !is_base && !operation.strip_prefix("list ").is_some_and(|resource| resources.contains_key(resource)) {
            found.push((list.operation.span().start, format!("{operation} lists no resource of {}", service.service)));
        }
    }
    let line = |at: usize| text[..at].lines().count().max(1);
    found.into_iter().map(|(at, what)| format!("{file}:{}: {what}", line(at + 1))).collect()
}

#[test]
fn definitions_agree_with_resources_and_schema() {
    let found: Vec<String> = FILES.iter().flat_map(|(file, text)| mistakes(file, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(cloud().unwrap().unknown_levels(), [""; 0]);
}

#[test]
fn mistake_is_reported_with_file_and_line() {
    let (_, text) = FILES.iter().find(|(file, _)| *file == "apps.toml").unwrap();
    for (right, wrong, expected) in [
        ("list replicasets", "list replicas", "list replicas lists no resource of apps/v1"),
        ("replicas = \"spec", "replica = \"spec", "kubernetes_replica_set has no field replica"),
        ("scope = \"namespace\"", "scope = \"project\"", "there is no scope project"),
    ] {
        let line = text[..text.find(right).unwrap()].lines().count();
        let found = mistakes("apps.toml", &text.replacen(right, wrong, 1)).join("\n");
        let lines = [format!("apps.toml:{line}: {expected}"), format!("apps.toml:{}: {expected}", line + 1)];
        assert!(lines.iter().any(|line| found.contains(line)), "{wrong} at {line}: {found}");
    }
}

#[test]
fn every_kind_has_owners_and_can_be_deleted() {
    for (service, definition) in cloud().unwrap().definitions.iter() {
        let kind = definition.kind.get_ref();
        let is_made = [CLUSTER_KIND, NAMESPACE_KIND].contains(&kind.as_str());
        assert!(definition.list.is_some() || kind == CLUSTER_KIND, "{kind}");
        let owners = definition.predecessors.iter().filter(|owner| owner.kind.get_ref() == ANY_KIND);
        assert_eq!(owners.count(), 1, "{kind}");
        assert!(service.delete_of(definition).is_some() || is_made || !definition.deletable, "{kind}");
    }
}

#[test]
fn deletion_order_of_kinds_has_no_circle() {
    assert_eq!(cloud().unwrap().deletion_circles(), BTreeSet::new());
}

#[test]
fn every_file_is_part_of_the_program() {
    let directory = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("src/collectors/k8s/definitions");
    let names = directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let on_disk: BTreeSet<String> = names.filter(|name| name.ends_with(".toml")).collect();
    assert_eq!(on_disk, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn every_kind_is_collected() {
    let defined = cloud().unwrap().definitions.iter().map(|(_, definition)| definition.kind.get_ref().as_str());
    let collected: BTreeSet<&str> = defined.chain(["kubernetes_resource"]).collect();
    let kinds = kinds().unwrap();
    assert_eq!(collected, kinds.iter().map(|kind| kind.fqn.as_str()).collect());
}

#[test]
fn names_of_the_python_worker_select_its_kinds() {
    let cloud = cloud().unwrap();
    for name in NAMES {
        let kinds = cloud.definitions.iter().filter(|(_, definition)| definition.collector() == Some(name));
        let kinds: Vec<_> = kinds.map(|(_, definition)| definition.kind.get_ref().as_str()).collect();
        let [kind] = kinds[..] else { panic!("{name}: {kinds:?}") };
        assert!(kind.trim_start_matches("kubernetes_").starts_with(name.trim_end_matches('s')), "{kind}");
    }
}
