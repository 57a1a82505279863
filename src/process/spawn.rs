//! Starting a worker process.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::PathBuf,
    process::Stdio,
};

use thiserror::Error;
use tokio::{
    net::UnixStream,
    process::{ChildStderr, Command},
};

use super::{child::WorkerProcess, environment, reaper};

/// The command of a worker.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// The arguments.
    pub args: Vec<OsString>,
}

impl Program {
    /// Returns this binary, even if its file was replaced or removed since the start.
    #[must_use]
    pub fn this() -> Self {
        Self { path: ITSELF.into(), args: vec!["worker".into()] }
    }

    /// Checks that this binary can be started as a worker.
    ///
    /// # Errors
    /// If the binary cannot be found through `/proc`.
    pub fn check() -> Result<(), NoProgram> {
        match File::open(ITSELF) {
            Ok(_) => Ok(()),
            Err(source) => Err(NoProgram(source)),
        }
    }
}

/// The path of the running binary, even if its file was replaced or removed.
const ITSELF: &str = "/proc/self/exe";

/// Worker processes cannot be started on this system.
#[derive(Debug, Error)]
#[error(
    "cannot start worker processes by way of {ITSELF}: {0}; mount /proc (such as `mount -t proc proc /proc`, or without \
     ProtectProc= in a systemd unit), or run without --fork and without a collector's own fork option"
)]
pub struct NoProgram(io::Error);

/// A worker could not be started. Retried, because most reasons (too many processes, no memory) are transient.
#[derive(Debug, Error)]
#[error("cannot start a worker process: {step}: {source}")]
pub struct SpawnError {
    step: &'static str,
    source: io::Error,
}

/// A started worker.
#[derive(Debug)]
pub struct Spawned {
    /// The owner of the process.
    pub process: WorkerProcess,
    /// The socket for frames in both directions.
    pub frames: UnixStream,
    /// The standard error.
    pub stderr: Option<ChildStderr>,
}

/// Starts a worker in a process group of its own. Needs a tokio runtime.
///
/// # Errors
/// If the system lacks descriptors, memory or processes.
pub fn spawn(program: &Program) -> Result<Spawned, SpawnError> {
    let at = |step| move |source| SpawnError { step, source };
    let (ours, theirs) = StdStream::pair().map_err(at("socket pair"))?;
    ours.set_nonblocking(true).map_err(at("non-blocking socket"))?;
    let stdin = OwnedFd::from(theirs.try_clone().map_err(at("descriptor"))?);
    let mut command = Command::new(&program.path);
    command
        .args(&program.args)
        .env_clear()
        .envs(environment::allowed(std::env::vars_os()))
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = reaper::register_spawn(|| command.spawn()).map_err(at("spawn"))?;
    // The command holds copies of the child's end. The stream ends only after they are closed.
    drop(command);
    let stderr = child.stderr.take();
    let process = WorkerProcess::new(child);
    let frames = UnixStream::from_std(ours).map_err(at("socket"))?;
    Ok(Spawned { process, frames, stderr })
}
