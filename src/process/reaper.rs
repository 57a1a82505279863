//! Processes without an owner: those that workers leave behind, and those that PID 1 inherits in a container.
//!
//! A descendant of a worker that left the group survives the end of the group. The supervisor, a "subreaper", adopts
//! the descendant. [`sweep`] finds such processes among the direct children by exclusion: everything that is neither
//! registered as a worker or a helper nor in the supervisor's own process group. That group has programs that a library
//! started and waits for, such as a `credential_process`. Nothing here waits for workers.
//!
//! What such a program started in turn, such as the proxy of an SSH client, comes to the supervisor in the same group when
//! the program exits first. Nobody waits for it, so it is reaped a while after its exit.

use std::{
    collections::{BTreeMap, HashSet},
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

/// How long a process of the own group that has exited is left to whoever started it: that one waits for it at once.
const UNCLAIMED: Duration = Duration::from_secs(60);

/// The processes of the own group that had exited at the last sweep, and when they were first seen so.
static EXITED: Mutex<BTreeMap<Exited, Instant>> = Mutex::new(BTreeMap::new());

/// A process that has exited: its PID and the time of its start.
type Exited = (i32, u64);

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
    let others = children().into_iter().filter(|pid| !is_worker(pid));
    let (helpers, orphans): (Vec<_>, Vec<_>) =
        others.map(|pid| (pid, Stat::of(pid))).partition(|(_, stat)| stat.is_none_or(|stat| stat.group == own));
    let orphans: Vec<i32> = orphans.into_iter().map(|(pid, _)| pid).collect();
    for &pid in &orphans {
        let pid = Pid::from_raw(pid);
        if kill_living {
            // A process that has just exited is reaped below all the same.
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
    }
    let exited = helpers.into_iter().filter_map(|(pid, stat)| Some((pid, stat.filter(|stat| stat.has_exited)?.start)));
    let mut seen = EXITED.lock().unwrap_or_else(PoisonError::into_inner);
    for pid in unclaimed(&mut seen, &exited.collect::<Vec<_>>(), Instant::now()) {
        let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    }
    orphans.len()
}

/// Returns which of the processes that have exited nobody waits for, and remembers the others.
fn unclaimed(seen: &mut BTreeMap<Exited, Instant>, exited: &[Exited], now: Instant) -> Vec<i32> {
    seen.retain(|process, _| exited.contains(process));
    for process in exited {
        seen.entry(*process).or_insert(now);
    }
    let is_old = |since: Instant| now.saturating_duration_since(since) >= UNCLAIMED;
    seen.iter().filter(|(_, since)| is_old(**since)).map(|((pid, _), _)| *pid).collect()
}

/// Sweeps until no process is left that workers left behind, for at most one second.
pub async fn sweep_all() {
    let deadline = Instant::now() + SWEEP;
    while is_subreaper() && sweep(true) > 0 && Instant::now() < deadline {
        sleep(SWEEP_PAUSE).await;
    }
}

/// What the system says of a process, which may have exited without being reaped.
#[derive(Clone, Copy)]
struct Stat {
    group: i32,
    has_exited: bool,
    /// The time of its start, in ticks since that of the system.
    start: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may contain spaces and parentheses.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let has_exited = fields.next()? == "Z";
        let (group, start) = (fields.nth(1)?.parse().ok()?, fields.nth(16)?.parse().ok()?);
        Some(Self { group, has_exited, start })
    }
}

/// Returns the direct children of all threads of this process.
fn children() -> Vec<i32> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn exited_process_of_the_group_is_reaped_later() {
        let (mut seen, now) = (BTreeMap::new(), Instant::now());
        let (one, again) = ((7, 100), (7, 200));
        assert_eq!(unclaimed(&mut seen, &[one], now), [0; 0]);
        assert_eq!(unclaimed(&mut seen, &[one], now + UNCLAIMED), [7]);
        assert_eq!(unclaimed(&mut seen, &[again], now + UNCLAIMED), [0; 0], "another process of that ID");
        assert_eq!(unclaimed(&mut seen, &[], now + UNCLAIMED * 2), [0; 0]);
        assert!(seen.is_empty());
    }

    #[test]
    fn state_of_a_process_is_read() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let living = Stat::of(pid).unwrap();
        assert!(!living.has_exited && living.group == getpgrp().as_raw());
        drop(child.stdin.take());
        let no_wait = nix::sys::wait::Id::Pid(Pid::from_raw(pid));
        nix::sys::wait::waitid(no_wait, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        let exited = Stat::of(pid).unwrap();
        assert!(exited.has_exited && exited.start == living.start && living.start > 0);
        child.wait().unwrap();
        assert!(Stat::of(pid).is_none());
    }
}
