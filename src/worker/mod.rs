//! The inside of a worker: handshake, one job, frames, exit.
//!
//! # Theory of operation
//!
//! A session uses any pair of a reader and a writer: the socket of a child process, or an in-memory pipe for a thread.
//! It stops by itself when its request stream ends, when it is cancelled, and at its soft deadline.

mod job;
mod operate;
mod pending_requests;
mod session;

use std::{process::ExitCode, time::Duration};

use tokio::net::UnixStream;
use worker_proto::{EXIT_BROKEN, EXIT_FINISHED, EXIT_NOT_A_WORKER};

pub use job::Find;
pub use session::{Isolation, SessionError, run};

use crate::{collectors, process::guard, telemetry};

/// The timeout of the runtime's shutdown after the last frame.
const WIND_DOWN: Duration = Duration::from_millis(200);

/// The hidden `worker` command: the whole life of a worker process.
#[must_use]
pub fn main() -> ExitCode {
    let frames = match guard::take_frames() {
        Ok(frames) => frames,
        Err(error) => {
            telemetry::last_words(&error);
            return ExitCode::from(EXIT_NOT_A_WORKER);
        }
    };
    guard::restrain();
    guard::take_name();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            telemetry::last_words(&error);
            return ExitCode::from(EXIT_BROKEN);
        }
    };
    let result = runtime.block_on(async {
        let (reader, writer) = UnixStream::from_std(frames)?.into_split();
        run(reader, writer, &collectors::of_job, Isolation::Process).await
    });
    runtime.shutdown_timeout(WIND_DOWN);
    match result {
        Ok(()) => ExitCode::from(EXIT_FINISHED),
        Err(error) => {
            telemetry::last_words(&error);
            ExitCode::from(EXIT_BROKEN)
        }
    }
}
