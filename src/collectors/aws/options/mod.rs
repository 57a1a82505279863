//! The options of the AWS collector: their specification, and their values as one typed struct.

mod check;

pub(super) use check::check;

use super::{definitions::definitions, hooks, role::Role};
use crate::{
    engine::collect::Selection,
    settings::{OptionSpec, Settings},
};

/// The largest pool size that an option accepts. More calls at once would only be throttled by the same APIs.
const MAX_POOL: u64 = 1000;

/// The names of the Python worker, in the order in which they are shown. Those of newer kinds follow.
pub(in super::super) const NAMES: [&str; 33] = [
    "iam_account_summary",
    "iam_policies",
    "iam_groups",
    "iam_instance_profiles",
    "iam_roles",
    "iam_users",
    "iam_server_certificates",
    "s3_buckets",
    "reserved_instances",
    "vpcs",
    "subnets",
    "route_tables",
    "security_groups",
    "internet_gateways",
    "keypairs",
    "instances",
    "volumes",
    "snapshots",
    "elbs",
    "albs",
    "alb_target_groups",
    "autoscaling_groups",
    "network_acls",
    "network_interfaces",
    "nat_gateways",
    "rds_instances",
    "cloudformation_stacks",
    "eks_clusters",
    "vpc_peering_connections",
    "vpc_endpoints",
    "elastic_ips",
    "cloudwatch_alarms",
    "quotas",
];

/// Returns the names that `--aws-collect` and `--aws-no-collect` accept, in the order in which they are shown: those
/// that definitions and hooks use.
///
/// # Errors
/// A mistake in the definitions, with file and line.
pub(in super::super) fn names() -> Result<Vec<&'static str>, String> {
    Ok(definitions().map_err(|error| error.to_string())?.names(&NAMES, &hooks::SELECTABLE))
}

/// The specification of all options.
pub(crate) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        secret: true,
        ..OptionSpec::text("aws-access-key-id", "AWS access key ID (default: the usual AWS sources)")
    },
    OptionSpec { secret: true, ..OptionSpec::text("aws-secret-access-key", "AWS secret access key") },
    OptionSpec::text(
        "aws-role",
        "IAM role to assume in each account: name, path and name, or the ARN of the role in one account",
    ),
    OptionSpec::text("aws-external-id", "External ID that the trust policy of --aws-role requires"),
    OptionSpec::text("aws-session-name", "Name of the sessions of --aws-role (default: account and a random number)"),
    OptionSpec::flag("aws-role-override", "Assume --aws-role in every account, even if another role or none is known"),
    OptionSpec::list("aws-account", "AWS account IDs to collect with --aws-role"),
    OptionSpec::list("aws-region", "AWS regions to collect (default: all that are enabled)"),
    OptionSpec::flag("aws-scrape-org", "Collect all accounts of the AWS organization with --aws-role"),
    OptionSpec::flag("aws-fork", "Collect each AWS account in its own process"),
    OptionSpec::list("aws-scrape-exclude-account", "AWS account IDs of the organization to exclude"),
    OptionSpec::flag("aws-assume-current", "Assume --aws-role in the current account as well"),
    OptionSpec::flag("aws-dont-scrape-current", "Exclude the current account from the organization"),
    pool(
        "aws-account-pool-size",
        5,
        "AWS accounts to collect at the same time; also bounds accounts with cleanups and tag changes",
    ),
    pool("aws-region-pool-size", 20, "Regions of an AWS account to collect at the same time"),
    OptionSpec::list("aws-collect", "What to collect, by name (default: everything)"),
    OptionSpec::list("aws-no-collect", "What not to collect, by name; \"quotas\" excludes all service quotas"),
];

const fn pool(name: &'static str, default: u64, help: &'static str) -> OptionSpec {
    OptionSpec::integer(name, default, (1, MAX_POOL), help)
}

/// The values of all options, read from the settings in this one place.
///
/// There is no `Debug`: the access key is a secret. A worker's settings do not have it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `--aws-access-key-id`.
    pub(crate) access_key_id: Option<String>,
    /// `--aws-secret-access-key`.
    pub(crate) secret_access_key: Option<String>,
    /// `--aws-role`, as it was given.
    pub(crate) role: Option<String>,
    /// `--aws-external-id`.
    pub(crate) external_id: Option<String>,
    /// `--aws-session-name`.
    pub(crate) session_name: Option<String>,
    /// `--aws-role-override`.
    pub(crate) role_override: bool,
    /// `--aws-account`.
    pub(crate) accounts: Vec<String>,
    /// `--aws-region`; all enabled regions if empty.
    pub(crate) regions: Vec<String>,
    /// `--aws-scrape-org`.
    pub(crate) scrape_org: bool,
    /// `--aws-fork`.
    pub(crate) fork: bool,
    /// `--aws-scrape-exclude-account`.
    pub(crate) excluded_accounts: Vec<String>,
    /// `--aws-assume-current`.
    pub(crate) assume_current: bool,
    /// `--aws-dont-scrape-current`.
    pub(crate) exclude_current: bool,
    /// `--aws-account-pool-size`, at least 1.
    pub(crate) account_pool: usize,
    /// `--aws-region-pool-size`, at least 1.
    pub(crate) region_pool: usize,
    /// `--aws-collect`; everything if empty.
    pub(crate) collect: Vec<String>,
    /// `--aws-no-collect`.
    pub(crate) no_collect: Vec<String>,
    /// `--keep-uncollected`, an option of the daemon.
    pub(crate) keep_uncollected: bool,
}

impl Options {
    /// Reads the options. Absent ones have their defaults, a pool has size 1.
    pub(crate) fn of(settings: &Settings) -> Self {
        let text = |name: &str| settings.text(name).map(str::to_owned);
        let list = |name: &str| settings.list(name).to_vec();
        let pool = |name: &str| settings.integer(name).and_then(|size| usize::try_from(size).ok()).unwrap_or(1).max(1);
        Self {
            access_key_id: text("aws-access-key-id"),
            secret_access_key: text("aws-secret-access-key"),
            role: text("aws-role"),
            external_id: text("aws-external-id"),
            session_name: text("aws-session-name"),
            role_override: settings.flag("aws-role-override"),
            accounts: list("aws-account"),
            regions: list("aws-region"),
            scrape_org: settings.flag("aws-scrape-org"),
            fork: settings.flag("aws-fork"),
            excluded_accounts: list("aws-scrape-exclude-account"),
            assume_current: settings.flag("aws-assume-current"),
            exclude_current: settings.flag("aws-dont-scrape-current"),
            account_pool: pool("aws-account-pool-size"),
            region_pool: pool("aws-region-pool-size"),
            collect: list("aws-collect"),
            no_collect: list("aws-no-collect"),
            keep_uncollected: settings.flag("keep-uncollected"),
        }
    }

    /// Returns the access key ID and the secret access key, if both are given.
    pub(crate) fn access_key(&self) -> Option<(&str, &str)> {
        self.access_key_id.as_deref().zip(self.secret_access_key.as_deref())
    }

    /// Returns the account of `--aws-role`, if that is an ARN: no other account is collected.
    pub(crate) fn role_owner(&self) -> Option<String> {
        let role = self.role.as_deref().and_then(|role| Role::parse(role).ok());
        role.and_then(|role| role.owner).map(|owner| owner.account)
    }

    /// Returns what is collected of an account.
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            collect: self.collect.clone(),
            exclude: self.no_collect.clone(),
            only_if_named: Vec::new(),
            has_some_locations: !self.regions.is_empty(),
            locations_at_once: self.region_pool,
            keep_uncollected: self.keep_uncollected,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::settings::{OptionKind, Setting};

    fn settings(given: &[(&str, Setting)]) -> Settings {
        let mut settings = Settings::defaults(OPTIONS);
        for (name, value) in given {
            settings.set(name, value.clone());
        }
        settings
    }

    fn text(text: &str) -> Setting {
        Setting::Text(text.into())
    }

    fn list(values: &[&str]) -> Setting {
        Setting::List(values.iter().map(|value| (*value).to_owned()).collect())
    }

    fn options(given: &[(&str, Setting)]) -> Options {
        Options::of(&settings(given))
    }

    #[test]
    fn every_option_is_read() {
        let default = options(&[]);
        for spec in OPTIONS {
            let value = match spec.kind {
                OptionKind::Flag => Setting::Flag(true),
                OptionKind::Integer { default, .. } => Setting::Integer(default + 1),
                OptionKind::Text { .. } => text("x"),
                OptionKind::List { .. } => list(&["x"]),
            };
            assert!(options(&[(spec.name, value)]) != default, "{}", spec.name);
        }
        assert!(options(&[("keep-uncollected", Setting::Flag(true))]).keep_uncollected);
    }

    #[test]
    fn every_name_is_used_by_a_definition_or_hook() {
        let used: Vec<_> = definitions().unwrap().collectors().chain(hooks::SELECTABLE).collect();
        assert_eq!(NAMES.into_iter().find(|name| !used.contains(name)), None);
        assert_eq!(names().unwrap()[..NAMES.len()], NAMES);
    }

    #[test]
    fn collectors_are_selected_and_excluded_by_name() {
        let chosen = options(&[("aws-collect", list(&["vpcs", "subnets"])), ("aws-no-collect", list(&["subnets"]))]);
        let chosen = chosen.selection();
        assert!(chosen.is_wanted("vpcs"));
        assert!(!chosen.is_wanted("subnets"));
        assert!(!chosen.is_wanted("volumes"));
        assert!(options(&[]).selection().is_wanted("volumes"));
    }

    #[test]
    fn worker_settings_have_no_access_key() {
        let mut given = settings(&[]);
        given.set("aws-access-key-id", text("AKIA"));
        given.set("aws-secret-access-key", text("s"));
        let public = given.public(OPTIONS);
        assert!(public.get("aws-access-key-id").is_none());
        assert!(public.get("aws-secret-access-key").is_none());
    }
}
