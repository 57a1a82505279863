//! A volume that wants a snapshot of itself before it is deleted.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};
use worker_proto::Failure;

use super::Task;
use crate::collectors::aws::client::Tree;

/// Between two looks at a snapshot that is being made.
const LOOK: Duration = Duration::from_secs(5);

impl Task {
    /// Makes a snapshot if the node asks for one, and waits until it is complete: without it nothing is deleted.
    pub(super) async fn snapshot_if_wanted(&self) -> Result<(), Failure> {
        if self.subject.reported.get("snapshot_before_delete") != Some(&Value::Bool(true)) {
            return Ok(());
        }
        let snapshot = match self.earlier_snapshot().await? {
            Some(snapshot) => snapshot,
            None => self.new_snapshot().await?,
        };
        loop {
            match self.snapshot_state(&snapshot).await?.as_str() {
                "completed" => return Ok(()),
                "error" => return Err(self.odd(&format!("its snapshot {snapshot} failed, so it is not deleted"))),
                _ if Instant::now() + LOOK >= self.deadline => {
                    return Err(self.odd(&format!("its snapshot {snapshot} is not complete, so it is not deleted")));
                }
                _ => sleep(LOOK).await,
            }
        }
    }

    /// What an earlier attempt at this deletion made.
    async fn earlier_snapshot(&self) -> Result<Option<String>, Failure> {
        let filters = json!([
            { "Name": "volume-id", "Values": [self.subject.id] },
            { "Name": "description", "Values": [self.description()] },
            { "Name": "status", "Values": ["pending", "completed"] },
        ]);
        let input = Map::from_iter([("OwnerIds".to_owned(), json!(["self"])), ("Filters".to_owned(), filters)]);
        let reply = self.call("DescribeSnapshots", input).await.map_err(|error| self.failure(&error))?;
        let tree = reply.tree().map_err(|error| self.failure(&error))?;
        Ok(tree.at("Snapshots[0].SnapshotId").and_then(Tree::text).map(str::to_owned))
    }

    async fn new_snapshot(&self) -> Result<String, Failure> {
        let mut tags = vec![json!({ "Key": "Name", "Value": format!("CK snapshot of {}", self.subject.id) })];
        tags.extend(self.subject.tag("owner").map(|owner| json!({ "Key": "owner", "Value": owner })));
        let input = Map::from_iter([
            ("VolumeId".to_owned(), Value::from(self.subject.id.as_str())),
            ("Description".to_owned(), Value::from(self.description())),
            ("TagSpecifications".to_owned(), json!([{ "ResourceType": "snapshot", "Tags": tags }])),
        ]);
        let reply = self.call("CreateSnapshot", input).await.map_err(|error| self.failure(&error))?;
        let tree = reply.tree().map_err(|error| self.failure(&error))?;
        let id = tree.at("SnapshotId").and_then(Tree::text).map(str::to_owned);
        id.ok_or_else(|| self.odd("the answer to CreateSnapshot names no snapshot"))
    }

    async fn snapshot_state(&self, snapshot: &str) -> Result<String, Failure> {
        let input = Map::from_iter([("SnapshotIds".to_owned(), json!([snapshot]))]);
        let reply = self.call("DescribeSnapshots", input).await.map_err(|error| self.failure(&error))?;
        let tree = reply.tree().map_err(|error| self.failure(&error))?;
        Ok(tree.at("Snapshots[0].State").and_then(Tree::text).unwrap_or("error").to_owned())
    }

    fn description(&self) -> String {
        format!("Cloudkeeper created snapshot for volume {}", self.subject.id)
    }
}
