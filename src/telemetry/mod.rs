//! Logs and metrics.

use std::fmt::Display;

/// Says why a process ends before its log is up, or after it is gone.
#[expect(clippy::print_stderr, reason = "there is no log")]
pub fn last_words(error: &dyn Display) {
    eprintln!("ckworker: {error}");
}
/// x
pub struct WorkerLog;
impl WorkerLog {
    /// x
    pub fn init(_: worker_proto::Level, _: tokio::sync::mpsc::Sender<worker_proto::Event>) -> Self {
        Self
    }
}
