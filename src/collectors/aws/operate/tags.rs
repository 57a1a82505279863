//! Tags: one call of the service, or an update of a stack.

use serde_json::{Value, json};
use worker_proto::{Failure, Outcome};

use super::{Task, fields::tree};
use crate::collectors::aws::definitions::Action;

impl Task {
    /// Sets a tag.
    pub(super) async fn update_tag(&self, key: &str, value: &str) -> Result<Outcome, Failure> {
        if self.is_stack() {
            return self.update_stack_tag(key, Some(value)).await;
        }
        match self.service.tag.as_ref().filter(|_| self.definition.tagging) {
            Some(action) => self.tag_call(action, key, value).await,
            None => Ok(self.nothing("the tags of this kind cannot be changed")),
        }
    }

    /// Removes a tag, whether or not the node has it: the cloud may.
    pub(super) async fn delete_tag(&self, key: &str) -> Result<Outcome, Failure> {
        if self.is_stack() {
            return self.update_stack_tag(key, None).await;
        }
        match self.service.untag.as_ref().filter(|_| self.definition.tagging) {
            Some(action) => self.tag_call(action, key, self.subject.tag(key).unwrap_or_default()).await,
            None => Ok(self.nothing("the tags of this kind cannot be changed")),
        }
    }

    async fn tag_call(&self, action: &Action, key: &str, value: &str) -> Result<Outcome, Failure> {
        let tag = tree(json!({ "key": key, "value": Value::from(value) }));
        let input = self.fields.input_for_tag(&tag, action.input.get_ref());
        let input = input.map_err(|missing| self.odd(&format!("the core knows no {} of it", missing.0)))?;
        self.call(action.operation.get_ref(), input).await.map_err(|error| self.failure(&error))?;
        Ok(Outcome::Done)
    }
}
