//! Workers of operations that leave, so that something else that waits gets their place.
//!
//! For a place that a tag, a deletion or a collection waits for, one worker at a time leaves, if its leaving gives room
//! for that: an idle one at once; else, for a tag, the oldest worker of tags, and if there is none, the oldest one of
//! deletions. A leaving worker that ends within seconds is waited for; one whose deletions may take hours is not. While
//! a collection waits, the workers of operations above their share leave too, idle ones first, then the youngest: the
//! accounts that were begun first are finished first. Nothing in progress is interrupted.

use std::time::Instant;

use super::{
    state::Operations,
    worker::{Admission, OperationWorker},
};
use crate::supervisor::{
    event::{AttemptId, Effect},
    workers::{Purpose, Workers},
};

impl Operations {
    /// Has a worker leave for what waits for a worker of this collector, unless one leaves already.
    pub(super) fn make_room(&mut self, collector: &'static str, purpose: Purpose, workers: &Workers) {
        if workers.has_room(collector, purpose) {
            return;
        }
        let gives_room = |(id, worker): &(AttemptId, &OperationWorker)| {
            worker.collector == collector && workers.has_room_without(*id, purpose)
        };
        let useful: Vec<(AttemptId, &OperationWorker)> = self.workers.iter().filter(gives_room).collect();
        let is_soon_free =
            |is_idle: bool| useful.iter().any(|(_, worker)| worker.is_leaving_soon() && (worker.is_idle() || !is_idle));
        let staying = || useful.iter().filter(|(_, worker)| !worker.is_leaving());
        let leaving = if is_soon_free(true) {
            None
        } else if let Some((id, _)) = staying().find(|(_, worker)| worker.is_idle()) {
            Some(*id)
        } else if purpose == Purpose::Urgent && !is_soon_free(false) {
            staying().min_by_key(|(_, worker)| worker.has_background()).map(|(id, _)| *id)
        } else {
            None
        };
        self.drain(leaving);
    }

    /// Has workers leave that a collection waits for.
    pub(in crate::supervisor) fn give_way(&mut self, workers: &Workers, now: Instant, effects: &mut Vec<Effect>) {
        let is_staying = |(_, worker): &(AttemptId, &OperationWorker)| !worker.is_leaving();
        let mut staying: Vec<(AttemptId, &OperationWorker)> = self.workers.iter().rev().filter(is_staying).collect();
        staying.sort_by_key(|(_, worker)| !worker.is_idle());
        let staying: Vec<AttemptId> = staying.into_iter().map(|(id, _)| id).collect();
        self.drain(workers.excess(&staying));
        for collector in workers.collectors_waiting() {
            self.make_room(collector, Purpose::Collect, workers);
        }
        self.finish_drained(now, effects);
    }

    fn drain(&mut self, leaving: impl IntoIterator<Item = AttemptId>) {
        for id in leaving {
            if let Some(worker) = self.workers.get_mut(id) {
                worker.admission = worker.admission.max(Admission::Draining);
            }
        }
    }

    /// Finishes the workers that leave and have no operation left.
    pub(super) fn finish_drained(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let grace = self.lifetimes.grace;
        for (attempt, worker) in self.workers.iter_mut() {
            if worker.is_leaving() && worker.is_idle() && !worker.is_ending() {
                effects.push(Effect::Finish(attempt));
                worker.ending = Some(now + grace);
            }
        }
    }
}
