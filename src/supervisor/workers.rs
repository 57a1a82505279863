//! The bound of each collector's workers, shared by collections and operations, and the one source of attempt IDs.
//! Pure.
//!
//! A collector with a pool of `size` has at most `size` + 1 workers. Collections and background operations (deletions),
//! which may take hours, share `size` of them. One more is there for urgent operations (tags), so that none of those
//! waits for a long collection or deletion. A pool of one worker has no part to share: there a deletion may take the
//! additional worker.
//!
//! Collections, deletions and tags have at most `size` workers each, so each leaves a place to the others. While a
//! collection waits for a worker, tags and deletions have at most half of the pool each, at least one worker, and
//! together half of the pool and the additional worker. Operations above that leave (`operations::room`). A free place
//! goes to operations first: the caller asks for them first.

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

/// The most workers of operations.
struct Share {
    /// Of tags, and of deletions.
    each: usize,
    /// Of both together.
    both: usize,
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

    fn share(&self) -> Share {
        let part = if self.collection_waits { self.size / 2 } else { self.size };
        Share { each: part.max(1), both: part + 1 }
    }

    /// The workers of operations, as far as each kind keeps within its share: deletions above theirs may take hours to
    /// leave, and tags do not wait for that.
    fn operations(&self) -> usize {
        let each = self.share().each;
        self.urgent.min(each) + self.background.min(each)
    }

    /// Whether one worker more may be busy for long, whatever the total is.
    fn has_long_room(&self) -> bool {
        self.collecting + self.background < self.long_limit()
    }

    fn has_background_room(&self) -> bool {
        self.has_long_room() && self.background < self.share().each
    }

    fn has_room(&self, purpose: Purpose) -> bool {
        let Share { each, both } = self.share();
        let has_share = self.operations() < both;
        self.total() <= self.size
            && match purpose {
                Purpose::Collect => self.has_long_room() && self.collecting < self.size,
                Purpose::Urgent => has_share && self.urgent < each,
                Purpose::Background => has_share && self.has_background_room(),
            }
    }

    /// Whether operations have more workers than their share, and one of these may leave.
    fn is_over_share(&self, purpose: Purpose) -> bool {
        let Share { each, both } = self.share();
        let own = if purpose == Purpose::Urgent { self.urgent } else { self.background };
        self.collection_waits && (own > each || self.operations() > both)
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

    /// Whether a worker has room for operations that it would be taken for.
    pub(super) fn has_room(&self, collector: &'static str, purpose: Purpose) -> bool {
        self.pools.get(collector).is_some_and(|pool| pool.has_room(purpose))
    }

    /// Whether there is room for a worker once this one has ended.
    pub(super) fn has_room_without(&self, id: AttemptId, purpose: Purpose) -> bool {
        let Some((collector, taken)) = self.taken.get(&id) else { return false };
        let Some(mut pool) = self.pools.get(collector).cloned() else { return false };
        *pool.count(*taken) -= 1;
        pool.has_room(purpose)
    }

    /// Uses a worker of operations for background ones as well; returns whether there is room.
    pub(super) fn use_for_background(&mut self, id: AttemptId) -> bool {
        let Some((collector, purpose)) = self.taken.get_mut(&id) else { return false };
        let Some(pool) = self.pools.get_mut(collector) else { return false };
        let is_used = match purpose {
            Purpose::Collect => false,
            Purpose::Background => true,
            Purpose::Urgent => pool.has_background_room(),
        };
        if is_used {
            *pool.count(*purpose) -= 1;
            *purpose = Purpose::Background;
            pool.background += 1;
        }
        is_used
    }

    /// Uses a worker of operations, whose background operations have ended, for urgent ones only.
    pub(super) fn use_for_urgent(&mut self, id: AttemptId) {
        if let Some((collector, purpose @ Purpose::Background)) = self.taken.get_mut(&id)
            && let Some(pool) = self.pools.get_mut(collector)
        {
            pool.background -= 1;
            pool.urgent += 1;
            *purpose = Purpose::Urgent;
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

    /// Returns the collectors of which a collection waits for a worker.
    pub(super) fn collectors_waiting(&self) -> impl Iterator<Item = &'static str> {
        self.pools.iter().filter(|(_, pool)| pool.collection_waits).map(|(name, _)| *name)
    }

    /// Returns which of these workers of operations have to leave, the first ones first, so that the others keep within
    /// their share.
    pub(super) fn excess(&self, staying: &[AttemptId]) -> Vec<AttemptId> {
        let nothing = |(name, pool): (&&'static str, &Pool)| (*name, Pool { urgent: 0, background: 0, ..pool.clone() });
        let mut pools: BTreeMap<&'static str, Pool> = self.pools.iter().map(nothing).collect();
        for (collector, purpose) in staying.iter().filter_map(|id| self.taken.get(id)) {
            pools.entry(collector).and_modify(|pool| *pool.count(*purpose) += 1);
        }
        let leaves = |id: &AttemptId| {
            let Some((collector, purpose)) = self.taken.get(id) else { return false };
            let over = pools.get_mut(collector).filter(|pool| pool.is_over_share(*purpose));
            over.map(|pool| *pool.count(*purpose) -= 1).is_some()
        };
        staying.iter().copied().filter(leaves).collect()
    }
}

#[cfg(test)]
#[path = "workers_tests.rs"]
mod tests;
