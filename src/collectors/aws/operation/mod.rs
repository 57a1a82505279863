//! Operations on resources: the account whose credentials they need, and the region of their calls.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use worker_proto::{Failure, FailureKind, Operation, Outcome, Unit};

use super::{
    broker::Payload,
    client,
    cloud::{IN_REGION, cloud},
    options::Options,
    plan::ACCOUNT_KIND,
    provider,
    role::Role,
    sdk_settings::DEFAULT_REGION,
    selection::global_region,
};
use crate::{
    collector_api::{CollectContext, Target},
    engine::{
        change::{self, Change},
        definition::Definition,
    },
};

/// Returns the unit of the account to which a resource belongs.
///
/// # Errors
/// `Configuration` if this kind cannot be changed, or if the resource's location is uncertain.
pub(crate) fn unit(options: &Options, target: &Target) -> Result<Unit, Failure> {
    let (_, definition) = change::find(cloud()?, target)?;
    if target.account.id.is_empty() {
        return Err(change::rejected(target, "its account is unknown"));
    }
    if is_in_region(definition) && target.region.is_none() {
        return Err(change::rejected(target, "its region is uncertain"));
    }
    is_where_its_arn_says(target, definition)?;
    let stored = target.account.reported.get("role").and_then(Value::as_str).filter(|role| !role.is_empty());
    let role = match options.role.as_deref().filter(|_| options.role_override) {
        Some(given) => Some(role_in(given, target)?),
        None => stored.map(str::to_owned),
    };
    let payload = Payload {
        account: target.account.id.clone(),
        role,
        partition: partition(target).to_owned(),
        regions: Vec::new(),
        verify: true,
    };
    Ok(Unit {
        id: target.account.id.clone(),
        label: target.account.name.clone().unwrap_or_else(|| target.account.id.clone()),
        kind: ACCOUNT_KIND.to_owned(),
        parts: 0,
        payload: serde_json::to_string(&payload)
            .map_err(|error| Failure { kind: FailureKind::Internal, message: format!("AWS operation: {error}") })?,
    })
}

/// Returns the role of `--aws-role`, unless it belongs to another account.
fn role_in(given: &str, target: &Target) -> Result<String, Failure> {
    let role = Role::parse(given).map_err(|error| change::rejected(target, &format!("--aws-role {given}: {error}")))?;
    match role.owner {
        Some(owner) if owner.account != target.account.id => {
            Err(change::rejected(target, &format!("--aws-role is a role of account {}", owner.account)))
        }
        _ => Ok(role.name),
    }
}

/// Performs one operation.
pub(crate) async fn run(context: &CollectContext, unit: &Unit, operation: &Operation) -> Result<Outcome, Failure> {
    let payload = Payload::read(unit)?;
    let target = Target::read(&operation.subject)?;
    // First, as the broker explains best why there are no credentials.
    context.credentials().get().await?;
    let (_, definition) = change::find(cloud()?, &target)?;
    let region = match (is_in_region(definition), &target.region) {
        (true, Some(region)) => region.id.clone(),
        (true, None) => return Err(change::rejected(&target, "its region is uncertain")),
        (false, _) => global_region(&payload.partition).to_owned(),
    };
    let client = Arc::new(provider::client(context).await?);
    let limit = Duration::from_millis(operation.limit_ms);
    Change::new(cloud()?, client, target, region, limit)?.perform(&operation.verb).await
}

fn is_in_region(definition: &Definition) -> bool {
    definition.scope.get_ref() == IN_REGION
}

/// Checks account and region in the resource's ARN. If they differ from the graph, one of both is wrong.
fn is_where_its_arn_says(target: &Target, definition: &Definition) -> Result<(), Failure> {
    let Some(arn) = target.text("arn").filter(|arn| arn.starts_with("arn:")) else { return Ok(()) };
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, _, region, account, _] = parts.as_slice() else { return Ok(()) };
    if !account.is_empty() && *account != "aws" && *account != target.account.id {
        let why = format!("its ARN is of account {account}, but the core has it in {}", target.account.id);
        return Err(change::rejected(target, &why));
    }
    match &target.region {
        Some(stored) if is_in_region(definition) && !region.is_empty() && *region != stored.id => Err(
            change::rejected(target, &format!("its ARN is of region {region}, but the core has it in {}", stored.id)),
        ),
        _ => Ok(()),
    }
}

fn partition(target: &Target) -> &str {
    let arn = target.text("arn").and_then(|arn| arn.strip_prefix("arn:")).and_then(|arn| arn.split(':').next());
    let region = target.region.as_ref().map_or(DEFAULT_REGION, |region| &region.id);
    arn.filter(|partition| !partition.is_empty()).or_else(|| client::partition(region)).unwrap_or("aws")
}
