//! Judges by a worker's activity frames whether its job makes progress.
//!
//! A worker that is silent is another matter: it has died, is stopped, or computes without a pause. A worker that sends
//! [`Activity`] runs, and says which units are quiet and what they wait for.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use worker_proto::{Activity, QuietUnit, WaitOn};

use super::Timeouts;

/// The result of judging an activity frame.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// Units that are worth a line in the log, each with the time in which it made no progress and what it waits for.
    pub(super) notices: Vec<(u32, Duration, String)>,
    /// Units that were named and make progress again.
    pub(super) resumed: Vec<u32>,
    /// Why the job is stalled, if it is.
    pub(super) stalled: Option<String>,
}

/// Which units of a worker were named as quiet.
#[derive(Default)]
pub(super) struct Liveness {
    /// When the next line about a unit is due, as time without progress.
    next: BTreeMap<u32, Duration>,
}

impl Liveness {
    /// Judges one activity frame. `is_answering` says that a reply of the supervisor is still pending.
    pub(super) fn judge(&mut self, activity: &Activity, timeouts: &Timeouts, is_answering: bool) -> Judgement {
        let mut judgement = Judgement { stalled: stalled(activity, timeouts, is_answering), ..Judgement::default() };
        let is_quiet = |unit: &u32| activity.quiet.iter().any(|quiet| quiet.unit == *unit);
        judgement.resumed = self.next.extract_if(.., |unit, _| !is_quiet(unit)).map(|(unit, _)| unit).collect();
        for quiet in &activity.quiet {
            let time = Duration::from_millis(quiet.quiet_ms);
            let next = self.next.entry(quiet.unit).or_insert(timeouts.notice);
            if time >= *next {
                *next = time * 2;
                judgement.notices.push((quiet.unit, time, waits(quiet, activity.queue_full)));
            }
        }
        // A unit that was not named has nothing to resume.
        self.next.retain(|_, next| *next > timeouts.notice);
        judgement
    }
}

/// Why the job is stalled, if it is: its session hangs, nothing outside the worker will wake it, or it waits for longer
/// than any call may take.
fn stalled(activity: &Activity, timeouts: &Timeouts, is_answering: bool) -> Option<String> {
    let (quiet, since) = (Duration::from_millis(activity.quiet_ms), Duration::from_millis(activity.loop_ms));
    if since >= timeouts.stall {
        return Some(format!("its session did not run for {} s, a bug in ckworker: please report it", since.as_secs()));
    }
    let is_outside = |on| match on {
        WaitOn::Call => true,
        WaitOn::Answer => is_answering,
        WaitOn::Room => false,
    };
    let will_be_woken = activity.quiet.iter().flat_map(|unit| &unit.waits).any(|wait| is_outside(wait.on));
    if quiet < timeouts.stall || will_be_woken && quiet < timeouts.longest_wait {
        return None;
    }
    let waits = activity.quiet.first().map_or_else(|| "nothing".into(), |unit| waits(unit, activity.queue_full));
    Some(format!("nothing happened for {} s; it waits for {waits}", quiet.as_secs()))
}

/// The waits of a unit as text.
fn waits(unit: &QuietUnit, queue_full: bool) -> String {
    let mut text = String::new();
    for wait in &unit.waits {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{} ({} s)", wait.what, wait.for_ms / 1000);
    }
    let more = (unit.open as usize).saturating_sub(unit.waits.len());
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    if text.is_empty() {
        text.push_str("nothing outside the worker");
    }
    if queue_full {
        text.push_str("; its queue of frames is full");
    }
    text
}

#[cfg(test)]
mod tests {
    use worker_proto::Wait;

    use super::*;

    fn quiet(unit: u32, seconds: u64, on: &[WaitOn]) -> QuietUnit {
        let wait = |on: &WaitOn| Wait { on: *on, what: format!("{on:?}"), for_ms: seconds * 1000 };
        let waits: Vec<_> = on.iter().take(2).map(wait).collect();
        QuietUnit { unit, quiet_ms: seconds * 1000, open: u32::try_from(on.len()).unwrap_or_default(), waits }
    }

    fn activity(seconds: u64, quiet: Vec<QuietUnit>) -> Activity {
        Activity { quiet_ms: seconds * 1000, loop_ms: 0, queue_full: false, quiet }
    }

    #[test]
    fn quiet_unit_is_named_ever_more_rarely_until_it_resumes() {
        let (mut liveness, timeouts) = (Liveness::default(), Timeouts::default());
        let mut named = Vec::new();
        for seconds in (0..200).step_by(5) {
            let unit = quiet(7, seconds, &[WaitOn::Call, WaitOn::Call, WaitOn::Call]);
            let judgement = liveness.judge(&activity(0, vec![unit]), &timeouts, false);
            named.extend(judgement.notices.iter().map(|(_, time, _)| time.as_secs()));
            assert_eq!(judgement.stalled, None, "another unit makes progress");
            for (unit, _, text) in judgement.notices {
                assert_eq!((unit, text), (7, format!("Call ({seconds} s), Call ({seconds} s) and 1 more")));
            }
        }
        assert_eq!(named, [10, 20, 40, 80, 160]);
        assert_eq!(liveness.judge(&activity(0, Vec::new()), &timeouts, false).resumed, [7]);
        assert_eq!(liveness.judge(&activity(0, Vec::new()), &timeouts, false), Judgement::default());
    }

    /// Invariant: a job without progress is reported, and fails if no event will wake it.
    #[test]
    fn job_is_stalled_only_if_nothing_will_wake_it() {
        let timeouts = Timeouts::default();
        let (short, long) = (timeouts.stall.as_secs(), timeouts.longest_wait.as_secs());
        let judge = |seconds, on: &[WaitOn], is_answering| {
            let units = vec![quiet(0, seconds, on)];
            Liveness::default().judge(&activity(seconds, units), &timeouts, is_answering).stalled.is_some()
        };
        for (on, is_answering, at) in [
            (&[][..], false, short),
            (&[WaitOn::Room], true, short),
            (&[WaitOn::Answer], false, short),
            (&[WaitOn::Answer], true, long),
            (&[WaitOn::Room, WaitOn::Call], false, long),
        ] {
            assert!(!judge(at - 1, on, is_answering), "{on:?}");
            assert!(judge(at, on, is_answering), "{on:?}");
        }
    }

    #[test]
    fn stuck_session_is_stalled_whatever_its_units_wait_for() {
        let timeouts = Timeouts::default();
        let units = vec![quiet(0, 30, &[WaitOn::Call])];
        let loop_ms = 1000 * timeouts.stall.as_secs();
        let hanging = Activity { loop_ms, ..activity(30, units) };
        let stalled = Liveness::default().judge(&hanging, &timeouts, true).stalled.unwrap_or_default();
        assert!(stalled.contains("its session did not run for 30 s"), "{stalled}");
    }
}
