//! One-shot collections of machines with the built program, compared with the graph of the Python worker.

use std::{collections::BTreeMap, fs, process::Command};

use ckworker::{
    collector_api::{Collector, ParentNode, Target},
    collectors::onprem::Onprem,
    settings::Settings,
};
use serde_json::{Map, Value};

use crate::support::{
    compare,
    program::{self, Output, command},
    ssh::{LocalSsh, user},
};

/// The graph of the Python worker.
const GOLDEN: &str = include_str!("../../golden/onprem/graph.ndjson");

/// Runs a collection; returns its output, and the graph.
pub(super) fn collect(ssh: &LocalSsh, command: &mut Command) -> (Output, String) {
    let file = ssh.path("graph.ndjson");
    let output = program::run(command.arg("--output").arg(&file));
    (output, fs::read_to_string(file).unwrap_or_default())
}

/// What was reported of the nodes, by kind and ID.
pub(super) fn nodes(graph: &str) -> BTreeMap<(String, String), Value> {
    let lines = graph.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let reported = lines.map(|line| line["reported"].clone()).filter(Value::is_object);
    let text = |node: &Value, name: &str| node[name].as_str().unwrap().to_owned();
    reported.map(|node| ((text(&node, "kind"), text(&node, "id")), node)).collect()
}

fn node(graph: &str, kind: &str, id: &str) -> Value {
    nodes(graph).remove(&(kind.to_owned(), id.to_owned())).unwrap_or_else(|| panic!("no {kind} {id}: {graph}"))
}

#[test]
fn graph_is_that_of_the_python_worker_forked_or_not() {
    for arguments in [&["--fork", "--onprem-fork"][..], &["--fork"], &[], &["--onprem-pool-size", "1"]] {
        let ssh = LocalSsh::start(1, "");
        let other = ssh.entry("Berlin%dc1%lan%", 0).replace("127.0.0.1", "localhost");
        let (output, graph) = collect(&ssh, ssh.collect(&[ssh.entry("", 0), other]).args(arguments));
        assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
        compare::assert_none(&compare::graphs(GOLDEN, &graph, None));
        // Six commands of the Python worker, and a script that this machine does not run.
        assert_eq!(ssh.read("commands").lines().count(), 2 * 7, "{arguments:?}: {}", ssh.read("commands"));
        assert_eq!(ssh.read("log").matches("Accepted publickey").count(), 2, "one connection for each server");
    }
}

#[test]
fn servers_of_one_network_are_below_it() {
    let ssh = LocalSsh::start(3, "");
    let servers = [ssh.entry("Berlin%dc1%lan%", 0), ssh.entry("Berlin%dc1%lan%", 1), ssh.entry("Paris%dc1%lan%", 2)];
    let (output, graph) = collect(&ssh, &mut ssh.collect(&servers));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines: Vec<Value> = graph.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let id_of = |line: &Value| line["id"].as_str().unwrap().to_owned();
    let of_kind =
        |kind: &str| lines.iter().filter(|line| line["reported"]["kind"] == kind).map(id_of).collect::<Vec<_>>();
    assert_eq!((of_kind("onprem_region").len(), of_kind("onprem_network").len()), (2, 2), "one in each location");
    let networks = of_kind("onprem_network");
    let below = |network: &String| lines.iter().filter(|line| line["from"] == network.as_str()).count();
    let mut counts: Vec<_> = networks.iter().map(below).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2]);
    let ids: Vec<_> =
        nodes(&graph).into_keys().filter(|(kind, _)| kind == "onprem_instance").map(|(_, id)| id).collect();
    let second = format!("127.0.0.1:{}", ssh.ports[1]);
    assert_eq!(ids, ["127.0.0.1".to_owned(), second], "the second port of a host in a region");
}

#[test]
fn machines_differ_in_what_they_have() {
    let ssh = LocalSsh::start(3, "");
    for (machine, mode) in ["arm", "no6", "words"].into_iter().enumerate() {
        ssh.behave(machine, mode);
    }
    let servers: Vec<_> = (0..3).map(|machine| ssh.entry(&format!("l%{machine}%"), machine)).collect();
    let (output, graph) = collect(&ssh, &mut ssh.collect(&servers));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines = graph.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let instances: Vec<Value> =
        lines.map(|line| line["reported"].clone()).filter(|node| node["kind"] == "onprem_instance").collect();
    let arm = instances.iter().find(|node| node["instance_type"].is_null()).unwrap();
    assert_eq!(arm["instance_cores"], 2);
    let no6 = instances.iter().find(|node| node["network_ip6"].is_null()).unwrap();
    assert_eq!((&no6["network_ip4"], &no6["network_device"]), (&"10.0.0.7/24".into(), &"eth0".into()));
    let full = |node: &&Value| node["network_ip6"] == "2001:db8::7/64" && node["network_ip4"] == "10.0.0.7/24";
    assert_eq!(instances.iter().filter(full).count(), 2, "{instances:?}");
}

/// The script runs on this machine.
#[test]
fn shell_tells_system_disks_and_file_systems() {
    let ssh = LocalSsh::start(1, "");
    ssh.behave(0, "real");
    let (output, graph) = collect(&ssh, &mut ssh.collect(&[ssh.entry("", 0)]));
    assert_eq!(output.code, 0, "{}", output.stderr);
    let system = node(&graph, "onprem_operating_system", "127.0.0.1/os");
    assert_eq!(system["kernel_name"], "Linux", "{system}");
    assert!(system["booted_at"].is_string(), "{system}");
}

#[test]
fn passphrase_opens_the_key_and_is_in_no_process() {
    let ssh = LocalSsh::start(1, "");
    ssh.behave(0, "hang-script");
    ssh.answer_script(0, "");
    let mut command = ssh.collect(&[ssh.entry("", 0)]);
    command.arg("--onprem-ssh-key").arg(ssh.path("id_pass")).args(["--fork", "--onprem-fork"]);
    let temporary = ssh.path("tmp");
    fs::create_dir(&temporary).unwrap();
    command.env("CKWORKER_ONPREM_SSH_KEY_PASS", "sesame").env("TMPDIR", &temporary);
    let running = program::Running::start(command.args(["--output", "/dev/null"]));
    wait_for_file(&ssh, "hanging");
    assert!(fs::read_dir(&temporary).unwrap().count() > 0);
    let mut seen = 0;
    for client in running.children().into_iter().flat_map(program::children) {
        let read = |name: &str| fs::read(format!("/proc/{client}/{name}")).unwrap_or_default();
        let text = [read("cmdline"), read("environ")].concat();
        assert!(!String::from_utf8_lossy(&text).contains("sesame"), "{client}");
        seen += 1;
    }
    assert!(seen >= 2, "the master and a command");
    running.signal("TERM");
    let output = running.wait();
    assert!(!output.stderr.contains("sesame"), "{}", output.stderr);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "sockets and helper are removed");
}

/// Waits until a machine has written a file.
pub(super) fn wait_for_file(ssh: &LocalSsh, name: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let appeared = runtime.block_on(crate::support::poll::becomes(async || !ssh.read(name).is_empty()));
    assert!(appeared, "waited in vain for {name}");
}

#[test]
fn agent_of_the_user_is_used() {
    let ssh = LocalSsh::start(1, "");
    let socket = ssh.path("agent");
    let mut agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).spawn().unwrap();
    let add = || {
        let mut add = Command::new("ssh-add");
        add.env("SSH_AUTH_SOCK", &socket).arg("-q").arg(ssh.path("id"));
        add.stderr(std::process::Stdio::null()).status().unwrap().success()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(crate::support::poll::becomes(async || add())));
    let mut command = command(&["collect", "--collector", "onprem", "--fork", "--onprem-fork", "--onprem-server"]);
    ssh.serve(command.arg(ssh.entry("", 0))).env("SSH_AUTH_SOCK", &socket);
    let (output, _) = collect(&ssh, &mut command);
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
}

/// Field case: a jump host drops connections that have not logged in when there are many.
#[test]
fn many_servers_behind_a_jump_host_are_all_collected() {
    let ssh = LocalSsh::start(12, "MaxStartups 2:60:4");
    let jump = ssh.ports[0];
    let config = format!("Host jump\n  HostName 127.0.0.1\n  Port {jump}\n  User {}\n", user());
    let config = format!("{config}Host 127.0.0.1\n  ProxyJump jump\n");
    fs::write(ssh.path("home/.ssh/config"), config).unwrap();
    let known = ssh.read("home/.ssh/known_hosts");
    fs::write(ssh.path("home/.ssh/known_hosts"), known).unwrap();
    let servers: Vec<_> = (1..12).map(|machine| ssh.entry("", machine)).collect();
    let (output, graph) = collect(&ssh, ssh.collect(&servers).args(["--onprem-pool-size", "12", "--fork"]));
    assert_eq!(output.code, 0, "{}: {}", output.stderr, ssh.read("log"));
    let instances = nodes(&graph).into_keys().filter(|(kind, _)| kind == "onprem_instance").count();
    assert_eq!(instances, 11);
}

#[test]
fn tags_and_deletion_are_refused_by_name() {
    let parent = ParentNode { id: "Berlin".into(), name: None, reported: Map::new() };
    let target = Target {
        kind: "onprem_instance".into(),
        id: "h1".into(),
        name: "h1".into(),
        reported: Map::new(),
        cloud: "onprem".into(),
        account: parent,
        region: None,
    };
    let failure = Onprem.operator(&Settings::default(), &target).unwrap_err();
    assert!(failure.message.contains("onprem_instance h1") && failure.message.contains("only reads"), "{failure:?}");
}

#[test]
fn collector_without_servers_is_an_error_that_names_the_option() {
    let output = program::run(&mut command(&["collect", "--collector", "onprem", "--output", "/dev/null"]));
    assert_eq!(output.code, 4, "{}", output.stderr);
    assert!(output.stderr.contains("--onprem-server"), "{}", output.stderr);
}
