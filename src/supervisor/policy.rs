//! What the supervisor was told: which collectors, how many at a time, how long, how often.

use std::time::Duration;

use super::cleanup::Setting;
use crate::collectors::Concurrency;

/// How one collector is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectorPolicy {
    /// Its name.
    pub name: &'static str,
    /// Whether it gets a process of its own (`--fork`).
    pub process: bool,
    /// How its units run (`--aws-fork`, `--aws-account-pool-size`).
    pub units: Concurrency,
}

/// How everything is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The enabled collectors.
    pub collectors: Vec<CollectorPolicy>,
    /// How many collectors run at the same time (`--pool-size`).
    pub pool_size: usize,
    /// How long a run may take in all (`--timeout`).
    pub timeout: Duration,
    /// From TERM to KILL.
    pub grace: Duration,
    /// From TERM to KILL when the whole supervisor ends.
    pub stop_grace: Duration,
    /// How often a plan or a unit is begun at most.
    pub attempts: u32,
    /// How long to wait before the second attempt; doubled for each further one.
    pub retry_delay: Duration,
    /// How many runs may wait for their turn.
    pub queue: usize,
    /// Whether and how cleanups delete (`--cleanup…`).
    pub cleanup: Setting,
}

impl Policy {
    /// The usual patience, for these collectors.
    #[must_use]
    pub fn new(collectors: Vec<CollectorPolicy>, pool_size: usize, timeout: Duration) -> Self {
        Self {
            collectors,
            pool_size: pool_size.max(1),
            timeout,
            grace: Duration::from_secs(5),
            stop_grace: Duration::from_secs(2),
            attempts: 3,
            retry_delay: Duration::from_secs(1),
            queue: 16,
            cleanup: Setting { enabled: false, dry_run: false, pool: 10 },
        }
    }
}
