//! The progress of a run in the form that the core shows: a part for each unit, below its collector.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    ckcore::{ProgressPart, ProgressTree},
    supervisor::event::{Notice, RunId},
};

/// The interval of updates about the progress within units.
const INTERVAL: Duration = Duration::from_secs(1);

/// The largest number of units with a part each; more units are counted by collector.
const MAX_UNITS: usize = 200;

/// The progress of the current run.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct CoreProgress {
    run: Option<RunId>,
    collectors: BTreeMap<&'static str, Units>,
    /// The labels of units that are under way.
    labels: BTreeMap<(&'static str, u32), String>,
    has_update: bool,
    /// Whether the update can wait for the interval.
    is_minor: bool,
    sent: Option<Instant>,
}

/// The units of one collector.
#[derive(Debug, Default)]
struct Units {
    /// By label: how much is done, and how much there is.
    parts: BTreeMap<String, (u64, u64)>,
    /// How many units have nothing left to do.
    done: usize,
}

impl Units {
    fn set(&mut self, label: String, part: (u64, u64)) {
        let is_done = |(current, total): (u64, u64)| usize::from(current == total);
        let before = self.parts.insert(label, part).map_or(0, is_done);
        self.done = self.done + is_done(part) - before;
    }
}

impl CoreProgress {
    /// Records a notice.
    pub(in crate::supervisor) fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Planned { collector, units } => {
                let parts = units.iter().map(|label| (label.clone(), (0, 1))).collect();
                self.collectors.insert(collector, Units { parts, done: 0 });
                self.has_update = true;
            }
            Notice::UnitStarted { key, label, .. } => {
                self.run = Some(key.run);
                self.labels.insert((key.collector, key.unit), label.clone());
            }
            Notice::UnitProgress { key, progress } if progress.parts > 0 => {
                let label = self.labels.get(&(key.collector, key.unit)).cloned();
                // A unit is done when it is kept, which comes after its last part.
                let part = (u64::from(progress.parts_done), u64::from(progress.parts) + 1);
                self.set(key.collector, label, part);
                self.is_minor = !self.has_update;
                self.has_update = true;
            }
            Notice::UnitFinished { key, label, .. } => {
                self.labels.remove(&(key.collector, key.unit));
                let units = self.collectors.get(key.collector);
                let total = units.and_then(|units| units.parts.get(label)).map_or(1, |part| part.1);
                self.set(key.collector, Some(label.clone()), (total, total));
                (self.has_update, self.is_minor) = (true, false);
            }
            _ => {}
        }
    }

    /// Clears the progress at the end of a run.
    pub(in crate::supervisor) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Returns the run and its progress if an update is due.
    pub(in crate::supervisor) fn take_update(&mut self, now: Instant) -> Option<(RunId, ProgressTree)> {
        let is_early = self.sent.is_some_and(|sent| now.saturating_duration_since(sent) < INTERVAL);
        let run = self.run.filter(|_| self.has_update && !(self.is_minor && is_early))?;
        (self.has_update, self.is_minor, self.sent) = (false, false, Some(now));
        Some((run, self.tree()))
    }

    fn set(&mut self, collector: &'static str, label: Option<String>, part: (u64, u64)) {
        if let Some(label) = label {
            self.collectors.entry(collector).or_default().set(label, part);
        }
    }

    fn tree(&self) -> ProgressTree {
        let count: usize = self.collectors.values().map(|units| units.parts.len()).sum();
        let parts = self.collectors.iter().flat_map(|(collector, units)| {
            let path = vec![(*collector).to_owned()];
            let part = |name: &str, (current, total): (u64, u64)| ProgressPart {
                path: path.clone(),
                name: name.to_owned(),
                current,
                total,
            };
            if count > MAX_UNITS {
                vec![part("accounts", (units.done as u64, units.parts.len().max(1) as u64))]
            } else {
                units.parts.iter().map(|(label, progress)| part(label, *progress)).collect()
            }
        });
        ProgressTree { name: "collect".to_owned(), parts: parts.collect() }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use worker_proto::Progress;

    use super::*;
    use crate::supervisor::event::{UnitKey, UnitStats};

    fn key(unit: u32) -> UnitKey {
        UnitKey { run: RunId(7), collector: "aws", unit }
    }

    fn progress(unit: u32, parts_done: u32) -> Notice {
        Notice::UnitProgress { key: key(unit), progress: Progress { unit, parts_done, parts: 4, nodes: 0 } }
    }

    fn part(tree: &ProgressTree, name: &str) -> (u64, u64) {
        let part = tree.parts.iter().find(|part| part.name == name).unwrap();
        (part.current, part.total)
    }

    #[test]
    fn run_progress_is_sent_unit_by_unit() {
        let (mut tracked, now) = (CoreProgress::default(), Instant::now());
        tracked.notice(&Notice::Planned { collector: "aws", units: vec!["A".into(), "B".into()] });
        assert_eq!(tracked.take_update(now), None, "no unit has begun");
        tracked.notice(&Notice::UnitStarted { key: key(0), label: "A".into(), pid: None });
        let (run, tree) = tracked.take_update(now).unwrap();
        assert_eq!((run, part(&tree, "A"), part(&tree, "B")), (RunId(7), (0, 1), (0, 1)));
        assert_eq!(tree.parts[0].path, ["aws"]);
        assert_eq!(tracked.take_update(now), None);

        tracked.notice(&progress(0, 2));
        assert_eq!(tracked.take_update(now), None, "not so often");
        let (_, tree) = tracked.take_update(now + INTERVAL).unwrap();
        assert_eq!(part(&tree, "A"), (2, 5));
        let result = Ok(UnitStats::default());
        tracked.notice(&Notice::UnitFinished { key: key(0), label: "A".into(), gaps: 0, result });
        assert_eq!(part(&tracked.take_update(now + INTERVAL).unwrap().1, "A"), (5, 5));
        tracked.reset();
        assert_eq!(tracked.take_update(now + INTERVAL * 9), None);
    }

    #[test]
    fn many_units_are_counted() {
        let mut tracked = CoreProgress::default();
        let units: Vec<String> = (0..1000).map(|unit| format!("account {unit}")).collect();
        tracked.notice(&Notice::Planned { collector: "aws", units });
        tracked.notice(&Notice::UnitStarted { key: key(0), label: "account 0".into(), pid: None });
        let finished = || {
            let result = Ok(UnitStats::default());
            Notice::UnitFinished { key: key(0), label: "account 0".into(), gaps: 0, result }
        };
        tracked.notice(&finished());
        let (_, tree) = tracked.take_update(Instant::now()).unwrap();
        assert_eq!((tree.parts.len(), part(&tree, "accounts")), (1, (1, 1000)));
        tracked.notice(&finished());
        assert_eq!(part(&tracked.tree(), "accounts"), (1, 1000), "a unit counts once");
    }
}
