//! The calls for an item of a kind, and what their responses mean.

use serde_json::{Map, Value as Json};
use worker_proto::Failure;

use super::{
    super::{
        api::Response,
        definition::{Call, Input},
        error::CallError,
        eval::Item,
        tree::Tree,
    },
    kind::{DETAILS, KindCollection},
};

impl KindCollection<'_> {
    /// Makes the calls for an item. Failed ones are reported and added to `failed`.
    pub(super) async fn answers(
        &self,
        item: &Item<'_>,
        failed: &mut Vec<&'static str>,
    ) -> Result<Vec<(&'static Call, Vec<Response>)>, Failure> {
        let mut answers = Vec::with_capacity(self.definition.calls.len());
        for call in &self.definition.calls {
            let is_wanted = call.collector().is_none_or(|collector| self.run.is_wanted(collector));
            let is_known = call.without_details && item.named.iter().any(|named| named.name == DETAILS);
            if !is_wanted || is_known || call.batch.is_some() {
                continue;
            }
            // Nothing exists of a service that is not in use.
            if self.location.is_not_in_use(&self.service.service) {
                continue;
            }
            if self.is_over() || !self.allows_call(call) {
                failed.push(&call.name);
                continue;
            }
            match self.answer(call, item).await {
                Ok(responses) => {
                    self.record_success(call);
                    match self.is_whole(call, &responses).await? {
                        true => answers.push((call, responses)),
                        false => failed.push(&call.name),
                    }
                }
                Err(error) if error.has_code(&call.not_found_codes) => self.record_success(call),
                Err(error) => {
                    self.report_failure(call, &error).await?;
                    if !self.is_absent(&error) {
                        failed.push(&call.name);
                    }
                }
            }
        }
        Ok(answers)
    }

    /// Returns all pages of a call.
    pub(super) async fn answer(&self, call: &'static Call, item: &Item<'_>) -> Result<Vec<Response>, CallError> {
        let none = Input::new();
        self.answer_with(call, item.input(call.input.as_ref().map_or(&none, |input| input.get_ref()))).await
    }

    /// Returns all pages of a call with these parameters.
    pub(super) async fn answer_with(
        &self,
        call: &'static Call,
        input: Map<String, Json>,
    ) -> Result<Vec<Response>, CallError> {
        let mut pages = self.run.pages(self.request(call.operation.get_ref(), input));
        let mut responses = Vec::new();
        while let Some(page) = pages.next().await {
            responses.push(page?);
        }
        Ok(responses)
    }

    /// Parses responses. Unreadable ones are reported and added to `failed`.
    pub(super) async fn trees<'a>(
        &self,
        answers: &'a [(&'static Call, Vec<Response>)],
        failed: &mut Vec<&'static str>,
    ) -> Result<Vec<(&'static Call, Vec<Tree<'a>>)>, Failure> {
        let mut trees = Vec::with_capacity(answers.len());
        for (call, responses) in answers {
            match responses.iter().map(Response::tree).collect() {
                Ok(pages) => trees.push((*call, pages)),
                Err(error) => {
                    failed.push(&call.name);
                    self.location.report_failure(self.run, self.collector(), &error).await?;
                }
            }
        }
        Ok(trees)
    }
}
