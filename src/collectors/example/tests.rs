//! The option; that the graph equals the original's is a test in `tests/it/supervisor/example.rs`.

#![expect(clippy::unwrap_used, reason = "tests")]

use worker_proto::FromWorker;

use super::*;
use crate::settings::Setting;

fn with_regions(regions: &[&str]) -> Settings {
    let mut settings = Settings::defaults(Example.options());
    settings.set(REGION_OPTION, Setting::List(regions.iter().map(|region| (*region).to_owned()).collect()));
    settings
}

async fn collected(settings: Settings) -> Vec<String> {
    let (context, mut frames) = CollectContext::recording(settings, None);
    let plan = Example.plan(&context).await.unwrap();
    Example.collect(&context, &plan.units[0]).await.unwrap();
    let counts = context.finish().await.unwrap();
    drop(context);
    let mut names = Vec::new();
    while let Some(frame) = frames.next().await {
        if let FromWorker::Nodes { nodes, .. } = frame {
            names.extend(nodes.into_iter().map(|node| node.resource));
        }
    }
    assert_eq!(counts.edges + 1, counts.nodes, "each node but the account has one parent");
    names
}

#[tokio::test]
async fn option_restricts_the_regions() {
    assert_eq!(collected(Settings::defaults(Example.options())).await.len(), 7);
    assert_eq!(collected(with_regions(&["us-east"])).await, ["Example Account", "us-east", "someInstance2"]);
}

#[test]
fn unknown_region_is_rejected() {
    assert_eq!(Example.check(&with_regions(&["us-west"])), Ok(()));
    let refused = "--example-region mars: there are only us-west and us-east";
    assert_eq!(Example.check(&with_regions(&["us-east", "mars"])), Err(refused.to_owned()));
}
