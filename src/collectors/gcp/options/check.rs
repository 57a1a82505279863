//! Checks of the options, before anything is contacted.

use super::{super::source::Source, Options, SERVICE_ACCOUNT, names};
use crate::{engine::http::check_endpoint, settings::check_names};

/// The limit of credentials: the number of variables that a list is read from.
const MAX_CREDENTIALS: usize = 255;

/// Checks the options.
///
/// # Errors
/// A sentence that names the option and the remedy, and no part of a key.
pub(in super::super) fn check(options: &Options) -> Result<(), String> {
    check_credentials(&options.service_accounts)?;
    check_projects(options)?;
    for (option, ids) in [("gcp-organization", &options.organizations), ("gcp-folder", &options.folders)] {
        let is_number = |id: &&String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(id) = ids.iter().find(|id| !is_number(id)) {
            return Err(format!(
                "--{option} {id}: expected the number of an organization or folder, such as 123456789012"
            ));
        }
    }
    options.endpoint.as_deref().map_or(Ok(()), |url| check_endpoint("gcp-endpoint-url", url))?;
    check_selection(options)
}

fn check_credentials(values: &[String]) -> Result<(), String> {
    let sources = Source::all(values)?;
    if sources.len() > MAX_CREDENTIALS {
        return Err(format!("--{SERVICE_ACCOUNT}: more than {MAX_CREDENTIALS} credentials"));
    }
    sources.iter().try_for_each(Source::check)
}

fn check_projects(options: &Options) -> Result<(), String> {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(is_part);
    if let Some(id) = options.projects.iter().find(|id| !is_id(id)) {
        return Err(format!("--gcp-project {id}: expected IDs of projects separated by spaces, such as shop-4711"));
    }
    for excluded in &options.excluded_projects {
        if !is_id(excluded.strip_suffix('*').unwrap_or(excluded)) {
            return Err(format!(
                "--gcp-exclude-project {excluded}: expected IDs of projects separated by spaces, or the beginning of IDs \
                 with a final *, such as sys-*"
            ));
        }
    }
    match options.projects.iter().find(|id| options.excludes(id)) {
        Some(id) => Err(format!("--gcp-project and --gcp-exclude-project contradict each other about {id}")),
        None => Ok(()),
    }
}

fn check_selection(options: &Options) -> Result<(), String> {
    for (option, given) in [("gcp-collect", &options.collect), ("gcp-no-collect", &options.no_collect)] {
        if !given.is_empty() {
            check_names(option, given, &names()?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn valid_options_are_accepted() {
        assert_eq!(check(&Options::default()), Ok(()));
        let options = Options {
            service_accounts: list(&[""]),
            projects: list(&["shop-4711", "example.com:app"]),
            excluded_projects: list(&["sys-*", "dev"]),
            organizations: list(&["1"]),
            folders: list(&["2"]),
            collect: list(&["instances"]),
            no_collect: list(&["databases"]),
            endpoint: Some("http://127.0.0.1:6400/base".into()),
            ..Options::default()
        };
        assert_eq!(check(&options), Ok(()));
    }

    #[test]
    fn invalid_options_are_named() {
        let cases = [
            (Options { projects: list(&["a,b"]), ..Options::default() }, "separated by spaces"),
            (Options { projects: list(&["My Project"]), ..Options::default() }, "--gcp-project My Project"),
            (Options { excluded_projects: list(&["*"]), ..Options::default() }, "--gcp-exclude-project *"),
            (Options { excluded_projects: list(&["a*b"]), ..Options::default() }, "--gcp-exclude-project a*b"),
            (
                Options { projects: list(&["dev-1"]), excluded_projects: list(&["dev-*"]), ..Options::default() },
                "contradict each other about dev-1",
            ),
            (Options { folders: list(&["prod"]), ..Options::default() }, "--gcp-folder prod: expected the number"),
            (Options { organizations: list(&[""]), ..Options::default() }, "--gcp-organization"),
            (Options { collect: list(&["instance"]), ..Options::default() }, "expected one of regions, zones"),
            (Options { no_collect: list(&["x"]), ..Options::default() }, "--gcp-no-collect x"),
            (Options { endpoint: Some("127.0.0.1:6400".into()), ..Options::default() }, "--gcp-endpoint-url"),
            (Options { endpoint: Some("ftp://x".into()), ..Options::default() }, "expected an http or https URL"),
            (Options { endpoint: Some("http://x?a=b".into()), ..Options::default() }, "a query or fragment"),
            (Options { service_accounts: list(&["/no/such/key.json"]), ..Options::default() }, "/no/such/key.json"),
            (
                Options { service_accounts: vec![String::new(); MAX_CREDENTIALS + 1], ..Options::default() },
                "more than 255",
            ),
        ];
        for (options, expected) in cases {
            let error = check(&options).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let error = check(&Options { endpoint: Some("http://me:hunter2@x".into()), ..Options::default() }).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
