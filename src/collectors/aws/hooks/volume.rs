//! Snapshots of volumes before their deletion.
//!
//! The snapshot must contain all data. So it is made when nothing can write any more, and an earlier one is reused only
//! if an interrupted attempt at this deletion may have made it.

use std::{ops::Deref, time::Duration};

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::time::sleep;
use worker_proto::Failure;

use crate::engine::{
    CallError, Tree,
    change::{Change, conflict_pauses},
};

/// The pause between two checks of a snapshot in progress.
const CHECK_PAUSE: Duration = Duration::from_secs(5);
/// The highest age of a reused snapshot: one deletion takes no longer. An older one lacks the data written since.
const REUSABLE: time::Duration = time::Duration::hours(1);
/// How far the clock of AWS may be ahead; requests with a larger difference are rejected.
const SKEW: time::Duration = time::Duration::minutes(5);

/// A volume to delete.
pub(super) struct Volume<'c>(pub(super) &'c Change);

impl Deref for Volume<'_> {
    type Target = Change;

    fn deref(&self) -> &Change {
        self.0
    }
}

impl Volume<'_> {
    /// Makes a snapshot if the node asks for one, and waits until it is complete. A failure prevents the deletion.
    pub(super) async fn snapshot_if_wanted(&self) -> Result<(), Failure> {
        if self.target.reported.get("snapshot_before_delete") != Some(&Value::Bool(true))
            || !self.wait_at_rest().await?
        {
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
                _ if !self.has_time_for(CHECK_PAUSE) => {
                    let why = format!("its snapshot {snapshot} is not complete ({state}), so it is not deleted");
                    return Err(self.failed(&why));
                }
                _ => sleep(CHECK_PAUSE).await,
            }
        }
    }

    /// Waits until nothing can write to the volume, and returns whether it exists. A volume in use could not be
    /// deleted, and each attempt would leave a snapshot.
    async fn wait_at_rest(&self) -> Result<bool, Failure> {
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
                return Err(self.failed(&format!("it is {state}: neither a snapshot nor a deletion is possible")));
            };
            sleep(pause).await;
        }
    }

    /// Returns the snapshot of an earlier attempt at this deletion.
    async fn earlier_snapshot(&self) -> Result<Option<String>, Failure> {
        let filters = json!([
            { "Name": "volume-id", "Values": [self.target.id] },
            { "Name": "description", "Values": [self.description()] },
            { "Name": "status", "Values": ["pending", "completed"] },
        ]);
        let input = Map::from_iter([("OwnerIds".to_owned(), json!(["self"])), ("Filters".to_owned(), filters)]);
        let response = self.call("DescribeSnapshots", input).await.map_err(|error| self.failure(&error))?;
        let tree = response.tree().map_err(|error| self.failure(&error))?;
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
        let response = self.call("CreateSnapshot", input).await.map_err(|error| self.failure(&error))?;
        let tree = response.tree().map_err(|error| self.failure(&error))?;
        let id = tree.at("SnapshotId").and_then(Tree::text).map(str::to_owned);
        id.ok_or_else(|| self.failed("the response of CreateSnapshot has no snapshot ID"))
    }

    /// Returns a string of the response about one ID.
    async fn first_text(
        &self,
        operation: &str,
        ids: &str,
        id: &str,
        at: &'static str,
    ) -> Result<Option<String>, CallError> {
        let response = self.call(operation, Map::from_iter([(ids.to_owned(), json!([id]))])).await?;
        Ok(response.tree()?.at(at).and_then(Tree::text).map(str::to_owned))
    }

    fn description(&self) -> String {
        format!("Cloudkeeper created snapshot for volume {}", self.target.id)
    }
}

/// Returns the newest of these snapshots, unless it is too old.
pub(crate) fn reusable(page: &Tree<'_>, now: OffsetDateTime) -> Option<String> {
    let snapshots = page.path("Snapshots[]").into_iter().filter_map(|snapshot| {
        Some((snapshot.get("StartTime").and_then(Tree::time)?, snapshot.get("SnapshotId")?.text()?))
    });
    let (started, id) = snapshots.max()?;
    (now - REUSABLE..now + SKEW).contains(&started).then(|| id.to_owned())
}
