//! Deletion: what AWS never deletes is refused, the resource is deleted, what keeps it is removed only if it does, and
//! where others depend on the deletion, it is waited for.
//!
//! Something that is gone already counts as deleted, so that a cleanup that was cut short can be repeated.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};
use worker_proto::{Failure, Outcome};

use super::{
    Change, MissingValue,
    detach::{Removed, SHOWN},
    hooks,
    preconditions::shown,
};
use crate::collectors::aws::{
    client::{CallError, Reply, Request, Tree},
    definitions::{Condition, ResourceCall, WaitDeleted},
};

/// The first pause before a deletion that was refused because something still uses the resource is tried again, and the
/// last one: each is twice the one before. In these 31 seconds EC2 notices what was deleted before; beyond, something
/// else uses it, and waiting for many such resources would take the time of all others.
const CONFLICT_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(16));
/// The first pause between two looks at something that is going, and the longest.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// What is kept of the time of a deletion to put back what was removed for it.
const RESTORE: Duration = Duration::from_secs(5);

impl Change {
    /// Takes away what keeps the resource from being deleted.
    pub(super) async fn pre_delete(&self) -> Result<Outcome, Failure> {
        if self.definition.detach.is_empty() {
            return Ok(self.nothing("nothing keeps it from being deleted"));
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
                let message = format!("{}; removed before: {}", failure.message, shown(&entries, SHOWN));
                Err(Failure { message, ..failure })
            }
        }
    }

    /// Deletes it.
    pub(super) async fn delete(&self) -> Result<Outcome, Failure> {
        let Some(action) = &self.definition.delete else {
            return Ok(self.nothing("ckworker does not delete this kind"));
        };
        if let Some(refusal) = self.refusal().await? {
            return Ok(refusal);
        }
        let is_deleted = |when: &toml::Spanned<Condition>| self.fields.holds_for_node(when.get_ref());
        if self.definition.deleted_when.as_ref().is_some_and(is_deleted) {
            return Ok(Outcome::Done);
        }
        if let Some(delete) = hooks::find(hooks::DELETE, self.definition.delete_hook.as_ref())? {
            return delete(self).await;
        }
        if let Some(prepare) = hooks::find(hooks::PREPARE, self.definition.prepare_hook.as_ref())? {
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
        match &self.definition.wait_deleted {
            Some(wait) => self.wait_deleted(wait, self.fields.input(wait.input.get_ref())).await,
            None => Ok(()),
        }
    }

    /// Calls again while something still uses the resource: at once if that has been removed, else after pauses.
    async fn delete_call(&self, action: &ResourceCall, removed: &mut Removed) -> Result<(), Failure> {
        let input = self.parameters(self.fields.input(action.input.get_ref()))?;
        let mut pauses = std::iter::once(Duration::ZERO).chain(conflict_pauses());
        let mut room = Ok(false);
        loop {
            let error = match self.call(action.operation.get_ref(), input.clone()).await {
                Ok(reply) => return self.accepted(&reply),
                Err(error) if error.means_deleted() => return Ok(()),
                Err(error) => error,
            };
            loop {
                let pause = pauses.next().filter(|pause| error.means_in_use() && self.has_time_for(*pause + RESTORE));
                let Some(pause) = pause else { return Err(both(self.failure(&error), room)) };
                sleep(pause).await;
                // What cannot be removed now may not matter, or may be removed after the next pause.
                room = self.unblock(removed).await;
                if !pause.is_zero() || room == Ok(true) {
                    break;
                }
            }
        }
    }

    /// Whether there is time for a pause and something after it.
    pub(super) fn has_time_for(&self, pause: Duration) -> bool {
        Instant::now() + pause < self.deadline
    }

    /// Some calls say in a good answer that they did not do it.
    fn accepted(&self, reply: &Reply) -> Result<(), Failure> {
        let tree = reply.tree().map_err(|error| self.failure(&error))?;
        let Some(refusal) = tree.at("Unsuccessful[0].Error") else { return Ok(()) };
        let part = |name| refusal.get(name).and_then(Tree::text).unwrap_or_default();
        if part("Code").contains("NotFound") {
            return Ok(());
        }
        Err(self.failed(&format!("{}: {}", part("Code"), part("Message"))))
    }

    /// Looks again and again until it is gone, at most until the operation's time is over.
    pub(super) async fn wait_deleted(
        &self,
        wait: &WaitDeleted,
        input: Result<Map<String, Value>, MissingValue>,
    ) -> Result<(), Failure> {
        let input = self.parameters(input)?;
        let asked = wait.operation.get_ref();
        let mut pause = LOOKS.0;
        loop {
            let state = match self.state(wait, input.clone()).await {
                Ok(None) => return Ok(()),
                Ok(Some(state)) if wait.failed.contains(&state) => {
                    return Err(self.failed(&format!("the deletion failed: {asked} says {state}")));
                }
                Ok(Some(state)) => format!("{asked} still says {state}"),
                Err(error) if error.means_deleted() => return Ok(()),
                Err(error) if error.kind.is_transient() => error.to_string(),
                Err(error) => return Err(self.failure(&error)),
            };
            if !self.has_time_for(pause) {
                return Err(self.failed(&format!("the deletion is not complete: {state}")));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOKS.1);
        }
    }

    /// The state of what is still there.
    async fn state(&self, wait: &WaitDeleted, input: Map<String, Value>) -> Result<Option<String>, CallError> {
        let service = wait.service.as_deref().unwrap_or(&self.service.service);
        let request = Request { service, operation: wait.operation.get_ref(), region: &self.region, input };
        let reply = self.client.call(request).await?;
        let tree = reply.tree()?;
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

/// How long to wait each time before something that is still in use is tried again.
pub(super) fn conflict_pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(CONFLICT_PAUSES.0), |pause| Some(*pause * 2))
        .take_while(|pause| *pause <= CONFLICT_PAUSES.1)
}

/// Why it was not deleted, and why what keeps it was not taken away, if that failed too.
fn both(failure: Failure, room: Result<bool, Failure>) -> Failure {
    match room {
        Ok(_) => failure,
        Err(why) => {
            let message = format!("{}; what keeps it cannot be taken away: {}", failure.message, why.message);
            Failure { message, ..failure }
        }
    }
}
