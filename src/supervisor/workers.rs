//! The bound of each collector's workers, shared by collections and operations, and the one source of attempt IDs. Pure.
//!
//! A collector with a pool of `size` has at most `size` + 1 workers. Collections and background operations (deletions),
//! which may take hours, share `size` of them. One more is there for urgent operations (tags), so that none of those waits
//! for a long collection or deletion. A pool of one worker has no part to share: there a deletion may take the additional
//! worker.
//!
//! A free worker goes to operations first: the caller asks for them first. While a collection waits for a worker, deletions
//! have at most half of the pool, and tags too, at least one worker each; so neither side starves.

use std::collections::BTreeMap;

use super::event::AttemptId;

/// What a worker is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A plan or units.
    Collect,
    /// Operations that somebody waits for, for seconds.
    Urgent,
    /// Operations that may take long. The worker carries out urgent ones of its account too.
    Background,
}

/// The workers of one collector.
#[derive(Clone, Debug, Default)]
struct Pool {
    size: usize,
    collecting: usize,
    urgent: usize,
    background: usize,
    collection_waits: bool,
}

impl Pool {
    fn total(&self) -> usize {
        self.collecting + self.urgent + self.background
    }

    /// The most workers that may be busy for long.
    fn long_limit(&self) -> usize {
        self.size.max(2)
    }

    /// Whether operations of this kind may have one worker more than `own`.
    fn is_within_share(&self, own: usize) -> bool {
        !self.collection_waits || own < self.share()
    }

    /// The most workers of each kind of operations while a collection waits.
    fn share(&self) -> usize {
        (self.size / 2).max(1)
    }

    /// Whether one worker more may be busy for long, whatever the total is.
    fn has_long_room(&self) -> bool {
        self.collecting + self.background < self.long_limit()
    }

    fn has_background_room(&self) -> bool {
        self.has_long_room() && self.background < self.size && self.is_within_share(self.background)
    }

    fn has_room(&self, purpose: Purpose) -> bool {
        self.total() <= self.size
            && match purpose {
                Purpose::Collect => self.has_long_room() && self.collecting < self.size,
                Purpose::Urgent => self.is_within_share(self.urgent),
                Purpose::Background => self.has_background_room(),
            }
    }

    fn count(&mut self, purpose: Purpose) -> &mut usize {
        match purpose {
            Purpose::Collect => &mut self.collecting,
            Purpose::Urgent => &mut self.urgent,
            Purpose::Background => &mut self.background,
        }
    }
}

/// The workers of all collectors that have not ended.
#[derive(Debug)]
pub(super) struct Workers {
    pools: BTreeMap<&'static str, Pool>,
    taken: BTreeMap<AttemptId, (&'static str, Purpose)>,
    next: u64,
}

impl Workers {
    /// No workers, for collectors with pools of these sizes.
    pub(super) fn new(sizes: impl Iterator<Item = (&'static str, usize)>) -> Self {
        let pool = |(name, size): (_, usize)| (name, Pool { size: size.max(1), ..Pool::default() });
        Self { pools: sizes.map(pool).collect(), taken: BTreeMap::new(), next: 0 }
    }

    /// Takes a worker of a collector and returns the ID of its attempt, if there is room.
    pub(super) fn take(&mut self, collector: &'static str, purpose: Purpose) -> Option<AttemptId> {
        let pool = self.pools.get_mut(collector).filter(|pool| pool.has_room(purpose))?;
        *pool.count(purpose) += 1;
        let id = AttemptId(self.next);
        self.next += 1;
        self.taken.insert(id, (collector, purpose));
        Some(id)
    }

    /// Gives a worker back that has ended; returns what it was taken for.
    pub(super) fn release(&mut self, id: AttemptId) -> Option<Purpose> {
        let (collector, purpose) = self.taken.remove(&id)?;
        if let Some(pool) = self.pools.get_mut(collector) {
            *pool.count(purpose) -= 1;
        }
        Some(purpose)
    }

    /// Uses a worker of urgent operations for background ones as well; returns whether there is room.
    pub(super) fn use_for_background(&mut self, id: AttemptId) -> bool {
        let Some((collector, purpose)) = self.taken.get_mut(&id) else { return false };
        let Some(pool) = self.pools.get_mut(collector) else { return false };
        match purpose {
            Purpose::Collect => false,
            Purpose::Background => true,
            Purpose::Urgent if pool.has_background_room() => {
                pool.urgent -= 1;
                pool.background += 1;
                *purpose = Purpose::Background;
                true
            }
            Purpose::Urgent => false,
        }
    }

    /// Returns what a worker that has not ended was taken for.
    pub(super) fn purpose(&self, id: AttemptId) -> Option<Purpose> {
        self.taken.get(&id).map(|(_, purpose)| *purpose)
    }

    /// Records whether a collection waits for a worker of this collector.
    pub(super) fn set_collection_waits(&mut self, collector: &'static str, waits: bool) {
        if let Some(pool) = self.pools.get_mut(collector) {
            pool.collection_waits = waits;
        }
    }

    /// Records that no collection waits for a worker.
    pub(super) fn no_collection_waits(&mut self) {
        self.pools.values_mut().for_each(|pool| pool.collection_waits = false);
    }

    /// Returns the collectors with more workers of background operations than their share, and how many are too many.
    pub(super) fn excess(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let over =
            |pool: &Pool| pool.background.saturating_sub(if pool.collection_waits { pool.share() } else { usize::MAX });
        self.pools.iter().map(move |(name, pool)| (*name, over(pool))).filter(|(_, over)| *over > 0)
    }
}

#[cfg(test)]
#[path = "workers_tests.rs"]
mod tests;
