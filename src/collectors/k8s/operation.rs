//! Operations on resources: the cluster whose credentials they need.

use std::{sync::Arc, time::Duration};

use worker_proto::{Failure, Operation, Outcome, Unit};

use super::{
    account,
    cloud::{CLUSTER, OBJECT_KIND, cloud},
    plan,
};
use crate::{
    collector_api::{CollectContext, Target},
    engine::change::{self, Change},
};

/// Returns the unit of the cluster to which a resource belongs.
///
/// # Errors
/// `Configuration` if this kind cannot be changed, or if the resource's cluster is unknown.
pub(super) fn unit(target: &Target) -> Result<Unit, Failure> {
    change::find(cloud()?, &defined(target.clone())?)?;
    match target.account.id.as_str() {
        "" => Err(change::rejected(target, "its cluster is unknown")),
        cluster => Ok(plan::unit(cluster.to_owned())),
    }
}

/// Performs one operation.
///
/// # Errors
/// The failed call, its place, and the remedy.
pub(super) async fn run(context: &CollectContext, operation: &Operation) -> Result<Outcome, Failure> {
    let target = defined(Target::read(&operation.subject)?)?;
    // First, as the broker explains best why there are no credentials.
    context.credentials().get().await?;
    let api = Arc::new(account::api(context, Vec::new()));
    let limit = Duration::from_millis(operation.limit_ms);
    Change::new(cloud()?, api, target, CLUSTER.to_owned(), limit)?.perform(&operation.verb).await
}

/// Returns a target with a kind that has a definition: kinds that only discovery knows have that of their base.
fn defined(target: Target) -> Result<Target, Failure> {
    let is_defined = cloud()?.find(&target.kind).is_some();
    let is_object = target.text("api_version").is_some() && target.text("api_resource").is_some();
    Ok(if !is_defined && is_object { Target { kind: OBJECT_KIND.to_owned(), ..target } } else { target })
}
