//! Tells the core what was done, beside what is being done: one request at a time, each of a bounded part.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    sync::watch,
    time::{sleep, sleep_until, timeout_at},
};

use super::{
    journal::Journal,
    run::{PAUSES, stopped},
};
use crate::{
    ckcore::{Backoff, CoreApi, CoreError, NodeChange},
    collectors::BoxFuture,
};

/// Changes that are sent to the core at a time.
const PART: usize = 100;
/// Changes wait at most this long for others.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the core may take for one part once the cleanup has to end.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Tells the core.
pub(super) struct Teller {
    api: CoreApi,
    stop: watch::Receiver<bool>,
    pub(super) journal: Journal,
    /// The request under way; `None` is one that was given up because we are stopping.
    request: Option<BoxFuture<'static, Option<Result<(), CoreError>>>>,
    /// When the last one began.
    began: Instant,
    backoff: Backoff,
    /// Not before this, after a core that could not be told.
    not_before: Instant,
}

impl Teller {
    /// For nodes with these logs from earlier cleanups.
    pub(super) fn new(api: CoreApi, stop: watch::Receiver<bool>, earlier: HashMap<String, Vec<Value>>) -> Self {
        let now = Instant::now();
        Self {
            api,
            stop,
            journal: Journal::new(earlier),
            request: None,
            began: now,
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
            not_before: now,
        }
    }

    /// Tells the core the next part when it is time for that, and returns when the core has answered: whether it could
    /// be told. Without anything to tell it waits for ever. Nothing is lost if the wait is given up.
    pub(super) async fn turn(&mut self) -> bool {
        if self.request.is_none() {
            if self.journal.open() == 0 {
                std::future::pending::<()>().await;
            }
            let patient = if self.journal.is_due(PART) { self.began } else { self.began + PATIENCE };
            sleep_until(patient.max(self.not_before).into()).await;
        }
        self.exchange().await
    }

    /// Tells the core everything that is left, for which it is waited until the deadline, or shortly once we are to stop.
    pub(super) async fn finish(&mut self, deadline: Instant) {
        // What is left then is counted by the journal.
        let _ = timeout_at(deadline.into(), self.rest(deadline)).await;
    }

    async fn rest(&mut self, deadline: Instant) {
        while self.request.is_some() || self.journal.open() > 0 {
            let told = self.exchange().await;
            if told {
                continue;
            }
            if *self.stop.borrow() || self.not_before >= deadline {
                return;
            }
            tokio::select! {
                () = sleep_until(self.not_before.into()) => {}
                // Once more, and at once.
                () = stopped(self.stop.clone()) => {}
            }
        }
    }

    async fn exchange(&mut self) -> bool {
        let request = match &mut self.request {
            Some(request) => request,
            none => {
                self.began = Instant::now();
                none.insert(Box::pin(tell(self.api.clone(), self.journal.next(PART), self.stop.clone())))
            }
        };
        let told = request.await;
        self.request = None;
        self.answered(told)
    }

    fn answered(&mut self, told: Option<Result<(), CoreError>>) -> bool {
        let error = match told {
            Some(Ok(())) => {
                self.journal.told();
                self.backoff.reset();
                return true;
            }
            Some(Err(error)) if !error.retryable => {
                let given_up = self.journal.refused();
                if !given_up.is_empty() {
                    let nodes = shown(&given_up);
                    tracing::error!(%error, nodes, "the core does not take what was done to nodes, given up");
                }
                return true;
            }
            Some(Err(error)) => error.to_string(),
            None => "ckworker is stopping".to_owned(),
        };
        self.journal.not_now();
        self.not_before = Instant::now() + self.backoff.next();
        tracing::warn!(error, nodes = self.journal.open(), "the core cannot be told what was cleaned up");
        false
    }
}

async fn tell(api: CoreApi, changes: Vec<NodeChange>, stop: watch::Receiver<bool>) -> Option<Result<(), CoreError>> {
    tokio::select! {
        told = api.patch_nodes(&changes) => Some(told),
        () = async { stopped(stop).await; sleep(LAST_WORDS).await } => None,
    }
}

/// The first of many ids, for a log line.
fn shown(ids: &[String]) -> String {
    let some = ids.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(" ");
    if ids.len() > 10 { format!("{some} and {} more", ids.len() - 10) } else { some }
}
