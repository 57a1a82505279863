//! The ways to name a cluster and to log in, with the built program.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    collect::{FIRST, GOLDEN, collect},
    graph::Graph,
};
use crate::support::{
    k8s::LocalK8s,
    program::{self, Output, command},
};

/// The kubeconfig of a server, as JSON.
fn config(server: &LocalK8s) -> Value {
    serde_json::from_str(&fs::read_to_string(server.folder().join("config")).unwrap()).unwrap()
}

/// Writes another kubeconfig, whose current context is `other`, with this cluster and this user.
fn write(server: &LocalK8s, cluster: &Value, user: &Value) -> PathBuf {
    let file = server.folder().join("other");
    let config = json!({
        "current-context": "other",
        "contexts": [{"name": "other", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    });
    fs::write(&file, config.to_string()).unwrap();
    file
}

/// Collects with these arguments alone, and returns the output and the graph.
fn run(arguments: &[&str], config: Option<&Path>) -> (Output, Graph) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("graph.ndjson");
    let mut command = command(&["collect", "--collector", "k8s", "--output", file.to_str().unwrap()]);
    command.env_remove("KUBECONFIG").env("HOME", home.path()).args(["--fork", "--k8s-fork"]).args(FIRST);
    if let Some(config) = config {
        command.env("KUBECONFIG", config);
    }
    let output = program::run(command.args(arguments));
    (output, Graph::read(&fs::read_to_string(file).unwrap_or_default()))
}

#[test]
fn listed_cluster_needs_no_kubeconfig() {
    let server = LocalK8s::start(&[]);
    let url = config(&server)["clusters"][0]["cluster"]["server"].as_str().unwrap().to_owned();
    let token = fs::read_to_string(server.folder().join("serviceaccount/token")).unwrap();
    let ca = server.folder().join("ca.crt");
    let listed = ["--k8s-cluster", "token", "--k8s-apiserver", &url, "--k8s-token", &token, "--k8s-cacert"];
    let (output, graph) = run(&[&listed[..], &[ca.to_str().unwrap()]].concat(), None);
    assert_eq!(output.code, 0, "{}", output.stderr);
    // The same name, so the same nodes.
    let (nodes, _) = graph.beyond(&Graph::read(GOLDEN));
    assert!(nodes.is_empty() && !output.stderr.contains(&token), "{nodes:?}");
    let (output, _) = run(&["--k8s-cluster", "token", "--k8s-apiserver", &url], None);
    assert!(output.code == 2 && output.stderr.contains("same number"), "{}", output.stderr);
    let (output, _) = run(&["--k8s-cluster", "here"], None);
    assert!(output.code == 4 && output.stderr.contains("no pod"), "{}", output.stderr);
    let (output, _) = run(&[], None);
    assert!(output.code == 4 && output.stderr.contains("no Kubernetes cluster is configured"), "{}", output.stderr);
}

#[test]
fn endpoint_url_replaces_address_of_cluster() {
    let server = LocalK8s::start(&[]);
    let url = config(&server)["clusters"][0]["cluster"]["server"].as_str().unwrap().to_owned();
    let arguments = ["--k8s-context", "nowhere", "--k8s-endpoint-url", &url];
    let (output, graph) = collect(&server, &[&arguments[..], &FIRST].concat());
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(Graph::read(&graph).kinds(), Graph::read(GOLDEN).kinds());
}

#[test]
fn server_may_have_another_name_in_its_certificate() {
    let server = LocalK8s::start(&[]);
    let config = config(&server);
    let (mut cluster, user) = (config["clusters"][0]["cluster"].clone(), &config["users"][0]["user"]);
    for (name, code) in [("kubernetes.default.svc", 0), ("another.example", 4)] {
        cluster["tls-server-name"] = name.into();
        let (output, _) = run(&[], Some(&write(&server, &cluster, user)));
        assert_eq!(output.code, code, "{name}: {}", output.stderr);
    }
    cluster["insecure-skip-tls-verify"] = true.into();
    cluster.as_object_mut().unwrap().remove("tls-server-name");
    cluster.as_object_mut().unwrap().remove("certificate-authority-data");
    let (output, _) = run(&[], Some(&write(&server, &cluster, user)));
    assert_eq!(output.code, 0, "{}", output.stderr);
}

#[test]
fn rejected_token_of_plugin_is_renewed_once() {
    let server = LocalK8s::start(&[]);
    let plugin = server.folder().join("changing");
    let token = fs::read_to_string(server.folder().join("serviceaccount/token")).unwrap();
    let runs = server.folder().join("runs");
    // The first token is rejected. Secrets of ckworker do not reach the program.
    let script = format!(
        "#!/bin/sh\necho \"$CKWORKER_K8S_TOKEN$MARK\" >> {runs}\n[ $(wc -l < {runs}) = 1 ] && t=old || t={token}\n\
         echo '{{\"apiVersion\":\"client.authentication.k8s.io/v1beta1\",\"kind\":\"ExecCredential\",\"status\":{{\"token\":\"'$t'\"}}}}'\n",
        runs = runs.display()
    );
    fs::write(&plugin, script).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o700)).unwrap();
    let user = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "./changing",
        "env": [{"name": "MARK", "value": "marked"}]}});
    let file = write(&server, &config(&server)["clusters"][0]["cluster"], &user);
    let (output, graph) = run(&[], Some(&file));
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(graph.kinds(), Graph::read(GOLDEN).kinds());
    assert_eq!(fs::read_to_string(&runs).unwrap(), "marked\nmarked\n", "it runs twice");
}
