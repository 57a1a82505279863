//! The first statements of a worker process: streams, limits and privileges.

use std::{
    fs,
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::net::UnixStream},
};

use nix::{
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::Signal,
    },
    unistd::{dup2_stdin, dup2_stdout, getppid},
};
use thiserror::Error;

/// The preference of the kernel's out-of-memory killer for a worker over its supervisor (-1000 to 1000).
const OOM_SCORE_ADJ: &str = "500";

/// A worker could not set up its streams.
#[derive(Debug, Error)]
pub enum GuardError {
    /// The process was not started by a supervisor.
    #[error("`ckworker worker` is started by ckworker itself; it cannot be started by hand")]
    NotAWorker,
    /// The system rejected a call.
    #[error("cannot set up the streams of a worker: {0}")]
    System(#[from] io::Error),
}

/// Moves the socket of the frames from descriptors 0 and 1 to a private descriptor, so that neither a stray print nor a
/// library can write into a frame: 0 becomes an empty pipe, 1 becomes standard error.
///
/// # Errors
/// If the process was not started by a supervisor, or the system rejects a call.
pub fn take_frames() -> Result<UnixStream, GuardError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(GuardError::NotAWorker);
    }
    let frames = UnixStream::from(stdin.as_fd().try_clone_to_owned()?);
    if frames.local_addr().is_err() {
        return Err(GuardError::NotAWorker);
    }
    // A pipe without writers reads as the end of a file, also on a system without /dev/null.
    let (nothing, _) = io::pipe()?;
    dup2_stdin(&nothing).map_err(io::Error::from)?;
    dup2_stdout(io::stderr()).map_err(io::Error::from)?;
    frames.set_nonblocking(true)?;
    Ok(frames)
}

/// Makes the kernel kill this worker when its supervisor exits or memory runs out, and disables core dumps.
///
/// Failures are ignored: a worker ends in any case when the frame stream ends.
pub fn restrain() {
    let parent = getppid();
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    if getppid() != parent {
        std::process::exit(i32::from(worker_proto::EXIT_ORPHANED));
    }
    let _ = prctl::set_no_new_privs();
    // Written before the process becomes undumpable, which denies an ordinary user access to the process's files under
    // /proc.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    forbid_core_dumps();
}

/// Sets the name in process lists, which after a start through `/proc` is `exe`.
pub fn take_name() {
    let _ = prctl::set_name(c"ckworker");
}

/// Disables core dumps and debuggers of other users, because credentials are in memory.
pub fn forbid_core_dumps() {
    let _ = prctl::set_dumpable(false);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}

/// Limits the memory that this process can allocate, in bytes; 0 sets no limit.
pub fn limit_memory(bytes: u64) {
    if bytes > 0 {
        let hard = getrlimit(Resource::RLIMIT_DATA).map_or(bytes, |(_, hard)| hard.min(bytes));
        if let Err(error) = setrlimit(Resource::RLIMIT_DATA, bytes.min(hard), hard) {
            tracing::warn!(%error, "cannot limit the memory of this worker");
        }
    }
}

/// Whether this process was started with a signal ignored, as `nohup` ignores SIGHUP.
#[must_use]
pub fn ignores(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    ignored.checked_shr(u32::try_from(signal - 1).unwrap_or(u32::MAX)).is_some_and(|mask| mask & 1 == 1)
}
