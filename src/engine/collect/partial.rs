//! Responses that say that some locations did not answer. Each such location is one gap, and only there the kind is
//! unseen: what the response has of the others is complete.

use worker_proto::{Failure, Why};

use super::{
    super::{
        api::{Partial, Response},
        definition::Call,
        error::{CallError, CallErrorKind},
    },
    Location,
    kind::{KindCollection, ParentItem},
};

/// The message of a location that did not answer, if the service has none.
const SILENT: &str = "the location did not answer";

/// Where something is missing in a response.
enum Silent<'r> {
    /// In this location.
    In(&'r Location),
    /// It is not known where.
    Anywhere,
    /// In a location that was not selected.
    Elsewhere,
}

impl Partial {
    /// Returns the error of a call whose response must be complete.
    #[must_use]
    pub fn error(&self) -> CallError {
        let message = if self.message.is_empty() { SILENT } else { &self.message };
        CallError::new(CallErrorKind::Unexpected, &self.code, message)
    }
}

impl<'r> KindCollection<'r> {
    /// Records what a page of the kind's list says is missing, and returns whether it is known where. The outer error
    /// ends the unit, the inner one this listing.
    pub(super) async fn missing_of_page(
        &self,
        response: &Response,
        parent: Option<ParentItem<'_>>,
    ) -> Result<Result<bool, CallError>, Failure> {
        let Some(list) = &self.definition.list else { return Ok(Ok(true)) };
        let parts = match response.partial() {
            Ok(parts) => parts,
            Err(error) => return Ok(Err(error)),
        };
        let mut is_known = true;
        for part in parts {
            let place = self.silent(&part);
            self.report_silent(&place, list.operation.get_ref(), self.collector(), &part).await?;
            let hidden = match place {
                Silent::In(place) => self.locations.hidden_by((place, part.is_alone), self.definition, self.location),
                Silent::Anywhere => Vec::new(),
                Silent::Elsewhere => continue,
            };
            is_known &= !hidden.is_empty();
            let below = parent.map_or(self.location.node, |parent| parent.node);
            self.run.unseen_in(&hidden, self.location, self.service, self.definition, (below, Why::Unseen));
        }
        Ok(Ok(is_known))
    }

    /// Reports what the responses to a call for items say is missing, and returns whether they are complete. An
    /// unreadable one is reported too.
    pub(super) async fn is_whole(&self, call: &'static Call, responses: &[Response]) -> Result<bool, Failure> {
        let mut is_whole = true;
        for response in responses {
            match response.partial() {
                Ok(parts) => {
                    for part in parts {
                        is_whole = false;
                        let collector = call.collector().unwrap_or(self.collector());
                        self.report_silent(&self.silent(&part), call.operation.get_ref(), collector, &part).await?;
                    }
                }
                Err(error) => {
                    is_whole = false;
                    self.report_failure(call, &error).await?;
                }
            }
        }
        Ok(is_whole)
    }

    fn silent(&self, part: &Partial) -> Silent<'r> {
        let Some(scope) = part.scope.as_deref() else { return Silent::Anywhere };
        match self.locations.find(scope, &part.id) {
            Some(location) => Silent::In(location),
            None if !self.run.selects(scope, &part.id) => Silent::Elsewhere,
            None => {
                // The list of locations is older than the response, or incomplete.
                self.run.unseen_locations(Why::Unseen);
                Silent::Anywhere
            }
        }
    }

    /// Reports a location that did not answer. The call itself has succeeded, so that no breaker counts it.
    async fn report_silent(
        &self,
        place: &Silent<'r>,
        operation: &str,
        collector: &str,
        part: &Partial,
    ) -> Result<(), Failure> {
        let location = match place {
            Silent::In(location) => location,
            Silent::Anywhere => self.location,
            Silent::Elsewhere => return Ok(()),
        };
        // What is missing may have a name, although it is in no known location.
        let name = if part.scope.is_none() && !part.id.is_empty() { format!(" {}", part.id) } else { String::new() };
        let operation = format!("{operation}{name}");
        let error = part.error().of(&self.service.service, &operation, &self.location.region);
        self.run.report_failure(&location.label, collector, &error).await
    }
}
