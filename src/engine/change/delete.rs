//! Deletion. Undeletable resources are rejected first. Whatever blocks the deletion is removed only after the cloud has
//! rejected the deletion because of it. If other deletions depend on this one, its end is awaited.
//!
//! A resource that no longer exists counts as deleted, so that an interrupted cleanup can be repeated.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::sleep;
use worker_proto::{Failure, Outcome};

use super::{
    Change, MissingValue,
    detach::{Removed, SHOWN},
    hooks,
    preconditions::shown,
};
use crate::engine::{
    CallError, Request, Response,
    definition::{Condition, ResourceCall, WaitDeleted},
};

/// The first and the last pause before the deletion of a resource in use is retried; each pause is twice the previous
/// one. Within these 31 seconds services notice earlier deletions. After them, something else uses the resource, and
/// more waiting would only delay the other deletions.
const CONFLICT_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(16));
/// The first pause between two checks of a deletion in progress, and the longest.
const CHECK_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// The part of the deletion's time that is reserved for restoring what was removed for it.
const RESTORE_RESERVE: Duration = Duration::from_secs(5);

impl Change {
    /// Removes the attachments that block the resource's deletion.
    pub(crate) async fn pre_delete(&self) -> Result<Outcome, Failure> {
        if self.definition.detach.is_empty() {
            return Ok(self.nothing("nothing blocks its deletion"));
        }
        if let Some(refusal) = self.refusal().await? {
            return Ok(refusal);
        }
        let mut removed = Removed::default();
        let result = self.detach_all(&mut removed).await;
        let entries = removed.entries();
        match result {
            Ok(()) if entries.is_empty() => Ok(Outcome::Done),
            Ok(()) => Ok(Outcome::Detached(entries)),
            Err(failure) if entries.is_empty() => Err(failure),
            Err(failure) => {
                let message = format!("{}; already removed: {}", failure.message, shown(&entries, SHOWN));
                Err(Failure { message, ..failure })
            }
        }
    }

    /// Deletes the resource.
    pub(crate) async fn delete(&self) -> Result<Outcome, Failure> {
        let Some(action) = self.service.delete_of(self.definition) else {
            return Ok(self.nothing("ckworker does not delete this kind"));
        };
        let is_deleted = |when: &toml::Spanned<Condition>| self.fields.holds_for_node(when.get_ref());
        if self.definition.deleted_when.as_deref().is_some_and(is_deleted) {
            return Ok(Outcome::Done);
        }
        if let Some(refusal) = self.refusal().await? {
            return Ok(refusal);
        }
        if let Some(delete) = hooks::named(self.cloud.change_hooks.delete, self.definition.delete_hook.as_ref())? {
            return delete(self).await;
        }
        if let Some(prepare) = hooks::named(self.cloud.change_hooks.prepare, self.definition.prepare_hook.as_ref())? {
            prepare(self).await?;
        }
        let mut removed = Removed::default();
        match self.delete_and_wait(action, &mut removed).await {
            Ok(()) => Ok(Outcome::Done),
            Err(failure) => Err(self.restore(failure, removed).await),
        }
    }

    async fn delete_and_wait(&self, action: &ResourceCall, removed: &mut Removed) -> Result<(), Failure> {
        self.delete_call(action, removed).await?;
        match self.service.wait_deleted_of(self.definition) {
            Some(wait) => self.wait_deleted(wait, self.fields.input(wait.input.get_ref())).await,
            None => Ok(()),
        }
    }

    /// Retries the deletion while the resource is in use: at once if a user was removed, else after pauses.
    async fn delete_call(&self, action: &ResourceCall, removed: &mut Removed) -> Result<(), Failure> {
        let input = self.parameters(self.fields.input(action.input.get_ref()))?;
        let mut pauses = std::iter::once(Duration::ZERO).chain(conflict_pauses());
        let mut unblocked = Ok(false);
        loop {
            let request = self.request(action.operation.get_ref(), input.clone());
            let limit =
                self.time_left().saturating_sub(if removed.is_empty() { Duration::ZERO } else { RESTORE_RESERVE });
            let error = match self.send(request.within(limit)).await {
                Ok(response) => return self.accepted(&response),
                Err(error) if error.means_deleted() => return Ok(()),
                Err(error) => error,
            };
            loop {
                let pause =
                    pauses.next().filter(|pause| error.means_in_use() && self.has_time_for(*pause + RESTORE_RESERVE));
                let Some(pause) = pause else { return Err(with_blocker(self.failure(&error), unblocked)) };
                sleep(pause).await;
                // A failed removal may not matter, or may succeed after the next pause.
                unblocked = self.unblock(removed).await;
                if !pause.is_zero() || unblocked == Ok(true) {
                    break;
                }
            }
        }
    }

    /// Returns whether there is time for a pause and a call after it.
    #[must_use]
    pub fn has_time_for(&self, pause: Duration) -> bool {
        pause < self.time_left()
    }

    /// Fails if a successful response reports a failed deletion.
    fn accepted(&self, response: &Response) -> Result<(), Failure> {
        match response.refusal().map_err(|error| self.failure(&error))? {
            Some(refusal) if !refusal.means_deleted() => {
                Err(self.failed(&format!("{}: {}", refusal.code, refusal.message)))
            }
            _ => Ok(()),
        }
    }

    /// Checks the resource until it is deleted, at most until the operation's deadline.
    pub(super) async fn wait_deleted(
        &self,
        wait: &WaitDeleted,
        input: Result<Map<String, Value>, MissingValue>,
    ) -> Result<(), Failure> {
        let input = self.parameters(input)?;
        let asked = wait.operation.get_ref();
        let mut pause = CHECK_PAUSES.0;
        loop {
            let state = match self.state(wait, input.clone()).await {
                Ok(None) => return Ok(()),
                Ok(Some(state)) if wait.failed.contains(&state) => {
                    return Err(self.failed(&format!("the deletion failed: {asked} reports {state}")));
                }
                Ok(Some(state)) => format!("{asked} still reports {state}"),
                Err(error) if error.means_deleted() => return Ok(()),
                Err(error) if error.kind.is_transient() => error.to_string(),
                Err(error) => return Err(self.failure(&error)),
            };
            if !self.has_time_for(pause) {
                return Err(self.failed(&format!("the deletion is not complete: {state}")));
            }
            sleep(pause).await;
            pause = (pause * 2).min(CHECK_PAUSES.1);
        }
    }

    /// Returns the state of what still exists; `None` if it is deleted.
    async fn state(&self, wait: &WaitDeleted, input: Map<String, Value>) -> Result<Option<String>, CallError> {
        let service = wait.service.as_deref().unwrap_or(&self.service.service);
        let request = Request::new(service, wait.operation.get_ref(), &self.region).input(input);
        let response = self.send(request).await?;
        let tree = response.tree()?;
        let mut left = None;
        let _ = wait.states.get_ref().walk(&tree, &mut |state| {
            let state = state.text().unwrap_or("there");
            if !wait.deleted.iter().any(|deleted| deleted == state) {
                left = Some(state.to_owned());
            }
            std::ops::ControlFlow::Continue(())
        });
        Ok(left)
    }
}

/// Returns the pauses before retries of a deletion of a resource in use.
pub fn conflict_pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(CONFLICT_PAUSES.0), |pause| Some(*pause * 2))
        .take_while(|pause| *pause <= CONFLICT_PAUSES.1)
}

/// Adds the failure to remove the resource's users to the failure of its deletion.
fn with_blocker(failure: Failure, unblocked: Result<bool, Failure>) -> Failure {
    match unblocked {
        Ok(_) => failure,
        Err(why) => {
            let message = format!("{}; cannot remove what uses it: {}", failure.message, why.message);
            Failure { message, ..failure }
        }
    }
}
