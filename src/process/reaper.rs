//! Processes that are not ours to own: what workers leave behind, and what PID 1 inherits in a container.
//!
//! A worker's descendant that left its group survives the group's end and is adopted by the supervisor, which is a
//! "subreaper". [`sweep`] finds such processes among the direct children by exclusion: everything that is not
//! registered as a worker and not in the supervisor's own process group, where helpers are that a library started and
//! waits for (such as a `credential_process`). Workers themselves are never waited for here.

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

/// How long killed processes may take to be gone.
const SWEEP: Duration = Duration::from_secs(1);
/// Between two looks at them.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// The pids of living workers. Spawning holds the lock, so that a sweep never sees a worker that is not yet listed.
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

/// Checks that the processes of this system can be seen.
///
/// # Errors
/// If there is no `/proc`.
pub fn check() -> Result<(), NoProcesses> {
    fs::read_dir("/proc/self/task").map(drop).map_err(NoProcesses)
}

/// Whether orphans come to this process because it asked for them, and not because it is PID 1.
#[must_use]
pub fn is_subreaper() -> bool {
    !is_init() && prctl::get_child_subreaper().unwrap_or(false)
}

/// Whether this process is PID 1, such as in a container, and has to reap what others leave.
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

/// Reaps adopted processes that have ended. With `kill_living`, also tells those to end that still run: right for a
/// process that adopts only its own descendants, wrong for PID 1, which inherits those of others.
///
/// Answers how many were found; one that was killed is found again until it has ended.
pub fn sweep(kill_living: bool) -> usize {
    let workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_worker = |pid: &i32| workers.as_ref().is_some_and(|workers| workers.contains(pid));
    let own = getpgrp().as_raw();
    let is_helper = |pid: &i32| group(*pid).is_none_or(|group| group == own);
    let orphans: Vec<i32> = children().into_iter().filter(|pid| !is_worker(pid) && !is_helper(pid)).collect();
    for &pid in &orphans {
        let pid = Pid::from_raw(pid);
        if kill_living {
            // One that has just ended is reaped below all the same.
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
    }
    orphans.len()
}

/// Sweeps until nothing is left that workers left behind, at most for [`SWEEP`].
pub async fn sweep_all() {
    let deadline = Instant::now() + SWEEP;
    while is_subreaper() && sweep(true) > 0 && Instant::now() < deadline {
        sleep(SWEEP_PAUSE).await;
    }
}

/// The process group of a process, also of one that has ended and was not waited for.
fn group(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have blanks and parentheses of its own.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(2)?.parse().ok()
}

/// The direct children of all threads of this process.
fn children() -> Vec<i32> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()).collect()
}
