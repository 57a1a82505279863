//! Processes without an owner: those that workers leave behind, and those that PID 1 inherits in a container.
//!
//! A descendant of a worker that left the group survives the end of the group. The supervisor, a "subreaper", adopts
//! the descendant. [`sweep`] finds such processes among the direct children by exclusion: everything that is neither
//! registered as a worker or a helper nor in the supervisor's own process group. That group has programs that a library
//! started and waits for, such as a `credential_process`. Nothing here waits for workers.

use std::{
    collections::HashSet,
    fs, io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::{Pid, getpgrp},
};
use thiserror::Error;
use tokio::{
    process::Child,
    time::{Instant, sleep},
};

/// The timeout for killed processes to exit.
const SWEEP: Duration = Duration::from_secs(1);
/// The pause between two sweeps.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// The PIDs of living workers and helpers. Spawning holds the lock, so that a sweep never sees an unregistered worker.
static WORKERS: Mutex<Option<HashSet<i32>>> = Mutex::new(None);

/// Makes this process adopt the orphans among its descendants.
pub fn adopt_orphans() {
    if let Err(error) = prctl::set_child_subreaper(true) {
        tracing::warn!(%error, "cannot become a subreaper: processes that workers leave behind go to init");
    }
}

/// Processes that workers leave behind cannot be found on this system.
#[derive(Debug, Error)]
#[error(
    "cannot read /proc/self/task: {0}; without /proc, processes that are left behind are not found, nohup is not noticed, \
     and the process_* metrics are missing: mount /proc (such as `mount -t proc proc /proc`)"
)]
pub struct NoProcesses(io::Error);

/// Checks that the system lists processes.
///
/// # Errors
/// If there is no `/proc`.
pub fn check() -> Result<(), NoProcesses> {
    fs::read_dir("/proc/self/task").map(drop).map_err(NoProcesses)
}

/// Whether this process receives orphans as a subreaper, and not as PID 1.
#[must_use]
pub fn is_subreaper() -> bool {
    !is_init() && prctl::get_child_subreaper().unwrap_or(false)
}

/// Whether this process is PID 1, as in a container, and has to reap the processes that others leave behind.
#[must_use]
pub fn is_init() -> bool {
    std::process::id() == 1
}

pub(super) fn register_spawn(spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    let mut workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    let child = spawn()?;
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) {
        workers.get_or_insert_default().insert(pid);
    }
    Ok(child)
}

pub(super) fn forget(worker: Pid) {
    if let Some(workers) = WORKERS.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        workers.remove(&worker.as_raw());
    }
}

/// Reaps adopted processes that have exited. With `kill_living`, also kills those that still run. That is right for a
/// process that adopts only its own descendants, and wrong for PID 1, which inherits those of others.
///
/// Returns the number of processes that were found. A killed process is found again until it has exited.
pub fn sweep(kill_living: bool) -> usize {
    let workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_worker = |pid: &i32| workers.as_ref().is_some_and(|workers| workers.contains(pid));
    let own = getpgrp().as_raw();
    let is_helper = |pid: &i32| group(*pid).is_none_or(|group| group == own);
    let orphans: Vec<i32> = children().into_iter().filter(|pid| !is_worker(pid) && !is_helper(pid)).collect();
    for &pid in &orphans {
        let pid = Pid::from_raw(pid);
        if kill_living {
            // A process that has just exited is reaped below all the same.
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
    }
    orphans.len()
}

/// Sweeps until no process is left that workers left behind, for at most one second.
pub async fn sweep_all() {
    let deadline = Instant::now() + SWEEP;
    while is_subreaper() && sweep(true) > 0 && Instant::now() < deadline {
        sleep(SWEEP_PAUSE).await;
    }
}

/// Returns the process group of a process, which may have exited without being reaped.
fn group(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(2)?.parse().ok()
}

/// Returns the direct children of all threads of this process.
fn children() -> Vec<i32> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()).collect()
}
