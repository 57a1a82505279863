//! Faults of servers: each is a gap that says why, and the others go on.

use std::{fs, process::Command};

use super::collect::{collect, nodes, wait_for_file};
use crate::support::{
    program::{self, Running, children, is_alive},
    ssh::LocalSsh,
};

/// Collects a good machine beside a bad one.
fn beside(ssh: &LocalSsh, bad: String, more: &[&str]) -> (String, usize) {
    let (output, graph) = collect(ssh, ssh.collect(&[ssh.entry("", 0), bad]).args(more));
    assert_eq!(output.code, 3, "{}", output.stderr);
    (output.stderr, nodes(&graph).into_keys().filter(|(kind, _)| kind == "onprem_instance").count())
}

#[test]
fn broken_server_is_a_gap_that_says_why() {
    let ssh = LocalSsh::start(2, "");
    let address = format!("127.0.0.1:{}", ssh.ports[1]);
    for (mode, more, named) in [
        ("hang", &["--timeout", "20"][..], "Timeout"),
        ("flood", &[], "ResponseTooLarge"),
        ("broken", &[], "cat: /proc/meminfo: Permission denied"),
    ] {
        ssh.behave(1, mode);
        let (stderr, instances) = beside(&ssh, ssh.entry("", 1), more);
        assert!(stderr.contains(named) && stderr.contains(&address), "{mode}: {stderr}");
        assert_eq!(instances, 1, "{mode}");
    }
}

#[test]
fn unreachable_server_is_a_gap() {
    let ssh = LocalSsh::start(1, "");
    for (bad, named) in [("127.0.0.1:1", "Connection refused"), ("no-such-host.invalid", "UnknownHost")] {
        let (stderr, instances) = beside(&ssh, bad.to_owned(), &[]);
        assert!(stderr.contains(named), "{bad}: {stderr}");
        assert_eq!(instances, 1);
    }
}

/// Field case: an appliance accepts connections and never answers.
#[test]
fn silent_server_does_not_hold_up_the_others() {
    let ssh = LocalSsh::start(1, "");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let (stderr, instances) = beside(&ssh, address.clone(), &["--timeout", "20"]);
    assert!(stderr.contains("Timeout") && stderr.contains(&address), "{stderr}");
    assert_eq!(instances, 1);
}

#[test]
fn host_keys_must_be_known_and_not_revoked() {
    let ssh = LocalSsh::start(1, "");
    let known = ssh.read("home/.ssh/known_hosts");
    let key = |name: &str| ssh.read(name).split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let other = format!("[127.0.0.1]:{} {}\n", ssh.ports[0], key("stranger.pub"));
    let revoked = format!("{known}@revoked * {}\n", key("host_key.pub"));
    for (text, is_accepted) in [(String::new(), false), (other, false), (revoked, false), (known, true)] {
        fs::write(ssh.path("home/.ssh/known_hosts"), &text).unwrap();
        let (output, _) = collect(&ssh, &mut ssh.collect(&[ssh.entry("", 0)]));
        assert_eq!(output.code, if is_accepted { 0 } else { 4 }, "{text}: {}", output.stderr);
        assert_eq!(output.stderr.contains("HostKeyVerificationFailed"), !is_accepted, "{text}: {}", output.stderr);
    }
}

#[test]
fn refused_key_fails_the_location_at_once() {
    let ssh = LocalSsh::start(1, "");
    for (key, passphrase) in [("stranger", ""), ("id_pass", "thistle"), ("id_pass", "")] {
        let mut command = ssh.collect(&[ssh.entry("", 0)]);
        command.arg("--onprem-ssh-key").arg(ssh.path(key)).env("CKWORKER_ONPREM_SSH_KEY_PASS", passphrase);
        let (output, _) = collect(&ssh, &mut command);
        assert_eq!(output.code, 4, "{key}: {}", output.stderr);
        assert!(output.stderr.contains("AuthenticationFailed"), "{key}: {}", output.stderr);
        let asks_for_passphrase = output.stderr.contains("--onprem-ssh-key-pass");
        assert!(asks_for_passphrase && !output.stderr.contains("thistle"), "{key}: {}", output.stderr);
    }
    assert_eq!(ssh.read("commands"), "");
}

#[test]
fn worker_killed_half_way_is_replaced_and_leaves_no_client() {
    let ssh = LocalSsh::start(2, "");
    ssh.behave(1, "hang-once");
    let file = ssh.path("graph.ndjson");
    let mut command: Command = ssh.collect(&[ssh.entry("", 0), ssh.entry("", 1)]);
    let running = Running::start(command.args(["--fork", "--onprem-fork", "--output"]).arg(&file));
    wait_for_file(&ssh, "hanging");
    let workers: Vec<i32> = running.children();
    let clients: Vec<i32> = workers.iter().copied().flat_map(children).collect();
    assert!(!clients.is_empty());
    workers.iter().for_each(|worker| program::signal(*worker, "KILL"));
    let output = running.wait();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(!clients.into_iter().any(is_alive), "clients end with their worker");
    let graph = fs::read_to_string(file).unwrap();
    assert_eq!(nodes(&graph).values().filter(|node| node["kind"] == "onprem_instance").count(), 2);
}
