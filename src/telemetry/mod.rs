//! Logs and metrics.
//!
//! Every process logs through `tracing`. In the supervisor, [`init`] writes lines to standard error or a file; in a
//! worker, [`WorkerLog`] turns them into frames, so that one place decides where lines go and nothing but frames
//! leaves a worker. Lines that a peer can cause are limited and counted (`limiter`). [`Metrics`] holds what the supervisor measures and what workers report, and is read by `web`.

mod limiter;
mod line;
mod log;
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
