//! The limits of log lines: how many pass, how the others are reported, and that nothing grows.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use tracing_subscriber::{Layer, Registry, layer::Context, layer::SubscriberExt};

use super::*;

/// A layer whose clock the test sets.
struct Limited {
    limiter: Arc<Limiter>,
    now: Arc<Mutex<Instant>>,
    passed: Arc<AtomicU64>,
}

impl<S: tracing::Subscriber> Layer<S> for Limited {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let now = *self.now.lock().unwrap();
        if self.limiter.admits(event, now) {
            self.passed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The state that a test inspects while events come.
struct Watched {
    limiter: Arc<Limiter>,
    now: Arc<Mutex<Instant>>,
    passed: Arc<AtomicU64>,
    start: Instant,
}

impl Watched {
    fn at(&self, seconds: f64) -> Instant {
        let now = self.start + Duration::from_secs_f64(seconds);
        *self.now.lock().unwrap() = now;
        now
    }

    /// Returns the number of lines that passed since the last call.
    fn passed(&self) -> u64 {
        self.passed.swap(0, Ordering::Relaxed)
    }

    fn reports(&self, seconds: f64) -> Vec<String> {
        self.limiter.reports(self.at(seconds), false).into_iter().map(|report| report.text).collect()
    }
}

fn watched(test: impl FnOnce(&Watched)) {
    let start = Instant::now();
    let watched = Watched { limiter: Arc::default(), now: Arc::new(Mutex::new(start)), passed: Arc::default(), start };
    let (limiter, now, passed) = (Arc::clone(&watched.limiter), Arc::clone(&watched.now), Arc::clone(&watched.passed));
    let subscriber = Registry::default().with(Limited { limiter, now, passed });
    tracing::subscriber::with_default(subscriber, || test(&watched));
}

fn flood(lines: usize) {
    for number in 0..lines {
        tracing::warn!(peer = "core", number, "ignored a frame");
    }
}

/// Invariant: no peer can flood the log.
#[test]
fn flood_is_suppressed_and_counted_once_a_minute() {
    watched(|watched| {
        flood(10_000);
        assert_eq!(watched.passed(), 20);
        assert_eq!(watched.reports(0.5), Vec::<String>::new());
        let reports = watched.reports(1.5);
        assert_eq!(reports.len(), 1, "{reports:?}");
        for part in ["peer=core", "lines=9980", "such as: ignored a frame number=20"] {
            assert!(reports[0].contains(part), "{part}: {reports:?}");
        }
        let mut lines = 0;
        for second in 2..3602 {
            watched.at(f64::from(second));
            flood(10);
            lines += watched.reports(f64::from(second)).len();
        }
        assert!((59..=61).contains(&lines), "{lines} reports in an hour");
        assert!((59..=61).contains(&watched.passed()), "one line a minute");
    });
}

#[test]
fn suppressed_lines_are_reported_without_further_lines() {
    watched(|watched| {
        flood(25);
        assert!(watched.reports(2.0)[0].contains("lines=5 "));
        assert_eq!(watched.reports(1000.0), Vec::<String>::new(), "nothing was suppressed since");
        assert_eq!(watched.limiter.reports(watched.at(1000.0), true), []);
        flood(100);
        assert_eq!(watched.limiter.reports(watched.at(1000.0), true).len(), 1, "at the end, all that there is");
    });
}

#[test]
fn lines_without_peer_are_never_suppressed() {
    watched(|watched| {
        for number in 0..10_000 {
            tracing::warn!(number, "our own");
        }
        assert_eq!(watched.passed(), 10_000);
    });
}

#[test]
fn places_and_jobs_have_buckets_of_their_own() {
    watched(|watched| {
        flood(1000);
        tracing::warn!(peer = "core", "another line");
        assert_eq!(watched.passed(), 21);
        for job in ["a", "b"] {
            for _ in 0..1000 {
                tracing::info!(peer = "worker", job, "said");
            }
            for _ in 0..1000 {
                tracing::warn!(peer = "worker", job, "said otherwise");
            }
        }
        assert_eq!(watched.passed(), 400);
        let mut places: Vec<_> =
            watched.limiter.reports(watched.at(2.0), false).into_iter().map(|report| report.place).collect();
        places.sort();
        assert_eq!(places.len(), 3);
        assert_eq!(places[..2], ["a", "b"]);
    });
}

/// Invariant: no peer can flood the log.
#[test]
fn number_of_buckets_is_bounded() {
    watched(|watched| {
        for number in 0..5 * MAX_BUCKETS {
            tracing::info!(peer = "worker", job = number.to_string(), "said");
        }
        let kept = watched.limiter.0.lock().unwrap().entries.len();
        assert!(kept <= MAX_BUCKETS + BUDGETS.len(), "{kept}");
        watched.at(3600.0);
        tracing::info!(peer = "worker", job = "new", "said");
        assert!(watched.limiter.0.lock().unwrap().entries.len() < 5, "full buckets are forgotten");
    });
}

#[test]
fn long_lines_are_cut_in_reports() {
    watched(|watched| {
        for _ in 0..30 {
            tracing::warn!(peer = "core", reason = "ä".repeat(5000), "ignored");
        }
        let reports = watched.reports(5.0);
        assert!(reports[0].len() < 400, "{}", reports[0].len());
    });
}

#[test]
fn suppressed_lines_are_a_metric_of_each_peer() {
    watched(|_| flood(50));
    let mut text = String::new();
    encode(&mut text);
    let count = |peer: &str| -> Option<f64> {
        let line = text.lines().find(|line| line.contains(&format!("{{peer=\"{peer}\"}}")))?;
        line.rsplit_once(' ')?.1.parse().ok()
    };
    assert!(count("core").unwrap() >= 30.0, "{text}");
    assert!(BUDGETS.iter().all(|budget| count(budget.peer).is_some()), "{text}");
}
