//! One account, for the engine: its item, and its regions.

use std::sync::Arc;

use worker_proto::{Failure, Unit, Why};

use super::{
    broker::Payload,
    client::Client,
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
};

/// The name of the account in gaps and metrics.
const LABEL: &str = "account";

/// The partition of the account, for hooks.
#[derive(Default)]
pub(crate) struct Partition(pub(crate) String);

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
    let client = provider::client(context).await?;
    account.run(context, client, &options)?.collect().await
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
        LocationSpec { scope: GLOBAL, id, label: GLOBAL.to_owned(), within: None, item: Tree::Null }
    }

    fn locations<'a>(&'a self, run: &'a Run<'a>) -> BoxFuture<'a, Result<Vec<LocationSpec>, Failure>> {
        Box::pin(async move {
            let regions = self.regions(run).await?.into_iter();
            let location =
                |id: String| LocationSpec { scope: IN_REGION, label: id.clone(), id, within: None, item: Tree::Null };
            let regions = regions.map(location);
            Ok([self.own_location()].into_iter().chain(regions).collect())
        })
    }
}

impl AwsAccount {
    /// Returns the collection of the account.
    pub(crate) fn run<'c>(
        &'c self,
        context: &'c CollectContext,
        client: Client,
        options: &Options,
    ) -> Result<Run<'c>, Failure> {
        let run = Run::new(context, cloud()?, self, Arc::new(client), options.selection());
        run.slots.put(Partition(self.payload.partition.clone()));
        Ok(run)
    }

    /// Returns the regions to collect: the selected ones, or all that are enabled for the account.
    ///
    /// The planned regions are those of the base credentials' account. They are used if the role may not list regions.
    ///
    /// # Errors
    /// `Unavailable` if the list fails: with other regions than last time, the core would delete their resources.
    async fn regions(&self, run: &Run<'_>) -> Result<Vec<String>, Failure> {
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
                run.unseen_locations(Why::Unseen);
                Ok(planned.clone())
            }
            Err(error) => Err(call_failure(&run.message("cannot list its regions"), &error)),
        }
    }
}
