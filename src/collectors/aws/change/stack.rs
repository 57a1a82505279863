//! The tags of a stack: they change only by an update of the whole stack.
//!
//! An update may take longer than anybody waits for a tag. It is done as soon as the cloud says so, which is when the
//! stack is updated, or, once the time is over, when it carries the tag and its update goes on: CloudFormation took the
//! update in and has it under way. An update that is rolled back is a failure, seen as soon as it turns back.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::sleep;
use worker_proto::{Failure, Outcome};

use super::Change;
use crate::collectors::aws::client::{CallError, Tree};

/// Between two looks at a stack that is being updated.
const LOOK: Duration = Duration::from_secs(2);
/// What every stack may need; the original passed the same.
const NAMED_IAM: &str = "CAPABILITY_NAMED_IAM";

/// What the keys of tags begin with that only AWS can set.
const RESERVED: &str = "aws:";

/// What of a stack matters for an update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) status: String,
    /// When it was last updated: the same as before the update as long as that cannot be seen yet.
    pub(super) updated: Option<i64>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) parameters: Vec<String>,
    /// What was acknowledged for the stack. `CAPABILITY_AUTO_EXPAND`, which macros need, is given only where it was.
    pub(super) capabilities: Vec<String>,
}

/// How an update stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The stack is updated.
    Over,
    /// It carries the tag and is still being updated.
    Taken,
    /// Nothing is to be seen of the update yet, or not of its tags.
    Unseen,
    /// It did not come to the tag.
    Failed,
}

impl Stack {
    /// Whether the tag has this value; none means that it is not there.
    fn has(&self, key: &str, value: Option<&str>) -> bool {
        self.tags.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str()) == value
    }

    fn is_busy(&self) -> bool {
        self.status.ends_with("_IN_PROGRESS")
    }

    /// How the update stands that was accepted for the stack as it was `before`. What is described may be older than it.
    pub(super) fn progress(&self, before: &Self, key: &str, value: Option<&str>) -> Progress {
        let is_new = self.updated != before.updated || self.status != before.status;
        match (self.status.as_str(), self.has(key, value)) {
            ("UPDATE_COMPLETE" | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", true) => Progress::Over,
            (status, _) if is_new && (status.contains("ROLLBACK") || status.ends_with("_FAILED")) => Progress::Failed,
            (_, true) => Progress::Taken,
            // Somebody else's update came after it.
            ("UPDATE_COMPLETE", false) if is_new => Progress::Failed,
            (_, false) => Progress::Unseen,
        }
    }
}

impl Change {
    /// Sets a tag of the stack, or removes it. The stack is addressed by its id: its name may be another's by now.
    pub(super) async fn update_stack_tag(&self, key: &str, value: Option<&str>) -> Result<Outcome, Failure> {
        let before = self.settled_stack(key, value).await?;
        if before.has(key, value) {
            return Ok(Outcome::Done);
        }
        self.call("UpdateStack", self.update(&before, key, value)).await.map_err(|error| self.failure(&error))?;
        loop {
            let (progress, status) = match self.stack().await {
                Ok(Some(now)) => (now.progress(&before, key, value), now.status),
                Ok(None) => (Progress::Failed, "a stack that is gone".to_owned()),
                Err(error) if error.kind.is_transient() => (Progress::Unseen, error.to_string()),
                Err(error) => return Err(self.failure(&error)),
            };
            match progress {
                Progress::Over => return Ok(Outcome::Done),
                Progress::Failed => return Err(self.failed(&format!("the update of its tags ended as {status}"))),
                Progress::Taken if !self.has_time_for(LOOK) => return Ok(Outcome::Done),
                Progress::Unseen if !self.has_time_for(LOOK) => {
                    return Err(
                        self.failed(&format!("its tags are being updated, and there is nothing to see yet: {status}"))
                    );
                }
                Progress::Taken | Progress::Unseen => sleep(LOOK).await,
            }
        }
    }

    fn update(&self, stack: &Stack, key: &str, value: Option<&str>) -> Map<String, Value> {
        // Tags of AWS itself are refused in a request, and stay without being named.
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

    /// The stack when nothing is in progress, cleaning up after an update included: until then it takes no update.
    async fn settled_stack(&self, key: &str, value: Option<&str>) -> Result<Stack, Failure> {
        loop {
            let stack = self.stack().await.map_err(|error| self.failure(&error))?;
            let stack = stack.ok_or_else(|| self.failed("there is no such stack"))?;
            if !stack.is_busy() {
                return Ok(stack);
            }
            if !self.has_time_for(LOOK) {
                // An update that was asked for before, by a task that is here again.
                if stack.status == "UPDATE_IN_PROGRESS" && stack.has(key, value) {
                    return Ok(stack);
                }
                return Err(self.failed(&format!("it is still {}", stack.status)));
            }
            sleep(LOOK).await;
        }
    }

    async fn stack(&self) -> Result<Option<Stack>, CallError> {
        let input = Map::from_iter([("StackName".to_owned(), Value::from(self.target.id.as_str()))]);
        let reply = self.call("DescribeStacks", input).await?;
        let tree = reply.tree()?;
        Ok(tree.at("Stacks[0]").map(described))
    }
}

fn described(stack: &Tree<'_>) -> Stack {
    let text = |tree: &Tree<'_>, name: &str| tree.get(name).and_then(Tree::text).unwrap_or_default().to_owned();
    Stack {
        status: text(stack, "StackStatus"),
        updated: stack.get("LastUpdatedTime").and_then(Tree::time).map(|time| time.secs()),
        tags: stack.path("Tags[]").into_iter().map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect(),
        parameters: stack.path("Parameters[]").into_iter().map(|each| text(each, "ParameterKey")).collect(),
        capabilities: stack.path("Capabilities[]").into_iter().filter_map(Tree::text).map(str::to_owned).collect(),
    }
}
