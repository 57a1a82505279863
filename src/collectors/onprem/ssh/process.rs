//! A client process: started, bounded in time and output, and killed when its owner is dropped.

use std::{
    io,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use super::error;
use crate::engine::{CallError, CallErrorKind, code};

/// The most bytes that a command may write to standard output.
const MAX_OUTPUT: usize = 8 * 1024 * 1024;
/// The bytes that are kept of the end of standard error.
const MAX_ERRORS: usize = 4096;
/// How long the end of standard error is awaited once the client has ended: a helper may hold it open.
const AFTER_EXIT: Duration = Duration::from_secs(1);

/// What a client has written so far.
#[derive(Default)]
pub(super) struct Captured {
    pub(super) stdout: Vec<u8>,
    /// The end of it.
    pub(super) stderr: Vec<u8>,
}

/// A running client. Dropping it kills it.
pub(super) struct Running {
    child: Child,
    stderr: Stderr,
}

/// The end of a client's standard error, which is read as long as the client runs.
struct Stderr {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Running {
    /// Starts a client.
    ///
    /// # Errors
    /// `Configuration` if there is no client.
    pub(super) fn start(mut command: Command) -> Result<Self, CallError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| not_started(&error))?;
        let stderr = Stderr::read(child.stderr.take());
        Ok(Self { child, stderr })
    }

    /// Takes the standard input, at the first call.
    pub(super) fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Takes the standard output, at the first call.
    pub(super) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Ends the client: TERM, so that it takes its leave of the server, and KILL if that takes long.
    pub(super) async fn stop(mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // One that has exited is not reaped yet, so that the process ID is still its own.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = timeout(AFTER_EXIT, self.child.wait()).await;
    }

    /// Returns the end of the standard error of a client that ends by itself.
    pub(super) async fn last_words(mut self) -> String {
        // One that does not end is killed with this value.
        let _ = timeout(AFTER_EXIT, self.child.wait()).await;
        String::from_utf8_lossy(&self.stderr.end().await).into_owned()
    }
}

impl Stderr {
    fn read(stream: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
        let end = Arc::clone(&kept);
        let reader = tokio::spawn(async move {
            let Some(mut stream) = stream else { return };
            let mut piece = [0; 1024];
            while let Ok(read @ 1..) = stream.read(&mut piece).await {
                let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
                end.extend_from_slice(piece.get(..read).unwrap_or_default());
                let excess = end.len().saturating_sub(MAX_ERRORS);
                end.drain(..excess);
            }
        });
        Self { kept, reader }
    }

    async fn end(&mut self) -> Vec<u8> {
        // What was read until then counts.
        let _ = timeout(AFTER_EXIT, &mut self.reader).await;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Runs a client to its end and returns its exit code. What it writes is in `captured`, also after an error.
///
/// # Errors
/// If it cannot be started, does not end in time, or writes too much.
pub(super) async fn run(
    command: Command,
    input: &[u8],
    limit: Duration,
    captured: &mut Captured,
) -> Result<i32, CallError> {
    let mut running = Running::start(command)?;
    let (stdin, stdout) = (running.stdin(), running.stdout());
    let exchange = async {
        let ((), read) = tokio::join!(write(stdin, input), read(stdout, &mut captured.stdout));
        read?;
        running.child.wait().await.map_err(|error| not_started(&error))
    };
    let ended = timeout(limit, exchange).await;
    let status = match ended {
        Ok(status) => status,
        Err(_) => Err(error::too_slow("end", limit)),
    };
    captured.stderr = match &status {
        Ok(_) => running.stderr.end().await,
        Err(_) => running.stderr.kept.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    };
    // A client that was killed has no exit code.
    status.map(|status| status.code().unwrap_or(255))
}

async fn write(stdin: Option<ChildStdin>, input: &[u8]) {
    if let Some(mut stdin) = stdin {
        // A command that does not read its input may have ended.
        let _ = stdin.write_all(input).await;
    }
}

async fn read(stdout: Option<ChildStdout>, all: &mut Vec<u8>) -> Result<(), CallError> {
    let Some(mut stdout) = stdout else { return Ok(()) };
    let mut piece = [0; 8192];
    while let Ok(read @ 1..) = stdout.read(&mut piece).await {
        if all.len() + read > MAX_OUTPUT {
            let message = format!("the output is larger than {} KiB", MAX_OUTPUT >> 10);
            return Err(CallError::new(CallErrorKind::Unexpected, code::RESPONSE_TOO_LARGE, message));
        }
        all.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
    Ok(())
}

fn not_started(error: &io::Error) -> CallError {
    if error.kind() == io::ErrorKind::NotFound {
        return CallError::configuration(
            "cannot find the program ssh; install OpenSSH's client, such as the package openssh-client",
        );
    }
    CallError::new(CallErrorKind::Unavailable, code::CONNECTION_FAILED, format!("cannot run ssh: {error}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn output_and_exit_code_are_captured() {
        let mut captured = Captured::default();
        let code = run(shell("cat; echo no >&2; exit 3"), b"hello", LONG, &mut captured).await.unwrap();
        assert_eq!((code, captured.stdout, captured.stderr), (3, b"hello".to_vec(), b"no\n".to_vec()));
    }

    #[tokio::test]
    async fn hanging_client_keeps_what_it_wrote() {
        let mut captured = Captured::default();
        let hanging = shell("echo begun; exec sleep 1000");
        let error = run(hanging, b"", Duration::from_millis(500), &mut captured).await.unwrap_err();
        assert_eq!((error.code.as_str(), captured.stdout.as_slice()), (code::TIMEOUT, &b"begun\n"[..]));
    }

    #[tokio::test]
    async fn endless_output_is_an_error_and_endless_errors_are_cut() {
        let mut captured = Captured::default();
        let error = run(shell("exec cat /dev/zero"), b"", LONG, &mut captured).await.unwrap_err();
        assert_eq!(error.code, code::RESPONSE_TOO_LARGE);
        assert!(captured.stdout.len() <= MAX_OUTPUT);
        let mut captured = Captured::default();
        let noisy = "head -c 1000000 /dev/zero | tr '\\0' x >&2; echo end >&2";
        assert_eq!(run(shell(noisy), b"", LONG, &mut captured).await, Ok(0));
        assert!(captured.stderr.ends_with(b"xend\n") && captured.stderr.len() == MAX_ERRORS);
    }

    #[tokio::test]
    async fn absent_client_is_named_with_the_remedy() {
        let error = Running::start(Command::new("/nowhere/ssh")).err().unwrap();
        assert!(error.kind == CallErrorKind::Configuration && error.message.contains("openssh-client"), "{error}");
    }
}
