//! Operations on machines: the server to which they belong, and their execution.

use std::{sync::Arc, time::Duration};

use worker_proto::{Failure, Operation, Outcome, Unit};

use super::{
    client::Client,
    cloud::{ACCOUNT_KIND, DATA_CENTER, cloud},
    options::Options,
};
use crate::{
    collector_api::{CollectContext, Target},
    engine::change::{self, Change},
    settings::Settings,
};

/// The payload of units of operations, whose sessions are not those of a collection.
const OPERATIONS: &str = "operations";

/// Returns the unit of the server to which a machine belongs.
///
/// # Errors
/// `Configuration` if this kind cannot be changed, or if the machine is not of the configured server.
pub(crate) fn unit(settings: &Settings, target: &Target) -> Result<Unit, Failure> {
    change::find(cloud()?, target)?;
    let host = &target.account.id;
    match Options::of(settings).host {
        Some(configured) if configured == *host => {}
        _ => {
            return Err(change::rejected(
                target,
                &format!("it is of the server {host:?}, and --vsphere-host is another"),
            ));
        }
    }
    Ok(Unit {
        id: host.clone(),
        label: host.clone(),
        kind: ACCOUNT_KIND.to_owned(),
        parts: 0,
        payload: OPERATIONS.to_owned(),
    })
}

/// Performs one operation.
///
/// # Errors
/// The failed call, its place, and the remedy.
pub(crate) async fn run(context: &CollectContext, unit: &Unit, operation: &Operation) -> Result<Outcome, Failure> {
    let target = Target::read(&operation.subject)?;
    // First, as the broker explains best why there is no session.
    context.credentials().get().await?;
    let client = Arc::new(Client::new(context, &Options::of(context.settings()).address(&unit.id))?);
    let limit = Duration::from_millis(operation.limit_ms);
    Change::new(cloud()?, client, target, DATA_CENTER.to_owned(), limit)?.perform(&operation.verb).await
}
