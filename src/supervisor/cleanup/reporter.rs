//! Tells the core what was done, beside what is being done: one request at a time, each of a bounded part.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    sync::watch,
    time::{sleep, sleep_until},
};

use super::{
    event_log::EventLog,
    run::{PAUSES, stopped},
};
use crate::{
    ckcore::{Backoff, CoreApi, CoreError, KeyRejections, NodeChange},
    collector_api::BoxFuture,
};

/// Changes that are sent to the core at a time.
const BATCH: usize = 100;
/// Changes wait at most this long for others.
const BATCH_DELAY: Duration = Duration::from_secs(2);
/// What the core may take for all parts that are left once the cleanup has to end. The end of the supervisor waits for it.
pub(in crate::supervisor) const FINAL_REPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// How the core is told a part.
type SendBatch = Box<dyn Fn(Vec<NodeChange>) -> BoxFuture<'static, Result<(), CoreError>> + Send + Sync>;

/// Tells the core.
pub(super) struct Reporter {
    send: SendBatch,
    stop: watch::Receiver<bool>,
    pub(super) event_log: EventLog,
    /// The request under way.
    request: Option<BoxFuture<'static, Result<(), CoreError>>>,
    /// When the last one began.
    began: Instant,
    backoff: Backoff,
    /// Not before this, after a core that could not be told.
    not_before: Instant,
    /// What the core may take once the cleanup has to end.
    final_report_timeout: Duration,
    key_rejections: KeyRejections,
    /// It makes no sense to wait for the core.
    is_unauthorized: bool,
}

impl Reporter {
    /// For nodes with these logs from earlier cleanups.
    pub(super) fn new(api: CoreApi, stop: watch::Receiver<bool>, earlier: HashMap<String, Vec<Value>>) -> Self {
        let send = move |changes: Vec<NodeChange>| -> BoxFuture<'static, Result<(), CoreError>> {
            let api = api.clone();
            Box::pin(async move { api.patch_nodes(&changes).await })
        };
        Self::with_sender(Box::new(send), stop, earlier)
    }

    fn with_sender(send: SendBatch, stop: watch::Receiver<bool>, earlier: HashMap<String, Vec<Value>>) -> Self {
        let now = Instant::now();
        Self {
            send,
            stop,
            event_log: EventLog::new(earlier),
            request: None,
            began: now,
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
            not_before: now,
            final_report_timeout: FINAL_REPORT_TIMEOUT,
            key_rejections: KeyRejections::default(),
            is_unauthorized: false,
        }
    }

    /// Tells the core the next part when it is time for that, and returns when the core has answered: whether it could
    /// be told. Without anything to tell it waits for ever. Nothing is lost if the wait is given up.
    pub(super) async fn turn(&mut self) -> bool {
        if self.request.is_none() {
            if self.event_log.open() == 0 {
                std::future::pending::<()>().await;
            }
            let due = if self.event_log.is_due(BATCH) { self.began } else { self.began + BATCH_DELAY };
            sleep_until(due.max(self.not_before).into()).await;
        }
        self.exchange().await
    }

    /// Tells the core everything that is left, for which it is waited until the deadline, or shortly once we are to stop.
    /// What is left then is counted by the event_log.
    pub(super) async fn finish(&mut self, deadline: Instant) {
        let (stop, final_report_timeout) = (self.stop.clone(), self.final_report_timeout);
        tokio::select! {
            () = self.send_rest(deadline) => {}
            () = sleep_until(deadline.into()) => {}
            () = async { stopped(stop).await; sleep(final_report_timeout).await } => {}
        }
    }

    async fn send_rest(&mut self, deadline: Instant) {
        while self.request.is_some() || self.event_log.open() > 0 {
            let told = self.exchange().await;
            if told {
                continue;
            }
            if *self.stop.borrow() || self.is_unauthorized || self.not_before >= deadline {
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
                none.insert((self.send)(self.event_log.next(BATCH)))
            }
        };
        let result = request.await;
        self.request = None;
        self.handle_result(result)
    }

    fn handle_result(&mut self, result: Result<(), CoreError>) -> bool {
        let now = Instant::now();
        let error = match result {
            Ok(()) => {
                self.event_log.accepted();
                self.backoff.reset();
                self.key_rejections = KeyRejections::default();
                return true;
            }
            Err(error) => self.key_rejections.judge(error, now),
        };
        // Others than the core refuse too, such as what stands before it while it restarts; they know nothing of nodes.
        if error.is_about_content() {
            let discarded = self.event_log.rejected();
            if !discarded.is_empty() {
                let nodes = first_ids(&discarded);
                tracing::error!(%error, nodes, "the core does not take what was done to nodes, given up");
            }
            return true;
        }
        self.is_unauthorized = error.is_unauthorized() && !error.retryable;
        self.event_log.retry_later();
        self.not_before = now + self.backoff.next();
        tracing::warn!(%error, nodes = self.event_log.open(), "the core cannot be told what was cleaned up");
        false
    }
}

/// The first of many ids, for a log line.
fn first_ids(ids: &[String]) -> String {
    let some = ids.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(" ");
    if ids.len() > 10 { format!("{some} and {} more", ids.len() - 10) } else { some }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn refusal(status: Option<u16>, message: &str) -> CoreError {
        CoreError { what: "change of nodes", status, message: message.into(), retryable: false }
    }

    /// A reporter with so many nodes to tell about.
    fn reporter(nodes: usize, stop: watch::Receiver<bool>, tell: SendBatch) -> Reporter {
        let mut reporter = Reporter::with_sender(tell, stop, HashMap::new());
        (0..nodes).for_each(|node| reporter.event_log.log(&format!("{node:05}"), "gone", None));
        reporter
    }

    #[tokio::test]
    async fn final_report_timeout_covers_all_batches_together() {
        // Each part is told in a fraction of the first time, but all of them take many times as long.
        for (final_report_timeout, is_enough) in [(Duration::from_millis(5), false), (LONG, true)] {
            let (_stop, stopped) = watch::channel(true);
            let core: SendBatch = Box::new(|_| {
                Box::pin(async {
                    tokio::task::yield_now().await;
                    Ok(())
                })
            });
            let mut reporter = Reporter { final_report_timeout, ..reporter(500 * BATCH, stopped, core) };
            reporter.finish(Instant::now() + LONG).await;
            assert_eq!(reporter.event_log.open() == 0, is_enough, "{} are left", reporter.event_log.open());
        }
    }

    #[tokio::test]
    async fn only_core_itself_can_reject_nodes() {
        let gateway = "<html>no such page</html>";
        for error in [refusal(Some(404), gateway), refusal(Some(403), gateway), refusal(None, "another key")] {
            let (_stop, stopped) = watch::channel(false);
            let mut reporter =
                reporter(200, stopped, Box::new(move |_| Box::pin(std::future::ready(Err(error.clone())))));
            assert!(!reporter.turn().await);
            assert_eq!((reporter.event_log.open(), reporter.event_log.discarded()), (200, 0));
            assert!(reporter.not_before > reporter.began, "it is tried again later");
        }
        let (_stop, stopped) = watch::channel(false);
        let minded = refusal(Some(400), "Error: ValueError\nMessage: Chunk too big");
        let core: SendBatch = Box::new(move |changes| {
            let minds = changes.iter().any(|change| change.id == "00007");
            Box::pin(std::future::ready(if minds { Err(minded.clone()) } else { Ok(()) }))
        });
        let mut reporter = reporter(200, stopped, core);
        reporter.finish(Instant::now() + LONG).await;
        assert_eq!((reporter.event_log.open(), reporter.event_log.discarded()), (0, 1));
    }
}
