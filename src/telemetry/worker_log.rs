//! Log lines of a worker, which are sent as frames.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::mpsc;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};
use worker_proto::{Event, Level};

use super::{
    line::Fields,
    log::{LibraryLevels, filter, module},
};

/// Logging of a worker process: lines become events for the supervisor.
///
/// Logging never waits. While the channel is full, lines are dropped and counted, and the count is sent as soon as
/// there is room.
#[derive(Clone, Debug)]
pub struct WorkerLog {
    sender: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

impl WorkerLog {
    /// Sends every line from `level` on to `sender` for the rest of this process's life. If logging is already
    /// initialized, nothing changes.
    pub fn init(level: Level, libraries: LibraryLevels<'_>, sender: mpsc::Sender<Event>) -> Self {
        let log = Self::new(sender);
        // Fails in a process that logs already, such as that of a worker thread, which keeps its log.
        let _ = Registry::default().with(filter(level_filter(level), libraries)).with(log.clone()).try_init();
        log
    }

    fn new(sender: mpsc::Sender<Event>) -> Self {
        Self { sender, dropped: Arc::default() }
    }

    /// Returns the number of dropped lines that were not reported yet.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn offer(&self, event: Event) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 && self.sender.try_send(lost(dropped)).is_err() {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        } else if self.sender.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn lost(lines: u64) -> Event {
    let message = format!("dropped {lines} log lines: the queue was full");
    Event::Log { level: Level::Warn, target: "telemetry".to_owned(), message }
}

impl<S: Subscriber> Layer<S> for WorkerLog {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let level = proto_level(*event.metadata().level());
        let target = module(event.metadata().target()).to_owned();
        self.offer(Event::Log { level, target, message: Fields::of(event).into_text() });
    }
}

fn level_filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

fn proto_level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_events_and_lost_ones_are_counted() {
        let (sender, mut events) = mpsc::channel(2);
        let log = WorkerLog::new(sender);
        let subscriber = Registry::default().with(filter(LevelFilter::INFO, &[])).with(log.clone());
        let mut received = Vec::new();
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..5 {
                tracing::info!(target: "ckworker::collectors::aws", number, "line");
            }
            tracing::debug!(target: "ckworker::collectors::aws", "not wanted");
            assert_eq!(log.dropped(), 3);
            received.extend(std::iter::from_fn(|| events.try_recv().ok()));
            tracing::error!(target: "ckworker::collectors::aws", "last");
        });
        received.extend(std::iter::from_fn(|| events.try_recv().ok()));
        let event = |level, target: &str, message: &str| Event::Log {
            level,
            target: target.to_owned(),
            message: message.to_owned(),
        };
        assert_eq!(
            received,
            [
                event(Level::Info, "collectors::aws", "line number=0"),
                event(Level::Info, "collectors::aws", "line number=1"),
                lost(3),
                event(Level::Error, "collectors::aws", "last"),
            ]
        );
        assert_eq!(log.dropped(), 0);
    }
}
