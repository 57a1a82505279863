//! The options that belong to no collector and no action, in the order of the help text.

use std::collections::HashSet;

use super::CliError;
use crate::{
    collector_api::Collector,
    settings::{OptionGroup, OptionKind, OptionSpec},
};

/// The largest pool: a larger, mistyped number would exhaust the machine.
const MAX_POOL: u64 = 10_000;
/// Ten years, so that sums of durations stay far from their limits.
const MAX_SECONDS: u64 = 315_360_000;

/// A heading of the help text and its options.
pub(super) type Group = (&'static str, &'static [OptionSpec]);

/// The options of the program itself that come before those of actions in the help text.
pub(super) const BEFORE_ACTIONS: &[Group] = &[("Collecting", COLLECTING), ("Core", CKCORE)];

/// Those that come after them.
pub(super) const AFTER_ACTIONS: &[Group] = &[("Web", WEB), ("Logging", LOGGING)];

/// The option with the user's definition files.
pub(super) const DEFINITIONS: &str = "definitions";

const COLLECTING: &[OptionSpec] = &[
    OptionSpec::list("collector", "Collectors to enable (default: all)"),
    OptionSpec::list(DEFINITIONS, "Files or folders that define collectors of your own"),
    OptionSpec::flag("fork", "One process per collector instead of one for all"),
    OptionSpec::integer("pool-size", 5, (1, MAX_POOL), "Number of collectors that run at the same time"),
    OptionSpec::integer("timeout", 10800, (1, MAX_SECONDS), "Timeout of a collection or a cleanup in seconds"),
    OptionSpec::integer("event-timeout", 900, (1, MAX_SECONDS), "Accepted for compatibility; has no effect"),
    OptionSpec::flag("keep-uncollected", "Keep the kinds and regions in the core that options of a collector exclude"),
    OptionSpec::integer(
        "hold-sudden-loss",
        0,
        (0, 99),
        "Keep sudden losses above this percentage for one run; 0 keeps none",
    ),
    OptionSpec::flag("ignore-deferred-connections", "Omit edges between accounts"),
    OptionSpec::flag("debug-dump-json", "Write graph and model of each collection to files in the current directory"),
    text("output", None, "File for the nodes and edges of `collect` as ndjson; - is standard output", false),
];

const CKCORE: &[OptionSpec] = &[
    OptionSpec {
        empty: true,
        ..text("ckcore-uri", Some("http://localhost:8900"), "Address of the core; an empty one means no core", false)
    },
    text("ckcore-ws-uri", None, "Websocket address of the core (default: that of --ckcore-uri)", false),
    text(
        "core-dialect",
        Some("auto"),
        "Generation of the core: ckcore (2.0), fixcore (4.1), or auto to detect it",
        false,
    ),
    text("ckcore-graph", None, "Name of the graph in the core (default: ck, or fix for fixcore)", false),
    text(
        "ckcore-subscriber-id",
        None,
        "Subscriber ID to register with the core (default: worker, or fix.worker for fixcore)",
        false,
    ),
    text("psk", None, "Pre-shared key of the core; prefer CKWORKER_PSK in the environment", true),
    text("ca-cert", None, "Also trust the certificates in this file (PEM) for the core", false),
    text("cert", None, "Client certificate (PEM) for a core that requires one", false),
    text("cert-key", None, "Private key (PEM) of the client certificate (default: in the same file)", false),
    OptionSpec::flag("verify-certs", "Verify the core's TLS certificate (the default)"),
    OptionSpec::flag("no-verify-certs", "Do not verify the core's TLS certificate (insecure)"),
];

const WEB: &[OptionSpec] = &[
    text("web-host", Some("::"), "Address to listen on; :: is every IPv6 and IPv4 address", false),
    OptionSpec::integer("web-port", 9956, (0, 65535), "Port to listen on; 0 is any free port, which is logged"),
    text("web-path", Some("/"), "Path below which the pages are also served", false),
];

const LOGGING: &[OptionSpec] = &[
    OptionSpec { short: Some('v'), ..OptionSpec::flag("verbose", "Enable debug logging") },
    OptionSpec::flag("quiet", "Log errors only, without progress display"),
    text("logfile", None, "Append the log to this file instead of standard error", false),
];

/// Returns the options of the program itself.
pub(super) fn core() -> impl Iterator<Item = &'static OptionSpec> {
    BEFORE_ACTIONS.iter().chain(AFTER_ACTIONS).flat_map(|(_, specs)| specs.iter())
}

/// What the options come from, beside the program itself.
#[derive(Clone, Copy)]
pub struct Registered<'r> {
    /// The actions.
    pub actions: &'r [&'static OptionGroup],
    /// The collectors, or those of them whose options are meant.
    pub collectors: &'r [&'static dyn Collector],
}

impl Registered<'_> {
    /// Returns the groups of options in the order of the help text.
    pub(super) fn groups(&self) -> impl Iterator<Item = (String, &'static [OptionSpec])> {
        let own = |(heading, specs): &Group| ((*heading).to_owned(), *specs);
        let of_action = |group: &&'static OptionGroup| (group.heading.to_owned(), group.options);
        let of_collector =
            |collector: &&'static dyn Collector| (format!("Collector {}", collector.name()), collector.options());
        let actions = self.actions.iter().filter(|group| !group.options.is_empty()).map(of_action);
        let program = BEFORE_ACTIONS.iter().map(own).chain(actions).chain(AFTER_ACTIONS.iter().map(own));
        program.chain(self.collectors.iter().map(of_collector))
    }

    /// Checks that no option is there twice.
    ///
    /// # Errors
    /// The option, and the collector that adds it again.
    pub fn check(&self) -> Result<(), CliError> {
        let mut known = HashSet::new();
        for (group, specs) in self.groups() {
            if let Some(spec) = specs.iter().find(|spec| !known.insert(spec.name)) {
                return Err(CliError::new(format!("{group}: the option --{} exists already; rename it", spec.name)));
            }
        }
        Ok(())
    }

    /// Returns every option in the order of the help text.
    pub(super) fn options(&self) -> impl Iterator<Item = &'static OptionSpec> {
        self.groups().flat_map(|(_, specs)| specs)
    }
}

const fn text(name: &'static str, default: Option<&'static str>, help: &'static str, secret: bool) -> OptionSpec {
    OptionSpec { name, short: None, kind: OptionKind::Text { default }, help, secret, empty: false, variable: None }
}
