//! Tags of stacks, which change only by an update of the whole stack.
//!
//! An update may take longer than the task's timeout. It is done when the stack is updated, or at the deadline if the
//! stack has the tag and the update is in progress. A rollback is a failure and is reported at once.

use std::{ops::Deref, time::Duration};

use serde_json::{Map, Value, json};
use tokio::time::sleep;
use worker_proto::{Failure, Outcome};

use crate::engine::{CallError, Tree, change::Change};

/// The pause between two checks of a stack in update.
const CHECK_PAUSE: Duration = Duration::from_secs(2);
/// The capability that every stack may need; the Python worker passed the same.
const NAMED_IAM: &str = "CAPABILITY_NAMED_IAM";

/// The prefix of tag keys that are reserved for AWS.
const RESERVED: &str = "aws:";

/// The parts of a stack that matter for an update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stack {
    pub(crate) status: String,
    /// The time of its last update, which stays the same until an accepted update is visible.
    pub(crate) updated: Option<i64>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) parameters: Vec<String>,
    /// The acknowledged capabilities. `CAPABILITY_AUTO_EXPAND`, which macros need, is passed only if it was
    /// acknowledged before.
    pub(crate) capabilities: Vec<String>,
}

/// The progress of an update.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The stack is updated.
    Over,
    /// The stack has the tag, and the update is in progress.
    Taken,
    /// The update or its tags are not visible yet.
    Unseen,
    /// The update ended without the tag.
    Failed,
}

impl Stack {
    /// Returns whether the tag has this value; `None` means that the stack does not have the tag.
    fn has(&self, key: &str, value: Option<&str>) -> bool {
        self.tags.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str()) == value
    }

    fn is_busy(&self) -> bool {
        self.status.ends_with("_IN_PROGRESS")
    }

    /// Returns the progress of an update that was accepted for the stack `before`. The description may be older than
    /// the update.
    pub(crate) fn progress(&self, before: &Self, key: &str, value: Option<&str>) -> Progress {
        let is_new = self.updated != before.updated || self.status != before.status;
        match (self.status.as_str(), self.has(key, value)) {
            ("UPDATE_COMPLETE" | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", true) => Progress::Over,
            (status, _) if is_new && (status.contains("ROLLBACK") || status.ends_with("_FAILED")) => Progress::Failed,
            (_, true) => Progress::Taken,
            // Another update followed.
            ("UPDATE_COMPLETE", false) if is_new => Progress::Failed,
            (_, false) => Progress::Unseen,
        }
    }
}

/// A stack whose tags change.
pub(super) struct TaggedStack<'c>(pub(super) &'c Change);

impl Deref for TaggedStack<'_> {
    type Target = Change;

    fn deref(&self) -> &Change {
        self.0
    }
}

impl TaggedStack<'_> {
    /// Sets or removes a tag of the stack. The stack is addressed by its ID, as another one may have its name by now.
    pub(super) async fn update_tag(&self, key: &str, value: Option<&str>) -> Result<Outcome, Failure> {
        let before = self.settled_stack(key, value).await?;
        if before.has(key, value) {
            return Ok(Outcome::Done);
        }
        self.call("UpdateStack", self.update(&before, key, value)).await.map_err(|error| self.failure(&error))?;
        loop {
            let (progress, status) = match self.stack().await {
                Ok(Some(now)) => (now.progress(&before, key, value), now.status),
                Ok(None) => (Progress::Failed, "DELETED".to_owned()),
                Err(error) if error.kind.is_transient() => (Progress::Unseen, error.to_string()),
                Err(error) => return Err(self.failure(&error)),
            };
            match progress {
                Progress::Over => return Ok(Outcome::Done),
                Progress::Failed => {
                    return Err(self.failed(&format!("the update of its tags ended with status {status}")));
                }
                Progress::Taken if !self.has_time_for(CHECK_PAUSE) => return Ok(Outcome::Done),
                Progress::Unseen if !self.has_time_for(CHECK_PAUSE) => {
                    return Err(self.failed(&format!("the update of its tags is not visible yet: {status}")));
                }
                Progress::Taken | Progress::Unseen => sleep(CHECK_PAUSE).await,
            }
        }
    }

    fn update(&self, stack: &Stack, key: &str, value: Option<&str>) -> Map<String, Value> {
        // A request must not contain reserved tags; they stay without being named.
        let others = stack.tags.iter().filter(|(known, _)| known != key && !known.starts_with(RESERVED));
        let tags = others.map(|(key, value)| (key.as_str(), value.as_str())).chain(value.map(|value| (key, value)));
        let tags: Vec<Value> = tags.map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        let parameters = stack.parameters.iter();
        let parameters: Vec<Value> =
            parameters.map(|name| json!({ "ParameterKey": name, "UsePreviousValue": true })).collect();
        let mut capabilities = stack.capabilities.clone();
        if !capabilities.iter().any(|known| known == NAMED_IAM) {
            capabilities.push(NAMED_IAM.to_owned());
        }
        Map::from_iter([
            ("StackName".to_owned(), Value::from(self.target.id.as_str())),
            ("UsePreviousTemplate".to_owned(), Value::Bool(true)),
            ("Capabilities".to_owned(), json!(capabilities)),
            ("Tags".to_owned(), tags.into()),
            ("Parameters".to_owned(), parameters.into()),
        ])
    }

    /// Waits until no update and no cleanup after one is in progress, and returns the stack: until then, it accepts no
    /// update.
    async fn settled_stack(&self, key: &str, value: Option<&str>) -> Result<Stack, Failure> {
        loop {
            let stack = self.stack().await.map_err(|error| self.failure(&error))?;
            let stack = stack.ok_or_else(|| self.failed("the stack does not exist"))?;
            if !stack.is_busy() {
                return Ok(stack);
            }
            if !self.has_time_for(CHECK_PAUSE) {
                // A redelivered task requested this update before.
                if stack.status == "UPDATE_IN_PROGRESS" && stack.has(key, value) {
                    return Ok(stack);
                }
                return Err(self.failed(&format!("its status is still {}", stack.status)));
            }
            sleep(CHECK_PAUSE).await;
        }
    }

    async fn stack(&self) -> Result<Option<Stack>, CallError> {
        let input = Map::from_iter([("StackName".to_owned(), Value::from(self.target.id.as_str()))]);
        let response = self.call("DescribeStacks", input).await?;
        let tree = response.tree()?;
        Ok(tree.at("Stacks[0]").map(described))
    }
}

fn described(stack: &Tree<'_>) -> Stack {
    let text = |tree: &Tree<'_>, name: &str| tree.get(name).and_then(Tree::text).unwrap_or_default().to_owned();
    Stack {
        status: text(stack, "StackStatus"),
        updated: stack.get("LastUpdatedTime").and_then(Tree::time).map(|time| time.unix_timestamp()),
        tags: stack.path("Tags[]").into_iter().map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect(),
        parameters: stack.path("Parameters[]").into_iter().map(|each| text(each, "ParameterKey")).collect(),
        capabilities: stack.path("Capabilities[]").into_iter().filter_map(Tree::text).map(str::to_owned).collect(),
    }
}
