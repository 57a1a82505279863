//! The Kubernetes collector: the clusters that options or a kubeconfig name, one unit each.
//!
//! `options` and `clusters` decide what is collected; `kubeconfig` reads its files. `broker` holds the credentials, with
//! `exec` for programs that print them, and hands out the `access` of each cluster. `plan` makes the units.
//! `definitions` describe the kinds, with `hooks` for what they cannot express; the engine collects and changes the
//! kinds through `client`, in the versions that the server has (`served`). `discovery` finds what else a cluster has,
//! `selection` decides what of it is collected, and `objects` collects it. `cloud`, `account` and `operation` tell the engine what it needs to know. `facts` has remedies for
//! error codes for the rest of the program.

mod access;
mod account;
mod broker;
mod client;
mod cloud;
mod clusters;
mod definitions;
mod discovery;
mod exec;
mod facts;
mod hooks;
mod kubeconfig;
mod objects;
mod operation;
mod options;
mod plan;
mod selection;
mod served;

use std::sync::Arc;

use clusters::Environment;
use options::Options;
use worker_proto::{Failure, Operation, Outcome, Plan, Unit};

use crate::{
    collector_api::{BoxFuture, Broker, CollectContext, Collector, Concurrency, EdgeOwner, Target, Uncollected},
    engine::{change, collect::uncollected_kinds, definition::Definition},
    graph::{KindSpec, SchemaError},
    settings::{OptionSpec, Settings},
};

/// The Kubernetes collector.
pub struct Kubernetes;

impl Collector for Kubernetes {
    fn name(&self) -> &'static str {
        "k8s"
    }

    fn options(&self) -> &'static [OptionSpec] {
        options::OPTIONS
    }

    fn kinds(&self) -> Result<Vec<KindSpec>, SchemaError> {
        definitions::kinds()
    }

    fn advice(&self, code: &str) -> Option<&'static str> {
        facts::advice(code)
    }

    fn check(&self, settings: &Settings) -> Result<(), String> {
        options::check(&Options::of(settings), &Environment::of_process())
    }

    fn concurrency(&self, settings: &Settings) -> Concurrency {
        let options = Options::of(settings);
        Concurrency { fork: options.fork, pool: options.pool }
    }

    fn uncollected(&self, settings: &Settings) -> Uncollected {
        let Ok(cloud) = cloud::cloud() else { return Uncollected::default() };
        Uncollected { kinds: uncollected_kinds(cloud, &Options::of(settings).selection()), regions: None }
    }

    fn broker(&self, settings: &Settings) -> Option<Arc<dyn Broker>> {
        Some(Arc::new(broker::KubernetesBroker::new(Options::of(settings), Environment::of_process())))
    }

    fn plan<'a>(&'a self, context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        Box::pin(plan::plan(context))
    }

    fn collect<'a>(&'a self, context: &'a CollectContext, unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(account::collect(context, unit))
    }

    fn operator(&self, _: &Settings, target: &Target) -> Result<Unit, Failure> {
        operation::unit(target)
    }

    fn edge_owner(&self, from: &str, to: &str) -> Option<EdgeOwner> {
        // Selectors need both ends.
        let selects = |kind: &str, hook: &str| {
            definition(kind).is_some_and(|kind| kind.hooks.iter().any(|used| used.hook.get_ref() == hook))
        };
        let is_selection = selects(from, "selects") && selects(to, "selected");
        match definition(to) {
            _ if is_selection => None,
            Some(_) => cloud::cloud().ok()?.definitions.edge_owner(from, to),
            // Kinds that only discovery knows have edges from namespaces and owners alone.
            None => Some(EdgeOwner::To),
        }
    }

    fn delete_before(&self, kind: &str) -> &'static [String] {
        definition(kind).map_or(&[], |definition| &definition.delete_before)
    }

    fn cascades_to(&self, kind: &str) -> &'static [String] {
        match kind {
            cloud::NAMESPACE_KIND => cloud::kinds_in_namespaces(),
            // An object whose kind only its cluster knows may own any other.
            _ => definition(kind).map_or_else(cloud::kinds_in_namespaces, |definition| &definition.cascades_to),
        }
    }

    fn undeletable(&self, target: &Target) -> Option<&'static str> {
        if target.kind == cloud::RESOURCE_DEFINITIONS {
            return Some("all objects of its kind would be deleted with it; delete it by kubectl");
        }
        change::undeletable(cloud::cloud().ok()?, target)
    }

    fn operate<'a>(
        &'a self,
        context: &'a CollectContext,
        _: &'a Unit,
        operation: &'a Operation,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        Box::pin(operation::run(context, operation))
    }
}

fn definition(kind: &str) -> Option<&'static Definition> {
    cloud::cloud().ok()?.find(kind).map(|(_, definition)| definition)
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::collector_api::ParentNode;

    fn target(kind: &str) -> Target {
        let account = ParentNode { id: "c".into(), name: None, reported: Map::new() };
        let (kind, id, name) = (kind.to_owned(), "u".to_owned(), "n".to_owned());
        Target { kind, id, name, reported: Map::new(), cloud: "k8s".into(), account, region: None }
    }

    #[test]
    fn deletion_takes_objects_of_any_kind_along() {
        for (kind, cascades) in [
            ("kubernetes_namespace", &["kubernetes_pod", "kubernetes_secret", "kubernetes_*"][..]),
            // Its kind is known only at run time, so that it may own any other.
            ("kubernetes_ck_test_widget", &["kubernetes_pod", "kubernetes_*"]),
            ("kubernetes_apiextensions_k8s_io_custom_resource_definition", &["kubernetes_*"]),
            ("kubernetes_deployment", &["kubernetes_replica_set", "kubernetes_pod"]),
            ("kubernetes_job", &["kubernetes_pod"]),
            ("kubernetes_pod", &[]),
        ] {
            let found = Kubernetes.cascades_to(kind);
            let all = cascades.iter().all(|expected| found.iter().any(|kind| kind == expected));
            assert!(all && found.is_empty() == cascades.is_empty(), "{kind}: {found:?}");
        }
    }

    #[test]
    fn definitions_of_custom_resources_cannot_be_deleted() {
        for (kind, expected) in [
            ("kubernetes_apiextensions_k8s_io_custom_resource_definition", true),
            ("kubernetes_apiextensions_k8s_io_other", false),
            ("kubernetes_ck_test_custom_resource_definition", false),
            ("kubernetes_deployment", false),
            ("kubernetes_secret", false),
        ] {
            let why = Kubernetes.undeletable(&target(kind));
            assert_eq!(why.is_some_and(|why| why.contains("all objects of its kind")), expected, "{kind}: {why:?}");
        }
        let definition = discovery::ApiResource {
            group: "apiextensions.k8s.io".into(),
            version: "v1".into(),
            resource: "customresourcedefinitions".into(),
            kind: "CustomResourceDefinition".into(),
            is_in_namespaces: false,
        };
        assert_eq!(definition.model_kind(), cloud::RESOURCE_DEFINITIONS);
    }
}
