//! Logs and metrics.
//!
//! Every process logs through `tracing`. In the supervisor, [`init`] writes lines to standard error or a file. In a
//! worker, [`WorkerLog`] turns lines into frames, so that the supervisor alone writes the log and a worker sends
//! nothing but frames. Lines that a peer can cause are limited and counted (`log_limiter`). [`Metrics`] has the
//! measurements of the supervisor and of its workers; `web` reads them.

mod line;
mod log;
mod log_limiter;
mod metrics;
mod process;
mod series;
mod text;
mod worker_log;

pub use self::{
    line::{Line, MAX_LINE},
    log::{Destination, LibraryLevels, Log, LogError, LogFile, init, last_words},
    metrics::Metrics,
    series::Announced,
    worker_log::WorkerLog,
};
