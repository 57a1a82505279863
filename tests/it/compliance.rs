//! What every collector of the program keeps to, whatever its cloud is.

use std::collections::BTreeSet;

use ckworker::{collector_api::Collector, collectors, settings::Settings};
use serde_json::Value;

use crate::support::program::{self, command};

/// The collectors of clouds. The example contacts nothing and needs no credentials.
fn clouds() -> impl Iterator<Item = &'static dyn Collector> {
    collectors::all().iter().copied().filter(|collector| collector.name() != "example")
}

/// A command of a user for whom nothing is configured.
fn unconfigured(arguments: &[&str], home: &tempfile::TempDir) -> std::process::Command {
    let mut command = command(&["collect", "--output", "-"]);
    command.args(arguments).env("HOME", home.path()).env_remove("KUBECONFIG").env_remove("SSH_AUTH_SOCK");
    command
}

/// An empty cloud would replace everything that the core has of it.
#[test]
fn collector_without_configuration_delivers_nothing() {
    let home = tempfile::tempdir().unwrap();
    for collector in clouds() {
        let output = program::run(&mut unconfigured(&["--collector", collector.name()], &home));
        let what = || format!("{}: {} {}", collector.name(), output.stdout, output.stderr);
        assert!(output.code != 0 && output.stdout.is_empty(), "{}", what());
        assert!(output.stderr.contains("--") || output.stderr.contains("credentials"), "no remedy: {}", what());
    }
}

#[test]
fn collectors_without_configuration_leave_the_others_alone() {
    let home = tempfile::tempdir().unwrap();
    let output = program::run(&mut unconfigured(&[], &home));
    let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let clouds: BTreeSet<String> = lines
        .filter(|line| line["reported"]["kind"] == "cloud")
        .map(|line| line["reported"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(clouds, BTreeSet::from(["example".to_owned()]), "{}", output.stderr);
}

#[test]
fn no_option_is_there_twice() {
    let actions = ckworker::actions::registry::options();
    let registered = ckworker::cli::Registered { actions: &actions, collectors: collectors::all() };
    assert!(registered.check().is_ok(), "{:?}", registered.check().map_err(|error| error.to_string()));
}

#[test]
fn defaults_of_options_are_accepted() {
    for collector in collectors::all() {
        let settings = Settings::defaults(collector.options());
        assert_eq!(collector.check(&settings), Ok(()), "{}", collector.name());
        assert!(collector.concurrency(&settings).pool >= 1, "{}", collector.name());
    }
}

/// AWS has variables of its own for that, and machines that are reached over SSH have no URL.
#[test]
fn api_can_be_a_local_one_or_a_proxy() {
    for collector in clouds().filter(|collector| !["aws", "onprem"].contains(&collector.name())) {
        let name = format!("{}-endpoint-url", collector.name());
        assert!(collector.options().iter().any(|option| option.name == name), "there is no --{name}");
        let mut given = Settings::defaults(collector.options());
        given.set(&name, ckworker::settings::Setting::Text("no-url".to_owned()));
        let error = collector.check(&given).expect_err(&name);
        assert!(error.contains(&format!("--{name}")), "{error}");
    }
}

#[test]
fn every_collector_has_a_page_and_a_row() {
    let read = |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let readme = read("README.md");
    for collector in clouds() {
        let (name, page) = (collector.name(), format!("docs/{}.md", collector.name()));
        assert!(readme.contains(&format!("| `{name}` |")) && readme.contains(&page), "README.md has no row of {name}");
        let text = read(&page);
        for option in collector.options() {
            let is_there = text.contains(&format!("--{}", option.name));
            assert!(is_there, "{page} does not explain --{}", option.name);
        }
    }
}

/// Each account has a node of a kind whose base is an account, as the core finds it by that.
#[test]
fn every_collector_has_kinds_of_accounts_and_resources() {
    let schema = collectors::schema().unwrap();
    for collector in collectors::all() {
        let kinds = collector.kinds().unwrap();
        let of = |base: &str| kinds.iter().any(|kind| schema.kind(&kind.fqn).is_some_and(|kind| kind.is_a(base)));
        assert!(of("account") && of("resource"), "{}", collector.name());
    }
}
