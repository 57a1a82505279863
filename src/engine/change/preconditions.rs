//! Whether a resource can be deleted at all, decided before any call that changes something.

use std::ops::ControlFlow;

use worker_proto::{Failure, Outcome};

use super::Change;
use crate::engine::Request;

/// The most names that a message lists.
const SHOWN: usize = 5;

impl Change {
    /// Returns the outcome of an operation that must not start: the cloud never deletes the resource, or another
    /// resource has its name.
    pub(super) async fn refusal(&self) -> Result<Option<Outcome>, Failure> {
        if let Some(reason) = super::undeletable(self.cloud, &self.target) {
            return Ok(Some(self.nothing(reason)));
        }
        if let Some(outcome) = self.namesake().await? {
            return Ok(Some(outcome));
        }
        for state in &self.definition.undeletable {
            let Some(call) = &state.call else { continue };
            let input = self.parameters(self.fields.input(call.input.get_ref()))?;
            let response = match self.call(call.operation.get_ref(), input).await {
                // The deletion will report that.
                Err(error) if error.means_deleted() => continue,
                response => response.map_err(|error| self.failure(&error))?,
            };
            let answer = response.tree().map_err(|error| self.failure(&error))?;
            if self.fields.holds_for_response(&answer, state.when.get_ref()) {
                return Ok(Some(self.nothing(&state.reason)));
            }
        }
        Ok(None)
    }

    /// Returns the resources that block the deletion and are never removed, such as `node group a, b and 3 more`.
    pub(super) async fn blocked_by(&self) -> Result<Option<String>, Failure> {
        let Some(blocked) = &self.definition.blocked_by else { return Ok(None) };
        let input = self.parameters(self.fields.input(blocked.input.get_ref()))?;
        let service = &self.service.service;
        let request = Request::new(service, blocked.operation.get_ref(), &self.region).input(input);
        let mut pages = self.pages(request);
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

/// Joins the first strings for users, and counts the others.
pub(super) fn shown(texts: &[String], most: usize) -> String {
    let first = texts.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(", ");
    if texts.len() > most { format!("{first} and {} more", texts.len() - most) } else { first }
}
