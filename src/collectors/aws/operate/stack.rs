//! The tags of a stack: they change only by an update of the whole stack, which has to be waited for.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};
use worker_proto::{Failure, Outcome};

use super::Task;
use crate::collectors::aws::client::Tree;

/// Between two looks at a stack that is being updated.
const LOOK: Duration = Duration::from_secs(2);

/// What of a stack matters for an update.
struct Stack {
    status: String,
    tags: Vec<(String, String)>,
    parameters: Vec<String>,
}

impl Task {
    pub(super) fn is_stack(&self) -> bool {
        self.subject.kind == "aws_cloudformation_stack"
    }

    /// Sets a tag of the stack, or removes it. The stack is addressed by its id: its name may be another's by now.
    pub(super) async fn update_stack_tag(&self, key: &str, value: Option<&str>) -> Result<Outcome, Failure> {
        let mut stack = self.settled_stack().await?;
        let current = stack.tags.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
        if current == value {
            return Ok(Outcome::Done);
        }
        stack.tags.retain(|(known, _)| known != key);
        stack.tags.extend(value.map(|value| (key.to_owned(), value.to_owned())));
        self.call("UpdateStack", self.update(&stack)).await.map_err(|error| self.failure(&error))?;
        let after = self.settled_stack().await?;
        match after.status.as_str() {
            "UPDATE_COMPLETE" => Ok(Outcome::Done),
            status => Err(self.odd(&format!("the update of its tags ended as {status}"))),
        }
    }

    fn update(&self, stack: &Stack) -> Map<String, Value> {
        let tags: Vec<Value> = stack.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        let parameters = stack.parameters.iter();
        let parameters: Vec<Value> =
            parameters.map(|name| json!({ "ParameterKey": name, "UsePreviousValue": true })).collect();
        Map::from_iter([
            ("StackName".to_owned(), Value::from(self.subject.id.as_str())),
            ("UsePreviousTemplate".to_owned(), Value::Bool(true)),
            ("Capabilities".to_owned(), json!(["CAPABILITY_NAMED_IAM"])),
            ("Tags".to_owned(), tags.into()),
            ("Parameters".to_owned(), parameters.into()),
        ])
    }

    /// The stack when nothing is in progress.
    async fn settled_stack(&self) -> Result<Stack, Failure> {
        loop {
            let stack = self.stack().await?;
            // What is left to clean up after an update needs no waiting for.
            if !stack.status.ends_with("_IN_PROGRESS") {
                return Ok(stack);
            }
            if Instant::now() + LOOK >= self.deadline {
                return Err(self.odd(&format!("it is still {}", stack.status)));
            }
            sleep(LOOK).await;
        }
    }

    async fn stack(&self) -> Result<Stack, Failure> {
        let input = Map::from_iter([("StackName".to_owned(), Value::from(self.subject.id.as_str()))]);
        let reply = self.call("DescribeStacks", input).await.map_err(|error| self.failure(&error))?;
        let tree = reply.tree().map_err(|error| self.failure(&error))?;
        let stack = tree.at("Stacks[0]").ok_or_else(|| self.odd("there is no such stack"))?;
        let text = |tree: &Tree<'_>, name: &str| tree.get(name).and_then(Tree::text).unwrap_or_default().to_owned();
        Ok(Stack {
            status: text(stack, "StackStatus"),
            tags: stack.path("Tags[]").into_iter().map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect(),
            parameters: stack.path("Parameters[]").into_iter().map(|each| text(each, "ParameterKey")).collect(),
        })
    }
}
