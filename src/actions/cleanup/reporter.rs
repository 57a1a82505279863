//! Reports the results of a cleanup to the core while it runs: one request at a time, each with a bounded batch.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::time::{sleep, sleep_until};

use super::{PAUSES, event_log::EventLog};
use crate::{
    ckcore::{Backoff, CoreApi, CoreError, KeyRejections, NodeChange},
    collector_api::BoxFuture,
    supervisor::actions::{Cancellation, FINAL_REPORT_TIMEOUT},
};

/// The largest number of changes in one request.
const BATCH: usize = 100;
/// How long changes wait for others before they are sent.
const BATCH_DELAY: Duration = Duration::from_secs(2);
/// Sends one batch to the core.
type SendBatch = Box<dyn Fn(Vec<NodeChange>) -> BoxFuture<'static, Result<(), CoreError>> + Send + Sync>;

/// Sends the event logs of one cleanup to the core.
pub(super) struct Reporter {
    send: SendBatch,
    stop: Cancellation,
    pub(super) event_log: EventLog,
    /// The request in flight.
    request: Option<BoxFuture<'static, Result<(), CoreError>>>,
    /// When the last one began.
    began: Instant,
    backoff: Backoff,
    /// Earliest time of the next request after a failure.
    not_before: Instant,
    /// The timeout of the remaining batches once the cleanup has to end.
    final_report_timeout: Duration,
    key_rejections: KeyRejections,
    /// The core rejects our key for good.
    is_unauthorized: bool,
}

impl Reporter {
    /// For nodes with these logs from earlier cleanups.
    pub(super) fn new(api: CoreApi, stop: Cancellation, earlier: HashMap<String, Vec<Value>>) -> Self {
        let send = move |changes: Vec<NodeChange>| -> BoxFuture<'static, Result<(), CoreError>> {
            let api = api.clone();
            Box::pin(async move { api.patch_nodes(&changes).await })
        };
        Self::with_sender(Box::new(send), stop, earlier)
    }

    fn with_sender(send: SendBatch, stop: Cancellation, earlier: HashMap<String, Vec<Value>>) -> Self {
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

    /// Sends the next batch when it is due, and returns after the core's response whether it was handled. Without
    /// changes it waits forever. Cancel safe.
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

    /// Sends all remaining batches until the deadline, or for a short time once the cleanup has to stop. The event log
    /// counts what is left then.
    pub(super) async fn finish(&mut self, deadline: Instant) {
        let (stop, final_report_timeout) = (self.stop.clone(), self.final_report_timeout);
        tokio::select! {
            () = self.send_rest(deadline) => {}
            () = sleep_until(deadline.into()) => {}
            () = async { stop.cancelled().await; sleep(final_report_timeout).await } => {}
        }
    }

    async fn send_rest(&mut self, deadline: Instant) {
        while self.request.is_some() || self.event_log.open() > 0 {
            let told = self.exchange().await;
            if told {
                continue;
            }
            if self.stop.is_cancelled() || self.is_unauthorized || self.not_before >= deadline {
                return;
            }
            tokio::select! {
                () = sleep_until(self.not_before.into()) => {}
                // Once more, and at once.
                () = self.stop.cancelled() => {}
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
                tracing::error!(%error, nodes, "core rejected cleanup results; discarding them");
            }
            return true;
        }
        self.is_unauthorized = error.is_unauthorized() && !error.retryable;
        self.event_log.retry_later();
        self.not_before = now + self.backoff.next();
        tracing::warn!(%error, nodes = self.event_log.open(), "cannot report cleanup results to the core; retrying");
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

    /// A reporter with changes of this many nodes.
    fn reporter(nodes: usize, stop: Cancellation, tell: SendBatch) -> Reporter {
        let mut reporter = Reporter::with_sender(tell, stop, HashMap::new());
        (0..nodes).for_each(|node| reporter.event_log.log(&format!("{node:05}"), "gone", None));
        reporter
    }

    /// Invariant: shutdown has one upper bound, and a second signal skips the grace period.
    #[tokio::test]
    async fn final_report_timeout_covers_all_batches_together() {
        // Each batch takes a fraction of the first timeout, but all of them take many times as long.
        for (final_report_timeout, is_enough) in [(Duration::from_millis(5), false), (LONG, true)] {
            let (_stop, stopped) = Cancellation::new(true);
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
            let (_stop, stopped) = Cancellation::new(false);
            let mut reporter =
                reporter(200, stopped, Box::new(move |_| Box::pin(std::future::ready(Err(error.clone())))));
            assert!(!reporter.turn().await);
            assert_eq!((reporter.event_log.open(), reporter.event_log.discarded()), (200, 0));
            assert!(reporter.not_before > reporter.began, "it is tried again later");
        }
        let (_stop, stopped) = Cancellation::new(false);
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
