//! Checks of the options, before anything is contacted.

use std::collections::BTreeSet;

use super::{
    super::{
        clusters::{Environment, kubeconfig},
        selection::is_name,
    },
    NODES, Options, names,
};
use crate::settings::check_names;

/// Checks the options.
///
/// # Errors
/// A sentence that names the option and the remedy, and no token.
pub(in super::super) fn check(options: &Options, environment: &Environment) -> Result<(), String> {
    check_clusters(options)?;
    if let Some(config) = kubeconfig(options, environment, !options.contexts.is_empty())? {
        options.contexts.iter().try_for_each(|name| config.context(name).map(drop))?;
    }
    if let Some(name) = options.namespaces.iter().find(|name| !is_label(name)) {
        return Err(format!("--k8s-namespace {name}: expected names of namespaces separated by spaces, such as shop"));
    }
    options.servers.iter().try_for_each(|url| check_url("k8s-apiserver", url))?;
    if let Some(url) = &options.endpoint {
        check_url("k8s-endpoint-url", url)?;
        if options.contexts.len() + options.clusters.len() > 1 {
            return Err("--k8s-endpoint-url is the address of one cluster; name one context or cluster".to_owned());
        }
    }
    check_selection(options)
}

fn check_clusters(options: &Options) -> Result<(), String> {
    let Options { contexts, clusters, servers, tokens, authorities, .. } = options;
    let counts = [clusters.len(), servers.len(), tokens.len(), authorities.len()];
    if options.is_in_cluster() {
        if clusters.len() > 1 {
            return Err(
                "--k8s-cluster: several names need --k8s-apiserver, --k8s-token and --k8s-cacert; one name alone \
                        is the cluster in which ckworker runs"
                    .to_owned(),
            );
        }
    } else if counts.iter().any(|count| *count != clusters.len()) {
        let [clusters, servers, tokens, authorities] = counts;
        return Err(format!(
            "--k8s-cluster, --k8s-apiserver, --k8s-token and --k8s-cacert need the same number of values; there are \
             {clusters}, {servers}, {tokens} and {authorities}"
        ));
    }
    let mut seen = BTreeSet::new();
    for name in contexts.iter().chain(clusters) {
        if name.is_empty() {
            return Err("--k8s-context and --k8s-cluster: a name is empty".to_owned());
        }
        if !seen.insert(name) {
            return Err(format!(
                "--k8s-context and --k8s-cluster: {name} is named twice; the names of clusters are their IDs"
            ));
        }
    }
    Ok(())
}

/// Returns whether a name is one that a namespace can have.
fn is_label(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= 63 && name.bytes().all(is_part)
}

fn check_url(option: &str, text: &str) -> Result<(), String> {
    let Ok(url) = reqwest::Url::parse(text) else {
        return Err(format!("--{option} {text}: expected a URL such as https://10.0.0.1:6443"));
    };
    match () {
        () if !url.username().is_empty() || url.password().is_some() => {
            Err(format!("--{option} must have no user name and no password"))
        }
        () if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            Err(format!("--{option} {text}: expected an http or https URL"))
        }
        () if url.query().is_some() || url.fragment().is_some() => {
            Err(format!("--{option} {text}: a query or fragment is not possible"))
        }
        () => Ok(()),
    }
}

fn check_selection(options: &Options) -> Result<(), String> {
    for (option, given) in [("k8s-collect", &options.collect), ("k8s-no-collect", &options.no_collect)] {
        // Nodes and namespaces are collected in any case.
        if given.iter().any(|name| name == NODES) {
            return Err(format!("--{option} {NODES}: nodes and namespaces are always collected"));
        }
        if !given.is_empty() {
            let defined: Vec<String> = given.iter().filter(|name| !is_name(name)).cloned().collect();
            check_names(option, &defined, &names()?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const CONFIG: &str =
        "{contexts: [{name: prod, context: {cluster: c}}], clusters: [{name: c, cluster: {server: x}}]}";

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn listed(names: &[&str], servers: &[&str]) -> Options {
        let (clusters, servers) = (list(names), list(servers));
        let tokens = vec!["hunter2".to_owned(); names.len()];
        Options { authorities: vec!["ca.crt".to_owned(); names.len()], clusters, servers, tokens, ..Options::default() }
    }

    #[test]
    fn invalid_options_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let config = Some(folder.path().join("config"));
        std::fs::write(folder.path().join("config"), CONFIG).unwrap();
        let checked = |options: Options| check(&Options { config: config.clone(), ..options }, &Environment::default());
        assert_eq!(checked(Options::default()), Ok(()));
        assert_eq!(checked(Options { contexts: list(&["prod"]), ..listed(&["a"], &["https://a"]) }), Ok(()));
        assert_eq!(checked(Options { clusters: list(&["here"]), ..Options::default() }), Ok(()));
        let url = |url: &str| Options { endpoint: Some(url.to_owned()), ..Options::default() };
        for (options, expected) in [
            (listed(&["a", "b"], &["https://a"]), "there are 2, 1, 2 and 2"),
            (Options { tokens: list(&["hunter2"]), ..Options::default() }, "there are 0, 0, 1 and 0"),
            (listed(&["a", "a"], &["https://a", "https://b"]), "a is named twice"),
            (Options { contexts: list(&["prod"]), ..listed(&["prod"], &["https://a"]) }, "prod is named twice"),
            (Options { contexts: list(&["test"]), ..Options::default() }, "expected one of: prod"),
            (Options { clusters: list(&["a", "b"]), ..Options::default() }, "several names need"),
            (listed(&["a"], &["https://me:hunter2@a"]), "no user name and no password"),
            (listed(&["a"], &["a:6443"]), "--k8s-apiserver a:6443"),
            (url("nonsense"), "--k8s-endpoint-url nonsense"),
            (
                Options { contexts: list(&["prod"]), ..listed(&["a"], &["https://a"]) }.with_endpoint("http://x"),
                "one cluster",
            ),
            (Options { namespaces: list(&["a,b"]), ..Options::default() }, "--k8s-namespace a,b"),
            (Options { collect: list(&["pod"]), ..Options::default() }, "expected one of deployments, stateful_set"),
            (Options { no_collect: list(&["nodes"]), ..Options::default() }, "always collected"),
        ] {
            let error = checked(options).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }

    impl Options {
        fn with_endpoint(self, url: &str) -> Self {
            Self { endpoint: Some(url.to_owned()), ..self }
        }
    }
}
