//! Notices as log lines and progress events, and the text of answers to the core.

use std::fmt::Write;

use worker_proto::Gap;

use super::{
    event::{DeliveryError, Notice},
    report::{self, ProgressEvent, RunReport},
};
use crate::ckcore::Answer;

/// How many failures an answer or a log line names.
const MAX_NAMED: usize = 10;

/// Logs a notice. With `has_summary`, failures are logged for debugging only, as a summary follows.
pub(super) fn log(notice: &Notice, has_summary: bool) {
    match notice {
        Notice::UnitFinished { key, label, result: Err((_, reason)), .. } if has_summary => {
            tracing::debug!(collector = key.collector, unit = label, "not collected: {reason}");
        }
        Notice::CollectorFailed { collector, reason } if has_summary => tracing::debug!(collector, "failed: {reason}"),
        Notice::Planned { collector, units } => {
            tracing::info!(collector, units = units.len(), "planned");
        }
        Notice::UnitStarted { key, label, pid } => {
            tracing::debug!(collector = key.collector, unit = label, pid, "collecting");
        }
        Notice::UnitProgress { .. } => {}
        Notice::UnitFinished { key, label, gaps, result: Ok(stats) } => {
            let nodes: u64 = stats.nodes_by_kind.values().sum();
            tracing::info!(collector = key.collector, unit = label, nodes, edges = stats.edges, gaps, "collected");
        }
        Notice::UnitFinished { key, label, result: Err((_, reason)), .. } => {
            tracing::error!(collector = key.collector, unit = label, "not collected: {reason}");
        }
        Notice::Retry { collector, what, reason, .. } if has_summary => {
            tracing::debug!(collector, what, "retrying: {reason}");
        }
        Notice::Retry { collector, what, reason, .. } => {
            tracing::warn!(collector, what, "retrying: {reason}");
        }
        Notice::CollectorFailed { collector, reason } => tracing::error!(collector, "failed: {reason}"),
        Notice::CollectorSkipped { collector, reason } => {
            tracing::info!(collector, reason, "skipped collector without credentials; its cloud stays as it is");
        }
        Notice::Delivering => tracing::debug!("delivering the graph"),
    }
}

/// Returns the notice as an event of the progress display.
pub(super) fn progress(notice: &Notice) -> Option<ProgressEvent> {
    let unit_name = |key: &super::event::UnitKey| key.unit.to_string();
    Some(match notice {
        Notice::Planned { collector, units } => {
            ProgressEvent::CollectorPlanned { collector: (*collector).to_owned(), units: units.len() }
        }
        Notice::UnitStarted { key, label, pid } => ProgressEvent::UnitStarted {
            collector: key.collector.to_owned(),
            unit: unit_name(key),
            label: label.clone(),
            pid: *pid,
        },
        Notice::UnitProgress { key, progress } => ProgressEvent::UnitProgress {
            collector: key.collector.to_owned(),
            unit: unit_name(key),
            parts_done: progress.parts_done,
            parts: progress.parts,
            nodes: progress.nodes,
        },
        Notice::UnitFinished { key, label, gaps, result } => {
            let (nodes, outcome) = match result {
                Ok(stats) => (stats.nodes_by_kind.values().sum(), report::Outcome::Complete),
                Err((label, detail)) => {
                    (0, report::Outcome::Failed { reason: (*label).to_owned(), detail: detail.clone() })
                }
            };
            let (collector, unit) = (key.collector.to_owned(), unit_name(key));
            ProgressEvent::UnitFinished { collector, unit, label: label.clone(), nodes, gaps: *gaps, outcome }
        }
        Notice::Delivering => ProgressEvent::Uploading,
        Notice::Retry { .. } | Notice::CollectorFailed { .. } | Notice::CollectorSkipped { .. } => return None,
    })
}

/// Logs a gap.
pub(super) fn log_gap(collector: &str, gap: &Gap) {
    let Gap { account, region, service, operation, code, message } = gap;
    tracing::warn!(collector, account, region, service, operation, code, "left out: {message}");
}

/// Logs how a run ended.
pub(super) fn log_run(report: &RunReport, result: &Result<(), DeliveryError>) {
    let seconds = report.took.as_secs_f64();
    let gaps = gap_count(report);
    match result {
        Ok(()) if report.is_complete() => {
            tracing::info!(nodes = report.nodes, edges = report.edges, seconds, "collection complete");
        }
        Ok(()) => {
            let failed = failures(report).join("; ");
            tracing::warn!(nodes = report.nodes, edges = report.edges, seconds, gaps, failed, "collection incomplete");
        }
        Err(error) => {
            let reasons = [vec![error.message.clone()], skipped(report, error)].concat().join("; ");
            tracing::error!(seconds, gaps, "collection not delivered: {reasons}");
        }
    }
}

/// Returns the answer to a collect action: done only if nothing is missing.
pub(super) fn answer(report: &RunReport, result: &Result<(), DeliveryError>) -> Answer {
    let mut failed = failures(report);
    failed.extend(unseen(report));
    failed.extend(result.as_ref().err().into_iter().flat_map(|error| skipped(report, error)));
    let mut text = match result {
        Ok(()) if failed.is_empty() => return Answer::Done,
        Ok(()) => "delivered, but incomplete".to_owned(),
        Err(error) => error.message.clone(),
    };
    for (number, failure) in failed.iter().take(MAX_NAMED).enumerate() {
        let separator = if number == 0 && result.is_ok() { ":" } else { ";" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator} {failure}");
    }
    if failed.len() > MAX_NAMED {
        let _ = write!(text, "; and {} more", failed.len() - MAX_NAMED);
    }
    Answer::Error(text)
}

/// Returns a sentence for each collector or unit that failed.
fn failures(report: &RunReport) -> Vec<String> {
    let failed = report.collectors.iter().flat_map(|collector| {
        let whole = collector.failure.iter().map(|reason| format!("{}: {reason}", collector.name));
        let units = collector.units.iter().filter_map(|unit| match &unit.outcome {
            report::Outcome::Complete => None,
            report::Outcome::Failed { detail, .. } => Some(format!("{} {}: {detail}", collector.name, unit.label)),
        });
        whole.chain(units)
    });
    failed.collect()
}

/// Returns a sentence for each skipped collector, if there was nothing to deliver.
fn skipped(report: &RunReport, error: &DeliveryError) -> Vec<String> {
    let of = |collector: &report::CollectorReport| {
        Some(format!("{} was skipped: {}", collector.name, collector.skipped.as_ref()?))
    };
    report.collectors.iter().filter(|_| error.nothing).filter_map(of).collect()
}

/// Returns a sentence for each plan or unit with gaps.
fn unseen(report: &RunReport) -> Vec<String> {
    let of = |collector: &str, label: &str, gaps: &[Gap], kept: u64| {
        let mut text = format!("{collector}{label}: ");
        // Writing to a String cannot fail.
        let _ = match gaps {
            [] => write!(text, "a part could not be seen"),
            [gap] => write!(text, "{}", gap_text(gap)),
            [gap, more @ ..] => write!(text, "{}, and {} more", gap_text(gap), more.len()),
        };
        if kept > 0 {
            let _ = write!(text, "; {kept} resources keep their last known state");
        }
        text
    };
    let parts = report.collectors.iter().flat_map(|collector| {
        let name = collector.name.as_str();
        let plan = (!collector.gaps.is_empty()).then(|| of(name, "", &collector.gaps, 0));
        let units = collector.units.iter().filter(|unit| unit.counts() && !unit.is_complete());
        plan.into_iter().chain(units.map(move |unit| of(name, &format!(" {}", unit.label), &unit.gaps, unit.kept)))
    });
    parts.collect()
}

/// Returns a gap in a few words.
fn gap_text(gap: &Gap) -> String {
    let Gap { region, service, operation, code, .. } = gap;
    let place = if region.is_empty() { String::new() } else { format!(" in {region}") };
    format!("{service} {operation}{place}: {code}")
}

fn gap_count(report: &RunReport) -> usize {
    let of = |collector: &report::CollectorReport| {
        collector.gaps.len() + collector.units.iter().map(|unit| unit.gaps.len()).sum::<usize>()
    };
    report.collectors.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_collector_is_named_only_if_nothing_is_delivered() {
        let skipped = Some("no credentials; set AWS_PROFILE".to_owned());
        let skipped = report::CollectorReport { name: "aws".into(), skipped, ..Default::default() };
        let report = RunReport { collectors: vec![skipped], ..RunReport::default() };
        let nothing = DeliveryError { message: "nothing to deliver".into(), nothing: true };
        let expected = "nothing to deliver; aws was skipped: no credentials; set AWS_PROFILE";
        assert_eq!(answer(&report, &Err(nothing)), Answer::Error(expected.to_owned()));
        let example = report::CollectorReport { name: "example".into(), ..Default::default() };
        let others = RunReport { collectors: [vec![example], report.collectors].concat(), ..RunReport::default() };
        assert_eq!(answer(&others, &Ok(())), Answer::Done);
    }
}
