//! What ends the connections of a location if the worker is killed: its clients would wait for servers as long as those
//! live.
//!
//! A shell reads a pipe that ends with the worker, however that ends, and then lets each connection exit by way of its
//! socket, as process IDs may be those of others by then. A client that is not logged in yet ends by itself: by its
//! timeouts, or because nobody reads that it has logged in.

use std::{path::Path, process::Stdio};

use tokio::process::Child;
use worker_proto::{Failure, FailureKind};

use super::{super::broker::Access, bare};

/// The script. Its argument is the directory of the sockets, whose names are numbers.
const SCRIPT: &str = r#"while read -r _; do :; done
for socket in "$1"/[0-9]*; do
  [ -S "$socket" ] && ssh -F /dev/null -S "$socket" -O exit server
done"#;

/// The running shell. Dropping it kills it.
pub(super) struct Watch(Child);

impl Watch {
    /// Starts it.
    ///
    /// # Errors
    /// `Unavailable` if there is no shell, which clients need too.
    pub(super) fn start(directory: &Path, access: &Access) -> Result<Self, Failure> {
        let mut command = bare("/bin/sh", access);
        command.arg("-c").arg(SCRIPT).arg("sh").arg(directory);
        // Nobody else may hold the pipe, nor wait for what it writes.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command.spawn().map(Self).map_err(|error| Failure {
            kind: FailureKind::Unavailable,
            message: format!("cannot run /bin/sh, which ends connections of SSH: {error}"),
        })
    }

    /// Ends it when there are no connections any more.
    pub(super) async fn stop(mut self) {
        // One that has ended cannot be killed.
        let _ = self.0.kill().await;
    }
}
