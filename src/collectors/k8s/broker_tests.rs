//! Tokens that are read again, plugins that run again, and what is handed out.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn unit(name: &str) -> Unit {
    Unit { id: name.into(), label: name.into(), kind: "cluster".into(), parts: 0, payload: String::new() }
}

fn broker(config: &Path, contexts: &[&str]) -> KubernetesBroker {
    let contexts = contexts.iter().map(|name| (*name).to_owned()).collect();
    let options = Options { config: Some(config.to_owned()), contexts, ..Options::default() };
    KubernetesBroker::new(options, Environment::default())
}

fn access(credentials: &Credentials) -> Access {
    serde_json::from_str(&credentials.secret).unwrap()
}

fn token(access: &Access) -> &str {
    if let Login::Token(token) = &access.login { token } else { "" }
}

/// A kubeconfig with one context `a`, whose user is given in YAML.
fn config(folder: &Path, user: &str) -> PathBuf {
    let file = folder.join("config");
    let text = format!(
        "contexts: [{{name: a, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: 'https://api/'}}}}]\nusers:\n- name: u\n  user: {user}\n"
    );
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn token_file_is_read_again_and_last_token_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let broker = broker(&config(folder.path(), "{tokenFile: token}"), &["a"]);
    let failure = broker.credentials(Some(&unit("a"))).await.unwrap_err();
    assert!(failure.kind == FailureKind::Credentials && failure.message.contains("token"), "{failure:?}");
    for (written, expected) in [(Some("one\n"), "one"), (Some("two"), "two"), (Some(""), "two"), (None, "two")] {
        match written {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let issued = broker.credentials(Some(&unit("a"))).await.unwrap();
        assert_eq!((token(&access(&issued)), access(&issued).route.server.as_str()), (expected, "https://api"));
        // A worker asks again when less than five minutes are left, at most once a minute.
        let left = issued.expires.unwrap() - unix_time();
        assert!((60..300).contains(&left), "{left}");
    }
}

#[tokio::test]
async fn plugin_runs_again_before_its_credentials_expire() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("plugin");
    let script = r#"#!/bin/sh
echo run >> "$RUNS"; n=$(wc -l < "$RUNS")
echo "{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"t$n\",\
\"expirationTimestamp\":\"$END\"}}"
"#;
    std::fs::write(&plugin, script).unwrap();
    std::os::unix::fs::symlink("/bin/sh", folder.path().join("sh")).unwrap();
    let user = |end: &str| {
        let runs = folder.path().join("runs").display().to_string();
        format!(
            "{{exec: {{command: ./sh, args: ['{}'], env: [{{name: RUNS, value: '{runs}'}}, {{name: END, value: '{end}'}}]}}}}",
            plugin.display()
        )
    };
    let broker = broker(&config(folder.path(), &user("2999-01-01T00:00:00Z")), &["a"]);
    let issued = async |is_renewal| broker.issue(Some(&unit("a")), is_renewal).await.unwrap();
    let first = issued(false).await;
    assert_eq!((token(&access(&first)), first.expires), ("t1", Some(32_472_144_000)));
    assert_eq!(token(&access(&issued(false).await)), "t1");
    assert_eq!(token(&access(&issued(true).await)), "t2", "the cluster has rejected the first one");
    // Another configuration is another plugin.
    config(folder.path(), &user("2000-01-01T00:00:00Z"));
    assert_eq!(token(&access(&issued(false).await)), "t3");
    assert_eq!(token(&access(&issued(false).await)), "t4", "it has expired");
}

#[tokio::test]
async fn certificates_are_decoded_and_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let user = "{client-certificate-data: YQ==, client-key-data: Yg==}";
    let issued = broker(&config(folder.path(), user), &["a"]).credentials(Some(&unit("a"))).await.unwrap();
    assert_eq!(access(&issued).route.identity, Some(("a".into(), "b".into())));
    assert_eq!(issued.expires, None);
    for (user, expected) in [
        ("{client-certificate-data: YQ==}", "belong together"),
        ("{client-certificate-data: '!', client-key-data: Yg==}", "no PEM in base64"),
        ("{client-certificate: none.crt, client-key: none.key}", "none.crt"),
    ] {
        let failure = broker(&config(folder.path(), user), &["a"]).credentials(Some(&unit("a"))).await.unwrap_err();
        assert!(failure.message.contains(expected), "{failure:?}");
    }
}

#[tokio::test]
async fn plan_gets_names_and_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(&config(folder.path(), "{token: hunter2}"), &["a"]);
    let issued = broker.credentials(None).await.unwrap();
    assert_eq!(issued.secret, r#"{"clusters":["a"],"is_whole":true}"#);
    let failure = broker.credentials(Some(&unit("b"))).await.unwrap_err();
    assert!(failure.message.contains("cluster b is not configured"), "{failure:?}");
}
