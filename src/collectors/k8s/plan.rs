//! Planning: the selected clusters, one unit each.

use worker_proto::{Failure, Plan, Unit};

use super::{
    access::{self, PlanSecret},
    cloud::CLUSTER_KIND,
};
use crate::collector_api::CollectContext;

/// Lists the selected clusters. None of them is contacted.
pub(super) async fn plan(context: &CollectContext) -> Result<Plan, Failure> {
    let PlanSecret { clusters, is_whole } = access::read(&context.credentials().get().await?)?;
    tracing::info!(clusters = clusters.len(), "planned Kubernetes collection");
    Ok(Plan { units: clusters.into_iter().map(unit).collect(), gaps: Vec::new(), is_whole })
}

/// Returns the unit of a cluster.
pub(super) fn unit(name: String) -> Unit {
    Unit { id: name.clone(), label: name, kind: CLUSTER_KIND.to_owned(), parts: 0, payload: String::new() }
}
