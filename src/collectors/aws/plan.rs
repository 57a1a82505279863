//! Planning: the identity, the accounts and the regions.

use std::collections::HashSet;

use aws_config::SdkConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use worker_proto::{Failure, FailureKind, Plan, Unit};

use super::{
    broker::Payload,
    identity::{Secret, endpoint, failure},
    official::insist,
    official_config,
    options::Options,
    provider, regions,
    sdk_settings::ORGANIZATIONS,
    selection::{Account, Identity, Member, is_whole, select},
};
use crate::{collector_api::CollectContext, engine::call_failure};

/// The kind of a unit's account node.
pub(crate) const ACCOUNT_KIND: &str = "aws_account";

/// Finds the accounts and their regions.
pub(crate) async fn plan(context: &CollectContext) -> Result<Plan, Failure> {
    let options = Options::of(context.settings());
    let secret = Secret::read(&context.credentials().get().await?)?;
    let identity = who_am_i(context, &secret).await?;
    let members = match options.scrape_org {
        true => Some(members(context, &secret, &identity.account).await?),
        false => None,
    };
    let is_role_used =
        members.is_some() || options.role_owner().is_some() || options.role_override || !options.accounts.is_empty();
    if options.role.is_some() && !is_role_used {
        tracing::warn!("--aws-role has no effect without --aws-scrape-org, --aws-account or --aws-role-override");
    }
    let selection = select(&identity, members.as_deref(), &options)?;
    for member in &selection.inactive {
        tracing::warn!(account = member.id, name = member.name, "skipped inactive AWS account");
    }
    let regions = planned_regions(context, &options, &secret.settings.region).await?;
    tracing::info!(accounts = selection.accounts.len(), regions = regions.len(), "planned AWS collection");
    let units = selection.accounts.into_iter().map(|account| unit(account, &identity.partition, &regions));
    let is_whole = members.is_some_and(|members| is_whole(&identity, &members, &options));
    Ok(Plan { units: units.collect::<Result<_, _>>()?, gaps: Vec::new(), is_whole })
}

/// Returns the configuration of an official client for a service.
fn config(secret: &Secret, service: &str) -> Result<SdkConfig, Failure> {
    official_config::config(&secret.settings, service, SharedCredentialsProvider::new(secret.to_aws()))
}

async fn who_am_i(context: &CollectContext, secret: &Secret) -> Result<Identity, Failure> {
    let _call = context.waiting("sts GetCallerIdentity");
    let client = aws_sdk_sts::Client::new(&config(secret, "sts")?);
    let answer = insist(|| client.get_caller_identity().send()).await;
    let what = "cannot verify the AWS credentials";
    let answer = answer.map_err(|error| failure(what, &endpoint(&secret.settings, "sts"), &error))?;
    match (answer.account(), answer.arn()) {
        (Some(account), arn) => Ok(Identity::new(account, arn.unwrap_or_default())),
        (None, _) => Err(Failure {
            kind: FailureKind::Unavailable,
            message: format!("{what}: {} named no account", endpoint(&secret.settings, "sts")),
        }),
    }
}

/// Returns the members of the organization.
///
/// An error fails the plan: without the members, the core would delete their accounts. So does a list that cannot be
/// the organization's.
async fn members(context: &CollectContext, secret: &Secret, own: &str) -> Result<Vec<Member>, Failure> {
    let _call = context.waiting("organizations ListAccounts");
    let client = aws_sdk_organizations::Client::new(&config(secret, ORGANIZATIONS.0)?);
    let what = "cannot list the accounts of the AWS organization (--aws-scrape-org)";
    let (mut accounts, mut token, mut seen) = (Vec::new(), None, HashSet::new());
    loop {
        let page = insist(|| client.list_accounts().set_next_token(token.clone()).send()).await;
        let page = page.map_err(|error| failure(what, &endpoint(&secret.settings, ORGANIZATIONS.0), &error))?;
        accounts.extend_from_slice(page.accounts());
        token = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
        match &token {
            Some(token) if !seen.insert(token.clone()) => return Err(implausible(what, "a page was repeated")),
            Some(_) => {}
            None => break,
        }
    }
    check_members(&accounts, own).map_err(|reason| implausible(what, &reason))?;
    Ok(accounts.iter().filter_map(member).collect())
}

/// Returns the failure for an implausible list of members. It is transient: the next list may differ.
fn implausible(what: &str, reason: &str) -> Failure {
    Failure { kind: FailureKind::Unavailable, message: format!("{what}: {reason}") }
}

/// Checks that a list of members has the account of the credentials and the management account, which the ARNs of all
/// members name.
fn check_members(accounts: &[aws_sdk_organizations::types::Account], own: &str) -> Result<(), String> {
    if accounts.is_empty() {
        return Err("the response has no account".to_owned());
    }
    let is_listed = |id: &str| accounts.iter().any(|account| account.id() == Some(id));
    if !is_listed(own) {
        return Err(format!("the response lacks account {own} of the credentials"));
    }
    let management = accounts.iter().filter_map(|account| management_account(account.arn()?));
    match management.into_iter().find(|id| !is_listed(id)) {
        Some(id) => Err(format!("the response lacks the management account {id}")),
        None => Ok(()),
    }
}

/// Returns the management account in the ARN of a member, such as
/// `arn:aws:organizations::MANAGEMENT:account/o-1/MEMBER`.
fn management_account(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let id = parts.nth(4).filter(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit()))?;
    parts.next()?.starts_with("account/").then_some(id)
}

fn member(account: &aws_sdk_organizations::types::Account) -> Option<Member> {
    // Older servers have the old field only.
    let old = account.status().map(|status| status.as_str());
    let state = account.state().map(|state| state.as_str()).or(old);
    Some(Member {
        id: account.id()?.to_owned(),
        name: account.name().unwrap_or_default().to_owned(),
        active: !matches!(state, Some("SUSPENDED" | "CLOSED" | "PENDING_ACTIVATION")),
    })
}

/// Returns the regions to collect: the selected ones, or all that are enabled for the base credentials' account, with
/// the called region first. Each account that is reached by a role lists its own regions there again.
async fn planned_regions(context: &CollectContext, options: &Options, region: &str) -> Result<Vec<String>, Failure> {
    let chosen = &options.regions;
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
    let what = "cannot list the AWS regions; name them with --aws-region";
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
        message: format!("cannot write the plan of AWS account {}: {error}", account.id),
    })?;
    // The pseudo region "global" is a part as well.
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

    fn listed(ids: &[(&str, Option<&str>)]) -> Vec<Account> {
        let arn = |management: &&str| format!("arn:aws:organizations::{management}:account/o-1/x");
        let account =
            |(id, arn): (&str, Option<String>)| Account::builder().id(id).set_arn(arn).status(AccountStatus::Active);
        ids.iter().map(|(id, management)| account((id, management.as_ref().map(arn))).build()).collect()
    }

    #[test]
    fn list_without_own_or_management_account_is_rejected() {
        let (own, other, management) = ("111111111111", "222222222222", "333333333333");
        let check = |ids: &[(&str, Option<&str>)]| check_members(&listed(ids), own);
        assert!(check(&[]).is_err_and(|reason| reason.contains("no account")));
        assert!(check(&[(other, None)]).is_err_and(|reason| reason.contains(own)));
        let without = check(&[(own, Some(management)), (other, Some(management))]);
        assert!(without.is_err_and(|reason| reason.contains(management)));
        assert_eq!(check(&[(own, Some(management)), (management, Some(management))]), Ok(()));
        assert_eq!(check(&[(own, Some(own))]), Ok(()));
        assert_eq!(check(&[(own, None), (other, None)]), Ok(()));
    }

    #[test]
    fn management_account_is_read_from_arns_of_members_only() {
        for (arn, expected) in [
            ("arn:aws:organizations::123456789012:account/o-exampleorgid/210987654321", Some("123456789012")),
            ("arn:aws-us-gov:organizations::123456789012:account/o-1/1", Some("123456789012")),
            ("arn:aws:organizations::123456789012:ou/o-1/ou-1", None),
            ("arn:aws:organizations:::account/o-1/1", None),
            ("arn:aws:organizations::x", None),
            ("", None),
        ] {
            assert_eq!(management_account(arn), expected, "{arn}");
        }
    }

    #[test]
    fn suspended_and_closed_members_are_inactive() {
        assert_eq!(is_active(|account| account.status(AccountStatus::Suspended)), Some(false));
        assert_eq!(is_active(|account| account.status(AccountStatus::Active)), Some(true));
        for (state, expected) in [
            (AccountState::Suspended, false),
            (AccountState::Closed, false),
            (AccountState::PendingActivation, false),
            (AccountState::PendingClosure, true),
            (AccountState::Active, true),
        ] {
            // The newer field decides if both are given.
            let active = is_active(|account| account.state(state.clone()).status(AccountStatus::Active));
            assert_eq!(active, Some(expected), "{state:?}");
        }
        assert_eq!(is_active(|account| account), Some(true), "no state means active");
        assert_eq!(member(&Account::builder().name("no id").build()), None);
    }
}
