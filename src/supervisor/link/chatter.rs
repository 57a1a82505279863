//! What workers print and log, bounded in length and rate.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt};
use worker_proto::Level;

/// The longest line that is logged, in bytes.
const MAX_LINE: usize = 4096;
/// Lines that may come at once.
const BURST: f64 = 200.0;
/// Lines per second in the long run.
const RATE: f64 = 20.0;

/// A bucket of lines: full at the start, refilled with time.
pub(super) struct Allowance {
    tokens: f64,
    last: Instant,
    dropped: u64,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: BURST, last: now, dropped: 0 }
    }

    /// Whether a line may be logged now; with it, how many were dropped since the last one that might.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        self.tokens = (self.tokens + now.saturating_duration_since(self.last).as_secs_f64() * RATE).min(BURST);
        self.last = now;
        if self.tokens < 1.0 {
            self.dropped += 1;
            return None;
        }
        self.tokens -= 1.0;
        Some(std::mem::take(&mut self.dropped))
    }

    /// Whether a line about a worker may be logged now; says if there was one too many before.
    pub(super) fn permits(&mut self, job: &str) -> bool {
        let Some(dropped) = self.take(Instant::now()) else { return false };
        if dropped > 0 {
            tracing::warn!(job, dropped, "a worker logs too much");
        }
        true
    }

    /// Logs a line of a worker, or drops it.
    pub(super) fn log(&mut self, job: &str, level: Level, text: &str) {
        if !self.permits(job) {
            return;
        }
        let text = cut(text);
        match level {
            Level::Error => tracing::error!(job, "{text}"),
            Level::Warn => tracing::warn!(job, "{text}"),
            Level::Info => tracing::info!(job, "{text}"),
            Level::Debug => tracing::debug!(job, "{text}"),
            Level::Trace => tracing::trace!(job, "{text}"),
        }
    }
}

/// The beginning of a text, at most [`MAX_LINE`] bytes.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LINE)]
}

/// How the standard library begins to say that there is no memory. A backtrace may follow.
pub(super) const NO_MEMORY: &str = "memory allocation of ";

/// Logs what a worker prints, line by line, until the stream ends. A line without end does not fill the memory.
///
/// Answers the last line, or the one that says that there was no memory: a worker that crashed has often said why.
pub(super) async fn relay_stderr(job: String, mut stream: impl AsyncRead + Unpin) -> String {
    let mut allowance = Allowance::new(Instant::now());
    let mut lines = Lines::default();
    let mut chunk = [0; 4096];
    let mut last = String::new();
    let mut heard = |line: &str| {
        allowance.log(&job, Level::Warn, line);
        if !last.starts_with(NO_MEMORY) {
            last = cut(line).to_owned();
        }
    };
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        lines.feed(&chunk[..read], &mut heard);
    }
    lines.end(&mut heard);
    last
}

/// Splits bytes into lines and forgets what is beyond the longest.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn feed(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (part, ends) = part.strip_suffix(b"\n").map_or((part, false), |part| (part, true));
            let room = MAX_LINE.saturating_sub(self.0.len());
            self.0.extend_from_slice(&part[..part.len().min(room)]);
            if ends {
                self.end(&mut line);
            }
        }
    }

    fn end(&mut self, mut line: impl FnMut(&str)) {
        if !self.0.is_empty() {
            line(&String::from_utf8_lossy(&self.0));
            self.0.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let passed = (0..10_000).filter(|_| allowance.take(start).is_some()).count();
        assert_eq!(passed, 200);
        assert_eq!(allowance.take(start + Duration::from_secs(1)), Some(9_800));
    }

    #[tokio::test]
    async fn an_endless_line_stays_bounded() {
        let endless = vec![b'x'; 1 << 20];
        assert_eq!(relay_stderr("job".into(), &endless[..]).await.len(), MAX_LINE);
    }

    #[tokio::test]
    async fn the_last_line_is_remembered() {
        assert_eq!(relay_stderr("job".into(), &b"one\ntwo\nthree"[..]).await, "three");
        let printed = b"one\nmemory allocation of 5 bytes failed\nstack backtrace:\n";
        assert_eq!(relay_stderr("job".into(), &printed[..]).await, "memory allocation of 5 bytes failed");
    }
}
