//! One account, for the engine: its item, and its regions.
//!
//! The node's ID contains the account's name. With an unknown alias, the core would see another account, without a
//! history. If the alias is denied, which is permanent, the account is named by its number. Any other failure may be
//! transient: it fails the unit, which is retried.

use std::sync::Arc;

use worker_proto::{Failure, Unit, Why};

use super::{
    broker::Payload,
    cloud::{GLOBAL, IN_REGION, cloud},
    options::Options,
    provider, regions,
    selection::global_region,
};
use crate::{
    collector_api::{BoxFuture, CollectContext},
    engine::{
        CallErrorKind, Tree, call_failure,
        collect::{Account, LocationSpec, Run},
    },
    graph::NodeId,
};

/// The name of the account in gaps and metrics.
const LABEL: &str = "account";

/// An account of AWS.
pub(crate) struct AwsAccount {
    pub(crate) payload: Payload,
    /// The regions of `--aws-region`; all enabled ones if empty.
    pub(crate) selected: Vec<String>,
}

/// Collects one account. All failures but these are gaps.
///
/// # Errors
/// `Credentials` if the account's credentials are rejected at the start, `Unavailable` if its name or its regions
/// cannot be determined, `Cancelled` if the session is ending, `Internal` for a bug.
pub(crate) async fn collect(context: &CollectContext, unit: &Unit) -> Result<(), Failure> {
    let options = Options::of(context.settings());
    let account = AwsAccount { payload: Payload::read(unit)?, selected: options.regions.clone() };
    let client = Arc::new(provider::client(context).await?);
    Run::new(context, cloud()?, &account, client, options.selection()).collect().await
}

impl Account for AwsAccount {
    fn id(&self) -> &str {
        &self.payload.account
    }

    fn item(&self) -> Tree<'static> {
        let mut members = vec![("account".into(), Tree::Text(self.payload.account.clone().into()))];
        members.extend(self.payload.role.clone().map(|role| ("role".into(), Tree::Text(role.into()))));
        Tree::Map(members)
    }

    fn own_location(&self) -> LocationSpec {
        let id = global_region(&self.payload.partition).to_owned();
        LocationSpec { scope: GLOBAL, id, label: GLOBAL.to_owned(), within: None }
    }

    fn locations<'a>(&'a self, run: &'a Run<'a>, account: NodeId) -> BoxFuture<'a, Result<Vec<LocationSpec>, Failure>> {
        Box::pin(async move {
            let regions = self.regions(run, account).await?.into_iter();
            let regions = regions.map(|id| LocationSpec { scope: IN_REGION, label: id.clone(), id, within: None });
            Ok([self.own_location()].into_iter().chain(regions).collect())
        })
    }
}

impl AwsAccount {
    /// Returns the regions to collect: the selected ones, or all that are enabled for the account.
    ///
    /// The planned regions are those of the base credentials' account. They are used if the role may not list regions.
    ///
    /// # Errors
    /// `Unavailable` if the list fails: with other regions than last time, the core would delete their resources.
    async fn regions(&self, run: &Run<'_>, account: NodeId) -> Result<Vec<String>, Failure> {
        let planned = &self.payload.regions;
        let is_own = self.payload.role.is_none();
        if is_own || !self.selected.is_empty() {
            return Ok(planned.clone());
        }
        // The region in which the plan has listed them: an organization may forbid calls in other regions, also in the
        // global one.
        let asked = planned.first().map_or(global_region(&self.payload.partition), String::as_str);
        match regions::enabled(run.api(), asked).await {
            Ok(regions) => Ok(regions),
            Err(error) if error.kind == CallErrorKind::Denied => {
                run.report_failure(GLOBAL, LABEL, &error).await?;
                // The account may have enabled more regions.
                run.unseen_locations(account, Why::Unseen);
                Ok(planned.clone())
            }
            Err(error) => Err(call_failure(&run.message("cannot list its regions"), &error)),
        }
    }
}
