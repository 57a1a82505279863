//! Small graphs, and their delivery to the test core.

use std::{io, sync::Arc};

use bytes::Bytes;
use ckworker::{
    ckcore::{CoreApi, MergeReport},
    delivery::{Body, Chunks, UploadError, upload},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::core::HANG_GUARD;

/// A body in memory.
#[derive(Clone)]
pub struct Lines {
    /// Its lines: nodes, then edges.
    pub lines: Vec<String>,
    /// How many of them are edges.
    pub edges: u64,
    /// After so many pieces the body ends with an error.
    pub fail_after: Option<usize>,
}

impl Body for Lines {
    fn nodes(&self) -> u64 {
        self.lines.len() as u64 - self.edges
    }

    fn edges(&self) -> u64 {
        self.edges
    }

    fn chunks(&self) -> Chunks<'_> {
        let whole = self.lines.iter().map(|line| Ok(Bytes::from(format!("{line}\n"))));
        match self.fail_after {
            None => Box::new(whole),
            Some(count) => Box::new(whole.take(count).chain([Err(io::Error::other("the disk is gone"))])),
        }
    }
}

/// A cloud with these accounts, each with a resource below it.
pub fn cloud(accounts: &[&str]) -> Lines {
    let node = |id: &str, kind: &str, more: Value| {
        let mut line =
            json!({"id": id, "reported": {"kind": kind, "id": id, "name": id}, "metadata": {"cleaned": false}});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string()
    };
    let edge = |from: &str, to: &str| json!({"from": from, "to": to}).to_string();
    let mut lines = vec![node("r", "graph_root", json!({})), node("c", "cloud", json!({"replace": true}))];
    lines.extend(
        accounts.iter().flat_map(|a| [node(a, "test_account", json!({})), node(&format!("{a}-t"), "thing", json!({}))]),
    );
    let edges: Vec<_> = [edge("r", "c")]
        .into_iter()
        .chain(accounts.iter().flat_map(|a| [edge("c", a), edge(a, &format!("{a}-t"))]))
        .collect();
    let count = edges.len() as u64;
    lines.extend(edges);
    Lines { lines, edges: count, fail_after: None }
}

/// The kinds of these graphs.
pub fn model() -> Vec<u8> {
    let property = |name: &str, required: bool| json!({"name": name, "kind": "string", "required": required});
    let kind = |fqn: &str, bases: &[&str]| json!({"fqn": fqn, "bases": bases, "properties": []});
    let resource =
        json!({"fqn": "resource", "bases": [], "properties": [property("id", true), property("name", false)]});
    let root = json!({"fqn": "graph_root", "bases": ["resource"], "properties": []});
    json!([
        resource,
        root,
        kind("cloud", &["resource"]),
        kind("account", &["resource"]),
        kind("test_account", &["account"]),
        kind("thing", &["resource"])
    ])
    .to_string()
    .into_bytes()
}

/// Delivers a body with the model of the tests.
pub async fn deliver(api: &CoreApi, body: Lines) -> Result<MergeReport, UploadError> {
    let deadline = std::time::Instant::now() + HANG_GUARD;
    timeout(HANG_GUARD, upload(api, Arc::new(body), model(), deadline)).await.expect("upload ends")
}
