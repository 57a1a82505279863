//! Planning: who am I, which accounts, which regions.

use aws_config::SdkConfig;
use worker_proto::{Failure, FailureKind, Plan, Unit};

use super::{
    super::CollectContext,
    broker::Payload,
    engine::call_failure,
    identity::{DEFAULT_REGION, Secret, endpoint, failure, given_config},
    provider, regions,
    selection::{Account, Identity, Member, is_whole, select},
};
/// The kind of a unit's account node.
pub(crate) const ACCOUNT_KIND: &str = "aws_account";

/// Finds the accounts and their regions.
pub(crate) async fn plan(context: &CollectContext) -> Result<Plan, Failure> {
    let settings = context.settings();
    let secret = Secret::read(&context.credentials().get().await?)?;
    let config = {
        // Finding the region may ask the instance.
        let _call = context.waiting("the region of the AWS configuration");
        given_config(&secret).await
    };
    let identity = who_am_i(context, &config).await?;
    let members = match settings.flag("aws-scrape-org") {
        true => Some(members(context, &config).await?),
        false => None,
    };
    let is_role_used =
        members.is_some() || settings.flag("aws-role-override") || !settings.list("aws-account").is_empty();
    if settings.text("aws-role").is_some() && !is_role_used {
        tracing::warn!("--aws-role has no effect without --aws-scrape-org, --aws-account or --aws-role-override");
    }
    let selection = select(&identity, members.as_deref(), settings)?;
    for member in &selection.inactive {
        tracing::warn!(account = member.id, name = member.name, "AWS account is not active and is left out");
    }
    let region = config.region().map_or(DEFAULT_REGION, |region| region.as_ref());
    let regions = planned_regions(context, region).await?;
    tracing::info!(accounts = selection.accounts.len(), regions = regions.len(), "AWS plan is ready");
    let units = selection.accounts.into_iter().map(|account| unit(account, &identity.partition, &regions));
    let is_whole = members.is_some_and(|members| is_whole(&identity, &members, settings));
    Ok(Plan { units: units.collect::<Result<_, _>>()?, gaps: Vec::new(), is_whole })
}

async fn who_am_i(context: &CollectContext, config: &SdkConfig) -> Result<Identity, Failure> {
    let _call = context.waiting("sts GetCallerIdentity");
    let answer = aws_sdk_sts::Client::new(config).get_caller_identity().send().await;
    let what = "the AWS credentials cannot be verified";
    let answer = answer.map_err(|error| failure(what, &endpoint(config, "sts"), &error))?;
    match (answer.account(), answer.arn()) {
        (Some(account), arn) => Ok(Identity::new(account, arn.unwrap_or_default())),
        (None, _) => Err(Failure {
            kind: FailureKind::Unavailable,
            message: format!("{what}: {} named no account", endpoint(config, "sts")),
        }),
    }
}

/// The members of the organization.
///
/// A refusal ends the plan: going on without the members would delete what is known of them.
async fn members(context: &CollectContext, config: &SdkConfig) -> Result<Vec<Member>, Failure> {
    let _call = context.waiting("organizations ListAccounts");
    let client = aws_sdk_organizations::Client::new(config);
    let mut pages = client.list_accounts().into_paginator().send();
    let mut members = Vec::new();
    while let Some(page) = pages.next().await {
        let what = "the accounts of the AWS organization cannot be listed (--aws-scrape-org)";
        let page = page.map_err(|error| failure(what, &endpoint(config, "organizations"), &error))?;
        members.extend(page.accounts().iter().filter_map(member));
    }
    Ok(members)
}

fn member(account: &aws_sdk_organizations::types::Account) -> Option<Member> {
    // Older servers answer the old field only.
    let old = account.status().map(|status| status.as_str());
    let state = account.state().map(|state| state.as_str()).or(old);
    Some(Member {
        id: account.id()?.to_owned(),
        name: account.name().unwrap_or_default().to_owned(),
        active: !matches!(state, Some("SUSPENDED" | "CLOSED" | "PENDING_ACTIVATION")),
    })
}

/// The regions to collect: those that were asked for, or all that are enabled for the base credentials' account, with
/// the one first where that was asked. Each account that is reached by a role asks there again, for its own.
async fn planned_regions(context: &CollectContext, region: &str) -> Result<Vec<String>, Failure> {
    let chosen = context.settings().list("aws-region");
    if !chosen.is_empty() {
        let mut regions: Vec<String> = Vec::new();
        for region in chosen {
            if !regions.contains(region) {
                regions.push(region.clone());
            }
        }
        return Ok(regions);
    }
    let client = provider::client(context).await?;
    let what = "the AWS regions cannot be listed; name them with --aws-region";
    let mut regions = regions::enabled(&client, region).await.map_err(|error| call_failure(what, &error))?;
    regions.sort_by_key(|enabled| enabled != region);
    Ok(regions)
}

fn unit(account: Account, partition: &str, regions: &[String]) -> Result<Unit, Failure> {
    let payload = Payload {
        account: account.id.clone(),
        role: account.role,
        partition: partition.to_owned(),
        regions: regions.to_vec(),
        verify: false,
    };
    let payload = serde_json::to_string(&payload).map_err(|error| Failure {
        kind: FailureKind::Internal,
        message: format!("the plan of AWS account {} cannot be written: {error}", account.id),
    })?;
    // The pseudo region "global" is a part of its own.
    let parts = u32::try_from(regions.len()).unwrap_or(u32::MAX).saturating_add(1);
    Ok(Unit { id: account.id, label: account.label, kind: ACCOUNT_KIND.to_owned(), parts, payload })
}

#[cfg(test)]
mod tests {
    use aws_sdk_organizations::types::{Account, AccountState, AccountStatus, builders::AccountBuilder};

    use super::*;

    fn is_active(state: impl FnOnce(AccountBuilder) -> AccountBuilder) -> Option<bool> {
        member(&state(Account::builder().id("123456789012").name("dev")).build()).map(|member| member.active)
    }

    #[test]
    fn members_that_refuse_every_call_are_not_active() {
        assert_eq!(is_active(|account| account.status(AccountStatus::Suspended)), Some(false));
        assert_eq!(is_active(|account| account.status(AccountStatus::Active)), Some(true));
        for (state, expected) in [
            (AccountState::Suspended, false),
            (AccountState::Closed, false),
            (AccountState::PendingActivation, false),
            (AccountState::PendingClosure, true),
            (AccountState::Active, true),
        ] {
            // The newer field decides where both are given.
            let active = is_active(|account| account.state(state.clone()).status(AccountStatus::Active));
            assert_eq!(active, Some(expected), "{state:?}");
        }
        assert_eq!(is_active(|account| account), Some(true), "nothing is known against it");
        assert_eq!(member(&Account::builder().name("no id").build()), None);
    }
}
