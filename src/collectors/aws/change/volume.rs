//! A volume that wants a snapshot of itself before it is deleted.
//!
//! The snapshot has to hold all that was ever written. So it is made when nothing can write any more, and an earlier one
//! is taken for it only if this deletion may have made it itself before it was interrupted.

use std::time::Duration;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::time::sleep;
use worker_proto::Failure;

use super::{Change, delete::conflict_pauses};
use crate::collectors::aws::client::{CallError, Tree};

/// Between two looks at a snapshot that is being made.
const LOOK: Duration = Duration::from_secs(5);
/// How old a snapshot of an earlier attempt may be: one deletion takes no longer. What was written since an older one is
/// in none.
const REUSABLE: time::Duration = time::Duration::hours(1);
/// How far the clock of AWS may be ahead; requests are refused beyond.
const SKEW: time::Duration = time::Duration::minutes(5);

impl Change {
    /// Makes a snapshot if the node asks for one, and waits until it is complete: without it nothing is deleted.
    pub(super) async fn snapshot_if_wanted(&self) -> Result<(), Failure> {
        if self.target.reported.get("snapshot_before_delete") != Some(&Value::Bool(true)) || !self.at_rest().await? {
            return Ok(());
        }
        let snapshot = match self.earlier_snapshot().await? {
            Some(snapshot) => snapshot,
            None => self.new_snapshot().await?,
        };
        loop {
            let state = match self.first_text("DescribeSnapshots", "SnapshotIds", &snapshot, "Snapshots[0].State").await
            {
                Ok(state) => state.unwrap_or_else(|| "error".to_owned()),
                Err(error) if error.kind.is_transient() => error.to_string(),
                Err(error) => return Err(self.failure(&error)),
            };
            match state.as_str() {
                "completed" => return Ok(()),
                "error" => return Err(self.failed(&format!("its snapshot {snapshot} failed, so it is not deleted"))),
                _ if !self.has_time_for(LOOK) => {
                    let why = format!("its snapshot {snapshot} is not complete ({state}), so it is not deleted");
                    return Err(self.failed(&why));
                }
                _ => sleep(LOOK).await,
            }
        }
    }

    /// Waits until nothing can write to the volume, and says whether it is there. One in use could not be deleted anyway,
    /// and each attempt would leave a snapshot.
    async fn at_rest(&self) -> Result<bool, Failure> {
        let mut pauses = conflict_pauses();
        loop {
            let state = match self.first_text("DescribeVolumes", "VolumeIds", &self.target.id, "Volumes[0].State").await
            {
                Ok(state) => state,
                Err(error) if error.means_deleted() => None,
                Err(error) => return Err(self.failure(&error)),
            };
            let Some(state) = state.filter(|state| !matches!(state.as_str(), "deleting" | "deleted")) else {
                return Ok(false);
            };
            if state != "in-use" && state != "creating" {
                return Ok(true);
            }
            let Some(pause) = pauses.next().filter(|pause| self.has_time_for(*pause)) else {
                return Err(self.failed(&format!("it is {state}, so there is neither a snapshot nor a deletion")));
            };
            sleep(pause).await;
        }
    }

    /// What an earlier attempt at this deletion made.
    async fn earlier_snapshot(&self) -> Result<Option<String>, Failure> {
        let filters = json!([
            { "Name": "volume-id", "Values": [self.target.id] },
            { "Name": "description", "Values": [self.description()] },
            { "Name": "status", "Values": ["pending", "completed"] },
        ]);
        let input = Map::from_iter([("OwnerIds".to_owned(), json!(["self"])), ("Filters".to_owned(), filters)]);
        let reply = self.call("DescribeSnapshots", input).await.map_err(|error| self.failure(&error))?;
        let tree = reply.tree().map_err(|error| self.failure(&error))?;
        Ok(reusable(&tree, OffsetDateTime::now_utc()))
    }

    async fn new_snapshot(&self) -> Result<String, Failure> {
        let mut tags = vec![json!({ "Key": "Name", "Value": format!("CK snapshot of {}", self.target.id) })];
        tags.extend(self.target.tag("owner").map(|owner| json!({ "Key": "owner", "Value": owner })));
        let input = Map::from_iter([
            ("VolumeId".to_owned(), Value::from(self.target.id.as_str())),
            ("Description".to_owned(), Value::from(self.description())),
            ("TagSpecifications".to_owned(), json!([{ "ResourceType": "snapshot", "Tags": tags }])),
        ]);
        let reply = self.call("CreateSnapshot", input).await.map_err(|error| self.failure(&error))?;
        let tree = reply.tree().map_err(|error| self.failure(&error))?;
        let id = tree.at("SnapshotId").and_then(Tree::text).map(str::to_owned);
        id.ok_or_else(|| self.failed("the answer to CreateSnapshot names no snapshot"))
    }

    /// A text of the answer about one id.
    async fn first_text(
        &self,
        operation: &str,
        ids: &str,
        id: &str,
        at: &'static str,
    ) -> Result<Option<String>, CallError> {
        let reply = self.call(operation, Map::from_iter([(ids.to_owned(), json!([id]))])).await?;
        Ok(reply.tree()?.at(at).and_then(Tree::text).map(str::to_owned))
    }

    fn description(&self) -> String {
        format!("Cloudkeeper created snapshot for volume {}", self.target.id)
    }
}

/// The newest of these snapshots, unless it is too old.
pub(super) fn reusable(page: &Tree<'_>, now: OffsetDateTime) -> Option<String> {
    let snapshots = page.path("Snapshots[]").into_iter().filter_map(|snapshot| {
        let started = snapshot.get("StartTime").and_then(Tree::time)?.secs();
        Some((OffsetDateTime::from_unix_timestamp(started).ok()?, snapshot.get("SnapshotId")?.text()?))
    });
    let (started, id) = snapshots.max()?;
    (now - REUSABLE..now + SKEW).contains(&started).then(|| id.to_owned())
}
