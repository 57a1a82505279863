//! Removal of whatever blocks a deletion, and the record of it in case the deletion fails.
//!
//! There are two times of removal. A preparation (`detach`) precedes all deletions of a cleanup. Dependants and rules
//! are removed only after the cloud has rejected the deletion because of them: a deletion that fails for another reason
//! removes nothing.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};
use worker_proto::Failure;

use super::{Change, MissingValue, hooks, preconditions::shown};
use crate::engine::{
    CallError, Tree,
    definition::{Dependant, Detach, Listing},
};

/// The most items of one listing that are removed. More indicate a missing filter.
const MAX_ITEMS: usize = 10_000;
/// The most entries of a record, and the most bytes of each.
const RECORD: (usize, usize) = (100, 256);
/// The most entries that a message lists.
pub(super) const SHOWN: usize = 10;
/// How long the deletion of a dependant in use is retried, and the pause: another dependant's deletion may be in
/// progress, and some services delete one at a time.
const DEPENDANT: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(5));

/// The call that restores what a hook removed, if the deletion fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Undo {
    /// What was removed, as users read it.
    pub label: String,
    /// The operation.
    pub operation: String,
    /// The parameters.
    pub input: Map<String, Value>,
    /// Error codes that mean that it is there.
    pub restored_codes: &'static [&'static str],
}

/// The removals of an operation.
#[derive(Debug, Default)]
pub struct Removed {
    /// What can be restored.
    pub undo: Vec<Undo>,
    /// All other removals, as users read them.
    record: Vec<String>,
    /// The number of entries beyond the record's limit.
    more: usize,
}

impl Removed {
    fn note(&mut self, operation: &str, input: &Map<String, Value>) {
        if self.record.len() == RECORD.0 {
            self.more += 1;
            return;
        }
        let mut entry = operation.to_owned();
        for (name, value) in input {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            entry.push_str(&format!(" {name}={value}"));
        }
        entry.truncate(entry.floor_char_boundary(RECORD.1));
        self.record.push(entry);
    }

    /// Returns the record: the calls with their parameters.
    pub(super) fn entries(mut self) -> Vec<String> {
        if self.more > 0 {
            self.record.push(format!("and {} more", self.more));
        }
        self.record
    }

    /// Returns whether nothing was removed.
    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    fn count(&self) -> usize {
        self.undo.len() + self.record.len() + self.more
    }
}

impl Change {
    /// Removes all attachments. The first failure is returned after all were tried.
    pub(super) async fn detach_all(&self, removed: &mut Removed) -> Result<(), Failure> {
        let mut result = Ok(());
        for detach in &self.definition.detach {
            result = result.and(self.detach(detach, removed).await);
        }
        result
    }

    async fn detach(&self, detach: &Detach, removed: &mut Removed) -> Result<(), Failure> {
        let items = match self.items(&detach.list).await? {
            Ok(items) => items,
            Err(error) if error.means_deleted() => return Ok(()),
            Err(error) if detach.optional => {
                tracing::debug!(%error, "cannot list what may block a deletion");
                return Ok(());
            }
            Err(error) => return Err(self.failure(&error)),
        };
        let mut result = Ok(());
        for item in &items {
            result = result.and(self.detach_item(detach, item, removed).await);
        }
        result
    }

    async fn detach_item(&self, detach: &Detach, item: &Tree<'_>, removed: &mut Removed) -> Result<(), Failure> {
        for call in &detach.calls {
            if call.when.as_ref().is_some_and(|when| !self.fields.holds(item, when.get_ref())) {
                continue;
            }
            let input = self.parameters(self.fields.input_for(item, call.input.get_ref()))?;
            match self.remove(call.operation.get_ref(), input, removed).await {
                Err(error) if !error.means_deleted() => return Err(self.failure(&error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes a call that removes something, and records it.
    async fn remove(&self, operation: &str, input: Map<String, Value>, removed: &mut Removed) -> Result<(), CallError> {
        tracing::info!(operation, resource = self.target.label(), "removing what blocks a deletion");
        self.call(operation, input.clone()).await?;
        removed.note(operation, &input);
        Ok(())
    }

    /// Removes the users of a resource whose deletion was rejected, unless others block it that are never removed.
    /// Returns whether anything was removed.
    pub(super) async fn unblock(&self, removed: &mut Removed) -> Result<bool, Failure> {
        let before = removed.count();
        let mut result = self.detach_all(removed).await;
        let revoke = hooks::named(self.cloud.change_hooks.revoke, self.definition.revoke_hook.as_ref())?;
        if revoke.is_some() || !self.definition.dependants.is_empty() {
            if let Some(blockers) = self.blocked_by().await? {
                return Err(self.failed(&format!("it is used by {blockers}")));
            }
            if let Some(revoke) = revoke {
                result = result.and(revoke(self, removed).await);
            }
            for dependant in &self.definition.dependants {
                result = result.and(self.delete_dependants(dependant, removed).await);
            }
        }
        result.map(|()| removed.count() > before)
    }

    async fn delete_dependants(&self, dependant: &Dependant, removed: &mut Removed) -> Result<(), Failure> {
        let items = match self.items(&dependant.list).await? {
            Ok(items) => items,
            Err(error) if error.means_deleted() => return Ok(()),
            Err(error) => return Err(self.failure(&error)),
        };
        for item in &items {
            if dependant.when.as_ref().is_some_and(|when| !self.fields.holds(item, when.get_ref())) {
                continue;
            }
            let input = self.parameters(self.fields.input_for(item, dependant.delete.input.get_ref()))?;
            self.delete_dependant(dependant.delete.operation.get_ref(), input, removed).await?;
            if let Some(wait) = &dependant.wait_deleted {
                self.wait_deleted(wait, self.fields.input_for(item, wait.input.get_ref())).await?;
            }
        }
        Ok(())
    }

    /// Deletes a dependant, and retries for a while if it is in use.
    async fn delete_dependant(
        &self,
        operation: &str,
        input: Map<String, Value>,
        removed: &mut Removed,
    ) -> Result<(), Failure> {
        let end = Instant::now() + DEPENDANT.0;
        loop {
            match self.remove(operation, input.clone(), removed).await {
                Err(error) if error.means_in_use() && Instant::now() < end && self.has_time_for(DEPENDANT.1) => {
                    sleep(DEPENDANT.1).await;
                }
                Err(error) if !error.means_deleted() => return Err(self.failure(&error)),
                _ => return Ok(()),
            }
        }
    }

    /// Restores what was removed for a resource whose deletion failed, and adds the other removals to the failure.
    pub(super) async fn restore(&self, failure: Failure, removed: Removed) -> Failure {
        let Removed { undo, record, more } = removed;
        let mut left = Vec::new();
        for undo in undo {
            left.extend(self.undo(undo).await);
        }
        left.extend(Removed { undo: Vec::new(), record, more }.entries());
        if left.is_empty() {
            return failure;
        }
        let message = format!("{}; removed for it and not restored: {}", failure.message, shown(&left, SHOWN));
        Failure { message, ..failure }
    }

    /// Restores what a hook removed; returns it with the reason if that fails.
    async fn undo(&self, undo: Undo) -> Option<String> {
        match self.call(&undo.operation, undo.input).await {
            Ok(_) => tracing::info!(removed = undo.label, "restored what was removed for a failed deletion"),
            Err(error) if undo.restored_codes.contains(&error.code.as_str()) => {}
            // Another operation has deleted the resource that it belonged to.
            Err(error) if error.means_deleted() => {}
            Err(error) => return Some(format!("{} ({})", undo.label, error.code)),
        }
        None
    }

    /// Returns the items of a listing. All pages are read before any item is removed, which would shift the pages.
    async fn items(&self, list: &Listing) -> Result<Result<Vec<Tree<'static>>, CallError>, Failure> {
        let input = self.parameters(self.fields.input(list.input.get_ref()))?;
        let mut pages = self.pages(self.request(list.operation.get_ref(), input));
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            let answer = page.tree().map_err(|error| self.failure(&error))?;
            let _ = list.items.get_ref().walk(&answer, &mut |item| {
                items.extend(serde_json::to_value(item).map(Tree::from));
                std::ops::ControlFlow::Continue(())
            });
            if items.len() > MAX_ITEMS {
                return Err(self.failed(&format!("{} lists more than {MAX_ITEMS}", list.operation.get_ref())));
            }
        }
        Ok(Ok(items))
    }

    pub(super) fn parameters<T>(&self, filled: Result<T, MissingValue>) -> Result<T, Failure> {
        filled.map_err(|missing| self.failed(&format!("the core has no {} of it", missing.0)))
    }
}
