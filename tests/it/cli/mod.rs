//! The command line of the built binary: what it prints, where, and its exit codes.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    net::TcpListener,
    process::{Command, Output},
};

/// Runs the binary to its end, with nothing of ours in its environment but `variables`.
fn ckworker(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckworker"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CKWORKER_")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The first line on standard error of a run that must end with `code` and print nothing.
fn refused(code: i32, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = ckworker(arguments, variables);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(text(&output.stdout), "");
    error.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn help_and_version_go_to_standard_output() {
    for arguments in [["--help"], ["-h"], ["--version"], ["-V"], ["--machine-help"]] {
        let output = ckworker(&arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
    assert!(text(&ckworker(&["--version"], &[]).stdout).starts_with("ckworker "));
}

#[test]
fn help_of_one_collector_omits_the_others() {
    let help = text(&ckworker(&["--collector", "example", "--help"], &[]).stdout);
    assert!(help.contains("--pool-size") && !help.contains("--aws-"), "{help}");
}

#[test]
fn no_secret_of_the_environment_is_shown_in_help() {
    let variables = [("CKWORKER_PSK", "hunter2hunter2"), ("CKWORKER_AWS_SECRET_ACCESS_KEY", "hunter2hunter2")];
    assert!(!text(&ckworker(&["--help"], &variables).stdout).contains("hunter2"));
}

#[test]
fn every_option_of_the_original_that_applies_is_there() {
    let options = text(&ckworker(&["--machine-help"], &[]).stdout);
    let options: Vec<&str> = options.lines().collect();
    let originals = "--psk --verbose -v --quiet --ignore-deferred-connections --fork --pool-size --cleanup \
        --cleanup-pool-size --cleanup-dry-run --ckcore-uri --ckcore-ws-uri --ckcore-graph --debug-dump-json \
        --ckcore-subscriber-id --web-path --collector --event-timeout --timeout --web-port --web-host \
        --example-region --aws-access-key-id --aws-secret-access-key --aws-role --aws-role-override --aws-account \
        --aws-region --aws-scrape-org --aws-fork --aws-scrape-exclude-account --aws-assume-current \
        --aws-dont-scrape-current --aws-account-pool-size --aws-region-pool-size --aws-collect --aws-no-collect";
    let missing: Vec<&str> = originals.split_whitespace().filter(|option| !options.contains(option)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn usage_errors_are_one_clear_message_and_code_2() {
    let cases: &[(&[&str], &str)] = &[
        (&["--nonsense"], "error: unexpected argument '--nonsense' found"),
        (&["--pool-size", "0"], "error: --pool-size is '0' but must be a whole number from 1 to 10000"),
        (
            &["--collector", "remote"],
            "error: --collector: collector 'remote' is refused, as it executes what it downloads",
        ),
        (&["--ckcore-uri", "localhost"], "error: --ckcore-uri must begin with http:// or https://"),
        (&["collect"], "error: collect needs --output FILE"),
        (&["-v", "--quiet"], "error: the argument '--verbose' cannot be used with '--quiet'"),
    ];
    for (arguments, begin) in cases {
        let error = refused(2, arguments, &[]);
        assert!(error.starts_with(begin), "{error}");
    }
    let error = refused(2, &[], &[("CKWORKER_FORK", "perhaps")]);
    assert!(error.starts_with("error: CKWORKER_FORK is 'perhaps' but must be one of true"), "{error}");
}

#[test]
fn occupied_port_ends_with_code_6_and_names_the_option() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = ["--ckcore-uri", "", "--web-host", "127.0.0.1", "--web-port", &port];
    let error = refused(6, &arguments, &[]);
    assert!(error.contains(&port) && error.contains("--web-port"), "{error}");
}

#[test]
fn unwritable_logfile_ends_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let error = refused(2, &["--ckcore-uri", "", "--logfile", &path], &[]);
    assert!(error.contains("--logfile") && error.contains("cannot be opened"), "{error}");
}

/// The commands in `scripts` and `.ci`: files that can be executed.
fn scripts() -> Vec<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["scripts", ".ci"].into_iter().flat_map(|name| std::fs::read_dir(root.join(name)).unwrap());
    let found: Vec<_> = files
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o100 != 0))
        .map(|entry| entry.path())
        .collect();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// Runs a script where neither cargo nor an installation of Python packages can be used without a trace, and returns
/// its exit code and its output.
fn without_building(script: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let (cargo, mark, venv) = (folder.path().join("cargo"), folder.path().join("mark"), folder.path().join("venv"));
    std::fs::write(&cargo, format!("#!/bin/sh\ntouch {}\nexit 1\n", mark.display())).unwrap();
    std::fs::set_permissions(&cargo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(script);
    command.args(arguments).env("PATH", &path).env("CKWORKER_VENV", &venv).env("XDG_CACHE_HOME", folder.path());
    let output = command.output().unwrap();
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["cargo"], "{} {arguments:?} leaves files", script.display());
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn help_of_scripts_builds_and_installs_nothing() {
    for script in scripts() {
        for help in ["--help", "-h"] {
            let (code, said) = without_building(&script, &[help]);
            assert_eq!(code, Some(0), "{} {help}: {said}", script.display());
            assert!(said.lines().count() > 1, "{} {help}: {said}", script.display());
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for script in ["scripts/aws-local", "scripts/core-local"] {
        let (code, said) = without_building(&root.join(script), &["up", "--help"]);
        assert!(code == Some(0) && said.contains("--exit-with-stdin"), "{script}: {said}");
    }
    let (code, said) = without_building(&root.join("scripts/test"), &["--runs", "3", "--help"]);
    assert!(code == Some(0) && said.contains("--runs N"), "{said}");
}

#[test]
fn wrong_arguments_of_scripts_are_code_2() {
    // scripts/try hands its arguments to ckworker, scripts/test those that it does not know to the test runner.
    for script in scripts().iter().filter(|script| !script.ends_with("try") && !script.ends_with("test")) {
        let (code, said) = without_building(script, &["--no-such-option"]);
        let explained = said.contains("usage: ") || said.contains("--help");
        assert!(code == Some(2) && explained, "{}: {code:?} {said}", script.display());
    }
    let test = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/test");
    for arguments in [&["--runs"][..], &["--runs", "many"], &["-E"]] {
        let (code, said) = without_building(&test, arguments);
        assert!(code == Some(2) && said.contains(arguments[0]), "{arguments:?}: {code:?} {said}");
    }
}
