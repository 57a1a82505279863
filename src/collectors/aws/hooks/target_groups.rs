//! The instances behind target groups and load balancers; one call per group.

use std::collections::HashMap;

use serde_json::json;
use tokio::sync::OnceCell;
use worker_proto::Failure;

use crate::{
    collector_api::BoxFuture,
    engine::{
        CallError, FunctionHook, HookValue, Request, Tree,
        collect::{Location, Run, at_most},
        no_input,
    },
};

/// The groups whose targets are requested at the same time.
const GROUPS_AT_ONCE: usize = 4;

/// The collector of target groups in `--aws-collect`. Without it, backends are unknown.
const TARGET_GROUPS: &str = "alb_target_groups";

/// The service, and the operation for a group's targets.
const SERVICE: &str = "elbv2";
const HEALTH: &str = "DescribeTargetHealth";

/// A target group.
struct TargetGroup {
    arn: String,
    balancers: Vec<String>,
    /// The IDs of registered instances, healthy or not.
    instances: Vec<String>,
    /// Whether its instances could not be listed.
    is_unknown: bool,
}

/// The target groups of a region.
#[derive(Default)]
struct TargetGroups {
    groups: Vec<TargetGroup>,
    /// Whether they could not be listed.
    is_unknown: bool,
}

/// The target groups of a region, once they were listed.
#[derive(Default)]
struct Known(OnceCell<TargetGroups>);

/// The instances of each target group, as the value `instances`.
pub(super) const TARGETS: FunctionHook = FunctionHook {
    name: "targets",
    values: &["instances"],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| Box::pin(targets(context.run, context.location, items)),
};

/// The instances behind each load balancer, as the value `instances`.
pub(super) const BACKENDS: FunctionHook = FunctionHook {
    name: "backends",
    values: &["instances"],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| Box::pin(backends(context.run, context.location, items)),
};

async fn targets(run: &Run<'_>, location: &Location, items: &[&Tree<'_>]) -> Result<Vec<HookValue>, Failure> {
    let known = location.slots.get::<Known>();
    let TargetGroups { groups, is_unknown } = groups(run, location, &known).await?;
    let by_arn: HashMap<&str, &TargetGroup> = groups.iter().map(|group| (group.arn.as_str(), group)).collect();
    let instances = |item: &&Tree<'_>| {
        let group = item.get("TargetGroupArn").and_then(Tree::text).and_then(|arn| by_arn.get(arn));
        let is_unknown = *is_unknown || group.is_some_and(|group| group.is_unknown);
        HookValue { value: list(group.into_iter().flat_map(|group| &group.instances)), is_unknown }
    };
    Ok(items.iter().map(instances).collect())
}

async fn backends(run: &Run<'_>, location: &Location, items: &[&Tree<'_>]) -> Result<Vec<HookValue>, Failure> {
    if !run.is_wanted(TARGET_GROUPS) {
        return Ok(items.iter().map(|_| HookValue::default()).collect());
    }
    let known = location.slots.get::<Known>();
    let TargetGroups { groups, is_unknown } = groups(run, location, &known).await?;
    let instances = |item: &&Tree<'_>| {
        let arn = item.get("LoadBalancerArn").and_then(Tree::text).unwrap_or_default();
        let groups = || groups.iter().filter(|group| group.balancers.iter().any(|balancer| balancer == arn));
        let is_unknown = *is_unknown || groups().any(|group| group.is_unknown);
        HookValue { value: list(groups().flat_map(|group| &group.instances)), is_unknown }
    };
    Ok(items.iter().map(instances).collect())
}

fn list<'a>(instances: impl Iterator<Item = &'a String>) -> Tree<'static> {
    let mut once: Vec<&String> = Vec::new();
    for instance in instances {
        if !once.contains(&instance) {
            once.push(instance);
        }
    }
    let instances = once.into_iter().map(|instance| Tree::Text(instance.clone().into())).collect();
    Tree::Map(vec![("instances".into(), Tree::List(instances))])
}

/// Returns the target groups of a region. A group that is deleted meanwhile has no instances.
async fn groups<'k>(run: &Run<'_>, location: &Location, known: &'k Known) -> Result<&'k TargetGroups, Failure> {
    let groups = known.0.get_or_try_init(|| async {
        let mut groups = match list_groups(run, location).await {
            Ok(groups) => groups,
            Err(error) => {
                location.report_failure(run, TARGET_GROUPS, &error).await?;
                return Ok(TargetGroups { groups: Vec::new(), is_unknown: true });
            }
        };
        let futures = groups.iter_mut().filter(|(_, of_instances)| *of_instances);
        let futures = futures.map(|(group, _)| -> BoxFuture<'_, Result<(), Failure>> {
            Box::pin(async move {
                if location.has_ended() || !location.allows(SERVICE, HEALTH, TARGET_GROUPS) {
                    group.is_unknown = true;
                    return Ok(());
                }
                match health(run, location, &group.arn).await {
                    Ok(instances) => {
                        location.record_success(SERVICE, HEALTH);
                        group.instances = instances;
                    }
                    Err(error) if &*error.code == "TargetGroupNotFound" => location.record_success(SERVICE, HEALTH),
                    Err(error) => {
                        group.is_unknown = true;
                        location.report_failure(run, TARGET_GROUPS, &error).await?;
                    }
                }
                Ok(())
            })
        });
        at_most(GROUPS_AT_ONCE, futures.collect()).await?;
        Ok(TargetGroups { groups: groups.into_iter().map(|(group, _)| group).collect(), is_unknown: false })
    });
    groups.await
}

/// Lists all groups, with whether their targets are instances.
async fn list_groups(run: &Run<'_>, location: &Location) -> Result<Vec<(TargetGroup, bool)>, CallError> {
    let mut groups = Vec::new();
    for page in location.shared(run, SERVICE, "DescribeTargetGroups").await?.iter() {
        for group in page.tree()?.path("TargetGroups[]") {
            let Some(arn) = group.get("TargetGroupArn").and_then(Tree::text) else { continue };
            let balancers = group.path("LoadBalancerArns[]").into_iter().filter_map(Tree::text);
            let balancers = balancers.map(str::to_owned).collect();
            let of_instances = group.get("TargetType").and_then(Tree::text) == Some("instance");
            groups.push((
                TargetGroup { arn: arn.to_owned(), balancers, instances: Vec::new(), is_unknown: false },
                of_instances,
            ));
        }
    }
    Ok(groups)
}

async fn health(run: &Run<'_>, location: &Location, arn: &str) -> Result<Vec<String>, CallError> {
    let request = Request::new(SERVICE, HEALTH, &location.region).with("TargetGroupArn", json!(arn));
    let response = run.call(request).await?;
    let tree = response.tree()?;
    Ok(tree
        .path("TargetHealthDescriptions[].Target.Id")
        .into_iter()
        .filter_map(Tree::text)
        .map(str::to_owned)
        .collect())
}
