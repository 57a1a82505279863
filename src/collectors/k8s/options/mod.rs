//! The options of the Kubernetes collector: their specification, and their values as one typed struct.

mod check;

use std::path::PathBuf;

pub(super) use check::check;

use super::{definitions::definitions, selection::OTHERS};
use crate::{
    engine::{collect::Selection, definition::Definition},
    settings::{OptionSpec, Settings},
};

/// The largest pool size that an option accepts.
const MAX_POOL: u64 = 1000;

/// The names of the Python worker, in the order in which they are shown.
pub(crate) const NAMES: [&str; 6] =
    ["deployments", "stateful_set", "replica_set", "controller_revision", "daemon_set", "pods"];

/// The name of nodes, which are collected in any case.
pub(crate) const NODES: &str = "nodes";

/// Returns the names that `--k8s-collect` and `--k8s-no-collect` accept, in the order in which they are shown.
///
/// # Errors
/// A mistake in the definitions, with file and line.
pub(crate) fn names() -> Result<Vec<&'static str>, String> {
    let mut names = definitions().map_err(|error| error.to_string())?.names(&NAMES, &[]);
    names.retain(|name| *name != NODES);
    names.push(OTHERS);
    Ok(names)
}

/// The name of the option with the tokens.
pub(crate) const TOKEN: &str = "k8s-token";

/// The specification of all options.
pub(crate) const OPTIONS: &[OptionSpec] = &[
    OptionSpec::text("k8s-config", "Kubeconfig file (default: $KUBECONFIG, else ~/.kube/config)"),
    OptionSpec::list("k8s-context", "Contexts of the kubeconfig to collect (default: the current context)"),
    OptionSpec::list(
        "k8s-cluster",
        "Names of clusters to collect without a kubeconfig, each with --k8s-apiserver, --k8s-token and --k8s-cacert; \
         one name alone is the cluster in which ckworker runs",
    ),
    OptionSpec::list("k8s-apiserver", "URLs of the API servers, in the order of --k8s-cluster"),
    OptionSpec { secret: true, ..OptionSpec::list(TOKEN, "Tokens, in the order of --k8s-cluster") },
    OptionSpec::list("k8s-cacert", "Files with CA certificates, in the order of --k8s-cluster"),
    OptionSpec::list(
        "k8s-namespace",
        "Collect only what is in these namespaces, for credentials with rights there only",
    ),
    OptionSpec::list("k8s-collect", "What to collect, by name (default: everything)"),
    OptionSpec::list("k8s-no-collect", "What not to collect, by name"),
    OptionSpec::integer(
        "k8s-pool-size",
        5,
        (1, MAX_POOL),
        "Kubernetes clusters to collect at the same time; also bounds clusters with cleanups and label changes",
    ),
    OptionSpec::flag("k8s-fork", "Collect each Kubernetes cluster in its own process"),
    OptionSpec::text(
        "k8s-endpoint-url",
        "URL that replaces the API server's address of the only collected cluster, such as http://127.0.0.1:8001",
    ),
];

/// The values of all options, read from the settings in this one place.
///
/// There is no `Debug`: tokens are secrets. A worker's settings do not have them.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `--k8s-config`.
    pub(crate) config: Option<PathBuf>,
    /// `--k8s-context`; the current one if there are no clusters either.
    pub(crate) contexts: Vec<String>,
    /// `--k8s-cluster`.
    pub(crate) clusters: Vec<String>,
    /// `--k8s-apiserver`.
    pub(crate) servers: Vec<String>,
    /// `--k8s-token`.
    pub(crate) tokens: Vec<String>,
    /// `--k8s-cacert`.
    pub(crate) authorities: Vec<String>,
    /// `--k8s-namespace`; all if empty.
    pub(crate) namespaces: Vec<String>,
    /// `--k8s-collect`; everything if empty.
    pub(crate) collect: Vec<String>,
    /// `--k8s-no-collect`.
    pub(crate) no_collect: Vec<String>,
    /// `--k8s-pool-size`, at least 1.
    pub(crate) pool: usize,
    /// `--k8s-fork`.
    pub(crate) fork: bool,
    /// `--k8s-endpoint-url`, without a slash at its end.
    pub(crate) endpoint: Option<String>,
    /// `--keep-uncollected`, an option of the daemon.
    pub(crate) keep_uncollected: bool,
}

impl Options {
    /// Reads the options. Absent ones have their defaults, a pool has size 1.
    pub(crate) fn of(settings: &Settings) -> Self {
        let list = |name: &str| settings.list(name).to_vec();
        let pool = settings.integer("k8s-pool-size").and_then(|size| usize::try_from(size).ok());
        Self {
            config: settings.text("k8s-config").map(PathBuf::from),
            contexts: list("k8s-context"),
            clusters: list("k8s-cluster"),
            servers: list("k8s-apiserver"),
            tokens: list(TOKEN),
            authorities: list("k8s-cacert"),
            namespaces: list("k8s-namespace"),
            collect: list("k8s-collect"),
            no_collect: list("k8s-no-collect"),
            pool: pool.unwrap_or(1).max(1),
            fork: settings.flag("k8s-fork"),
            endpoint: settings.text("k8s-endpoint-url").map(|url| url.trim_end_matches('/').to_owned()),
            keep_uncollected: settings.flag("keep-uncollected"),
        }
    }

    /// Returns whether `--k8s-cluster` names the cluster in which this program runs.
    pub(crate) fn is_in_cluster(&self) -> bool {
        let lists = [&self.servers, &self.tokens, &self.authorities];
        !self.clusters.is_empty() && lists.into_iter().all(Vec::is_empty)
    }

    /// Returns what is collected of a cluster. With rights in some namespaces only, what is in none stays as the core has
    /// it.
    pub(crate) fn selection(&self) -> Selection {
        let mut collect = self.collect.clone();
        if !collect.is_empty() {
            collect.push(NODES.to_owned());
        }
        let mut exclude = self.no_collect.clone();
        let has_some = !self.namespaces.is_empty();
        if has_some && let Ok(definitions) = definitions() {
            let outside = definitions.iter().map(|(_, definition)| definition).filter(|kind| kind.location.is_empty());
            exclude.extend(outside.filter_map(Definition::collector).map(str::to_owned));
        }
        let keep_uncollected = self.keep_uncollected || has_some;
        Selection {
            collect,
            exclude,
            only_if_named: Vec::new(),
            has_some_locations: false,
            locations_at_once: LOCATIONS_AT_ONCE,
            keep_uncollected,
        }
    }
}

/// Locations of a cluster that are collected at the same time. All kinds are listed in one, the cluster itself.
const LOCATIONS_AT_ONCE: usize = 20;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::settings::{OptionKind, Setting};

    fn options(given: &[(&str, Setting)]) -> Options {
        let mut settings = Settings::defaults(OPTIONS);
        for (name, value) in given {
            settings.set(name, value.clone());
        }
        Options::of(&settings)
    }

    fn list(values: &[&str]) -> Setting {
        Setting::List(values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn every_option_is_read() {
        let default = options(&[]);
        for spec in OPTIONS {
            let value = match spec.kind {
                OptionKind::Flag => Setting::Flag(true),
                OptionKind::Integer { default, .. } => Setting::Integer(default + 1),
                OptionKind::Text { .. } => Setting::Text("x".into()),
                OptionKind::List { .. } => list(&["x"]),
            };
            assert!(options(&[(spec.name, value)]) != default, "{}", spec.name);
        }
        assert!(options(&[("keep-uncollected", Setting::Flag(true))]).keep_uncollected);
    }

    #[test]
    fn every_name_of_python_worker_is_used() {
        assert_eq!(names().unwrap()[..NAMES.len()], NAMES);
        let used: Vec<_> = definitions().unwrap().collectors().collect();
        assert!(NAMES.iter().all(|name| used.contains(name)));
    }

    #[test]
    fn worker_settings_have_no_tokens() {
        let mut settings = Settings::defaults(OPTIONS);
        settings.set(TOKEN, list(&["hunter2"]));
        assert!(settings.public(OPTIONS).get(TOKEN).is_none());
    }

    #[test]
    fn nodes_are_always_collected() {
        let selection = options(&[("k8s-collect", list(&["pods"]))]).selection();
        assert!(selection.is_wanted(NODES) && selection.is_wanted("pods") && !selection.is_wanted("deployments"));
        let selection = options(&[("k8s-namespace", list(&["shop"]))]).selection();
        assert!(!selection.is_wanted(NODES) && selection.is_wanted("pods") && selection.keep_uncollected);
    }
}
