//! Limits the log lines that peers cause, and counts the lines that it suppresses.
//!
//! A peer is any sender of data to ckworker: the core, a client of the web endpoint, a worker. An event that a peer can
//! cause names the peer in the field `peer`, which the log does not show. Each place in the code, or each job where the
//! line is about a job, has its own token bucket. Suppressed lines are reported in one line after a second, later once
//! a minute, and counted in `ckworker_log_lines_suppressed_total`.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{
    Event, Level,
    callsite::Identifier,
    field::{Field, Visit},
};

use super::{
    line::{Fields, Line},
    log::module,
    text,
};

/// The field of an event that names the peer.
pub(super) const PEER: &str = "peer";
/// The limit of buckets; the lines of further jobs share one bucket for each peer.
const MAX_BUCKETS: usize = 1024;
/// The time from the first suppressed line to the first report.
const FIRST_REPORT: Duration = Duration::from_secs(1);
/// The time between two reports about the same place.
const NEXT_REPORT: Duration = Duration::from_secs(60);
/// The length limit of the part of a suppressed line that a report repeats, in bytes.
const MAX_SAMPLE: usize = 200;

/// The log lines that a peer may cause in one place.
struct Budget {
    peer: &'static str,
    /// The number of lines that may come at once.
    burst: f64,
    /// The long-term rate, in lines per second.
    rate: f64,
}

/// All peers. An unknown peer has the budget of the first.
const BUDGETS: [Budget; 4] = [
    // Faults of the core: invalid frames, connections that end.
    Budget { peer: "core", burst: 20.0, rate: 1.0 / 60.0 },
    // Actions and tasks of the core, each with one line or two.
    Budget { peer: "work", burst: 200.0, rate: 1.0 },
    // Clients of the web endpoint.
    Budget { peer: "client", burst: 20.0, rate: 1.0 / 60.0 },
    // Workers, whose log lines are the collector's own.
    Budget { peer: "worker", burst: 200.0, rate: 20.0 },
];

/// The number of suppressed lines in this process, by peer.
static SUPPRESSED: [AtomicU64; BUDGETS.len()] = [const { AtomicU64::new(0) }; BUDGETS.len()];

/// Writes the number of suppressed lines as a metric.
pub(super) fn encode(out: &mut String) {
    let name = "ckworker_log_lines_suppressed_total";
    text::header(out, name, "Log lines that were suppressed because a peer caused too many.", "counter");
    for (budget, suppressed) in BUDGETS.iter().zip(&SUPPRESSED) {
        text::sample(out, name, &[(PEER, budget.peer)], suppressed.load(Ordering::Relaxed) as f64);
    }
}

/// A token bucket: full at the start, refilled with time.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    last: Instant,
}

impl Bucket {
    fn take(&mut self, budget: &Budget, now: Instant) -> bool {
        self.refill(budget, now);
        let is_free = self.tokens >= 1.0;
        if is_free {
            self.tokens -= 1.0;
        }
        is_free
    }

    fn refill(&mut self, budget: &Budget, now: Instant) {
        let seconds = now.saturating_duration_since(self.last).as_secs_f64();
        self.tokens = (self.tokens + seconds * budget.rate).min(budget.burst);
        self.last = now;
    }
}

/// The lines that share a bucket.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// All lines of one place in the code.
    Place(Identifier),
    /// All lines about one job, by the index of the peer's budget.
    Job(usize, String),
    /// All lines of a peer above the limit of buckets, by the index of the peer's budget.
    Other(usize),
}

/// A bucket and its suppressed lines.
struct Entry {
    budget: usize,
    bucket: Bucket,
    suppressed: Option<Suppressed>,
    reported: Option<Instant>,
}

/// Lines that were suppressed since the last report.
struct Suppressed {
    lines: u64,
    since: Instant,
    level: Level,
    place: String,
    sample: String,
}

impl Suppressed {
    fn of(event: &Event<'_>, job: &str, now: Instant) -> Self {
        let sample = Fields::of(event).into_text();
        let metadata = event.metadata();
        Self {
            lines: 0,
            since: now,
            level: *metadata.level(),
            place: if job.is_empty() { module(metadata.target()) } else { job }.to_owned(),
            sample: sample[..sample.floor_char_boundary(MAX_SAMPLE)].to_owned(),
        }
    }
}

/// A report about the suppressed lines of one place or job.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) level: Level,
    /// The job or the part of the program that the lines were about.
    pub(super) place: String,
    pub(super) text: String,
}

/// Decides for each event whether it is logged.
#[derive(Default)]
pub(super) struct Limiter(Mutex<Buckets>);

#[derive(Default)]
struct Buckets {
    entries: HashMap<Key, Entry>,
    /// When the next report is due; `None` if nothing was suppressed.
    due: Option<Instant>,
}

impl Limiter {
    /// Whether an event is logged now; counts a suppressed one. An event without a peer is always logged.
    pub(super) fn admits(&self, event: &Event<'_>, now: Instant) -> bool {
        if event.metadata().fields().field(PEER).is_none() {
            return true;
        }
        let mut named = Named::default();
        event.record(&mut named);
        let budget = BUDGETS.iter().position(|budget| budget.peer == named.peer).unwrap_or(0);
        let key = match named.job.as_str() {
            "" => Key::Place(event.metadata().callsite()),
            job => Key::Job(budget, job.to_owned()),
        };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { entries, due } = &mut *buckets;
        let entry = entry(entries, key, budget, now);
        if entry.bucket.take(&BUDGETS[budget], now) {
            return true;
        }
        entry.suppressed.get_or_insert_with(|| Suppressed::of(event, &named.job, now)).lines += 1;
        *due = [*due, entry.due()].into_iter().flatten().min();
        SUPPRESSED[budget].fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Takes the reports that are due, or all of them.
    pub(super) fn reports(&self, now: Instant, all: bool) -> Vec<Report> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all && buckets.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let is_due = |entry: &&mut Entry| all || entry.due().is_some_and(|due| now >= due);
        let found = buckets.entries.values_mut().filter(is_due).filter_map(|entry| entry.report(now)).collect();
        buckets.due = buckets.entries.values().filter_map(Entry::due).min();
        found
    }
}

/// Returns the entry of a key. Entries with full buckets are removed when the limit is reached.
fn entry(entries: &mut HashMap<Key, Entry>, key: Key, budget: usize, now: Instant) -> &mut Entry {
    let mut key = key;
    if entries.len() >= MAX_BUCKETS && !entries.contains_key(&key) {
        entries.retain(|_, entry| !entry.is_idle(now));
        if entries.len() >= MAX_BUCKETS {
            key = Key::Other(budget);
        }
    }
    entries.entry(key).or_insert_with(|| Entry {
        budget,
        bucket: Bucket { tokens: BUDGETS[budget].burst, last: now },
        suppressed: None,
        reported: None,
    })
}

impl Entry {
    fn is_idle(&mut self, now: Instant) -> bool {
        let budget = &BUDGETS[self.budget];
        self.bucket.refill(budget, now);
        self.suppressed.is_none() && self.bucket.tokens >= budget.burst
    }

    /// Returns when the suppressed lines are to be reported; `None` if there are none.
    fn due(&self) -> Option<Instant> {
        let first = self.suppressed.as_ref()?.since + FIRST_REPORT;
        Some(self.reported.map_or(first, |reported| first.max(reported + NEXT_REPORT)))
    }

    fn report(&mut self, now: Instant) -> Option<Report> {
        let Suppressed { lines, since, level, place, sample } = self.suppressed.take()?;
        self.reported = Some(now);
        let seconds = now.saturating_duration_since(since).as_secs();
        let peer = BUDGETS[self.budget].peer;
        let text = format!(
            "suppressed log lines: too many of this kind peer={peer} lines={lines} seconds={seconds} such as: {sample}"
        );
        Some(Report { level, place, text: Line::of(&text).finish() })
    }
}

/// The fields of an event that determine its bucket.
#[derive(Default)]
struct Named {
    peer: String,
    job: String,
}

impl Visit for Named {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            PEER => value.clone_into(&mut self.peer),
            "job" => value.clone_into(&mut self.job),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
#[path = "log_limiter_tests.rs"]
mod tests;
