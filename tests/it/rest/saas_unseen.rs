//! Not seen is not gone: what a fault of Slack, OneLogin or GitHub hides stays in both cores, and the answer names it.

use crate::support::{both::Cores, saas::LocalSaas};

/// Collects under faults, and fails unless both cores keep everything and learn of it.
async fn core4_keeps_what_faults_hide(
    collector: &'static str,
    (seed, options): (u32, &[&str]),
    mut server: LocalSaas,
    faults: &[(&str, &str)],
) {
    let cores = Cores::start().await;
    let forks = ["--fork".to_owned(), format!("--{collector}-fork")];
    let daemons =
        cores.daemons(&|command| server.serve(command, collector).args(&forks).args(["--timeout", "60"]).args(options));
    cores.collect(&daemons).await;
    let truth = cores.graphs().await;
    assert!(truth.iter().all(|graph| graph.nodes.len() > 5), "{}", daemons.logs());
    for (fault, named) in faults {
        server = server.with(seed, &[fault]).await;
        for (kind, error) in cores.collect(&daemons).await {
            let logs = daemons.logs();
            let is_named = error.contains(named) || logs.matches(&format!("code={named}")).count() == 2;
            assert!(kind == "action_error" && is_named, "{fault}: {kind} {error}: {logs}");
        }
        for (core, (truth, graph)) in ["2.0", "4.1"].iter().zip(truth.iter().zip(cores.graphs().await)) {
            truth.assert_same(&graph, &format!("{fault}, core {core}"));
        }
    }
    cores.stop(daemons).await;
}

#[tokio::test]
async fn core2_and_core4_keep_what_faults_of_slack_hide() {
    let faults = [
        ("conversations.list=missing_scope", "missing_scope"),
        ("users.list=missing_scope", "missing_scope"),
        ("usergroups.list=no_permission", "no_permission"),
        ("conversations.members=missing_scope", "missing_scope"),
        ("users.list=ratelimited", "ratelimited"),
        ("team.info=invalid_auth", "invalid_auth"),
        ("conversations.list=503", "status"),
    ];
    core4_keeps_what_faults_hide("slack", (0, &[]), LocalSaas::start(0, &[]).await, &faults).await;
}

#[tokio::test]
async fn core2_and_core4_keep_what_faults_of_onelogin_hide() {
    let faults = [("users=403", "403"), ("users=429", "429"), ("users=401", "401"), ("users=503", "503")];
    core4_keeps_what_faults_hide("onelogin", (1, &[]), LocalSaas::start(1, &[]).await, &faults).await;
}

#[tokio::test]
async fn core2_and_core4_keep_what_faults_of_github_hide() {
    let options =
        ["--github-repo", "org0/*", "org1/shared-name", "--github-org", "org0", "org1", "--github-user", "user0"];
    let faults = [
        ("/orgs/org0=404", "404"),
        ("/users/user0=403", "403"),
        ("/repos/org1/shared-name=451", "451"),
        ("/orgs/org0/repos=503", "503"),
        ("/orgs/org1=drop", "ConnectionLost"),
    ];
    core4_keeps_what_faults_hide("github", (1, &options), LocalSaas::github(&["--seed", "1"]).await, &faults).await;
}
