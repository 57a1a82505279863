//! The policy of the supervisor: collectors, sizes of pools, timeouts and retries.

use std::time::Duration;

use worker_proto::{Failure, FailureKind};

use crate::collector_api::Concurrency;

/// The worker beside those of the pool that is there for operations (`workers`).
const FOR_OPERATIONS: usize = 1;

/// How one collector is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectorPolicy {
    /// The collector's name.
    pub name: &'static str,
    /// Whether `--collector` names it. Otherwise it is skipped if there are no credentials at all.
    pub is_named: bool,
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
}

impl Policy {
    /// Returns the default policy for these collectors.
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
        }
    }

    /// The most worker processes that may run at the same time. With a core, each collector has one more than its pool,
    /// for operations.
    #[must_use]
    pub fn most_processes(&self, has_core: bool) -> usize {
        self.collectors.iter().map(|collector| collector.most_processes(has_core)).sum()
    }

    /// Returns whether a plan of this collector that fails so skips the collector.
    #[must_use]
    pub fn is_skipped_by(&self, collector: &str, failure: &Failure) -> bool {
        let policy = self.collectors.iter().find(|policy| policy.name == collector);
        policy.is_some_and(|policy| policy.is_skipped_by(failure))
    }

    /// Lowers the pools so that at most `processes` worker processes run at the same time; each pool keeps at least
    /// one. Returns what was lowered: collector, pool before and after.
    pub fn fit(&mut self, processes: usize, has_core: bool) -> Vec<(&'static str, usize, usize)> {
        let most = self.most_processes(has_core);
        if most <= processes {
            return Vec::new();
        }
        let mut lowered = Vec::new();
        for collector in self.collectors.iter_mut().filter(|collector| collector.most_processes(has_core) > 0) {
            let before = collector.units.pool;
            let beside = if has_core { FOR_OPERATIONS } else { 0 };
            let share = (before + beside).saturating_mul(processes) / most;
            let after = share.saturating_sub(beside).max(1);
            if after < before {
                collector.units.pool = after;
                lowered.push((collector.name, before, after));
            }
        }
        lowered
    }
}

impl CollectorPolicy {
    /// Returns whether a plan that fails so skips the collector instead of failing it.
    pub(super) fn is_skipped_by(&self, failure: &Failure) -> bool {
        !self.is_named && failure.kind == FailureKind::NoCredentials
    }

    fn most_processes(&self, has_core: bool) -> usize {
        if !self.process && !self.units.fork {
            return 0;
        }
        match (has_core, self.units.fork) {
            (true, _) => self.units.pool.saturating_add(FOR_OPERATIONS),
            (false, true) => self.units.pool,
            (false, false) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(collectors: &[(&'static str, bool, bool, usize)]) -> Policy {
        let collectors = collectors.iter().map(|(name, process, fork, pool)| CollectorPolicy {
            name,
            is_named: true,
            process: *process,
            units: Concurrency { fork: *fork, pool: *pool },
        });
        Policy::new(collectors.collect(), 5, Duration::from_secs(60))
    }

    #[test]
    fn pools_that_do_not_fit_are_lowered() {
        for (collectors, has_core, room, lowered) in [
            (vec![("aws", true, true, 400)], false, 190, vec![("aws", 400, 190)]),
            (vec![("aws", true, true, 400)], true, 190, vec![("aws", 400, 189)]),
            (vec![("aws", true, true, 400)], true, 401, vec![]),
            (
                vec![("aws", true, true, 100), ("gcp", true, true, 300)],
                true,
                100,
                vec![("aws", 100, 24), ("gcp", 300, 73)],
            ),
            (
                vec![("aws", true, true, 100), ("gcp", true, true, 300)],
                false,
                100,
                vec![("aws", 100, 25), ("gcp", 300, 75)],
            ),
            (vec![("aws", false, false, 400)], true, 1, vec![]),
            (vec![("aws", true, false, 30)], false, 1, vec![]),
            (vec![("aws", true, true, 5), ("example", false, false, 1)], false, 1, vec![("aws", 5, 1)]),
        ] {
            let mut policy = policy(&collectors);
            assert_eq!(policy.fit(room, has_core), lowered, "{collectors:?}");
            let fits = policy.most_processes(has_core) <= room;
            assert!(fits, "{collectors:?}: {}", policy.most_processes(has_core));
        }
    }
}
