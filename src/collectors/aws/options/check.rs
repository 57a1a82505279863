//! Checks that span several options, before anything is contacted.

use super::{
    super::role::{Owner, Role, check_external_id, check_session_name, is_account_id},
    Options, names,
};
use crate::settings::check_names;

/// Checks what no single option can check.
///
/// # Errors
/// A sentence that names the options and the remedy.
pub(in super::super) fn check(options: &Options) -> Result<(), String> {
    let has_role = options.role.is_some();
    let key_pair = (&options.access_key_id, &options.secret_access_key);
    match key_pair {
        (Some(_), None) => return Err("--aws-access-key-id needs --aws-secret-access-key".into()),
        (None, Some(_)) => return Err("--aws-secret-access-key needs --aws-access-key-id".into()),
        _ => {}
    }
    for (option, given) in [
        ("--aws-external-id", options.external_id.is_some()),
        ("--aws-session-name", options.session_name.is_some()),
        ("--aws-scrape-org", options.scrape_org),
        ("--aws-account", !options.accounts.is_empty()),
        ("--aws-role-override", options.role_override),
    ] {
        if given && !has_role {
            return Err(format!("{option} needs --aws-role, the name of the role to assume in each account"));
        }
    }
    if options.scrape_org && !options.accounts.is_empty() {
        return Err("--aws-scrape-org and --aws-account exclude each other: choose the accounts with \
                    --aws-account, or all but some with --aws-scrape-exclude-account"
            .into());
    }
    for (option, ids) in
        [("aws-account", &options.accounts), ("aws-scrape-exclude-account", &options.excluded_accounts)]
    {
        if let Some(id) = ids.iter().find(|id| !is_account_id(id)) {
            return Err(format!("--{option} {id}: expected a 12-digit AWS account ID"));
        }
    }
    check_role(options)?;
    check_regions(options)?;
    check_selection(options)
}

/// Checks the role and the parameters of its assumption. An ARN names one account, and no other one can be selected.
fn check_role(options: &Options) -> Result<(), String> {
    for (option, text, check) in [
        ("aws-external-id", &options.external_id, check_external_id as fn(&str) -> Result<(), String>),
        ("aws-session-name", &options.session_name, check_session_name),
    ] {
        text.as_deref().map_or(Ok(()), check).map_err(|error| format!("--{option}: {error}"))?;
    }
    let Some(text) = &options.role else { return Ok(()) };
    let role = Role::parse(text).map_err(|error| format!("--aws-role {text}: {error}"))?;
    let Some(Owner { account, .. }) = role.owner else { return Ok(()) };
    if options.scrape_org {
        return Err(format!(
            "--aws-role {text} exists in account {account} only, and --aws-scrape-org needs a role in each account: give \
             --aws-role {}",
            role.name
        ));
    }
    match options.accounts.iter().find(|id| **id != account) {
        Some(other) => Err(format!(
            "--aws-role {text} is a role of account {account}, not of {other}: omit --aws-account, or give \
             --aws-role {}",
            role.name
        )),
        None => Ok(()),
    }
}

/// Checks the format of region names. The names themselves are not checked, as AWS adds regions.
fn check_regions(options: &Options) -> Result<(), String> {
    match options.regions.iter().find(|region| !is_region(region)) {
        Some(region) if region == "collect" => {
            Err("collect is a command and goes first: ckworker collect --output FILE [OPTIONS]".into())
        }
        Some(region) => Err(format!(
            "--aws-region {region}: expected names of regions separated by spaces, such as us-east-1 eu-central-1"
        )),
        None => Ok(()),
    }
}

/// Returns whether a string is lower-case words and a number, joined by dashes.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    words.contains('-')
        && words.split('-').all(is_word)
        && (1..=2).contains(&number.len())
        && number.parse::<u8>().is_ok()
}

fn check_selection(options: &Options) -> Result<(), String> {
    for (option, given) in [("aws-collect", &options.collect), ("aws-no-collect", &options.no_collect)] {
        if !given.is_empty() {
            check_names(option, given, &names()?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{super::OPTIONS, *};
    use crate::settings::{Setting, Settings};

    fn options(given: &[(&str, Setting)]) -> Options {
        let mut settings = Settings::defaults(OPTIONS);
        for (name, value) in given {
            settings.set(name, value.clone());
        }
        Options::of(&settings)
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
        assert_eq!(check(&options(&[])), Ok(()));
        assert_eq!(check(&options(&[("aws-role", text(ARN))])), Ok(()));
        assert_eq!(check(&options(&[("aws-role", text(ARN)), ("aws-account", list(&["123456789012"]))])), Ok(()));
    }

    #[test]
    fn conflicts_are_named() {
        let cases = [
            (vec![("aws-access-key-id", text("AKIA"))], "--aws-secret-access-key"),
            (vec![("aws-secret-access-key", text("x"))], "--aws-access-key-id"),
            (vec![("aws-scrape-org", Setting::Flag(true))], "--aws-role"),
            (vec![("aws-account", list(&["123456789012"]))], "--aws-role"),
            (vec![("aws-role", text("r")), ("aws-account", list(&["12"]))], "12-digit AWS account ID"),
            (vec![("aws-role", text("two words"))], "--aws-role two words: the name of a role"),
            (vec![("aws-external-id", text("example-1"))], "--aws-external-id needs --aws-role"),
            (vec![("aws-session-name", text("audit"))], "--aws-session-name needs --aws-role"),
            (vec![("aws-role", text("r")), ("aws-external-id", text("a b"))], "--aws-external-id: an external ID has"),
            (vec![("aws-role", text("r")), ("aws-session-name", text("x"))], "--aws-session-name: the name of"),
            (vec![("aws-role", text(ARN)), ("aws-scrape-org", Setting::Flag(true))], "--aws-role team/Reader"),
            (
                vec![("aws-role", text(ARN)), ("aws-account", list(&["123456789012", "222222222222"]))],
                "not of 222222222222",
            ),
            (vec![("aws-collect", list(&["vpc"]))], "expected one of iam_account_summary, "),
            (vec![("aws-region", list(&["us-east-1", "collect"]))], "goes first"),
            (vec![("aws-region", list(&["us-east-1,us-west-2"]))], "separated by spaces"),
            (vec![("aws-region", list(&["US-EAST-1"]))], "separated by spaces"),
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
            let error = check(&options(&given)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn regions_of_all_partitions_are_regions() {
        for region in ["us-east-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "ap-southeast-12", "eu-future-7"] {
            assert!(is_region(region), "{region}");
        }
        for text in ["us-east", "us-1", "us_east-1", "us-east-1a", "-east-1", "us--east-1", ""] {
            assert!(!is_region(text), "{text}");
        }
    }
}
