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
fn the_help_of_one_collector_leaves_out_the_others() {
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
        (&["--collector", "gcp"], "error: --collector: collector 'gcp' is not available in this version"),
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
fn an_occupied_port_is_code_6_and_names_the_option() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = ["--ckcore-uri", "", "--web-host", "127.0.0.1", "--web-port", &port];
    let error = refused(6, &arguments, &[]);
    assert!(error.contains(&port) && error.contains("--web-port"), "{error}");
}

#[test]
fn an_unwritable_logfile_is_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let error = refused(2, &["--ckcore-uri", "", "--logfile", &path], &[]);
    assert!(error.contains("--logfile") && error.contains("cannot be opened"), "{error}");
}

#[test]
fn help_of_scripts_builds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (cargo, mark) = (folder.path().join("cargo"), folder.path().join("mark"));
    std::fs::write(&cargo, format!("#!/bin/sh\ntouch {}\nexit 1\n", mark.display())).unwrap();
    std::fs::set_permissions(&cargo, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let scripts =
        ["scripts/try", "scripts/test", ".ci/run", "scripts/benchmark", "scripts/measure", "scripts/aws-shapes"];
    for script in scripts {
        for help in [&["--help"][..], &["-h"], &["--runs", "3", "--help"]] {
            let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
            let output = Command::new(&script).args(help).env("PATH", &path).output().unwrap();
            let said = text(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{} {help:?}: {}", script.display(), text(&output.stderr));
            assert!(!said.trim().is_empty() && !mark.exists(), "{} {help:?}", script.display());
        }
    }
}
