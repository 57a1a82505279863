//! The selection of accounts and roles: a pure function of identity, organization and options.

use std::collections::BTreeSet;

use worker_proto::{Failure, FailureKind};

use super::{
    options::Options,
    role::{Owner, Role},
};

/// The owner of the base credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The account ID.
    pub(crate) account: String,
    /// The partition, such as `aws` or `aws-us-gov`.
    pub(crate) partition: String,
}

impl Identity {
    /// Returns the identity with the ARN of GetCallerIdentity, such as `arn:aws-cn:sts::123456789012:…`.
    pub(crate) fn new(account: &str, arn: &str) -> Self {
        let partition = arn.split(':').nth(1).filter(|partition| !partition.is_empty()).unwrap_or("aws");
        Self { account: account.to_owned(), partition: partition.to_owned() }
    }
}

/// A member of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The account ID.
    pub(crate) id: String,
    /// The name in the organization.
    pub(crate) name: String,
    /// Whether it can be collected: suspended accounts reject every call.
    pub(crate) active: bool,
}

/// A selected account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The account ID.
    pub(crate) id: String,
    /// The name; the ID if there is none.
    pub(crate) label: String,
    /// The role to assume; `None` means the base credentials.
    pub(crate) role: Option<String>,
}

/// The selected accounts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The accounts to collect; at least one.
    pub(crate) accounts: Vec<Account>,
    /// Members that are skipped because they are not active.
    pub(crate) inactive: Vec<Member>,
}

/// Selects accounts. `members` is the organization, if it was listed.
///
/// # Errors
/// `Configuration` if no account is left.
pub(crate) fn select(identity: &Identity, members: Option<&[Member]>, options: &Options) -> Result<Selection, Failure> {
    let given = options.role.as_deref().map(Role::parse).transpose().map_err(configuration)?;
    let role = given.as_ref().map(|role| role.name.as_str());
    if let Some(Owner { partition, account: owner }) = given.as_ref().and_then(|role| role.owner.as_ref()) {
        if *partition != identity.partition {
            return Err(configuration(format!(
                "--aws-role is a role of the partition {partition}, and the credentials are of {}: a role can be assumed \
                 in its own partition only",
                identity.partition
            )));
        }
        let accounts = vec![account(owner, owner, role)];
        return Ok(Selection { accounts, inactive: Vec::new() });
    }
    let mut selection = match (role, members) {
        (Some(role), Some(members)) => from_organization(identity, members, role, options),
        (Some(role), None) if !options.accounts.is_empty() => {
            let ids: BTreeSet<&String> = options.accounts.iter().collect();
            let accounts = ids.into_iter().map(|id| account(id, id, Some(role))).collect();
            Selection { accounts, inactive: Vec::new() }
        }
        _ => Selection { accounts: vec![account(&identity.account, &identity.account, None)], inactive: Vec::new() },
    };
    if options.role_override {
        for account in &mut selection.accounts {
            account.role = role.map(str::to_owned);
        }
    }
    if selection.accounts.is_empty() {
        return Err(configuration(NOTHING_LEFT.into()));
    }
    Ok(selection)
}

/// Returns whether the selection has all accounts of the organization that can be collected.
pub(crate) fn is_whole(identity: &Identity, members: &[Member], options: &Options) -> bool {
    let is_current_known = members.iter().any(|member| member.id == identity.account);
    let is_selecting = options.exclude_current || !options.excluded_accounts.is_empty() || !options.accounts.is_empty();
    options.role.is_some() && is_current_known && !is_selecting
}

fn configuration(message: String) -> Failure {
    Failure { kind: FailureKind::Configuration, message }
}

const NOTHING_LEFT: &str = "no AWS account is left to collect: check --aws-scrape-exclude-account, \
                            --aws-dont-scrape-current and --aws-assume-current";

fn from_organization(identity: &Identity, members: &[Member], role: &str, options: &Options) -> Selection {
    let mut selection = Selection::default();
    for member in members {
        let is_current = member.id == identity.account;
        if options.excluded_accounts.contains(&member.id) || (is_current && !options.assume_current) {
            continue;
        }
        if member.active {
            selection.accounts.push(account(&member.id, &member.name, Some(role)));
        } else {
            selection.inactive.push(member.clone());
        }
    }
    // With --aws-assume-current, the current account already has its role.
    let has_current = selection.accounts.iter().any(|account| account.id == identity.account);
    if !options.exclude_current && !has_current {
        let member = members.iter().find(|member| member.id == identity.account);
        let name = member.map_or(identity.account.as_str(), |member| member.name.as_str());
        selection.accounts.push(account(&identity.account, name, None));
    }
    selection
}

fn account(id: &str, name: &str, role: Option<&str>) -> Account {
    let label = if name.is_empty() { id } else { name };
    Account { id: id.to_owned(), label: label.to_owned(), role: role.map(str::to_owned) }
}

/// Returns the ARN of a role in an account.
pub(crate) fn role_arn(partition: &str, account: &str, role: &str) -> String {
    format!("arn:{partition}:iam::{account}:role/{}", role.trim_start_matches('/'))
}

/// Returns the region of a partition's global services, such as IAM.
pub(crate) fn global_region(partition: &str) -> &'static str {
    match partition {
        "aws-cn" => "cn-north-1",
        "aws-us-gov" => "us-gov-west-1",
        "aws-iso" => "us-iso-east-1",
        "aws-iso-b" => "us-isob-east-1",
        "aws-iso-e" => "eu-isoe-west-1",
        "aws-iso-f" => "us-isof-south-1",
        "aws-eusc" => "eusc-de-east-1",
        _ => "us-east-1",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::settings::{Setting, Settings};

    const CURRENT: &str = "111111111111";

    fn identity() -> Identity {
        Identity::new(CURRENT, "arn:aws:sts::111111111111:assumed-role/x/y")
    }

    fn organization() -> Vec<Member> {
        [(CURRENT, "main", true), ("222222222222", "dev", true), ("333333333333", "old", false)]
            .map(|(id, name, active)| Member { id: id.into(), name: name.into(), active })
            .into()
    }

    fn options(flags: &[&str]) -> Options {
        let mut settings = Settings::default();
        for flag in flags {
            settings.set(flag, Setting::Flag(true));
        }
        Options { role: Some("Reader".into()), ..Options::of(&settings) }
    }

    fn chosen(flags: &[&str]) -> Vec<(String, bool)> {
        let selection = select(&identity(), Some(&organization()), &options(flags)).unwrap();
        selection.accounts.into_iter().map(|account| (account.id, account.role.is_some())).collect()
    }

    #[test]
    fn organization_selects_active_members_with_role() {
        assert_eq!(chosen(&[]), [("222222222222".into(), true), (CURRENT.into(), false)]);
        let selection = select(&identity(), Some(&organization()), &options(&[])).unwrap();
        assert_eq!(selection.inactive.len(), 1);
        assert_eq!(selection.inactive[0].id, "333333333333");
    }

    #[test]
    fn current_account_is_selected_at_most_once() {
        assert_eq!(chosen(&["aws-dont-scrape-current"]), [("222222222222".into(), true)]);
        assert_eq!(chosen(&["aws-assume-current"]), [(CURRENT.into(), true), ("222222222222".into(), true)]);
        let both = ["aws-assume-current", "aws-dont-scrape-current"];
        assert_eq!(chosen(&both), [(CURRENT.into(), true), ("222222222222".into(), true)]);
    }

    #[test]
    fn arn_selects_its_account_with_its_role() {
        for flags in [&[][..], &["aws-role-override"]] {
            let mut options = options(flags);
            options.role = Some("arn:aws:iam::444444444444:role/team/Reader".into());
            let selection = select(&identity(), None, &options).unwrap();
            assert_eq!(selection.accounts, [account("444444444444", "444444444444", Some("team/Reader"))]);
            assert_eq!(options.role_owner().as_deref(), Some("444444444444"));
        }
        let mut options = options(&[]);
        assert_eq!(options.role_owner(), None);
        options.role = Some("arn:aws-cn:iam::444444444444:role/Reader".into());
        let failure = select(&identity(), None, &options).unwrap_err();
        assert!(failure.message.contains("partition aws-cn"), "{}", failure.message);
    }

    #[test]
    fn exclusion_of_all_members_is_an_error() {
        let mut options = options(&["aws-dont-scrape-current"]);
        options.excluded_accounts = vec!["222222222222".into()];
        let failure = select(&identity(), Some(&organization()), &options).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Configuration);
        assert!(failure.message.contains("--aws-scrape-exclude-account"));
    }

    #[test]
    fn listed_accounts_are_taken_with_the_role_and_once() {
        let mut options = options(&[]);
        options.accounts = vec!["444444444444".into(), "444444444444".into()];
        let selection = select(&identity(), None, &options).unwrap();
        assert_eq!(selection.accounts, [account("444444444444", "444444444444", Some("Reader"))]);
    }

    #[test]
    fn role_alone_selects_current_account() {
        let plain = select(&identity(), None, &options(&[])).unwrap();
        assert_eq!(plain.accounts, [account(CURRENT, CURRENT, None)]);
        let overridden = select(&identity(), None, &options(&["aws-role-override"])).unwrap();
        assert_eq!(overridden.accounts, [account(CURRENT, CURRENT, Some("Reader"))]);
    }

    #[test]
    fn arns_follow_the_partition() {
        let china = Identity::new(CURRENT, "arn:aws-cn:iam::111111111111:user/x");
        assert_eq!(china.partition, "aws-cn");
        assert_eq!(role_arn(&china.partition, CURRENT, "team/Reader"), "arn:aws-cn:iam::111111111111:role/team/Reader");
        assert_eq!(role_arn("aws", CURRENT, "/Reader"), "arn:aws:iam::111111111111:role/Reader");
        assert_eq!(global_region("aws-us-gov"), "us-gov-west-1");
        assert_eq!(Identity::new(CURRENT, "").partition, "aws");
    }
}
