//! Tidy: rules that no compiler checks, held by reading the sources. Each excuse names its reason, and one that is no
//! longer needed is a fault as well.
//!
//! Invariant: the sources follow the house rules.

mod conventions;
mod documents;
mod kinds;
mod rooms;
mod select;
mod source;

use std::collections::BTreeSet;

use source::{Source, files, sources};

/// A rule's exception: a path, or `path:name`, and why.
type Excuses = &'static [(&'static str, &'static str)];

/// Fails with all faults but the excused ones.
fn hold(rule: &str, faults: &[(String, String)], excuses: Excuses) {
    let excused = |place: &str| excuses.iter().any(|(path, _)| *path == place);
    let left: Vec<&str> =
        faults.iter().filter(|(place, _)| !excused(place)).map(|(_, detail)| detail.as_str()).collect();
    assert!(left.is_empty(), "{rule}:\n  {}", left.join("\n  "));
    let idle: Vec<&str> = excuses
        .iter()
        .filter(|(path, _)| !faults.iter().any(|(place, _)| place == path))
        .map(|(path, _)| *path)
        .collect();
    assert!(idle.is_empty(), "{rule}: these excuses are no longer needed:\n  {}", idle.join("\n  "));
}

/// The places of `words` in a part of the sources, as faults of the files.
fn words(part: impl Fn(&Source) -> String, words: &[&str]) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    for source in sources() {
        let code = part(&source);
        let places = words.iter().flat_map(|word| source.places(&code, word));
        faults.extend(places.map(|place| (source.path.clone(), place)));
    }
    faults
}

#[test]
fn every_file_says_what_it_is() {
    let without = sources().into_iter().filter(|source| !source.text.trim_start().starts_with("//!"));
    let faults: Vec<_> = without.map(|source| (source.path.clone(), source.path)).collect();
    hold("a file begins with module documentation (`//!`)", &faults, &[]);
}

/// Lines of a file, tests included.
const FILE: usize = 400;

#[test]
fn files_stay_short() {
    let mut faults = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE {
            faults.push((source.path.clone(), format!("{} has {lines} lines of {FILE}", source.path)));
        }
    }
    hold("a file that grows does two things: split it", &faults, &[]);
}

const FUNCTION: usize = 60;
const LONG_FUNCTIONS: Excuses = &[
    ("tests/puppet/main.rs:act", "one list of all the ways to misbehave"),
    ("tests/it/core/recorded.rs:lines_are_judged_as_recorded", "a table of cases"),
    ("tests/it/core/recorded.rs:requests_are_answered_as_recorded", "a table of cases"),
];

#[test]
fn functions_stay_short() {
    let mut faults = Vec::new();
    for source in sources() {
        for function in source.functions().iter().filter(|function| function.lines > FUNCTION) {
            let place = format!("{}:{}", source.path, function.name);
            faults.push((place.clone(), format!("{place} has {} lines of {FUNCTION}", function.lines)));
        }
    }
    hold("a function that grows does two things: split it", &faults, LONG_FUNCTIONS);
}

#[test]
fn no_code_is_unsafe() {
    // The compiler forbids it too, but for the fuzz target, which is no member of the workspace.
    hold("no unsafe code", &words(Source::code, &["unsafe"]), &[]);
    let manifest = files().into_iter().find(|file| file.path == "Cargo.toml").unwrap().text;
    assert!(manifest.contains("unsafe_code = \"forbid\""), "the workspace forbids unsafe code");
}

#[test]
fn no_work_is_left_undone() {
    hold("finish it, or leave it out", &words(Source::code, &["todo!", "unimplemented!", "dbg!"]), &[]);
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
    let mut faults = Vec::new();
    for file in files() {
        let found = marks.iter().flat_map(|mark| file.places(&file.text, mark));
        faults.extend(found.map(|place| (file.path.clone(), place)));
    }
    hold("finish it, or say in the README that it is missing", &faults, &[]);
}

#[test]
fn production_code_does_not_panic() {
    let faults: Vec<_> = words(Source::production, &[".unwrap()", ".expect(", "panic!", "unreachable!"])
        .into_iter()
        .filter(|(path, _)| path.starts_with("src/") || path.starts_with("worker-proto/src/"))
        .collect();
    hold(
        "an error has a way out",
        &faults,
        &[("src/ckcore/transport/token.rs", "a constant: the compiler works it out, and would refuse it")],
    );
}

#[test]
fn tests_wait_for_events_and_not_for_time() {
    hold(
        "a test waits for what it waits for",
        &words(Source::test_code, &["thread::sleep", "time::sleep", "sleep(", "sleep_until("]),
        &[
            ("src/worker/session_tests.rs", "its clock is paused: a sleep lets all tasks run until they wait"),
            ("tests/puppet/main.rs", "hanging is what it is for"),
            ("tests/it/support/poll.rs", "the one place that looks at other processes again and again"),
        ],
    );
}

#[test]
fn serializer_is_named_in_one_file() {
    hold(
        "only the codec knows the serializer",
        &words(Source::code, &["bincode"]),
        &[("worker-proto/src/codec.rs", "the one file")],
    );
}

/// See `docs/adr/0011-no-cpu-jitter-entropy.md`.
#[test]
fn program_is_built_without_cpu_jitter_entropy() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_ckworker")).unwrap();
    let mark = b"jent_";
    let is_built_in = program.windows(mark.len()).any(|bytes| bytes == mark);
    assert!(
        !is_built_in,
        "build inside the checkout, so that .cargo/config.toml applies, after `cargo clean -p aws-lc-sys`"
    );
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    hold("use #[expect(lint, reason = \"…\")]", &words(Source::code, &["#[allow(", "#![allow("]), &[]);
}

#[test]
fn tests_with_the_real_core_are_named_for_their_group() {
    let config = std::fs::read_to_string(source::root().join(".config/nextest.toml")).unwrap();
    assert!(config.contains("filter = \"test(core4)\"\ntest-group = \"local-core\""), "the group is chosen by name");
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("tests/it/")) {
        let module = source.path.rsplit('/').next().unwrap_or_default();
        let starts_core = |code: &str| ["LocalCore::start(", "Cores::start("].iter().any(|start| code.contains(start));
        for function in source.functions().iter().filter(|function| starts_core(&function.code)) {
            let is_helper = function.name == "start";
            if !is_helper && !module.contains("core4") && !function.name.contains("core4") {
                let place = format!("{}:{}", source.path, function.name);
                faults.push((place.clone(), place));
            }
        }
    }
    hold(
        "a test that starts the real core has core4 in its name, as `scripts/test` leaves it out by that",
        &faults,
        &[],
    );
}

#[test]
fn every_collector_has_the_same_files() {
    let all = files();
    let has = |path: &str| all.iter().any(|file| file.path == path) || source::root().join(path).is_file();
    for collector in ckworker::collectors::all() {
        let name = collector.name();
        for path in [
            format!("src/collectors/{name}/mod.rs"),
            format!("src/collectors/{name}/kinds.json"),
            format!("tests/golden/{name}/graph.ndjson"),
        ] {
            assert!(has(&path), "the collector {name} lacks {path}");
        }
        for option in collector.options() {
            assert!(option.name.starts_with(&format!("{name}-")), "--{} does not say that it is {name}'s", option.name);
        }
    }
    let folders: BTreeSet<&str> = all
        .iter()
        .filter_map(|file| file.path.strip_prefix("src/collectors/"))
        .filter_map(|path| path.split_once('/').map(|(folder, _)| folder))
        .collect();
    let names: BTreeSet<&str> = ckworker::collectors::all().iter().map(|collector| collector.name()).collect();
    assert_eq!(folders, names, "each folder of src/collectors is one registered collector");
}

/// Parts in which what peers send is handled.
const PEERS: &[&str] = &[
    "src/ckcore/",
    "src/supervisor/dispatcher/core.rs",
    "src/supervisor/worker_session/",
    "src/supervisor/actions/",
    "src/actions/tag.rs",
    "src/web/",
];

/// The log calls in `code` whose first field is not the peer that causes them, as line numbers.
fn calls_without_peer(code: &str) -> Vec<usize> {
    let calls = ["error", "warn", "info", "debug", "trace"].map(|level| format!("tracing::{level}!("));
    let mut lines = Vec::new();
    for call in &calls {
        for (at, mark) in code.match_indices(call.as_str()) {
            if !code[at + mark.len()..].trim_start().starts_with("peer = ") {
                lines.push(code[..at].matches('\n').count() + 1);
            }
        }
    }
    lines
}

/// Invariant: no peer can flood the log.
#[test]
fn lines_that_peers_cause_name_them() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| PEERS.iter().any(|part| source.path.starts_with(part))) {
        for line in calls_without_peer(&source.production()) {
            faults.push((source.path.clone(), format!("{}:{line}", source.path)));
        }
    }
    hold(
        "a log line that a peer can cause begins with `peer = …`, so that the log limits it (src/telemetry/log_limiter.rs)",
        &faults,
        &[("src/actions/tag.rs", "each line is a change in the cloud, which takes longer than a line")],
    );
    assert_eq!(calls_without_peer("tracing::warn!(peer = \"core\", x);\ntracing::info!(\n  a);"), [2]);
}
