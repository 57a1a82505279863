//! The options of the GCP collector: their specification, and their values as one typed struct.

mod check;

pub(super) use check::check;

use super::{definitions::definitions, hooks};
use crate::{
    engine::collect::Selection,
    settings::{OptionSpec, Settings},
};

/// The largest pool size that an option accepts. More calls at once would only be throttled by the same APIs.
const MAX_POOL: u64 = 1000;

/// The names of the Python worker, in the order in which they are shown.
pub(crate) const NAMES: [&str; 37] = [
    "regions",
    "zones",
    "services",
    "networks",
    "subnetworks",
    "routers",
    "routes",
    "health_checks",
    "http_health_checks",
    "https_health_checks",
    "machine_types",
    "instances",
    "disk_types",
    "disks",
    "target_vpn_gateways",
    "vpn_gateways",
    "vpn_tunnels",
    "security_policies",
    "snapshots",
    "ssl_certificates",
    "network_endpoint_groups",
    "instance_groups",
    "instance_group_managers",
    "autoscalers",
    "backend_services",
    "url_maps",
    "target_pools",
    "target_instances",
    "target_http_proxies",
    "target_https_proxies",
    "target_ssl_proxies",
    "target_tcp_proxies",
    "target_grpc_proxies",
    "forwarding_rules",
    "buckets",
    "databases",
    "instance_templates",
];

/// Returns the names that `--gcp-collect` and `--gcp-no-collect` accept, in the order in which they are shown: those
/// that definitions and hooks use.
///
/// # Errors
/// A mistake in the definitions, with file and line.
pub(crate) fn names() -> Result<Vec<&'static str>, String> {
    Ok(definitions().map_err(|error| error.to_string())?.names(&NAMES, &hooks::SELECTABLE))
}

/// The name of the option with the credentials.
pub(crate) const SERVICE_ACCOUNT: &str = "gcp-service-account";

/// The specification of all options.
pub(crate) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        secret: true,
        empty: true,
        ..OptionSpec::list(
            SERVICE_ACCOUNT,
            "Credentials: files, their JSON itself, or '' for Google's default credentials (the default)",
        )
    },
    OptionSpec::list("gcp-project", "IDs of GCP projects to collect (default: all that the credentials see)"),
    OptionSpec::list(
        "gcp-exclude-project",
        "IDs of GCP projects to exclude; a final * stands for any end, as in sys-*",
    ),
    OptionSpec::list("gcp-organization", "IDs of organizations: collect only their projects, in folders of any depth"),
    OptionSpec::list("gcp-folder", "IDs of folders: collect only their projects, in folders of any depth"),
    OptionSpec::list("gcp-collect", "What to collect, by name (default: everything)"),
    OptionSpec::list("gcp-no-collect", "What not to collect, by name"),
    OptionSpec::integer(
        "gcp-project-pool-size",
        5,
        (1, MAX_POOL),
        "GCP projects to collect at the same time; also bounds projects with cleanups and label changes",
    ),
    OptionSpec::flag("gcp-fork", "Collect each GCP project in its own process"),
    OptionSpec::text(
        "gcp-endpoint-url",
        "URL that replaces https:// in front of the host of each API, such as http://127.0.0.1:6400",
    ),
];

/// The values of all options, read from the settings in this one place.
///
/// There is no `Debug`: keys are secrets. A worker's settings do not have them.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `--gcp-service-account`, as it was given; default credentials if empty.
    pub(crate) service_accounts: Vec<String>,
    /// `--gcp-project`; all projects if empty.
    pub(crate) projects: Vec<String>,
    /// `--gcp-exclude-project`.
    pub(crate) excluded_projects: Vec<String>,
    /// `--gcp-organization`, the numbers alone.
    pub(crate) organizations: Vec<String>,
    /// `--gcp-folder`, the numbers alone.
    pub(crate) folders: Vec<String>,
    /// `--gcp-collect`; everything if empty.
    pub(crate) collect: Vec<String>,
    /// `--gcp-no-collect`.
    pub(crate) no_collect: Vec<String>,
    /// `--gcp-project-pool-size`, at least 1.
    pub(crate) project_pool: usize,
    /// `--gcp-fork`.
    pub(crate) fork: bool,
    /// `--gcp-endpoint-url`, without a slash at its end.
    pub(crate) endpoint: Option<String>,
    /// `--keep-uncollected`, an option of the daemon.
    pub(crate) keep_uncollected: bool,
}

impl Options {
    /// Reads the options. Absent ones have their defaults, a pool has size 1.
    pub(crate) fn of(settings: &Settings) -> Self {
        let list = |name: &str| settings.list(name).to_vec();
        let numbers = |name: &str, prefix: &str| {
            let values = settings.list(name).iter();
            values.map(|value| value.strip_prefix(prefix).unwrap_or(value).to_owned()).collect()
        };
        let pool = settings.integer("gcp-project-pool-size").and_then(|size| usize::try_from(size).ok());
        Self {
            service_accounts: list(SERVICE_ACCOUNT),
            projects: list("gcp-project"),
            excluded_projects: list("gcp-exclude-project"),
            organizations: numbers("gcp-organization", "organizations/"),
            folders: numbers("gcp-folder", "folders/"),
            collect: list("gcp-collect"),
            no_collect: list("gcp-no-collect"),
            project_pool: pool.unwrap_or(1).max(1),
            fork: settings.flag("gcp-fork"),
            endpoint: settings.text("gcp-endpoint-url").map(|url| url.trim_end_matches('/').to_owned()),
            keep_uncollected: settings.flag("keep-uncollected"),
        }
    }

    /// Returns whether options select some of the projects.
    pub(crate) fn selects_projects(&self) -> bool {
        !self.projects.is_empty() || !self.excluded_projects.is_empty() || self.selects_folders()
    }

    /// Returns whether the organizations and folders of projects matter.
    pub(crate) fn selects_folders(&self) -> bool {
        !self.organizations.is_empty() || !self.folders.is_empty()
    }

    /// Returns whether `--gcp-exclude-project` excludes a project.
    pub(crate) fn excludes(&self, project: &str) -> bool {
        self.excluded_projects.iter().any(|excluded| match excluded.strip_suffix('*') {
            Some(prefix) => project.starts_with(prefix),
            None => project == excluded,
        })
    }

    /// Returns what is collected of a project.
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            collect: self.collect.clone(),
            exclude: self.no_collect.clone(),
            only_if_named: Vec::new(),
            has_some_locations: false,
            locations_at_once: LOCATIONS_AT_ONCE,
            keep_uncollected: self.keep_uncollected,
        }
    }
}

/// Locations of a project that are collected at the same time. Nearly all kinds are listed in one, `global`.
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
    fn every_name_is_used_by_a_definition_or_hook() {
        let used: Vec<_> = definitions().unwrap().collectors().chain(hooks::SELECTABLE).collect();
        // Regions and zones are always collected.
        let unused: Vec<_> = NAMES.into_iter().filter(|name| !used.contains(name)).collect();
        assert_eq!(unused, ["regions", "zones"]);
        assert_eq!(names().unwrap()[..NAMES.len()], NAMES);
    }

    #[test]
    fn worker_settings_have_no_keys() {
        let mut settings = Settings::defaults(OPTIONS);
        settings.set(SERVICE_ACCOUNT, list(&["{}"]));
        assert!(settings.public(OPTIONS).get(SERVICE_ACCOUNT).is_none());
    }

    #[test]
    fn folders_and_organizations_are_known_by_number_or_name() {
        let options = options(&[
            ("gcp-folder", list(&["folders/12", "34"])),
            ("gcp-organization", list(&["organizations/56", "78"])),
        ]);
        assert_eq!(
            (options.folders, options.organizations),
            (vec!["12".into(), "34".into()], vec!["56".into(), "78".into()])
        );
    }

    #[test]
    fn excluded_projects_are_ids_or_prefixes() {
        let options = options(&[("gcp-exclude-project", list(&["sys-*", "dev"]))]);
        for (project, is_excluded) in
            [("sys-1", true), ("sys-", true), ("my-sys-1", false), ("dev", true), ("dev-1", false)]
        {
            assert_eq!(options.excludes(project), is_excluded, "{project}");
        }
    }
}
