//! The documents say what the program does: where that can be compared, it is.

use std::{collections::BTreeSet, fs, process::Command};

use blake2::{Blake2b, Digest, digest::consts::U16};
use ckworker::cli::ExitCode;

use super::source::{files, root, sources};

fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All documents for people, as (path, text).
fn documents() -> Vec<(String, String)> {
    let all = files().into_iter().filter(|file| file.path.ends_with(".md"));
    all.filter(|file| file.path == "README.md" || file.path.starts_with("docs/"))
        .map(|file| (file.path, file.text))
        .collect()
}

/// What a document has between single backticks, outside of fenced blocks.
fn inline_code(text: &str) -> Vec<&str> {
    let blocks = text.split("```").step_by(2);
    blocks.flat_map(|block| block.lines()).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// What the built program prints when it is asked for `arguments`.
fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ckworker")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The sources of the messages of the protocol.
fn messages() -> String {
    let sources = sources().into_iter().filter(|source| source.path.starts_with("worker-proto/src/message/"));
    sources.map(|source| source.text).collect()
}

#[test]
fn protocol_document_describes_current_sources() {
    let digest = Blake2b::<U16>::digest(messages());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = format!("<!-- describes the messages {digest} -->");
    let last = document("docs/protocol.md").trim_end().lines().last().unwrap_or_default().to_owned();
    assert_eq!(
        last, expected,
        "worker-proto/src/message has changed: read docs/protocol.md again, correct what is no longer true, and then \
         make this its last line: {expected}"
    );
}

#[test]
fn protocol_document_names_every_message_and_limit() {
    let text = document("docs/protocol.md");
    let messages = messages();
    let names = ["ToWorker", "FromWorker", "FailureKind", "JobKind", "Selector"].iter().flat_map(|name| {
        let begin = messages.find(&format!("pub enum {name} {{")).unwrap();
        let body = &messages[begin..begin + messages[begin..].find("\n}").unwrap()];
        body.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| line.starts_with(char::is_uppercase))
    });
    let word = |line: &'_ str| line.chars().take_while(|c| c.is_alphanumeric()).collect::<String>();
    let missing: Vec<String> = names.map(word).filter(|name| !text.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, Vec::<String>::new(), "docs/protocol.md does not mention these");
    let version = format!("version {}", worker_proto::PROTOCOL_VERSION);
    let largest = format!("{} MiB", worker_proto::MAX_FRAME >> 20);
    let batch = format!("{} KiB", worker_proto::BATCH_BYTES >> 10);
    for said in [version, largest, batch] {
        assert!(text.contains(&said), "docs/protocol.md does not say {said:?}");
    }
}

/// The codes that the program can end with, as the documents write them.
fn exit_codes() -> BTreeSet<String> {
    use ExitCode::{Complete, Incomplete, Internal, Nothing, Port, Signal, Undelivered, Usage};
    let all = [Complete, Internal, Usage, Incomplete, Nothing, Undelivered, Port, Signal(0)];
    let text = |code: ExitCode| if let Signal(_) = code { "128+n".into() } else { code.code().to_string() };
    all.into_iter().map(text).collect()
}

#[test]
fn exit_codes_are_documented() {
    for path in ["docs/operations.md", "README.md"] {
        let text = document(path);
        let table = text.split("# Exit codes\n").nth(1).unwrap_or_else(|| panic!("{path} has no exit codes"));
        let table = table.split("\n#").next().unwrap_or_default();
        let codes = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
        let codes: BTreeSet<String> =
            codes.filter(|code| code.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned).collect();
        assert_eq!(codes, exit_codes(), "{path}");
    }
    let help = printed(&["--help"]);
    for code in exit_codes() {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{code} "))), "--help lacks {code}");
    }
}

/// All options, and those of the example of a user's collector.
const ALL_OPTIONS: &[&str] = &["--machine-help", "--definitions", "docs/examples/inventory.toml"];

/// Variables that are not options: of the scripts.
const OF_SCRIPTS: &[&str] = &["CKWORKER_VENV"];

#[test]
fn every_variable_in_the_documents_is_one() {
    let options = printed(ALL_OPTIONS);
    let variables: BTreeSet<String> = options
        .lines()
        .filter_map(|option| option.strip_prefix("--"))
        .map(|name| format!("CKWORKER_{}", name.to_uppercase().replace('-', "_")))
        .collect();
    for (path, text) in documents() {
        for (at, _) in text.match_indices("CKWORKER_") {
            let is_part = |c: &char| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_';
            let name: String = text[at..].chars().take_while(is_part).collect();
            let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
            let known = name == "CKWORKER_" || OF_SCRIPTS.contains(&name) || variables.contains(name);
            assert!(known, "{path} names {name}, which no option reads");
        }
    }
}

/// Options of other programs, of the scripts and of the original, and one that stands for any.
const OF_OTHERS: &[&str] = &["--option", "--latency-ms", "--locked", "--runs", "--gcp-fork"];

#[test]
fn every_option_in_the_documents_is_one() {
    let options = printed(ALL_OPTIONS);
    let known: BTreeSet<&str> = options.lines().chain(["--help", "--version", "--machine-help"]).collect();
    for (path, text) in documents() {
        for code in inline_code(&text) {
            // Elsewhere: `scripts/aws-local up --scale 3`, `cargo clippy --all-targets`.
            if !code.starts_with("--") && !code.starts_with("ckworker") {
                continue;
            }
            let words = code.split(|c: char| c.is_whitespace() || c == '=');
            for option in words.filter(|word| word.starts_with("--") && word.len() > 2) {
                let ok = known.contains(option) || OF_OTHERS.contains(&option) || option.ends_with('…');
                assert!(ok, "{path} names {option}, which ckworker does not have");
            }
        }
        for line in text.split("```").skip(1).step_by(2).flat_map(str::lines) {
            let Some((_, arguments)) = line.split_once("ckworker ") else { continue };
            for option in arguments.split(|c: char| c.is_whitespace() || c == '=').filter(|word| word.starts_with("--"))
            {
                assert!(known.contains(option), "{path} shows `ckworker … {option}`, which ckworker does not have");
            }
        }
    }
}

/// The first parts of the paths that are told apart from other code with a slash in it.
const FOLDERS: &[&str] = &[".ci/", ".config/", "benches/", "docs/", "scripts/", "src/", "tests/", "worker-proto/"];

#[test]
fn every_file_in_the_documents_is_there() {
    for (path, text) in documents() {
        let folder = root().join(&path).parent().unwrap().to_path_buf();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                assert!(folder.join(target).exists(), "{path} links to {target}, which is not there");
            }
        }
        for code in inline_code(&text) {
            let name = code.split_whitespace().next().unwrap_or_default();
            if FOLDERS.iter().any(|folder| name.starts_with(folder)) && !name.contains(['*', '<', '{', '…']) {
                assert!(root().join(name).exists(), "{path} names {name}, which is not there");
            }
        }
    }
}

/// The invariants that tests name in their documentation.
fn invariants_of_tests(texts: &[String]) -> BTreeSet<String> {
    let lines = texts.iter().flat_map(|text| text.lines()).map(str::trim);
    let named = lines.filter_map(|line| line.strip_prefix("/// Invariant: ").or(line.strip_prefix("//! Invariant: ")));
    named.map(|invariant| invariant.trim_end_matches('.').to_owned()).collect()
}

#[test]
fn every_invariant_is_listed_and_has_a_test() {
    let text = document("docs/architecture.md");
    let section = text.split("\n## Invariants\n").nth(1).expect("the invariants");
    let section = section.split("\n## ").next().unwrap_or_default();
    let listed: BTreeSet<String> =
        section.lines().filter_map(|line| line.strip_prefix("* ")).map(str::to_owned).collect();
    assert!(listed.len() > 10, "the document lists invariants");
    let texts: Vec<String> = sources().into_iter().map(|source| source.text).collect();
    assert_eq!(invariants_of_tests(&texts), listed, "left: what tests name; right: what docs/architecture.md lists");
}

#[test]
fn invariant_in_documentation_of_test_is_found() {
    let text = "//! Head.\n//!\n//! Invariant: one.\nmod a {\n    /// Invariant: two.\n    #[test]\n    fn b() {}\n}";
    let found = invariants_of_tests(&[text.to_owned()]);
    assert_eq!(found, ["one", "two"].map(str::to_owned).into());
}

#[test]
fn every_metric_is_documented() {
    let operations = document("docs/operations.md");
    let telemetry = ["metrics.rs", "process.rs", "series.rs"].map(|file| format!("src/telemetry/{file}"));
    for path in telemetry.iter().map(String::as_str).chain(["src/collectors/aws/facts.rs"]) {
        let text = document(path);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for name in code.split('"').skip(1).step_by(2) {
            let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            if is_name && (name.starts_with("ckworker_") || name.starts_with("cloudkeeper_")) {
                assert!(operations.contains(name), "docs/operations.md does not describe {name}");
            }
        }
    }
}
