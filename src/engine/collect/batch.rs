//! Calls that describe several items at once, such as the tags of twenty load balancers.

use std::{borrow::Cow, collections::HashMap, ops::ControlFlow};

use serde_json::{Map, Value as Json};
use worker_proto::Failure;

use super::{
    super::{
        api::Response,
        definition::{Batch, Call},
        error::CallError,
        eval::{Item, Named, text},
        tree::Tree,
    },
    kind::KindCollection,
};

/// The responses to such a call for a page of items.
pub(super) struct BatchReplies {
    call: &'static Call,
    batch: &'static Batch,
    responses: Vec<Response>,
}

/// The parsed responses.
pub(super) struct BatchTrees<'a> {
    call: &'static Call,
    batch: &'static Batch,
    trees: Vec<Tree<'a>>,
}

/// The parts of the responses by item.
pub(super) struct BatchParts<'a> {
    call: &'static Call,
    batch: &'static Batch,
    by_item: HashMap<Cow<'a, str>, Vec<Tree<'a>>>,
}

impl KindCollection<'_> {
    /// Makes the batch calls of the definition. Failed ones are reported and added to `failed` for each of their items.
    pub(super) async fn batches(
        &self,
        items: &[&Tree<'_>],
        failed: &mut [Vec<&'static str>],
    ) -> Result<Vec<BatchReplies>, Failure> {
        let mut answers = Vec::new();
        for (call, batch) in self.batch_calls() {
            let mut responses = Vec::new();
            let size = batch.size.max(1);
            for (chunk, failed) in items.chunks(size).zip(failed.chunks_mut(size)) {
                // Nothing exists of a service that is not in use.
                if self.location.is_not_in_use(&self.service.service) {
                    continue;
                }
                // Each skipped call counts.
                if self.is_over() || !self.allows_call(call) {
                    fail(failed, call);
                    continue;
                }
                match self.batch(call, chunk).await {
                    Ok(found) => {
                        self.record_success(call);
                        match self.is_whole(call, &found).await? {
                            true => responses.extend(found),
                            false => fail(failed, call),
                        }
                    }
                    Err(error) => {
                        self.report_failure(call, &error).await?;
                        if !self.is_absent(&error) {
                            fail(failed, call);
                        }
                    }
                }
            }
            answers.push(BatchReplies { call, batch, responses });
        }
        Ok(answers)
    }

    /// Makes one call for several items. A deleted item makes the call fail for all, so that each is then requested
    /// alone.
    async fn batch(&self, call: &'static Call, items: &[&Tree<'_>]) -> Result<Vec<Response>, CallError> {
        match self.answer_with(call, joined(items.iter().map(|item| self.call_input(call, item)))).await {
            Err(error) if error.has_code(&call.not_found_codes) && items.len() > 1 => {}
            Err(error) if error.has_code(&call.not_found_codes) => return Ok(Vec::new()),
            done => return done,
        }
        let mut responses = Vec::new();
        for item in items {
            match self.answer_with(call, self.call_input(call, item)).await {
                Ok(found) => responses.extend(found),
                Err(error) if error.has_code(&call.not_found_codes) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(responses)
    }

    fn call_input(&self, call: &Call, item: &Tree<'_>) -> Map<String, Json> {
        call.input.as_ref().map(|input| self.plain(item).input(input.get_ref())).unwrap_or_default()
    }

    /// Parses the responses. Unreadable ones are reported and added to `failed` for all items.
    pub(super) async fn batch_trees<'a>(
        &self,
        answers: &'a [BatchReplies],
        failed: &mut [Vec<&'static str>],
    ) -> Result<Vec<BatchTrees<'a>>, Failure> {
        let mut all = Vec::with_capacity(answers.len());
        for BatchReplies { call, batch, responses } in answers {
            let mut trees = Vec::with_capacity(responses.len());
            for response in responses {
                match response.tree() {
                    Ok(tree) => trees.push(tree),
                    Err(error) => {
                        fail(failed, call);
                        self.report_failure(call, &error).await?;
                    }
                }
            }
            all.push(BatchTrees { call, batch, trees });
        }
        Ok(all)
    }
}

fn fail(failed: &mut [Vec<&'static str>], call: &'static Call) {
    failed.iter_mut().for_each(|failed| failed.push(&call.name));
}

impl<'t> BatchTrees<'t> {
    /// Groups the parts of the responses by item.
    pub(super) fn parts(&'t self) -> BatchParts<'t> {
        let mut by_item: HashMap<_, Vec<_>> = HashMap::new();
        for tree in &self.trees {
            let _ = self.batch.items.get_ref().walk(tree, &mut |part| {
                if let Some(key) = part.get(self.batch.key.get_ref()).and_then(text) {
                    by_item.entry(key).or_default().push(part.clone());
                }
                ControlFlow::Continue(())
            });
        }
        BatchParts { call: self.call, batch: self.batch, by_item }
    }
}

impl BatchParts<'_> {
    /// Returns the parts for an item.
    pub(super) fn of(&self, item: &Tree<'_>) -> Named<'_> {
        let key = Item::plain(item).path_text(self.batch.item_key.get_ref());
        let pages = key.and_then(|key| self.by_item.get(key.as_str())).map(Vec::as_slice).unwrap_or_default();
        Named { name: &self.call.name, take: Some(self.call.result.get_ref()), pages }
    }
}

/// Joins the parameters of several items to those of one call.
fn joined(inputs: impl Iterator<Item = Map<String, Json>>) -> Map<String, Json> {
    let mut all = Map::new();
    for (name, value) in inputs.flatten() {
        match (all.get_mut(&name), value) {
            (Some(Json::Array(known)), Json::Array(more)) => known.extend(more),
            (_, value) => drop(all.insert(name, value)),
        }
    }
    all
}
