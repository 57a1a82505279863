//! Deletion: what keeps a resource is taken away, it is deleted, and where others depend on it, waited for.
//!
//! Something that is gone already counts as deleted, so that a cleanup that was cut short can be repeated.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};
use worker_proto::{Failure, Outcome};

use super::{Task, fields::tree};
use crate::collectors::aws::{
    client::{CallError, CallErrorKind, Reply, Request, Tree},
    definitions::{Action, Each, Gone, Loosen},
};

/// The first pause before a deletion that was refused because something still uses the resource is tried again, and the
/// last one: each is twice the one before. In these 31 seconds EC2 notices what was deleted before; beyond, something
/// else uses it, and waiting for many such resources would take the time of all others.
const CONFLICT_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(16));
/// The first pause between two looks at something that is going, and the longest.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// The most that one listing may have to take away; beyond, a bound is missing somewhere.
const MAX_ITEMS: usize = 10_000;

impl Task {
    /// Takes away what keeps the resource from being deleted.
    pub(super) async fn pre_delete(&self) -> Result<Outcome, Failure> {
        if self.is_foreign() {
            return Ok(self.nothing("it belongs to AWS"));
        }
        if self.definition.loosen.is_empty() {
            return Ok(self.nothing("nothing keeps it from being deleted"));
        }
        if let Some(nothing) = self.namesake().await? {
            return Ok(nothing);
        }
        self.loosen_all().await.map(|()| Outcome::Done)
    }

    /// Deletes it.
    pub(super) async fn delete(&self) -> Result<Outcome, Failure> {
        let Some(action) = &self.definition.delete else {
            return Ok(self.nothing("ckworker does not delete this kind"));
        };
        if self.is_foreign() {
            return Ok(self.nothing("it belongs to AWS"));
        }
        if let Some(nothing) = self.namesake().await? {
            return Ok(nothing);
        }
        match self.subject.kind.as_str() {
            "aws_vpc" if self.subject.reported.get("is_default") == Some(&Value::Bool(true)) => {
                return Ok(self.nothing("it is the default VPC"));
            }
            "aws_ec2_instance" if self.subject.text("instance_status") == Some("terminated") => {
                return Ok(Outcome::Done);
            }
            "aws_s3_bucket" => return self.delete_bucket().await,
            "aws_ec2_volume" => self.snapshot_if_wanted().await?,
            _ => {}
        }
        self.delete_call(action).await?;
        if let Some(gone) = &self.definition.gone {
            self.wait_until(gone).await?;
        }
        Ok(Outcome::Done)
    }

    async fn delete_call(&self, action: &Action) -> Result<(), Failure> {
        let input = self.parameters(self.fields.input(action.input.get_ref()))?;
        let mut pauses = conflict_pauses();
        let mut loosened = Ok(());
        loop {
            let error = match self.call(action.operation.get_ref(), input.clone()).await {
                Ok(reply) => return self.accepted(&reply),
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) => error,
            };
            let pause = pauses.next().filter(|_| is_conflict(&error));
            let Some(pause) = pause.filter(|pause| self.has_time_for(*pause)) else {
                return Err(both(self.failure(&error), loosened));
            };
            sleep(pause).await;
            // What cannot be taken away now may not matter, or be possible after the next pause.
            loosened = self.loosen_all().await;
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
        Err(self.odd(&format!("{}: {}", part("Code"), part("Message"))))
    }

    /// Takes everything away that can be; the first failure is reported after all was tried.
    async fn loosen_all(&self) -> Result<(), Failure> {
        let mut result = Ok(());
        for loosen in &self.definition.loosen {
            result = result.and(self.loosen(loosen).await);
        }
        result
    }

    async fn loosen(&self, loosen: &Loosen) -> Result<(), Failure> {
        let items = match self.items(&loosen.each).await? {
            Ok(items) => items,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) if loosen.rare => {
                tracing::debug!(%error, "what may keep a resource cannot be listed");
                return Ok(());
            }
            Err(error) => return Err(self.failure(&error)),
        };
        let mut result = Ok(());
        for item in &items {
            result = result.and(self.loosen_item(loosen, item).await);
        }
        result
    }

    async fn loosen_item(&self, loosen: &Loosen, item: &Tree<'_>) -> Result<(), Failure> {
        for step in &loosen.calls {
            if step.when.as_ref().is_some_and(|when| !self.fields.holds(item, when.get_ref())) {
                continue;
            }
            let input = self.parameters(self.fields.input_for(item, step.input.get_ref()))?;
            let subject = self.subject.label();
            tracing::info!(operation = step.operation.get_ref(), subject, "taking away what keeps a resource");
            match self.call(step.operation.get_ref(), input).await {
                Err(error) if !is_gone(&error) => return Err(self.failure(&error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The items of a listing, all pages of it, before any is taken away: that would shift the pages.
    async fn items(&self, each: &Each) -> Result<Result<Vec<Tree<'static>>, CallError>, Failure> {
        let input = self.parameters(self.fields.input(each.input.get_ref()))?;
        let mut pages = self.client.pages(self.request(each.operation.get_ref(), input));
        let mut items = Vec::new();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) => return Ok(Err(error)),
            };
            let answer = page.tree().map_err(|error| self.failure(&error))?;
            let _ = each.items.get_ref().walk(&answer, &mut |item| {
                items.extend(serde_json::to_value(item).map(tree));
                std::ops::ControlFlow::Continue(())
            });
            if items.len() > MAX_ITEMS {
                return Err(self.odd(&format!("{} lists more than {MAX_ITEMS}", each.operation.get_ref())));
            }
        }
        Ok(Ok(items))
    }

    pub(super) fn parameters<T>(&self, filled: Result<T, super::fields::Missing>) -> Result<T, Failure> {
        filled.map_err(|missing| self.odd(&format!("the core knows no {} of it", missing.0)))
    }

    /// Looks again and again until it is gone, at most until the operation's time is over.
    async fn wait_until(&self, gone: &Gone) -> Result<(), Failure> {
        let input = self.parameters(self.fields.input(gone.input.get_ref()))?;
        let mut pause = LOOKS.0;
        loop {
            let state = match self.state(gone, input.clone()).await {
                Ok(None) => return Ok(()),
                Ok(Some(state)) if gone.failed.contains(&state) => {
                    return Err(self.odd(&format!("its deletion failed, it is {state}")));
                }
                Ok(Some(state)) => format!("still {state}"),
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) if may_pass(&error) => format!("cannot be looked at: {error}"),
                Err(error) => return Err(self.failure(&error)),
            };
            if !self.has_time_for(pause) {
                return Err(self.odd(&format!("it is being deleted and {state}")));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOKS.1);
        }
    }

    /// The state of what is still there.
    async fn state(&self, gone: &Gone, input: Map<String, Value>) -> Result<Option<String>, CallError> {
        let service = gone.service.as_deref().unwrap_or(&self.service.service);
        let request = Request { service, operation: gone.operation.get_ref(), region: &self.region, input };
        let reply = self.client.call(request).await?;
        let tree = reply.tree()?;
        let mut left = None;
        let _ = gone.states.get_ref().walk(&tree, &mut |state| {
            let state = state.text().unwrap_or("there");
            if !gone.ended.iter().any(|ended| ended == state) {
                left = Some(state.to_owned());
            }
            std::ops::ControlFlow::Continue(())
        });
        Ok(left)
    }
}

/// Whether a refusal means that there is nothing of it left. A bare status says nothing: a wrong address answers 404 too.
pub(super) fn is_gone(error: &CallError) -> bool {
    let missing = error.message.contains("does not exist") || error.message.contains("not found");
    match error.kind {
        CallErrorKind::NotFound => error.code.starts_with("NoSuch") || error.code.contains("NotFound"),
        _ => error.code == "ValidationError" && missing || error.code == "Gateway.NotAttached",
    }
}

/// Whether the same look at the cloud may succeed a moment later.
pub(super) fn may_pass(error: &CallError) -> bool {
    matches!(error.kind, CallErrorKind::Throttled | CallErrorKind::Unavailable)
}

/// How long to wait each time before something that is still in use is tried again.
pub(super) fn conflict_pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(CONFLICT_PAUSES.0), |pause| Some(*pause * 2))
        .take_while(|pause| *pause <= CONFLICT_PAUSES.1)
}

/// Why it was not deleted, and why what keeps it was not taken away, if that failed too.
fn both(failure: Failure, loosened: Result<(), Failure>) -> Failure {
    match loosened {
        Ok(()) => failure,
        Err(why) => {
            let message = format!("{}; what keeps it cannot be taken away: {}", failure.message, why.message);
            Failure { message, ..failure }
        }
    }
}

/// Whether a refusal means that something still uses it, which may be over in a moment.
fn is_conflict(error: &CallError) -> bool {
    let code = error.code.as_str();
    matches!(
        code,
        "DependencyViolation" | "DeleteConflict" | "ResourceInUse" | "ResourceInUseException" | "VolumeInUse"
    ) || code.ends_with(".InUse")
}
