//! The command line and the environment with two small collectors.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod secrets;

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use worker_proto::{Failure, Plan, Unit};

use super::{CliError, Invocation, Mode, Output, Registered, Run, Verbosity, parse};
use crate::{
    actions::registry,
    ckcore::{Generation, Psk, TlsOptions},
    collector_api::{BoxFuture, Broker, CollectContext, Collector, Concurrency},
    settings::{OptionKind, OptionSpec, Settings},
};

/// A collector that has options and collects nothing.
struct Fake(&'static str, &'static [OptionSpec]);

impl Collector for Fake {
    fn name(&self) -> &'static str {
        self.0
    }

    fn options(&self) -> &'static [OptionSpec] {
        self.1
    }

    fn check(&self, settings: &Settings) -> Result<(), String> {
        match (settings.flag("sky-fork"), settings.integer("sky-pool-size")) {
            (true, Some(1)) => Err("--sky-fork needs a --sky-pool-size of 2 or more".into()),
            _ => Ok(()),
        }
    }

    fn concurrency(&self, _settings: &Settings) -> Concurrency {
        Concurrency { fork: false, pool: 1 }
    }

    fn broker(&self, _settings: &Settings) -> Option<Arc<dyn Broker>> {
        None
    }

    fn plan<'a>(&'a self, _context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        Box::pin(async { Ok(Plan::default()) })
    }

    fn collect<'a>(&'a self, _context: &'a CollectContext, _unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

const fn option(name: &'static str, kind: OptionKind, secret: bool) -> OptionSpec {
    OptionSpec { name, short: None, kind, help: "An option of a fake", secret, empty: false, variable: None }
}

static SKY: Fake = Fake(
    "sky",
    &[
        option("sky-account", OptionKind::List { default: &[] }, false),
        option("sky-fork", OptionKind::Flag, false),
        option("sky-pool-size", OptionKind::Integer { default: 5, min: 1, max: 50 }, false),
        option("sky-secret-key", OptionKind::Text { default: Some("tops3cret") }, true),
        OptionSpec { empty: true, ..option("sky-login", OptionKind::List { default: &[] }, true) },
    ],
);
static SEA: Fake = Fake("sea", &[option("sea-depth", OptionKind::Integer { default: 7, min: 0, max: 99 }, false)]);

fn invoke(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Invocation, CliError> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let actions = registry::options();
    let registered = Registered { actions: &actions, collectors: &[&SKY, &SEA] };
    parse(registered, arguments.iter().map(OsString::from), variables.collect::<Vec<_>>())
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    match invoke(arguments, variables).unwrap() {
        Invocation::Run(run) => *run,
        other => panic!("not a run: {other:?}"),
    }
}

fn printed(arguments: &[&str]) -> String {
    match invoke(arguments, &[]).unwrap() {
        Invocation::Print(text) => text,
        other => panic!("not a text: {other:?}"),
    }
}

/// Returns the first line of the error.
fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let error = invoke(arguments, variables).unwrap_err().to_string();
    assert!(error.ends_with("For more information, try 'ckworker --help'."), "{error}");
    error.lines().next().unwrap().to_owned()
}

fn names(run: &Run) -> Vec<&str> {
    run.collectors.iter().map(|enabled| enabled.collector.name()).collect()
}

#[test]
fn no_arguments_give_defaults_of_python_worker() {
    let run = run(&[], &[]);
    let core = &run.core;
    let ckcore = core.ckcore.as_ref().unwrap();
    assert_eq!(run.mode, Mode::Daemon);
    assert_eq!(names(&run), ["sky", "sea"]);
    assert_eq!((ckcore.uri.as_str(), ckcore.ws_uri.as_str()), ("http://localhost:8900/", "ws://localhost:8900/"));
    assert_eq!((&ckcore.graph, &ckcore.subscriber_id, ckcore.generation), (&None, &None, Generation::Auto));
    assert_eq!(ckcore.tls, TlsOptions { ca_cert: None, cert: None, cert_key: None, verify: true });
    assert_eq!((core.pool_size, run.actions["cleanup"].integer("cleanup-pool-size")), (5, Some(10)));
    assert_eq!(core.timeout.as_secs(), 10800);
    assert_eq!((core.web_host.as_str(), core.web_port, core.web_path.as_str()), ("::", 9956, ""));
    assert!(!core.fork && !core.debug_dump_json);
    assert!(!run.actions["cleanup"].flag("cleanup") && !run.actions["cleanup"].flag("cleanup-dry-run"));
    assert_eq!((run.verbosity, run.logfile, run.warnings), (Verbosity::Normal, None, vec![]));
}

#[test]
fn lists_take_several_values_and_the_last_list_wins() {
    assert_eq!(names(&run(&["--collector", "sea", "sky", "--fork"], &[])), ["sea", "sky"]);
    assert_eq!(names(&run(&["--collector", "sea", "--collector", "sky", "sky"], &[])), ["sky"]);
    let run = run(&["--sky-account", "1", "2", "--sky-fork"], &[]);
    assert_eq!(run.collectors[0].settings.list("sky-account"), ["1", "2"]);
}

#[test]
fn long_options_can_be_abbreviated_and_joined() {
    let run = run(&["--ckcore-g=prod", "--time", "60", "--sky-pool=9"], &[]);
    assert_eq!(run.core.ckcore.unwrap().graph.as_deref(), Some("prod"));
    assert_eq!(run.core.timeout.as_secs(), 60);
    assert_eq!(run.collectors[0].settings.integer("sky-pool-size"), Some(9));
    assert!(refused(&["--ckcore", "x"], &[]).contains("'--ckcore'"));
}

#[test]
fn command_line_takes_precedence_over_environment() {
    let variables = [
        ("CKWORKER_POOL_SIZE", "3"),
        ("CKWORKER_TIMEOUT", "9"),
        ("CKWORKER_SKY_FORK", "Yes"),
        ("CKWORKER_FORK", "OFF"),
    ];
    let run = run(&["--pool-size", "4"], &variables);
    assert_eq!((run.core.pool_size, run.core.timeout.as_secs(), run.core.fork), (4, 9, false));
    assert!(run.collectors[0].settings.flag("sky-fork"));
}

#[test]
fn lists_in_the_environment_are_blank_separated_or_numbered() {
    let blanks = run(&[], &[("CKWORKER_SKY_ACCOUNT", " a  b ")]);
    assert_eq!(blanks.collectors[0].settings.list("sky-account"), ["a", "b"]);
    let numbered =
        [("CKWORKER_SKY_ACCOUNT10", "c d"), ("CKWORKER_SKY_ACCOUNT2", "b"), ("CKWORKER_SKY_ACCOUNT254", "e")];
    let numbered = run(&[], &numbered);
    assert_eq!(numbered.collectors[0].settings.list("sky-account"), ["b", "c d", "e"]);
    assert!(numbered.warnings.is_empty());
    assert_eq!(names(&run(&[], &[("CKWORKER_COLLECTOR0", "sea")])), ["sea"]);
}

#[test]
fn empty_value_of_list_counts_only_where_it_has_meaning() {
    let lists = |arguments: &[&str], variables: &[(&str, &str)]| {
        let settings = &run(arguments, variables).collectors[0].settings;
        ["sky-account", "sky-login"].map(|name| settings.list(name).to_vec())
    };
    assert_eq!(lists(&["--sky-account", "", "--sky-login", "", "a"], &[]), [vec![], vec!["", "a"]]);
    assert_eq!(lists(&["--sky-login="], &[]), [vec![], vec![""]]);
    assert_eq!(lists(&[], &[("CKWORKER_SKY_ACCOUNT", ""), ("CKWORKER_SKY_LOGIN", "")]), [vec![], vec![""]]);
    let numbered = [("CKWORKER_SKY_LOGIN", ""), ("CKWORKER_SKY_LOGIN1", ""), ("CKWORKER_SKY_LOGIN2", "a b")];
    assert_eq!(lists(&[], &numbered), [vec![], vec!["", "a b"]]);
    assert_eq!(lists(&[], &[]), [Vec::<&str>::new(), vec![]]);
}

/// Arguments, variables, and the expected error.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

#[test]
fn invalid_values_name_their_source() {
    let cases: &[Case] = &[
        (&["--pool-size", "many"], &[], "error: --pool-size is 'many' but must be a whole number from 1 to 10000"),
        (&["--web-port=70000"], &[], "error: --web-port is '70000' but must be a whole number from 0 to 65535"),
        (&["--timeout", "0"], &[], "error: --timeout is '0' but must be a whole number from 1 to 315360000"),
        (
            &[],
            &[("CKWORKER_POOL_SIZE", "-1")],
            "error: CKWORKER_POOL_SIZE is '-1' but must be a whole number from 1 to 10000",
        ),
        (
            &[],
            &[("CKWORKER_FORK", "maybe")],
            "error: CKWORKER_FORK is 'maybe' but must be one of true, false, 1, 0, yes, no, on, off",
        ),
        (
            &[],
            &[("CKWORKER_VERBOSE", "1"), ("CKWORKER_QUIET", "1")],
            "error: CKWORKER_VERBOSE and CKWORKER_QUIET cannot both be set",
        ),
        (&["-v", "--quiet"], &[], "error: the argument '--verbose' cannot be used with '--quiet'"),
        (
            &[],
            &[("CKWORKER_CORE_DIALECT", "old")],
            "error: CKWORKER_CORE_DIALECT is 'old' but must be one of auto, ckcore, fixcore",
        ),
        (&[], &[("CKWORKER_WEB_PATH", "/a?b")], "error: CKWORKER_WEB_PATH is '/a?b' but must not contain '?'"),
        (&[], &[("CKWORKER_CKCORE_GRAPH", "a/b")], "error: CKWORKER_CKCORE_GRAPH is 'a/b' but must not contain '/'"),
        (
            &["--sky-fork"],
            &[("CKWORKER_SKY_POOL_SIZE", "1"), ("CKWORKER_SKY_FORK", "true")],
            "error: --sky-fork needs a CKWORKER_SKY_POOL_SIZE of 2 or more",
        ),
        (&["--sky-fork", "--sky-pool-size=1"], &[], "error: --sky-fork needs a --sky-pool-size of 2 or more"),
        (&["--output", "x"], &[], "error: --output belongs to the command collect: ckworker collect --output FILE"),
        (&["collect"], &[], "error: collect needs --output FILE, or --output - for standard output"),
        (
            &["--fork", "collect"],
            &[],
            "error: collect is a command and goes first: ckworker collect --output FILE [OPTIONS]",
        ),
        (&["worker", "--fork"], &[], "error: the worker command takes no arguments"),
        (&["--web-path", "/a?b"], &[], "error: --web-path is '/a?b' but must not contain '?'"),
        (&["--ckcore-graph", ""], &[], "error: --ckcore-graph must not be empty"),
        (&["--ckcore-subscriber-id", "a/b"], &[], "error: --ckcore-subscriber-id is 'a/b' but must not contain '/'"),
    ];
    for (arguments, variables, error) in cases {
        assert_eq!(&refused(arguments, variables), error);
    }
}

#[test]
fn only_known_and_enabled_collectors_have_options() {
    assert_eq!(
        refused(&["--collector", "remote"], &[]),
        "error: --collector: collector 'remote' is refused, as it executes what it downloads; available are: sky, sea, and \
         what --definitions adds"
    );
    assert_eq!(
        refused(&["--collector", "moon"], &[]),
        "error: --collector: collector 'moon' is not known; available are: sky, sea, and what --definitions adds"
    );
    assert_eq!(
        refused(&["--collector", "sea", "--sky-fork"], &[]),
        "error: --sky-fork belongs to the collector 'sky', which is not enabled; add sky to --collector"
    );
    assert_eq!(run(&["--collector", "sea"], &[("CKWORKER_SKY_POOL_SIZE", "odd")]).warnings, Vec::<String>::new());
}

#[test]
fn unknown_option_suggests_the_closest() {
    let error = invoke(&["--sky-forc"], &[]).unwrap_err().to_string();
    assert!(error.contains("unexpected argument '--sky-forc' found"), "{error}");
    assert!(error.contains("'--sky-fork'"), "{error}");
    assert!(!error.contains("Usage:"), "{error}");
}

#[test]
fn misspelt_variables_are_warned_about() {
    let variables =
        [("CKWORKER_POOLSIZE", "3"), ("CKWORKER_NONSENSE", "1"), ("CKWORKER_SKY_ACCOUNT255", "x"), ("HOME", "/")];
    assert_eq!(
        run(&[], &variables).warnings,
        [
            "ignoring unknown variable CKWORKER_NONSENSE",
            "ignoring unknown variable CKWORKER_POOLSIZE; did you mean CKWORKER_POOL_SIZE?",
            "ignoring unknown variable CKWORKER_SKY_ACCOUNT255",
        ]
    );
}

#[test]
fn websocket_address_follows_that_of_core() {
    let ws = |arguments: &[&str]| {
        run(arguments, &[]).core.ckcore.map(|ckcore| (ckcore.uri.to_string(), ckcore.ws_uri.to_string()))
    };
    let pair = |uri: &str, ws: &str| Some((uri.to_owned(), ws.to_owned()));
    assert_eq!(ws(&["--ckcore-uri", "https://core:443/"]), pair("https://core/", "wss://core/"));
    assert_eq!(ws(&["--ckcore-uri", "http://[::1]:8900/a"]), pair("http://[::1]:8900/a", "ws://[::1]:8900/a"));
    assert_eq!(ws(&["--ckcore-ws-uri", "wss://other"]), pair("http://localhost:8900/", "wss://other/"));
    assert_eq!(ws(&["--ckcore-uri", ""]), None);
    assert_eq!(run(&[], &[("CKWORKER_CKCORE_URI", "")]).core.ckcore, None);
    assert_eq!(run(&[], &[("CKWORKER_CKCORE_GRAPH", "")]).core.ckcore.unwrap().graph, None);
    assert!(refused(&["--ckcore-graph", ""], &[]).contains("must not be empty"));
    for wrong in ["core:8900", "ftp://core", "http://", "http://:8900", "http://core?x", "ws://core", "a b"] {
        assert!(refused(&["--ckcore-uri", wrong], &[]).starts_with("error: --ckcore-uri must"), "{wrong}");
    }
    assert!(refused(&["--ckcore-ws-uri", "http://core"], &[]).contains("ws:// or wss://"));
}

#[test]
fn collect_runs_once_without_a_core() {
    let run = run(&["collect", "--sky-fork", "--output", "graph.ndjson", "--ckcore-uri", "http://core"], &[]);
    assert_eq!(run.mode, Mode::Collect { output: Output::File("graph.ndjson".into()) });
    assert_eq!(run.core.ckcore, None);
    assert_eq!(run.warnings, ["collect runs without a core: --ckcore-uri is ignored"]);
    let stdout = self::run(&["collect", "--output=-"], &[]);
    assert_eq!(stdout.mode, Mode::Collect { output: Output::Stdout });
}

#[test]
fn verbosity_comes_from_the_command_line_first() {
    assert_eq!(run(&["--quiet"], &[("CKWORKER_VERBOSE", "true")]).verbosity, Verbosity::Quiet);
    assert_eq!(run(&["-v"], &[("CKWORKER_QUIET", "true")]).verbosity, Verbosity::Verbose);
    assert_eq!(run(&[], &[("CKWORKER_VERBOSE", "True")]).verbosity, Verbosity::Verbose);
    assert_eq!(run(&["--quiet", "--logfile", "w.log"], &[]).logfile, Some("w.log".into()));
}

#[test]
fn help_shows_the_options_of_enabled_collectors_only() {
    let all = printed(&["-h"]);
    assert!(all.contains("Collector sky:") && all.contains("--sea-depth <N>"), "{all}");
    let sea = printed(&["--collector", "sea", "--help"]);
    assert!(!sea.contains("--sky"), "{sea}");
    insta::assert_snapshot!(sea);
}

#[test]
fn machine_help_lists_every_option_once() {
    let text = printed(&["--machine-help", "--collector", "sea"]);
    let mut lines: Vec<&str> = text.lines().collect();
    assert!(lines.contains(&"-v") && lines.contains(&"--sea-depth") && !text.contains("--sky"), "{text}");
    let count = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), count);
    let original = "--psk --verbose -v --quiet --ignore-deferred-connections --fork --pool-size --cleanup \
        --cleanup-pool-size --cleanup-dry-run --ckcore-uri --ckcore-ws-uri --ckcore-graph --debug-dump-json \
        --ckcore-subscriber-id --web-path --collector --event-timeout --timeout --web-port --web-host";
    for option in original.split_whitespace() {
        assert!(lines.contains(&option), "{option}");
    }
}

#[test]
fn version_and_worker_are_recognised() {
    assert_eq!(printed(&["-V"]), format!("ckworker {}\n", env!("CARGO_PKG_VERSION")));
    assert!(matches!(invoke(&["worker"], &[]).unwrap(), Invocation::Worker));
}

#[test]
fn certificates_are_verified_unless_a_flag_disables_it() {
    let verify =
        |arguments: &[&str], variables: &[(&str, &str)]| run(arguments, variables).core.ckcore.unwrap().tls.verify;
    assert!(verify(&["--verify-certs"], &[("CKWORKER_NO_VERIFY_CERTS", "true")]));
    assert!(!verify(&["--no-verify-certs"], &[("CKWORKER_VERIFY_CERTS", "true")]));
    assert!(!verify(&[], &[("CKWORKER_VERIFY_CERTS", "false")]));
    assert!(!verify(&[], &[("CKWORKER_NO_VERIFY_CERTS", "1")]));
    assert!(verify(&[], &[("CKWORKER_NO_VERIFY_CERTS", "0")]));
    let both = [("CKWORKER_VERIFY_CERTS", "1"), ("CKWORKER_NO_VERIFY_CERTS", "1")];
    assert!(refused(&[], &both).contains("both"));
    assert!(refused(&["--verify-certs", "--no-verify-certs"], &[]).contains("cannot be used with"));
}

#[test]
fn core_options_are_read() {
    let core = run(&["--core-dialect", "fixcore", "--ca-cert", "ca.pem", "--cert", "c", "--cert-key=k"], &[]).core;
    let ckcore = core.ckcore.unwrap();
    assert_eq!(ckcore.generation, Generation::Fixcore);
    let file = |name: &str| Some(PathBuf::from(name));
    assert_eq!(ckcore.tls, TlsOptions { ca_cert: file("ca.pem"), cert: file("c"), cert_key: file("k"), verify: true });
    assert!(refused(&["--core-dialect", "old"], &[]).contains("auto, ckcore, fixcore"));
}
