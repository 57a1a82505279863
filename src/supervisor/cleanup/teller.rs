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
    journal::Journal,
    run::{PAUSES, stopped},
};
use crate::{
    ckcore::{Backoff, CoreApi, CoreError, KeyRejections, NodeChange},
    collector_api::BoxFuture,
};

/// Changes that are sent to the core at a time.
const PART: usize = 100;
/// Changes wait at most this long for others.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the core may take for all parts that are left once the cleanup has to end. The end of the supervisor waits for it.
pub(in crate::supervisor) const LAST_WORDS: Duration = Duration::from_secs(3);

/// How the core is told a part.
type Tell = Box<dyn Fn(Vec<NodeChange>) -> BoxFuture<'static, Result<(), CoreError>> + Send + Sync>;

/// Tells the core.
pub(super) struct Teller {
    tell: Tell,
    stop: watch::Receiver<bool>,
    pub(super) journal: Journal,
    /// The request under way.
    request: Option<BoxFuture<'static, Result<(), CoreError>>>,
    /// When the last one began.
    began: Instant,
    backoff: Backoff,
    /// Not before this, after a core that could not be told.
    not_before: Instant,
    /// What the core may take once the cleanup has to end.
    last_words: Duration,
    key_rejections: KeyRejections,
    /// It makes no sense to wait for the core.
    hopeless: bool,
}

impl Teller {
    /// For nodes with these logs from earlier cleanups.
    pub(super) fn new(api: CoreApi, stop: watch::Receiver<bool>, earlier: HashMap<String, Vec<Value>>) -> Self {
        let tell = move |changes: Vec<NodeChange>| -> BoxFuture<'static, Result<(), CoreError>> {
            let api = api.clone();
            Box::pin(async move { api.patch_nodes(&changes).await })
        };
        Self::with(Box::new(tell), stop, earlier)
    }

    fn with(tell: Tell, stop: watch::Receiver<bool>, earlier: HashMap<String, Vec<Value>>) -> Self {
        let now = Instant::now();
        Self {
            tell,
            stop,
            journal: Journal::new(earlier),
            request: None,
            began: now,
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
            not_before: now,
            last_words: LAST_WORDS,
            key_rejections: KeyRejections::default(),
            hopeless: false,
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
    /// What is left then is counted by the journal.
    pub(super) async fn finish(&mut self, deadline: Instant) {
        let (stop, last_words) = (self.stop.clone(), self.last_words);
        tokio::select! {
            () = self.rest(deadline) => {}
            () = sleep_until(deadline.into()) => {}
            () = async { stopped(stop).await; sleep(last_words).await } => {}
        }
    }

    async fn rest(&mut self, deadline: Instant) {
        while self.request.is_some() || self.journal.open() > 0 {
            let told = self.exchange().await;
            if told {
                continue;
            }
            if *self.stop.borrow() || self.hopeless || self.not_before >= deadline {
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
                none.insert((self.tell)(self.journal.next(PART)))
            }
        };
        let told = request.await;
        self.request = None;
        self.answered(told)
    }

    fn answered(&mut self, told: Result<(), CoreError>) -> bool {
        let now = Instant::now();
        let error = match told {
            Ok(()) => {
                self.journal.told();
                self.backoff.reset();
                self.key_rejections = KeyRejections::default();
                return true;
            }
            Err(error) => self.key_rejections.judge(error, now),
        };
        // Others than the core refuse too, such as what stands before it while it restarts; they know nothing of nodes.
        if error.is_about_content() {
            let given_up = self.journal.refused();
            if !given_up.is_empty() {
                let nodes = shown(&given_up);
                tracing::error!(%error, nodes, "the core does not take what was done to nodes, given up");
            }
            return true;
        }
        self.hopeless = error.is_unauthorized() && !error.retryable;
        self.journal.not_now();
        self.not_before = now + self.backoff.next();
        tracing::warn!(%error, nodes = self.journal.open(), "the core cannot be told what was cleaned up");
        false
    }
}

/// The first of many ids, for a log line.
fn shown(ids: &[String]) -> String {
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

    /// A teller with so many nodes to tell about.
    fn teller(nodes: usize, stop: watch::Receiver<bool>, tell: Tell) -> Teller {
        let mut teller = Teller::with(tell, stop, HashMap::new());
        (0..nodes).for_each(|node| teller.journal.log(&format!("{node:05}"), "gone", None));
        teller
    }

    #[tokio::test]
    async fn the_end_waits_once_for_all_parts_and_not_for_each() {
        // Each part is told in a fraction of the first time, but all of them take many times as long.
        for (last_words, is_enough) in [(Duration::from_millis(5), false), (LONG, true)] {
            let (_stop, stopped) = watch::channel(true);
            let core: Tell = Box::new(|_| {
                Box::pin(async {
                    tokio::task::yield_now().await;
                    Ok(())
                })
            });
            let mut teller = Teller { last_words, ..teller(500 * PART, stopped, core) };
            teller.finish(Instant::now() + LONG).await;
            assert_eq!(teller.journal.open() == 0, is_enough, "{} are left", teller.journal.open());
        }
    }

    #[tokio::test]
    async fn only_the_core_itself_can_mind_nodes() {
        let gateway = "<html>no such page</html>";
        for error in [refusal(Some(404), gateway), refusal(Some(403), gateway), refusal(None, "another key")] {
            let (_stop, stopped) = watch::channel(false);
            let mut teller = teller(200, stopped, Box::new(move |_| Box::pin(std::future::ready(Err(error.clone())))));
            assert!(!teller.turn().await);
            assert_eq!((teller.journal.open(), teller.journal.given_up()), (200, 0));
            assert!(teller.not_before > teller.began, "it is tried again later");
        }
        let (_stop, stopped) = watch::channel(false);
        let minded = refusal(Some(400), "Error: ValueError\nMessage: Chunk too big");
        let core: Tell = Box::new(move |changes| {
            let minds = changes.iter().any(|change| change.id == "00007");
            Box::pin(std::future::ready(if minds { Err(minded.clone()) } else { Ok(()) }))
        });
        let mut teller = teller(200, stopped, core);
        teller.finish(Instant::now() + LONG).await;
        assert_eq!((teller.journal.open(), teller.journal.given_up()), (0, 1));
    }
}
