//! The example collector, from plan to export, and the model against what the original gave.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use ckworker::{
    collector_api::{CollectContext, Collector},
    collectors::{example::Example, schema},
    graph::{CloudUnits, MergedGraph, Spool, UnitStore, model_json},
    settings::Settings,
};
use worker_proto::FromWorker;

use crate::support::compare;

const EXAMPLE: &str = include_str!("../../golden/example/graph.ndjson");
const AWS: &str = include_str!("../../golden/aws/graph.ndjson");
const MODEL: &str = include_str!("../../golden/aws/model.json");

/// Runs a collector as a worker and a supervisor do, without either, and answers the export.
async fn export(collector: &dyn Collector, settings: Settings) -> String {
    let spool = Spool::new(1 << 20);
    let (context, mut frames) = CollectContext::recording(settings, None);
    let plan = collector.plan(&context).await.unwrap();
    let mut store = UnitStore::new((&plan.units[0]).into(), &spool);
    collector.collect(&context, &plan.units[0]).await.unwrap();
    let counts = context.finish().await.unwrap();
    drop(context);
    while let Some(frame) = frames.next().await {
        match frame {
            FromWorker::Nodes { nodes, .. } => store.nodes(&nodes).unwrap(),
            FromWorker::Edges { edges, .. } => store.edges(&edges),
            FromWorker::Deferred { edges, .. } => store.deferred(edges),
            other => assert!(matches!(other, FromWorker::Progress(_) | FromWorker::Event(_)), "{other:?}"),
        }
    }
    let unit = store.complete(counts).unwrap();
    let cloud = CloudUnits { name: collector.name().to_owned(), units: vec![unit] };
    let graph = Arc::new(MergedGraph::build(vec![cloud], false).unwrap());
    let mut text = Vec::new();
    graph.write_to(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn example_equals_that_of_python_worker() {
    let ours = export(&Example, Settings::defaults(Example.options())).await;
    compare::assert_none(&compare::graphs(EXAMPLE, &ours, None));
    // The comparison is not blind: the other recording has nothing in common but the root.
    assert!(compare::graphs(AWS, &ours, None).len() > 1000);
}

#[test]
fn model_equals_that_of_python_worker() {
    let schema = schema().unwrap();
    let ours = String::from_utf8(model_json(schema).unwrap()).unwrap();
    // Newer kinds have their schema beside their definition; without these, the model is the Python worker's.
    let is_newer = |fqn: &str| schema.kind(fqn).is_some_and(|kind| kind.origin.contains(".toml:"));
    let mut kinds: Vec<serde_json::Value> = serde_json::from_str(&ours).unwrap();
    kinds.retain(|kind| !is_newer(kind["fqn"].as_str().unwrap()));
    compare::assert_none(&compare::models(MODEL, &serde_json::to_string(&kinds).unwrap()));
    assert_eq!(kinds.len(), 179);
    assert_eq!(model_json(schema).unwrap(), ours.as_bytes(), "always the same bytes");
    assert!(ours.len() < 1024 * 1024, "the older core takes no more than 1 MiB");
}
