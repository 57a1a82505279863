//! The options of the AWS collector, and the checks that span several of them.

use super::role::{Owner, Role, check_external_id, check_session_name, is_account_id};
use crate::settings::{OptionKind, OptionSpec, Settings};

/// The largest pool that an option accepts; more would only wait for the same limits of the same APIs.
const MAX_POOL: u64 = 1000;

/// The names that `--aws-collect` and `--aws-no-collect` know, in the order in which users read them.
pub(crate) const COLLECTORS: [&str; 33] = [
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

/// All options.
pub(crate) const OPTIONS: &[OptionSpec] = &[
    secret("aws-access-key-id", "AWS access key id (default: the usual AWS sources)"),
    secret("aws-secret-access-key", "AWS secret access key"),
    text("aws-role", "IAM role to assume in each account: name, path and name, or the ARN of the role in one account"),
    text("aws-external-id", "external id that the trust policy of --aws-role wants"),
    text("aws-session-name", "name of the sessions of --aws-role (default: account and a random number)"),
    flag("aws-role-override", "assume --aws-role in every account, also where another role or none is known"),
    list("aws-account", "AWS account ids to collect with --aws-role"),
    list("aws-region", "AWS regions to collect (default: all that are enabled)"),
    flag("aws-scrape-org", "collect all accounts of the AWS organization with --aws-role"),
    flag("aws-fork", "collect each AWS account in a process of its own"),
    list("aws-scrape-exclude-account", "AWS account ids to leave out of the organization"),
    flag("aws-assume-current", "assume --aws-role in the current account as well"),
    flag("aws-dont-scrape-current", "leave out the current account when the organization is collected"),
    pool("aws-account-pool-size", 5, "AWS accounts that are collected at the same time"),
    pool("aws-region-pool-size", 20, "regions of an AWS account that are collected at the same time"),
    list("aws-collect", "what to collect, by name (default: everything)"),
    list("aws-no-collect", "what not to collect, by name; \"quotas\" leaves out all service quotas"),
];

const fn option(name: &'static str, kind: OptionKind, help: &'static str) -> OptionSpec {
    OptionSpec { name, short: None, kind, help, secret: false }
}

const fn secret(name: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { name, short: None, kind: OptionKind::Text { default: None }, help, secret: true }
}

const fn text(name: &'static str, help: &'static str) -> OptionSpec {
    option(name, OptionKind::Text { default: None }, help)
}

const fn flag(name: &'static str, help: &'static str) -> OptionSpec {
    option(name, OptionKind::Flag, help)
}

const fn list(name: &'static str, help: &'static str) -> OptionSpec {
    option(name, OptionKind::List { default: &[] }, help)
}

const fn pool(name: &'static str, default: u64, help: &'static str) -> OptionSpec {
    option(name, OptionKind::Integer { default, min: 1, max: MAX_POOL }, help)
}

/// Checks what no single option can check.
///
/// # Errors
/// A sentence that names the options and says what to do.
pub(crate) fn check(settings: &Settings) -> Result<(), String> {
    let has_role = settings.text("aws-role").is_some();
    let key_pair = (settings.text("aws-access-key-id"), settings.text("aws-secret-access-key"));
    match key_pair {
        (Some(_), None) => return Err("--aws-access-key-id needs --aws-secret-access-key".into()),
        (None, Some(_)) => return Err("--aws-secret-access-key needs --aws-access-key-id".into()),
        _ => {}
    }
    for (option, given) in [
        ("--aws-external-id", settings.text("aws-external-id").is_some()),
        ("--aws-session-name", settings.text("aws-session-name").is_some()),
        ("--aws-scrape-org", settings.flag("aws-scrape-org")),
        ("--aws-account", !settings.list("aws-account").is_empty()),
        ("--aws-role-override", settings.flag("aws-role-override")),
    ] {
        if given && !has_role {
            return Err(format!("{option} needs --aws-role, the name of the role to assume in each account"));
        }
    }
    if settings.flag("aws-scrape-org") && !settings.list("aws-account").is_empty() {
        return Err("--aws-scrape-org and --aws-account exclude each other: choose the accounts with \
                    --aws-account, or all but some with --aws-scrape-exclude-account"
            .into());
    }
    for option in ["aws-account", "aws-scrape-exclude-account"] {
        if let Some(odd) = settings.list(option).iter().find(|id| !is_account_id(id)) {
            return Err(format!("--{option} {odd}: an AWS account id has twelve digits"));
        }
    }
    check_role(settings)?;
    check_regions(settings)?;
    check_names(settings)
}

/// The role and what it is assumed with. An ARN names one account, and no other one can be asked for.
fn check_role(settings: &Settings) -> Result<(), String> {
    for (option, check) in [
        ("aws-external-id", check_external_id as fn(&str) -> Result<(), String>),
        ("aws-session-name", check_session_name),
    ] {
        settings.text(option).map_or(Ok(()), check).map_err(|error| format!("--{option}: {error}"))?;
    }
    let Some(text) = settings.text("aws-role") else { return Ok(()) };
    let role = Role::parse(text).map_err(|error| format!("--aws-role {text}: {error}"))?;
    let Some(Owner { account, .. }) = role.owner else { return Ok(()) };
    if settings.flag("aws-scrape-org") {
        return Err(format!(
            "--aws-role {text} is a role of the account {account} only, and --aws-scrape-org needs one in each account: give \
             --aws-role {}",
            role.name
        ));
    }
    match settings.list("aws-account").iter().find(|id| **id != account) {
        Some(other) => Err(format!(
            "--aws-role {text} is a role of the account {account}, not of {other}: leave out --aws-account, or give \
             --aws-role {}",
            role.name
        )),
        None => Ok(()),
    }
}

/// The names look like names of regions. Which there are is AWS's to say: there are new ones now and then.
fn check_regions(settings: &Settings) -> Result<(), String> {
    match settings.list("aws-region").iter().find(|region| !is_region(region)) {
        Some(odd) if odd == "collect" => {
            Err("collect is a command and goes first: ckworker collect --output FILE [OPTIONS]".into())
        }
        Some(odd) => {
            Err(format!("--aws-region {odd}: names of regions are like us-east-1 eu-central-1, separated by blanks"))
        }
        None => Ok(()),
    }
}

/// Words of small letters, and a number at the end.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    words.contains('-')
        && words.split('-').all(is_word)
        && (1..=2).contains(&number.len())
        && number.parse::<u8>().is_ok()
}

fn check_names(settings: &Settings) -> Result<(), String> {
    for option in ["aws-collect", "aws-no-collect"] {
        let unknown = settings.list(option).iter().find(|name| !COLLECTORS.contains(&name.as_str()));
        if let Some(unknown) = unknown {
            return Err(format!("--{option} {unknown}: no such name; there are {}", COLLECTORS.join(", ")));
        }
    }
    Ok(())
}

/// Whether what goes by this name is to be collected.
pub(crate) fn is_wanted(settings: &Settings, name: &str) -> bool {
    let only = settings.list("aws-collect");
    let wanted = only.is_empty() || only.iter().any(|wanted| wanted == name);
    wanted && !settings.list("aws-no-collect").iter().any(|unwanted| unwanted == name)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::settings::Setting;

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

    const ARN: &str = "arn:aws:iam::123456789012:role/team/Reader";

    #[test]
    fn defaults_and_arn_of_the_only_account_are_accepted() {
        assert_eq!(check(&settings(&[])), Ok(()));
        assert_eq!(check(&settings(&[("aws-role", text(ARN))])), Ok(()));
        assert_eq!(check(&settings(&[("aws-role", text(ARN)), ("aws-account", list(&["123456789012"]))])), Ok(()));
    }

    #[test]
    fn conflicts_are_named() {
        let cases = [
            (vec![("aws-access-key-id", text("AKIA"))], "--aws-secret-access-key"),
            (vec![("aws-secret-access-key", text("x"))], "--aws-access-key-id"),
            (vec![("aws-scrape-org", Setting::Flag(true))], "--aws-role"),
            (vec![("aws-account", list(&["123456789012"]))], "--aws-role"),
            (vec![("aws-role", text("r")), ("aws-account", list(&["12"]))], "twelve digits"),
            (vec![("aws-role", text("two words"))], "--aws-role two words: the name of a role"),
            (vec![("aws-external-id", text("example-1"))], "--aws-external-id needs --aws-role"),
            (vec![("aws-session-name", text("audit"))], "--aws-session-name needs --aws-role"),
            (vec![("aws-role", text("r")), ("aws-external-id", text("a b"))], "--aws-external-id: an external id has"),
            (vec![("aws-role", text("r")), ("aws-session-name", text("x"))], "--aws-session-name: the name of"),
            (vec![("aws-role", text(ARN)), ("aws-scrape-org", Setting::Flag(true))], "--aws-role team/Reader"),
            (
                vec![("aws-role", text(ARN)), ("aws-account", list(&["123456789012", "222222222222"]))],
                "not of 222222222222",
            ),
            (vec![("aws-collect", list(&["vpc"]))], "there are iam_account_summary, "),
            (vec![("aws-region", list(&["us-east-1", "collect"]))], "goes first"),
            (vec![("aws-region", list(&["us-east-1,us-west-2"]))], "separated by blanks"),
            (vec![("aws-region", list(&["US-EAST-1"]))], "separated by blanks"),
            (
                vec![
                    ("aws-role", text("r")),
                    ("aws-scrape-org", Setting::Flag(true)),
                    ("aws-account", list(&["123456789012"])),
                ],
                "exclude each other",
            ),
        ];
        for (given, expected) in cases {
            let error = check(&settings(&given)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn regions_of_all_partitions_are_regions() {
        for region in ["us-east-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "ap-southeast-12", "eu-future-7"] {
            assert!(is_region(region), "{region}");
        }
        for odd in ["us-east", "us-1", "us_east-1", "us-east-1a", "-east-1", "us--east-1", ""] {
            assert!(!is_region(odd), "{odd}");
        }
    }

    #[test]
    fn names_restrict_and_exclude() {
        let chosen = settings(&[("aws-collect", list(&["vpcs", "subnets"])), ("aws-no-collect", list(&["subnets"]))]);
        assert!(is_wanted(&chosen, "vpcs"));
        assert!(!is_wanted(&chosen, "subnets"));
        assert!(!is_wanted(&chosen, "volumes"));
        assert!(is_wanted(&settings(&[]), "volumes"));
    }

    #[test]
    fn both_halves_of_the_key_are_secret() {
        let mut given = settings(&[]);
        given.set("aws-access-key-id", text("AKIA"));
        given.set("aws-secret-access-key", text("s"));
        let public = given.public(OPTIONS);
        assert!(public.get("aws-access-key-id").is_none());
        assert!(public.get("aws-secret-access-key").is_none());
    }
}
