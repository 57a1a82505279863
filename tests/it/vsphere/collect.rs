//! One-shot collections of machines with the built program, compared with the graph of the Python worker.

use std::{fs, process::Command};

use serde_json::Value;

use crate::support::{
    compare,
    program::{self, Output, command},
    vsphere::{HOST, LocalVsphere},
};

/// The graph of the Python worker.
const GOLDEN: &str = include_str!("../../golden/vsphere/graph.ndjson");

/// The machines that had an attribute without a value, which the Python worker took for a tag.
const EMPTY_TAGS: usize = 3;

pub(super) fn collect(server: &LocalVsphere, command: &mut Command) -> (Output, String) {
    let output = program::run(command);
    (output, fs::read_to_string(server.path("graph.ndjson")).unwrap_or_default())
}

/// What was reported of the nodes of a kind.
pub(super) fn nodes(graph: &str, kind: &str) -> Vec<Value> {
    let lines = graph.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line["reported"].clone()).filter(|node| node["kind"] == kind).collect()
}

fn instance(graph: &str, id: &str) -> Value {
    nodes(graph, "vsphere_instance").into_iter().find(|node| node["id"] == id).unwrap()
}

#[test]
fn graph_is_that_of_the_python_worker_forked_or_not() {
    for options in [&[][..], &["--max-objects", "5"]] {
        for arguments in [&["--fork"][..], &[]] {
            let server = LocalVsphere::start(options);
            let (output, graph) = collect(&server, server.collect().args(arguments));
            assert_eq!(output.code, 0, "{arguments:?}: {}", output.stderr);
            let differences = compare::graphs(GOLDEN, &graph, None);
            let are_tags = differences.iter().all(|text| text.contains("reported.tags was"));
            assert!(are_tags && differences.len() == EMPTY_TAGS, "{differences:?}");
            assert!(nodes(&graph, "vsphere_instance").iter().all(|node| !node["tags"].to_string().contains("\"\"")));
            for method in ["Login", "CreateContainerView", "RetrievePropertiesEx", "DestroyView", "Logout"] {
                assert_eq!(server.calls(method), 1, "{arguments:?}: {method}");
            }
            assert_eq!(server.calls("ContinueRetrievePropertiesEx"), if options.is_empty() { 0 } else { 2 });
        }
    }
}

#[test]
fn pages_of_many_machines_are_followed() {
    let server = LocalVsphere::start(&["--scale", "100", "--max-objects", "300"]);
    let (output, graph) = collect(&server, &mut server.collect());
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(nodes(&graph, "vsphere_instance").len(), 1200);
}

#[test]
fn machine_without_configuration_and_template_are_nodes() {
    let server = LocalVsphere::start(&["--no-config", "vm-85", "--template", "vm-82"]);
    let (output, graph) = collect(&server, &mut server.collect());
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(nodes(&graph, "vsphere_instance").len(), 11);
    assert_eq!(instance(&graph, "vm-85")["name"], "DC0_H0_VM1");
    assert_eq!(nodes(&graph, "vsphere_template")[0]["id"], "vm-82");
}

/// Field case: a machine that is deleted meanwhile fails the whole call.
#[test]
fn machine_deleted_during_the_list_is_left_out() {
    let server = LocalVsphere::start(&[]);
    server.fail("machine vm-85\nmachine vm-82\n");
    let (output, graph) = collect(&server, &mut server.collect());
    assert_eq!(output.code, 0, "{}", output.stderr);
    let instances = nodes(&graph, "vsphere_instance");
    assert!(instances.len() == 10 && instances.iter().all(|node| node["id"] != "vm-85"), "{instances:?}");
}

/// Field case: a machine whose host is removed meanwhile is still there.
#[test]
fn machine_whose_host_is_gone_is_not_left_out() {
    let server = LocalVsphere::start(&[]);
    server.fail("machine vm-85 host\n");
    let (output, graph) = collect(&server, &mut server.collect());
    assert!(output.code != 0 && output.stderr.contains("ManagedObjectNotFound"), "{}", output.stderr);
    assert!(graph.is_empty() || nodes(&graph, "vsphere_instance").is_empty(), "{graph}");
}

#[test]
fn page_without_a_result_is_not_the_end_of_the_list() {
    let server = LocalVsphere::start(&["--max-objects", "5"]);
    server.fail("ContinueRetrievePropertiesEx empty\n");
    let (output, _) = collect(&server, &mut server.collect());
    assert!(output.code != 0 && output.stderr.contains("there is no page"), "{}", output.stderr);
}

/// Field case: some servers lock an account after a few refused logins.
#[test]
fn refused_login_is_final_and_empty_password_is_not_sent() {
    let server = LocalVsphere::start(&[]);
    for arguments in [&["--fork"][..], &[]] {
        let before = server.calls("Login");
        let mut command = server.collect();
        let (output, _) = collect(&server, command.args(arguments).env("CKWORKER_VSPHERE_PASSWORD", "thistle"));
        assert_eq!((output.code, server.calls("Login")), (4, before + 1), "{}", output.stderr);
        assert!(output.stderr.contains("InvalidLogin") && !output.stderr.contains("thistle"), "{}", output.stderr);
    }
    let before = server.calls("RetrieveServiceContent");
    let (output, _) = collect(&server, server.collect().env("CKWORKER_VSPHERE_PASSWORD", ""));
    assert_eq!((output.code, server.calls("RetrieveServiceContent")), (2, before), "{}", output.stderr);
}

#[test]
fn collector_without_host_is_an_error_that_names_the_option() {
    let output = program::run(&mut command(&["collect", "--collector", "vsphere", "--output", "/dev/null"]));
    assert_eq!(output.code, 4, "{}", output.stderr);
    assert!(output.stderr.contains("--vsphere-host"), "{}", output.stderr);
    assert!(!output.stderr.contains(HOST), "{}", output.stderr);
}
