//! The bound of workers: sequences, and random ones with their invariants.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::{Purpose::*, *};

fn workers(size: usize) -> Workers {
    Workers::new([("aws", size)].into_iter())
}

fn take(workers: &mut Workers, purpose: Purpose, most: usize) -> Vec<AttemptId> {
    (0..most).map_while(|_| workers.take("aws", purpose)).collect()
}

#[test]
fn tag_has_a_worker_beside_full_collection() {
    for size in [1, 2, 5, 50] {
        let mut workers = workers(size);
        assert_eq!(take(&mut workers, Collect, 100).len(), size);
        workers.set_collection_waits("aws", true);
        assert_eq!(take(&mut workers, Urgent, 100).len(), 1, "size {size}");
    }
}

#[test]
fn tag_has_a_worker_beside_full_collection_and_deletions() {
    for size in [2, 3, 5, 50] {
        for waits in [false, true] {
            let mut workers = workers(size);
            workers.set_collection_waits("aws", waits);
            take(&mut workers, Background, 100);
            take(&mut workers, Collect, 100);
            assert!(workers.take("aws", Urgent).is_some(), "size {size}");
        }
    }
}

#[test]
fn deletion_shares_the_pool_with_collection() {
    let mut workers = workers(4);
    let collecting = take(&mut workers, Collect, 100);
    workers.set_collection_waits("aws", true);
    assert_eq!(workers.take("aws", Background), None, "until an account is complete");
    for _ in 0..2 {
        workers.release(collecting[0]);
        workers.release(collecting[1]);
        take(&mut workers, Background, 100);
    }
    assert_eq!(take(&mut workers, Collect, 100).len(), 0);
    workers.release(collecting[2]);
    assert_eq!(workers.take("aws", Background), None, "half of the pool");
    assert!(workers.take("aws", Collect).is_some());
}

#[test]
fn pool_of_one_gives_deletion_the_additional_worker() {
    let mut workers = workers(1);
    assert!(workers.take("aws", Collect).is_some());
    assert!(workers.take("aws", Background).is_some());
    assert_eq!(workers.take("aws", Urgent), None);
    let mut idle = self::workers(1);
    assert_eq!(take(&mut idle, Background, 9).len(), 1);
    assert!(idle.take("aws", Urgent).is_some(), "deletions leave a worker to tags");
}

#[test]
fn operations_above_their_share_are_in_excess() {
    let mut workers = workers(5);
    let tags = take(&mut workers, Urgent, 3);
    let deleting = take(&mut workers, Background, 100);
    let all = [&tags[..], &deleting].concat();
    assert_eq!((deleting.len(), workers.excess(&all)), (3, vec![]));
    workers.set_collection_waits("aws", true);
    assert_eq!(workers.excess(&deleting), deleting[..1], "two of five delete");
    let leaving = workers.excess(&all);
    assert_eq!(leaving, [tags[0], tags[1], deleting[0]], "two of five delete, and one more changes tags");
    for id in leaving {
        workers.release(id);
    }
    assert_eq!(workers.excess(&all), []);
    assert_eq!([workers.take("aws", Background), workers.take("aws", Urgent)], [None; 2]);
    assert_eq!(take(&mut workers, Collect, 100).len(), 3);
}

#[test]
fn tags_and_deletions_leave_a_place_to_each_other() {
    for size in 1..6 {
        for purposes in [[Urgent, Background], [Background, Urgent]] {
            let mut workers = workers(size);
            assert_eq!(take(&mut workers, purposes[0], 100).len(), size);
            assert!(workers.take("aws", purposes[1]).is_some(), "size {size}");
        }
    }
}

#[test]
fn worker_gives_room_to_what_its_own_purpose_holds_up() {
    let mut workers = workers(2);
    let (tag, deletion) = (workers.take("aws", Urgent).unwrap(), workers.take("aws", Background).unwrap());
    let collection = workers.take("aws", Collect).unwrap();
    assert!(workers.has_room_without(tag, Urgent));
    assert!(!workers.has_room_without(tag, Background) && !workers.has_room_without(tag, Collect));
    assert!(workers.has_room_without(deletion, Collect) && workers.has_room_without(collection, Background));
}

#[test]
fn worker_of_tags_deletes_only_within_the_share() {
    let mut workers = workers(2);
    let tags = workers.take("aws", Urgent).unwrap();
    let collecting = take(&mut workers, Collect, 2);
    assert_eq!(collecting.len(), 2);
    assert!(!workers.use_for_background(tags), "no worker would be left to tags of other accounts");
    workers.release(collecting[0]);
    assert!(workers.use_for_background(tags));
    assert_eq!(workers.purpose(tags), Some(Background));
    assert!(!workers.use_for_background(collecting[1]));
    workers.use_for_urgent(tags);
    assert_eq!(workers.purpose(tags), Some(Urgent));
    assert!(workers.take("aws", Collect).is_some(), "the place is free again");
}

#[test]
fn unknown_collector_has_no_workers_and_ids_are_never_reused() {
    let mut workers = workers(1);
    assert_eq!(workers.take("other", Collect), None);
    let first = workers.take("aws", Collect).unwrap();
    assert_eq!((workers.release(first), workers.release(first)), (Some(Collect), None));
    assert_ne!(workers.take("aws", Collect), Some(first));
}

/// A small generator of pseudo-random numbers (splitmix64): the same sequence for a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % limit as u64).unwrap()
    }
}

fn hold_invariants(workers: &Workers, size: usize) {
    let pool = &workers.pools["aws"];
    assert!(pool.total() <= size + 1 && pool.collecting <= size && pool.background <= size, "{pool:?}");
    assert!(pool.collecting + pool.background <= size.max(2), "{pool:?}");
    assert_eq!(workers.taken.len(), pool.total());
    let is_full_of_long_work = size > 1 && pool.urgent == 0;
    assert!(!is_full_of_long_work || pool.has_room(Urgent), "a tag waits for long work: {pool:?}");
}

#[test]
fn random_orders_keep_the_bounds() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let size = 1 + random.below(6);
        let (mut workers, mut ids) = (workers(size), Vec::new());
        for _ in 0..500 {
            match random.below(8) {
                0..=3 => {
                    let purpose = [Collect, Urgent, Background][random.below(3)];
                    let before = workers.pools["aws"].clone();
                    let id = workers.take("aws", purpose);
                    let Share { each, both } = before.share();
                    let own = if purpose == Urgent { before.urgent } else { before.background };
                    let is_over = purpose != Collect && (own >= each || before.operations() >= both);
                    assert!(id.is_none() || !is_over, "{before:?} {purpose:?}");
                    ids.extend(id);
                }
                4 | 5 if !ids.is_empty() => {
                    let id = ids.swap_remove(random.below(ids.len()));
                    assert!(workers.release(id).is_some());
                }
                6 if !ids.is_empty() => {
                    let id = ids[random.below(ids.len())];
                    if random.below(2) == 0 { _ = workers.use_for_background(id) } else { workers.use_for_urgent(id) }
                }
                _ => workers.set_collection_waits("aws", random.below(2) == 0),
            }
            hold_invariants(&workers, size);
        }
        for id in ids {
            assert!(workers.release(id).is_some());
        }
        assert_eq!(workers.pools["aws"].total(), 0);
    }
}

/// Accounts and operations that never run out, and workers of operations that are always busy: each side gets workers.
/// A pool of one has a place for operations, and tags come first.
#[test]
fn neither_collection_nor_operations_starve() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let size = 1 + random.below(5);
        let mut workers = workers(size);
        let mut running: Vec<(AttemptId, Purpose)> = Vec::new();
        let mut served = [0; 3];
        let take_all = |workers: &mut Workers, running: &mut Vec<_>, served: &mut [i32; 3]| {
            for (number, purpose) in [Urgent, Background, Collect].into_iter().enumerate() {
                while let Some(id) = workers.take("aws", purpose) {
                    running.push((id, purpose));
                    served[number] += 1;
                }
            }
        };
        take_all(&mut workers, &mut running, &mut served);
        workers.set_collection_waits("aws", true);
        for _ in 0..1000 {
            let staying = running.iter().filter(|(_, purpose)| *purpose != Collect).map(|(id, _)| *id);
            let leaving = workers.excess(&staying.collect::<Vec<_>>());
            running.retain(|(id, _)| !leaving.contains(id) || workers.release(*id).is_none());
            take_all(&mut workers, &mut running, &mut served);
            // Tags never end.
            let long: Vec<usize> = (0..running.len()).filter(|at| running[*at].1 != Urgent).collect();
            let (id, _) = running.swap_remove(long[random.below(long.len())]);
            workers.release(id);
            take_all(&mut workers, &mut running, &mut served);
        }
        let [tags, deletions, accounts] = served;
        assert!(tags > 0 && accounts > 50 && (deletions > 50 || size == 1), "size {size}: {served:?}");
    }
}
