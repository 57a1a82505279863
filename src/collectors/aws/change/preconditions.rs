//! Whether a resource can be deleted at all, decided before any call that changes something.

use std::ops::ControlFlow;

use worker_proto::{Failure, Outcome};

use super::Change;
use crate::collectors::aws::client::Request;

/// The most names that a message lists.
const SHOWN: usize = 5;

impl Change {
    /// The outcome of an operation that must not begin: the resource is one that AWS never deletes, or a namesake has
    /// taken its place.
    pub(super) async fn refusal(&self) -> Result<Option<Outcome>, Failure> {
        if let Some(reason) = super::undeletable(&self.target) {
            return Ok(Some(self.nothing(reason)));
        }
        if let Some(outcome) = self.namesake().await? {
            return Ok(Some(outcome));
        }
        for state in &self.definition.undeletable {
            let Some(call) = &state.call else { continue };
            let input = self.parameters(self.fields.input(call.input.get_ref()))?;
            let reply = match self.call(call.operation.get_ref(), input).await {
                // The deletion finds that too.
                Err(error) if error.means_deleted() => continue,
                reply => reply.map_err(|error| self.failure(&error))?,
            };
            let answer = reply.tree().map_err(|error| self.failure(&error))?;
            if self.fields.holds_for_response(&answer, state.when.get_ref()) {
                return Ok(Some(self.nothing(&state.reason)));
            }
        }
        Ok(None)
    }

    /// Names what keeps the resource and is not removed for it, such as `node group a, b and 3 more`.
    pub(super) async fn blocked_by(&self) -> Result<Option<String>, Failure> {
        let Some(blocked) = &self.definition.blocked_by else { return Ok(None) };
        let input = self.parameters(self.fields.input(blocked.input.get_ref()))?;
        let service = &self.service.service;
        let request = Request { service, operation: blocked.operation.get_ref(), region: &self.region, input };
        let mut pages = self.client.pages(request);
        while let Some(page) = pages.next().await {
            let page = match page {
                Err(error) if error.means_deleted() => return Ok(None),
                page => page.map_err(|error| self.failure(&error))?,
            };
            let answer = page.tree().map_err(|error| self.failure(&error))?;
            for (noun, path) in &blocked.names {
                let mut names = Vec::new();
                let _ = path.get_ref().walk(&answer, &mut |name| {
                    names.extend(name.text().map(str::to_owned));
                    ControlFlow::Continue(())
                });
                if !names.is_empty() {
                    return Ok(Some(format!("{noun} {}", shown(&names, SHOWN))));
                }
            }
        }
        Ok(None)
    }
}

/// The first of many texts, for people.
pub(super) fn shown(texts: &[String], most: usize) -> String {
    let first = texts.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(", ");
    if texts.len() > most { format!("{first} and {} more", texts.len() - most) } else { first }
}
