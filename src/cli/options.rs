//! The options that do not belong to a collector, in the order of the help text.

use crate::settings::{OptionKind, OptionSpec};

/// The largest pool: beyond it, a mistyped number would only exhaust the machine.
const MAX_POOL: u64 = 10_000;
/// Ten years, so that sums of durations stay far from their limits.
const MAX_SECONDS: u64 = 315_360_000;

/// A heading of the help text and its options.
pub(super) type Group = (&'static str, &'static [OptionSpec]);

/// All options of the core.
pub(super) const GROUPS: &[Group] =
    &[("Collecting", COLLECTING), ("Core", CKCORE), ("Cleanup", CLEANUP), ("Web", WEB), ("Logging", LOGGING)];

const COLLECTING: &[OptionSpec] = &[
    list("collector", "Collectors to enable (default: all)"),
    flag("fork", "One process per collector instead of one for all"),
    integer("pool-size", 5, 1, MAX_POOL, "How many collectors run at the same time"),
    integer("timeout", 10800, 1, MAX_SECONDS, "Seconds after which a collection or a cleanup is ended"),
    integer("event-timeout", 900, 1, MAX_SECONDS, "Accepted for compatibility; has no effect"),
    flag("keep-uncollected", "Keep in ckcore the kinds and regions that the options of a collector leave out"),
    integer(
        "hold-sudden-loss",
        0,
        0,
        99,
        "Percent of a kind, region or account whose loss is held for a run; 0 is none",
    ),
    flag("ignore-deferred-connections", "Leave out edges between accounts"),
    flag("debug-dump-json", "Write graph and model of each collection to files in the current directory"),
    text("output", None, "Where `collect` writes nodes and edges as ndjson; - is standard output", false),
];

const CKCORE: &[OptionSpec] = &[
    text("ckcore-uri", Some("http://localhost:8900"), "Address of ckcore; an empty one means no core", false),
    text("ckcore-ws-uri", None, "Websocket address of ckcore (default: the same host and port as --ckcore-uri)", false),
    text(
        "core-dialect",
        Some("auto"),
        "Which core it is: ckcore (2.0), fixcore (4.1), or auto for the one that answers",
        false,
    ),
    text("ckcore-graph", None, "Name of the graph in ckcore (default: ck, or fix for fixcore)", false),
    text(
        "ckcore-subscriber-id",
        None,
        "Name under which actions are subscribed to (default: worker, or fix.worker for fixcore)",
        false,
    ),
    text("psk", None, "Key shared with ckcore; better given as CKWORKER_PSK", true),
    text("ca-cert", None, "Trust the certificates in this file (PEM) too, where the core uses TLS", false),
    text("cert", None, "Certificate (PEM) to show to a core that asks for one", false),
    text("cert-key", None, "Private key (PEM) of that certificate (default: in the same file)", false),
    flag("verify-certs", "Verify the core's certificate (the default)"),
    flag("no-verify-certs", "Talk to a core that anybody may pretend to be"),
];

const CLEANUP: &[OptionSpec] = &[
    flag("cleanup", "Clean up the resources that are marked for it"),
    integer("cleanup-pool-size", 10, 1, MAX_POOL, "How many resources are cleaned up at the same time"),
    flag("cleanup-dry-run", "Only log what would be cleaned up"),
];

const WEB: &[OptionSpec] = &[
    text("web-host", Some("::"), "Address to listen on; :: is every IPv6 and IPv4 address", false),
    integer("web-port", 9956, 0, 65535, "Port to listen on; 0 is any free one, which is logged"),
    text("web-path", Some("/"), "Path below which the pages are served as well", false),
];

const LOGGING: &[OptionSpec] = &[
    OptionSpec { short: Some('v'), ..flag("verbose", "Log everything that helps to find a fault") },
    flag("quiet", "Log errors only, and show no progress"),
    text("logfile", None, "Append the log to this file instead of standard error", false),
];

/// Every option of the core.
pub(super) fn core() -> impl Iterator<Item = &'static OptionSpec> {
    GROUPS.iter().flat_map(|(_, specs)| specs.iter())
}

const fn flag(name: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { name, short: None, kind: OptionKind::Flag, help, secret: false }
}

const fn list(name: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { name, short: None, kind: OptionKind::List { default: &[] }, help, secret: false }
}

const fn integer(name: &'static str, default: u64, min: u64, max: u64, help: &'static str) -> OptionSpec {
    OptionSpec { name, short: None, kind: OptionKind::Integer { default, min, max }, help, secret: false }
}

const fn text(name: &'static str, default: Option<&'static str>, help: &'static str, secret: bool) -> OptionSpec {
    OptionSpec { name, short: None, kind: OptionKind::Text { default }, help, secret }
}
