//! Kubeconfig files: merging, what is refused, and mistakes.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const FIRST: &str = "
apiVersion: v1
kind: Config
current-context: prod
clusters:
- name: c1
  cluster: {server: 'https://one:6443', certificate-authority: ca.crt}
- {name: shared, cluster: {server: 'https://first', tls-server-name: api, insecure-skip-tls-verify: true}}
users:
- name: u1
  user:
    tokenFile: /run/token
    client-certificate: certs/me.crt
- name: old
  user: {auth-provider: {name: gcp}}
- name: other
  user: {as: someone}
- name: asks
  user: {exec: {command: login, interactiveMode: Always}}
contexts:
- name: prod
  context: {cluster: c1, user: u1, namespace: shop}
- {name: old, context: {cluster: c1, user: old}}
- {name: other, context: {cluster: c1, user: other}}
- {name: asks, context: {cluster: c1, user: asks}}
- {name: lost, context: {cluster: nowhere, user: u1}}
";

const SECOND: &str = "
clusters: [{name: shared, cluster: {server: 'https://second'}}]
users:
- name: plugin
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login, args: [a], env: [{name: A, value: b}]}
contexts: [{name: both, context: {cluster: shared, user: plugin}}, {name: prod, context: {cluster: shared}}]
current-context: both
";

fn files(texts: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..texts.len()).map(|number| folder.path().join(format!("config{number}"))).collect();
    texts.iter().zip(&paths).for_each(|(text, path)| std::fs::write(path, text).unwrap());
    (folder, paths)
}

#[test]
fn first_file_with_a_name_wins() {
    let (folder, mut paths) = files(&[FIRST, SECOND]);
    paths.insert(0, folder.path().join("none"));
    let config = Kubeconfig::read(&paths, false).unwrap().unwrap();
    assert_eq!(config.current_context.as_deref(), Some("prod"));
    assert_eq!(config.contexts(), ["asks", "both", "lost", "old", "other", "prod"]);
    let (cluster, user) = config.context("prod").unwrap();
    assert_eq!(cluster.certificate_authority, Some(folder.path().join("ca.crt")));
    assert_eq!(user.token_file, Some("/run/token".into()));
    assert_eq!(user.client_certificate, Some(folder.path().join("certs/me.crt")));
    let (cluster, user) = config.context("both").unwrap();
    assert_eq!((cluster.server.as_deref(), cluster.tls_server_name.as_deref()), (Some("https://first"), Some("api")));
    assert_eq!((user.exec.unwrap().command.as_str(), user.folder.as_path()), ("./login", folder.path()));
    assert!(Kubeconfig::read(&paths, true).is_err_and(|error| error.contains("none")));
    assert!(Kubeconfig::read(&[folder.path().join("none")], false).unwrap().is_none());
}

#[test]
fn unusable_contexts_are_refused_by_name() {
    let (_folder, paths) = files(&[FIRST]);
    let config = Kubeconfig::read(&paths, true).unwrap().unwrap();
    for (context, expected) in [
        ("none", "no context none; expected one of: asks, lost, old, other, prod"),
        ("old", "auth-provider"),
        ("other", "(as)"),
        ("asks", "terminal"),
        ("lost", "no cluster nowhere"),
    ] {
        let error = config.context(context).err().unwrap();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn malformed_file_is_named_without_its_content() {
    let (_folder, paths) = files(&["users:\n- name: a\n  user: {token: [hunter2]}\n"]);
    let error = Kubeconfig::read(&paths, true).err().unwrap();
    assert!(error.contains("config0") && error.contains("line 3") && !error.contains("hunter2"), "{error}");
    let (_folder, paths) = files(&["", "{\"clusters\": null, \"contexts\": []}"]);
    assert!(Kubeconfig::read(&paths, true).unwrap().unwrap().contexts().is_empty());
}
