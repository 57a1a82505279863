//! Exec plugins: programs that print credentials, such as `aws eks get-token`. They run in the supervisor's process.

use std::{path::Path, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use worker_proto::{Failure, FailureKind};

use super::kubeconfig::{Cluster, Exec};
use crate::process::helper::Helper;

/// The versions of the output, the newest first.
const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// The variable that tells a plugin what is asked for.
const INFO: &str = "KUBERNETES_EXEC_INFO";

/// The time that a plugin may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What a plugin printed. There is no `Debug`: it holds secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Issued {
    /// The token.
    pub(super) token: Option<String>,
    /// The client's certificate and its key, as PEM.
    pub(super) identity: Option<(String, String)>,
    /// When they expire, in seconds since 1970.
    pub(super) expires: Option<i64>,
}

/// The output of a plugin.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    api_version: String,
    kind: String,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs a plugin of a context.
///
/// # Errors
/// `Configuration` if it cannot be used, `Unavailable` if it failed, `Credentials` if it printed none.
pub(super) async fn run(context: &str, exec: &Exec, cluster: &Cluster, folder: &Path) -> Result<Issued, Failure> {
    let failure =
        |kind, why: String| Failure { kind, message: format!("exec plugin of Kubernetes context {context}: {why}") };
    let version = exec.api_version.as_deref().unwrap_or(VERSIONS[0]);
    if !VERSIONS.contains(&version) {
        let why = format!("its apiVersion {version} is not supported; use {}", VERSIONS[0]);
        return Err(failure(FailureKind::Configuration, why));
    }
    if exec.command.is_empty() {
        return Err(failure(FailureKind::Configuration, "it has no command".to_owned()));
    }
    // A path is relative to the file, a name is searched for.
    let is_path = exec.command.contains('/');
    let program = if is_path { folder.join(&exec.command) } else { exec.command.clone().into() };
    let given = exec.env.iter().flatten().map(|one| ((&one.name).into(), (&one.value).into()));
    let info = info(version, exec, cluster).to_string();
    let helper = Helper {
        program,
        arguments: exec.args.iter().flatten().map(Into::into).collect(),
        variables: given.chain([(INFO.into(), info.into())]).collect(),
        limit: LIMIT,
    };
    let output = helper.run().await.map_err(|error| {
        let hint = exec.install_hint.as_deref().filter(|_| !error.is_transient()).unwrap_or_default();
        let hint = hint.split_whitespace().take(60).collect::<Vec<_>>().join(" ");
        let remedy = match (error.is_transient(), hint.is_empty()) {
            (true, _) => String::new(),
            (false, true) => "; install the program where ckworker runs, or use a token or a certificate".to_owned(),
            (false, false) => format!("; {hint}"),
        };
        let kind = if error.is_transient() { FailureKind::Unavailable } else { FailureKind::Configuration };
        failure(kind, format!("{error}{remedy}"))
    })?;
    parse(&output, version).map_err(|why| failure(FailureKind::Credentials, why.to_owned()))
}

/// Returns what a plugin is told.
fn info(version: &str, exec: &Exec, cluster: &Cluster) -> Value {
    let mut spec = json!({ "interactive": false });
    if exec.provide_cluster_info == Some(true) {
        spec["cluster"] = serde_json::to_value(cluster).unwrap_or_default();
    }
    json!({ "apiVersion": version, "kind": "ExecCredential", "spec": spec })
}

/// Parses the output of a plugin.
///
/// # Errors
/// What is wrong, without the output.
fn parse(output: &[u8], version: &str) -> Result<Issued, &'static str> {
    let read: Credential =
        serde_json::from_slice(output).map_err(|_| "its output is no ExecCredential; run it by hand")?;
    if read.kind != "ExecCredential" || read.api_version != version {
        return Err("its output has another kind or apiVersion than the kubeconfig");
    }
    let Status { expiration_timestamp, token, client_certificate_data, client_key_data } =
        read.status.unwrap_or_default();
    let expires = match expiration_timestamp {
        None => None,
        Some(text) => {
            let time = OffsetDateTime::parse(&text, &Rfc3339);
            Some(time.map_err(|_| "its expirationTimestamp is no point in time")?.unix_timestamp())
        }
    };
    let token = token.filter(|token| !token.is_empty());
    let identity = client_certificate_data.zip(client_key_data);
    match token.is_none() && identity.is_none() {
        true => Err("it printed neither a token nor a certificate with its key; log in with its own tool"),
        false => Ok(Issued { token, identity, expires }),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn exec(script: &str) -> Exec {
        let args = Some(vec!["-c".to_owned(), script.to_owned()]);
        Exec { command: "/bin/sh".into(), args, provide_cluster_info: Some(true), ..Exec::default() }
    }

    async fn issued(script: &str) -> Result<Issued, Failure> {
        let cluster = Cluster { server: Some("https://api".into()), ..Cluster::default() };
        run("prod", &exec(script), &cluster, Path::new("/")).await
    }

    #[tokio::test]
    async fn token_and_expiry_are_read() {
        let script = r#"case "$KUBERNETES_EXEC_INFO" in *https://api*) ;; *) exit 1;; esac
            echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",
            "status":{"token":"t","expirationTimestamp":"2026-01-01T00:00:00Z"}}'"#;
        let found = issued(script).await.ok().unwrap();
        assert_eq!((found.token.as_deref(), found.expires), (Some("t"), Some(1_767_225_600)));
    }

    #[tokio::test]
    async fn failures_name_context_and_remedy() {
        for (script, kind, expected) in [
            ("echo expired >&2; exit 1", FailureKind::Unavailable, "prod: /bin/sh failed (exit code 1): expired"),
            ("echo hunter2", FailureKind::Credentials, "no ExecCredential"),
            (
                "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{}}'",
                FailureKind::Credentials,
                "neither a token nor a certificate",
            ),
        ] {
            let failure = issued(script).await.err().unwrap();
            assert!(failure.kind == kind && failure.message.contains(expected), "{failure:?}");
            assert!(!failure.message.contains("hunter2"), "{failure:?}");
        }
        let absent = Exec { command: "/no/such/plugin".into(), ..Exec::default() };
        let failure = run("prod", &absent, &Cluster::default(), Path::new("/")).await.err().unwrap();
        assert!(failure.kind == FailureKind::Configuration && failure.message.contains("install"), "{failure:?}");
        let old = Exec { api_version: Some("client.authentication.k8s.io/v1alpha1".into()), ..exec("") };
        let failure = run("prod", &old, &Cluster::default(), Path::new("/")).await.err().unwrap();
        assert!(failure.message.contains("v1alpha1 is not supported"), "{failure:?}");
    }
}
