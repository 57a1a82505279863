//! A project that is emptied by one cleanup: a real daemon, a test core, and a local Google API server.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::scene::Scene;
use crate::support::{
    core::{StoredNode, TestCore, in_task},
    daemon::{Daemon, have},
};

const PSK: &str = "geheim";
const PROJECT: &str = "ck-host-861239";

/// A daemon that has collected the organization, and a core that has it.
struct Stage {
    scene: Scene,
    core: TestCore,
    daemon: Daemon,
    _files: TempDir,
}

impl Stage {
    async fn start(more: &[&str]) -> Self {
        let scene = Scene::start().await;
        let core = TestCore::start(Some(PSK)).await;
        let files = tempfile::tempdir().unwrap();
        let key = files.path().join("user.json");
        let token_uri = format!("{}/oauth2.googleapis.com/token", scene.server.url());
        let user = json!({ "type": "authorized_user", "client_id": "c", "client_secret": "s",
            "refresh_token": "1//refresh", "token_uri": token_uri });
        fs::write(&key, user.to_string()).unwrap();
        let daemon = Daemon::start(&core, |command: &mut Command| {
            command.env("CKWORKER_PSK", PSK).args(["--collector", "gcp", "--gcp-service-account"]).arg(&key);
            command.args(["--gcp-endpoint-url", scene.server.url()]).args(more)
        });
        assert_eq!(have(&core, "collect").await, done(), "{}", daemon.log());
        scene.calls().await;
        Self { scene, core, daemon, _files: files }
    }

    /// The nodes of the project, without its locations and what is no resource.
    fn resources(&self) -> Vec<(String, StoredNode)> {
        let is_resource = |node: &StoredNode| {
            let account = &node.metadata["ancestors"]["account"]["id"];
            let kind = node.reported["kind"].as_str().unwrap();
            account == PROJECT
                && node.metadata["phantom"] != json!(true)
                && !["gcp_project", "gcp_region", "gcp_zone"].contains(&kind)
        };
        self.core.nodes("ck").into_iter().filter(|(_, node)| is_resource(node)).collect()
    }

    async fn stop(self) {
        let (output, log) = self.daemon.stop().await;
        assert_eq!(output.code, 0, "{log}");
    }
}

fn done() -> (String, String) {
    ("action_done".into(), String::new())
}

fn link(node: &StoredNode) -> &str {
    node.reported["link"].as_str().unwrap()
}

/// The links in a resource of a local server that keep others from being deleted.
fn used(item: &Value) -> BTreeSet<String> {
    let members = |list: &str, members: &[&str]| -> Vec<String> {
        let items = item[list].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .flat_map(|item| members.iter().filter_map(|name| item[*name].as_str().map(str::to_owned)))
            .collect()
    };
    members("networkInterfaces", &["network", "subnetwork"]).into_iter().chain(members("disks", &["source"])).collect()
}

#[tokio::test]
async fn project_is_emptied_in_order_by_one_cleanup() {
    let stage = Stage::start(&["--cleanup"]).await;
    let resources = stage.resources();
    assert!(resources.len() > 150, "{}", resources.len());
    // Google deletes no protected instance, so that what it uses stays too.
    let mut kept = BTreeSet::new();
    for (_, node) in resources.iter().filter(|(_, node)| node.reported["kind"] == "gcp_instance") {
        let item = stage.scene.server.item(link(node)).await;
        if item["deletionProtection"] == json!(true) {
            kept.extend(used(&item));
            kept.insert(link(node).to_owned());
        }
    }
    assert!(!kept.is_empty());
    let marked: Vec<_> = resources.iter().filter(|(_, node)| !kept.contains(link(node))).collect();
    stage.core.mark("ck", &marked.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>());
    assert_eq!(have(&stage.core, "cleanup").await, done(), "{}", stage.daemon.log());

    let calls = stage.scene.calls().await;
    let refused: Vec<_> = calls.iter().filter(|call| call.status == 400 || call.status == 412).collect();
    assert!(refused.is_empty(), "nothing is deleted before what uses it: {refused:?}");
    let nodes = stage.core.nodes("ck");
    let mut reasons = BTreeSet::new();
    for (id, node) in &marked {
        let metadata = &nodes[id].metadata;
        if metadata["cleaned"] == json!(true) {
            assert_eq!(stage.scene.server.item(link(node)).await, Value::Null, "{}", link(node));
            continue;
        }
        let log = metadata["event_log"].as_array().unwrap();
        let reason = log.last().unwrap()["msg"].as_str().unwrap();
        let reason = reason.rsplit(": ").next().unwrap();
        reasons.insert((node.reported["kind"].as_str().unwrap().to_owned(), reason.to_owned()));
    }
    let expected = [
        ("gcp_instance_group", "it belongs to a regional group manager, with which it is deleted"),
        ("gcp_route", "it is a local route, which goes with its subnetwork"),
    ];
    assert_eq!(reasons, expected.map(|(kind, reason)| (kind.to_owned(), reason.to_owned())).into());
    stage.stop().await;
}

#[tokio::test]
async fn label_task_reports_the_new_fingerprint() {
    let stage = Stage::start(&[]).await;
    let (id, node) = stage.resources().into_iter().find(|(_, node)| node.reported["kind"] == "gcp_instance").unwrap();
    let data = json!({ "update": { "owner": "bob" }, "node": in_task(&id, &node) });
    stage.core.add_task("tag", &[("cloud", "gcp")], data);
    let work = stage.core.task_over("tag").await;
    let reported = work.outcome.unwrap().unwrap()["reported"].clone();
    let item = stage.scene.server.item(link(&node)).await;
    assert_eq!((&reported["tags"]["owner"], &item["labels"]["owner"]), (&json!("bob"), &json!("bob")));
    assert_eq!(reported["label_fingerprint"], item["labelFingerprint"]);
    assert_ne!(reported["label_fingerprint"], node.reported["label_fingerprint"]);
    stage.stop().await;
}
