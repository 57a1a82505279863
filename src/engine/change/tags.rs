//! Tags: one call of the service, or a hook. A call that would replace more than the value of one tag gets the rest as
//! the cloud has it now.

use std::ops::ControlFlow;

use serde_json::{Value, json};
use worker_proto::{Failure, Outcome};

use super::{Change, hooks};
use crate::engine::{
    Tree,
    definition::{Constant, CurrentTag, TagCall},
};

impl Change {
    /// Sets a tag.
    pub(crate) async fn update_tag(&self, key: &str, value: &str) -> Result<Outcome, Failure> {
        if let Some(tag) = hooks::named(self.cloud.change_hooks.tag, self.definition.tag_hook.as_ref())? {
            return tag(self, key, Some(value)).await;
        }
        match self.service.tag_of(self.definition) {
            Some(action) => self.tag_call(action, key, value).await,
            None => Ok(self.without_tags()),
        }
    }

    /// Removes a tag, also if the node does not have it: the cloud may.
    pub(crate) async fn delete_tag(&self, key: &str) -> Result<Outcome, Failure> {
        if let Some(tag) = hooks::named(self.cloud.change_hooks.tag, self.definition.tag_hook.as_ref())? {
            return tag(self, key, None).await;
        }
        match self.service.untag_of(self.definition) {
            Some(action) => self.tag_call(action, key, self.target.tag(key).unwrap_or_default()).await,
            None => Ok(self.without_tags()),
        }
    }

    fn without_tags(&self) -> Outcome {
        self.nothing(self.service.no_tags.as_deref().unwrap_or("the tags of this kind cannot be changed"))
    }

    async fn tag_call(&self, action: &TagCall, key: &str, value: &str) -> Result<Outcome, Failure> {
        let tag = Tree::from(json!({ "key": key, "value": Value::from(value) }));
        let current = match &action.current {
            Some(current) => Some(self.current_tag(current, key).await?),
            None => None,
        };
        let input = self.fields.input_for_tag(&tag, current.as_ref(), action.input.get_ref());
        let input = self.parameters(input)?;
        self.call(action.operation.get_ref(), input).await.map_err(|error| self.failure(&error))?;
        Ok(Outcome::Done)
    }

    /// Returns the tag as the cloud has it now, or the members of a new one.
    async fn current_tag(&self, current: &CurrentTag, key: &str) -> Result<Tree<'static>, Failure> {
        let input = self.parameters(self.fields.input(current.input.get_ref()))?;
        let mut pages = self.pages(self.request(current.operation.get_ref(), input));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failure(&error))?;
            let answer = page.tree().map_err(|error| self.failure(&error))?;
            let mut found = None;
            let _ = current.items.get_ref().walk(&answer, &mut |tag| {
                if tag.get(current.key.get_ref()).and_then(Tree::text) != Some(key) {
                    return ControlFlow::Continue(());
                }
                found = serde_json::to_value(tag).ok().map(Tree::from);
                ControlFlow::Break(())
            });
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let members = current.default.iter().map(|(name, value)| (name.get_ref().clone().into(), constant(value)));
        Ok(Tree::Map(members.collect()))
    }
}

fn constant(value: &Constant) -> Tree<'static> {
    match value {
        Constant::Bool(value) => Tree::Bool(*value),
        Constant::Int(number) => Tree::Int(*number),
        Constant::Float(number) => Tree::Float(*number),
        Constant::Text(text) => Tree::Text(text.clone().into()),
    }
}
