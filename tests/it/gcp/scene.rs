//! Operations on resources of a local Google API server, as a worker executes them.

use std::{fs, time::Duration};

use ckworker::{
    collector_api::{CollectContext, Collector, ParentNode, Target},
    collectors::gcp::{Gcp, client::TokenSource},
    settings::{Setting, Settings},
};
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;
use worker_proto::{Credentials, Failure, Operation, Outcome, Verb};

use crate::support::{
    gcp::{LocalGcp, Tokens},
    poll::poll,
};

/// The organization in which the Python worker was recorded.
const ORGANIZATION: [&str; 9] =
    ["--seed", "1", "--projects", "3", "--regions", "us-central1", "europe-west1", "--page-size", "20"];

/// The time of an operation that waits for nothing.
pub(super) const SHORT: Duration = Duration::from_secs(6);

/// A server with the organization of the recordings.
pub(super) struct Scene {
    pub(super) server: LocalGcp,
    token: String,
    log: NamedTempFile,
}

/// A call that the server got.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) status: u64,
    pub(super) body: Value,
}

/// Executes an operation at a server.
pub(super) async fn operate_at(
    url: &str,
    token: &str,
    target: &Target,
    verb: Verb,
    limit: Duration,
) -> Result<Outcome, Failure> {
    let mut settings = Settings::default();
    settings.set("gcp-endpoint-url", Setting::Text(url.to_owned()));
    let unit = Gcp.operator(&settings, target)?;
    let credentials = Credentials { secret: token.to_owned(), expires: None };
    let (context, _frames) = CollectContext::recording(settings, Some(credentials));
    let limit_ms = u64::try_from(limit.as_millis()).unwrap();
    let subject = serde_json::to_string(target).unwrap();
    Gcp.operate(&context, &unit, &Operation { id: 1, verb, subject, limit_ms }).await
}

impl Scene {
    pub(super) async fn start() -> Self {
        let log = NamedTempFile::new().unwrap();
        let server = LocalGcp::start(&[&ORGANIZATION[..], &["--log", log.path().to_str().unwrap()]].concat());
        let token = serde_json::to_string(&Tokens::of(&server).token().await.unwrap()).unwrap();
        let scene = Self { server, token, log };
        scene.calls().await;
        scene
    }

    /// Executes an operation that may take this long.
    pub(super) async fn operate_within(
        &self,
        target: &Target,
        verb: Verb,
        limit: Duration,
    ) -> Result<Outcome, Failure> {
        operate_at(self.server.url(), &self.token, target, verb, limit).await
    }

    pub(super) async fn operate(&self, target: &Target, verb: Verb) -> Result<Outcome, Failure> {
        self.operate_within(target, verb, SHORT).await
    }

    /// The target of a recorded node. The Python worker did not know when databases were created.
    pub(super) async fn target(&self, node: &Value) -> Target {
        let mut target = target(node);
        if target.kind == "gcp_database" {
            let created = self.item(&target).await["createTime"].clone();
            target.reported.insert("ctime".into(), created);
        }
        target
    }

    /// The resource of a target, as it is.
    pub(super) async fn item(&self, target: &Target) -> Value {
        self.server.item(target.reported["link"].as_str().unwrap()).await
    }

    /// The routes of the first project.
    pub(super) async fn routes(&self) -> Vec<Value> {
        let url =
            format!("{}/compute.googleapis.com/compute/v1/projects/ck-host-861239/global/routes", self.server.url());
        let token: Value = serde_json::from_str(&self.token).unwrap();
        let request = reqwest::Client::new().get(url).bearer_auth(token["token"].as_str().unwrap());
        let found: Value = request.send().await.unwrap().json().await.unwrap();
        found["items"].as_array().unwrap().clone()
    }

    /// Puts the organization into its first state.
    pub(super) async fn reset(&self) {
        self.server.control("reset").await;
        self.calls().await;
    }

    /// The calls since the last time, without those that wait for operations and those that get tokens. The server writes
    /// a call down after it has responded, so that the log counts once it no longer grows.
    pub(super) async fn calls(&self) -> Vec<Call> {
        let mut known = None;
        let settled = poll(async || {
            let text = fs::read_to_string(self.log.path()).unwrap();
            let before = known.replace(text.clone());
            (before.as_ref() == Some(&text)).then_some(text)
        });
        let text = settled.await.unwrap();
        self.log.as_file().set_len(0).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines = lines.filter(|line| {
            let operation = line["op"].as_str().unwrap();
            operation != "token" && !operation.to_lowercase().contains("operations.")
        });
        let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let call = |line: Value| Call {
            method: text(&line, "method"),
            path: text(&line, "path"),
            query: text(&line, "query"),
            status: line["status"].as_u64().unwrap(),
            body: serde_json::from_str(&text(&line, "body")).unwrap_or_default(),
        };
        lines.map(call).collect()
    }
}

/// The target of a recorded node, in the project of its link.
pub(super) fn target(node: &Value) -> Target {
    let text = |field: &str| node[field].as_str().unwrap_or_default().to_owned();
    let link = text("link");
    let project = link.split("/projects/").nth(1).and_then(|rest| rest.split('/').next());
    let project = project.unwrap_or("ck-host-861239");
    Target {
        kind: text("kind"),
        id: text("id"),
        name: text("name"),
        reported: node.as_object().unwrap().clone(),
        cloud: "gcp".into(),
        account: ParentNode { id: project.into(), name: None, reported: Map::new() },
        region: None,
    }
}

/// The recorded cases in this file, by kind and place.
pub(super) fn recorded(text: &str) -> Map<String, Value> {
    let cases: Value = serde_json::from_str(text).unwrap();
    cases.as_object().unwrap().clone()
}

/// Why a kind cannot be changed at all: the cloud makes it, or it is a location.
pub(super) fn is_unchangeable(kind: &str) -> bool {
    let made = ["project", "region", "zone", "quota", "disk_type", "machine_type", "service", "service_sku"];
    kind.strip_prefix("gcp_").is_some_and(|kind| made.contains(&kind))
}

/// A label to set.
pub(super) fn set(key: &str, value: &str) -> Verb {
    Verb::UpdateTag { key: key.into(), value: value.into() }
}

/// A label to remove.
pub(super) fn remove(key: &str) -> Verb {
    Verb::DeleteTag { key: key.into() }
}

/// The outcome of a change of labels after which they have this fingerprint.
pub(super) fn fingerprint(item: &Value) -> Outcome {
    Outcome::Changed(vec![("label_fingerprint".into(), item["labelFingerprint"].as_str().unwrap().into())])
}

/// The labels of a resource; those of a database are in its settings.
pub(super) fn labels(item: &Value) -> Value {
    let found = [&item["labels"], &item["settings"]["userLabels"]].into_iter().find(|labels| labels.is_object());
    found.cloned().unwrap_or(json!({}))
}
