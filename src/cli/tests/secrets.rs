//! Secrets on the command line, in the environment and in addresses.

use super::*;
use crate::cli::secrets::{Moved, without_secrets};

#[test]
fn password_in_address_is_rejected_and_not_shown() {
    for (option, uri) in [("--ckcore-uri", "http://me:hunter2@core"), ("--ckcore-ws-uri", "ws://hunter2@core:1")] {
        let error = invoke(&[option, uri], &[]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("error: {option} must have no user name and no password")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// Invariant: secrets are only in frames and in an allow-listed environment.
#[test]
fn secrets_are_hidden_and_warned_about_on_command_line() {
    let run = run(&["--psk", "hunter2", "--sky-secret-key", "hunter3"], &[]);
    let debug = format!("{run:?}");
    assert!(!debug.contains("hunter"), "{debug}");
    assert_eq!(run.core.ckcore.unwrap().psk, Psk::new("hunter2"));
    assert_eq!(
        run.warnings,
        [
            "--psk on the command line can be read by every user of this machine; use CKWORKER_PSK",
            "--sky-secret-key on the command line can be read by every user of this machine; use CKWORKER_SKY_SECRET_KEY",
        ]
    );
    assert!(!printed(&["--help"]).contains("tops3cret"));
    assert_eq!(self::run(&[], &[("CKWORKER_PSK", "hunter2")]).warnings, Vec::<String>::new());
}

fn moved(arguments: &[&str]) -> Option<Moved> {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    without_secrets(Registered { actions: &registry::options(), collectors: &[&SKY, &SEA] }, &arguments)
}

#[test]
fn secrets_in_any_notation_are_moved_off_the_command_line() {
    let cases: &[(&[&str], &[&str], &str, &str)] = &[
        (&["--psk", "K", "--fork"], &["--fork"], "CKWORKER_PSK", "K"),
        (&["collect", "--psk=K=", "--output", "-"], &["collect", "--output", "-"], "CKWORKER_PSK", "K="),
        (&["--ps", "K"], &[], "CKWORKER_PSK", "K"),
        (&["--ps=--fork", "-v"], &["-v"], "CKWORKER_PSK", "--fork"),
        (&["--psk", "old", "--psk", "K"], &[], "CKWORKER_PSK", "K"),
        (&["--sky-s", "K", "--sky-account", "1", "2"], &["--sky-account", "1", "2"], "CKWORKER_SKY_SECRET_KEY", "K"),
    ];
    for (arguments, left, variable, value) in cases {
        assert!(invoke(arguments, &[]).is_ok(), "{arguments:?} is a command line");
        let found = moved(arguments).unwrap();
        assert_eq!(found.arguments, *left);
        assert_eq!(found.variables[0], ((*variable).to_owned(), OsString::from(value)), "{arguments:?}");
        assert_eq!(moved(left), None, "and then there are none");
    }
    assert!(moved(&["--psk", "K"]).unwrap().removed.contains(&"CKWORKER_PSK".to_owned()));
    for harmless in [&["--output", "psk", "--fork"][..], &["--ckcore-uri=--psk"], &["--sky-account", "psk"], &["--p"]] {
        assert_eq!(moved(harmless), None);
    }
}

#[test]
fn secrets_in_list_are_moved_one_by_one() {
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&["--sky-login", "a b", "", "-v"], &["-v"], &["a b", ""]),
        (&["--sky-l", "-", "--sky-account", "1", "2"], &["--sky-account", "1", "2"], &["-"]),
        (&["--sky-login={ a }", "--fork"], &["--fork"], &["{ a }"]),
        (&["--sky-login", "old", "older", "--sky-login", ""], &[], &[""]),
    ];
    for (arguments, left, values) in cases {
        assert_eq!(run(arguments, &[]).collectors[0].settings.list("sky-login"), *values);
        let found = moved(arguments).unwrap();
        assert_eq!(found.arguments, *left);
        // A variable that was set before must not be mixed with them.
        let mut variables = vec![("CKWORKER_SKY_LOGIN".to_owned(), "x".to_owned())];
        variables.extend((0..255).map(|number| (format!("CKWORKER_SKY_LOGIN{number}"), "x".to_owned())));
        variables.retain(|(name, _)| !found.removed.contains(name));
        variables
            .extend(found.variables.iter().map(|(name, value)| (name.clone(), value.to_str().unwrap().to_owned())));
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        let again = run(left, &variables);
        assert_eq!(again.collectors[0].settings.list("sky-login"), *values, "{arguments:?}");
        assert!(again.warnings[0].starts_with("--sky-login was taken off the command line"), "{:?}", again.warnings);
    }
    assert!(invoke(&["--sky-login=a", "b"], &[]).is_err(), "an attached value is the only one");
}

#[test]
fn moved_secret_is_used_and_warned_about() {
    let found = moved(&["--psk", "hunter2", "--sky-secret-key=hunter3"]).unwrap();
    let variables: Vec<(&str, &str)> =
        found.variables.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let run = run(&[], &variables);
    assert_eq!(run.core.ckcore.unwrap().psk, Psk::new("hunter2"));
    assert_eq!(
        run.warnings,
        [
            "--psk was taken off the command line, but the shell may remember it; use CKWORKER_PSK",
            "--sky-secret-key was taken off the command line, but the shell may remember it; use CKWORKER_SKY_SECRET_KEY",
        ]
    );
}

#[test]
fn path_of_file_is_moved_without_warning() {
    let found = moved(&["--sky-login", "Cargo.toml"]).unwrap();
    let variables: Vec<(&str, &str)> =
        found.variables.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let run = run(&[], &variables);
    assert_eq!(run.collectors[0].settings.list("sky-login"), ["Cargo.toml"]);
    assert_eq!(run.warnings, [""; 0]);
}
