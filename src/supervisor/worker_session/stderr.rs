//! Log lines and standard error of workers, bounded in length. The log limits the rate (`telemetry::limiter`).

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinHandle,
    time::timeout,
};
use worker_proto::Level;

use super::termination::STREAM_DRAIN_TIMEOUT;

/// The longest line that is logged, in bytes.
const MAX_LINE: usize = 4096;

/// Logs a line of a worker.
pub(super) fn log_line(job: &str, level: Level, text: &str) {
    let text = cut(text);
    match level {
        Level::Error => tracing::error!(peer = "worker", job, "{text}"),
        Level::Warn => tracing::warn!(peer = "worker", job, "{text}"),
        Level::Info => tracing::info!(peer = "worker", job, "{text}"),
        Level::Debug => tracing::debug!(peer = "worker", job, "{text}"),
        Level::Trace => tracing::trace!(peer = "worker", job, "{text}"),
    }
}

/// Returns the beginning of a text, at most [`MAX_LINE`] bytes.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LINE)]
}

/// The beginning of the standard library's out-of-memory line. A backtrace may follow.
pub(super) const NO_MEMORY: &str = "memory allocation of ";

/// Logs the standard error of a worker line by line until the stream ends. Lines are truncated.
///
/// Returns the last line, or the out-of-memory line if one was printed.
pub(super) async fn relay_stderr(job: String, mut stream: impl AsyncRead + Unpin) -> String {
    let mut lines = Lines::default();
    let mut chunk = [0; 4096];
    let mut last = String::new();
    let mut relay = |line: &str| {
        log_line(&job, Level::Warn, line);
        if !last.starts_with(NO_MEMORY) {
            last = cut(line).to_owned();
        }
    };
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        lines.feed(&chunk[..read], &mut relay);
    }
    lines.end(&mut relay);
    last
}

/// Returns the last line of the worker; a stream that stays open belongs to a process that it left behind.
pub(super) async fn last_line(stderr: Option<JoinHandle<String>>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    match timeout(STREAM_DRAIN_TIMEOUT, &mut stderr).await {
        Ok(line) => line.unwrap_or_default(),
        Err(_) => {
            stderr.abort();
            tracing::warn!(peer = "worker", "worker left a process behind that holds its standard error open");
            String::new()
        }
    }
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
    use super::*;

    /// Invariant: the log of a worker is bounded in length and rate.
    #[tokio::test]
    async fn endless_line_is_truncated() {
        let endless = vec![b'x'; 1 << 20];
        assert_eq!(relay_stderr("job".into(), &endless[..]).await.len(), MAX_LINE);
    }

    #[tokio::test]
    async fn last_line_is_returned() {
        assert_eq!(relay_stderr("job".into(), &b"one\ntwo\nthree"[..]).await, "three");
        let printed = b"one\nmemory allocation of 5 bytes failed\nstack backtrace:\n";
        assert_eq!(relay_stderr("job".into(), &printed[..]).await, "memory allocation of 5 bytes failed");
    }
}
