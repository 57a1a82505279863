//! The limit of open files, and the number of workers that the limit allows.

use std::{fs, io};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use thiserror::Error;

/// The descriptors that one worker process takes in the supervisor. Three are open during its life: the socket of its
/// frames, the pipe of its standard error and the handle of the process. The fourth is for the connection that fetches
/// its credentials.
pub const PER_WORKER: usize = 4;
/// The descriptors that are open while a worker starts: its ends of socket and pipe, and the standard library's pipe
/// for errors.
const STARTING: usize = 6;
/// The descriptors of the supervisor itself: runtime, signals, log, connections to the core and to the cloud, temporary
/// files.
const OWN: usize = 48;
/// The smallest number of descriptors: those of the supervisor itself and of one worker.
pub const FEWEST: usize = OWN + STARTING + PER_WORKER;
/// The divisor of the limit: clients of the web endpoint take at most this part.
const WEB_PART: usize = 8;

/// The system allows too few open files.
#[derive(Debug, Error)]
#[error(
    "cannot start with at most {limit} open files, of which {open} are open already: ckworker needs {FEWEST} more; raise \
     the limit (`ulimit -n`, or LimitNOFILE= in a systemd unit)"
)]
pub struct TooFew {
    limit: usize,
    open: usize,
}

/// The descriptors that this process may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    limit: usize,
    /// The descriptors that are open at the start, such as inherited ones.
    open: usize,
}

impl Descriptors {
    /// Raises the limit of open files to the system's maximum.
    ///
    /// # Errors
    /// If the limit is too low for the supervisor and one worker.
    pub fn raise() -> Result<Self, TooFew> {
        let limit = match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, hard)) if soft < hard => match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
                Ok(()) => hard,
                // The soft limit remains; it is reported with the pool that it allows.
                Err(_) => soft,
            },
            Ok((soft, _)) => soft,
            // Without this limit the number is not bounded.
            Err(_) => u64::MAX,
        };
        let open = match fs::read_dir("/proc/self/fd") {
            // Reading the directory takes a descriptor of its own.
            Ok(entries) => entries.count().saturating_sub(1),
            // The limit is reached, or there is no /proc and only the three standard streams are known.
            Err(error) if is_used_up(&error) => usize::try_from(limit).unwrap_or(usize::MAX),
            Err(_) => 3,
        };
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), open }.checked()
    }

    fn checked(self) -> Result<Self, TooFew> {
        let Self { limit, open } = self;
        if limit.saturating_sub(open) < FEWEST { Err(TooFew { limit, open }) } else { Ok(self) }
    }

    /// Returns the limit of open files.
    #[must_use]
    pub fn limit(self) -> usize {
        self.limit
    }

    /// Returns the number of descriptors that clients of the web endpoint may take, at most `usual`.
    #[must_use]
    pub fn for_web(self, usual: usize) -> usize {
        ((self.limit - self.open) / WEB_PART).min(usual)
    }

    /// Returns the limit that this number of worker processes requires, in addition to clients that take `web`.
    #[must_use]
    pub fn needed(self, workers: usize, web: usize) -> usize {
        self.open + OWN + STARTING + web + workers.saturating_mul(PER_WORKER)
    }

    /// Returns the number of worker processes at the same time, at least one, in addition to clients that take `web`.
    #[must_use]
    pub fn workers(self, web: usize) -> usize {
        let free = (self.limit - self.open).saturating_sub(OWN + STARTING + web);
        (free / PER_WORKER).max(1)
    }
}

/// Whether an error is caused by too many open files.
fn is_used_up(error: &io::Error) -> bool {
    matches!(nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or_default()), nix::errno::Errno::EMFILE)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn limit_decides_about_number_of_workers() {
        let workers = |limit, open, web| Descriptors { limit, open }.workers(web);
        assert_eq!(workers(1024, 3, 0), (1024 - 3 - OWN - STARTING) / 4);
        assert_eq!(workers(1024, 3, 124), (1024 - 3 - OWN - STARTING - 124) / 4);
        assert_eq!(workers(1024, 503, 0), workers(524, 3, 0), "what is inherited counts");
        assert_eq!(workers(10, 3, 0), 1, "one in any case");
        assert!(workers(usize::MAX, 3, 224) > 1_000_000);
    }

    #[test]
    fn too_few_descriptors_are_reported_with_remedy() {
        for (limit, open) in [(3, 3), (20, 10), (1024, 1020), (0, 3)] {
            let error = Descriptors { limit, open }.checked().unwrap_err().to_string();
            for part in [&*format!("at most {limit} open files"), &*format!("{open} are open"), "ulimit -n"] {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
        assert!(Descriptors { limit: FEWEST + 3, open: 3 }.checked().is_ok());
    }

    #[test]
    fn clients_get_a_part_of_few_descriptors() {
        let web = |limit| Descriptors { limit, open: 3 }.for_web(224);
        assert_eq!((web(67), web(1027), web(65536)), (8, 128, 224));
    }
}
