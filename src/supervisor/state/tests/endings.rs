//! Ends of runs that come from outside: deadlines, shutdown and cancellation.

use super::*;

/// Invariant: at the deadline the complete units are delivered.
#[test]
fn deadline_stops_workers_and_delivers_the_rest() {
    let mut bench = Bench::new(vec![collector("aws", true, true, 1)], 5);
    let plan = starts(&bench.send(Event::Collect(RunId(1))));
    let first = bench.planned(plan[0].id, units(3)).remove(0);
    let second = starts(&bench.complete(&first)).remove(0);
    bench.job(second.id, AttemptEvent::UnitStarted(1));
    let wake = bench.state.wake_at().unwrap();
    assert!(wake < bench.now + TIMEOUT, "there must be time left for the delivery");
    let effects = bench.pass(wake - bench.now);
    assert!(effects.iter().any(|e| matches!(e, Effect::Stop(job, StopReason::Deadline, _) if *job == second.id)));
    assert!(delivery(&effects).is_none(), "not before the worker has ended");
    let effects =
        bench.job(second.id, AttemptEvent::Ended(AttemptOutcome::Stopped(StopReason::Deadline, String::new())));
    let report = delivery(&effects).unwrap();
    let outcomes: Vec<bool> = report.collectors[0].units.iter().map(report::UnitReport::counts).collect();
    assert_eq!(outcomes, [true, false, false]);
}

/// Invariant: no delivery outlasts its run, and no panic blocks a run.
#[test]
fn delivery_is_cancelled_at_end_of_run_timeout() {
    let (mut bench, specs) = Bench::forked(1);
    let began = bench.now;
    let effects = bench.complete(&specs[0]);
    let due = effects.iter().find_map(|effect| match effect {
        Effect::Deliver(_, _, deadline) => Some(*deadline),
        _ => None,
    });
    assert!(due.unwrap() < began + TIMEOUT, "it can still say why");
    assert!(bench.pass(TIMEOUT / 2).is_empty());
    assert!(bench.send(Event::Collect(RunId(2))).is_empty());
    let wake = bench.state.wake_at().unwrap();
    assert_eq!(wake, began + TIMEOUT);
    let effects = bench.pass(wake - bench.now);
    assert!(matches!(effects[0], Effect::CancelDelivery(RunId(1))));
    let Effect::FinishRun(RunId(1), RunOutcome::Ended(_, Err(error))) = &effects[1] else { panic!("{effects:?}") };
    assert!(error.message.contains("--timeout"), "{error:?}");
    assert_eq!(starts(&effects).len(), 1, "the next one has its turn");
    assert!(bench.send(Event::Delivered(RunId(1), Ok(()))).is_empty(), "too late");
}

/// Invariant: shutdown has one upper bound, and a second signal skips the grace period.
#[test]
fn stop_ends_every_worker_then_exits_once() {
    let mut bench = Bench::new(vec![collector("aws", true, true, 2)], 5);
    let plan = starts(&bench.send(Event::Collect(RunId(1))));
    let specs = bench.planned(plan[0].id, units(2));
    let effects = bench.send(Event::Stop);
    let stopped =
        effects.iter().filter(|e| matches!(e, Effect::Stop(_, StopReason::Shutdown, grace) if !grace.is_zero()));
    assert_eq!(stopped.count(), 2);
    assert!(effects.iter().any(|e| matches!(e, Effect::FinishRun(RunId(1), RunOutcome::Refused(_)))));
    assert!(bench.send(Event::StopNow).iter().any(|e| matches!(e, Effect::Stop(_, _, Duration::ZERO))));
    let ended = || AttemptEvent::Ended(AttemptOutcome::Stopped(StopReason::Shutdown, String::new()));
    assert!(bench.job(specs[0].id, ended()).is_empty());
    assert!(matches!(&bench.job(specs[1].id, ended())[..], [Effect::Exit]));
    assert!(bench.send(Event::Tick).is_empty(), "only once");
}

#[test]
fn stop_when_idle_exits_at_once_and_starts_nothing() {
    let mut bench = Bench::new(vec![collector("a", false, false, 1)], 1);
    assert!(matches!(&bench.send(Event::Stop)[..], [Effect::Exit]));
    assert!(matches!(&bench.send(Event::Collect(RunId(1)))[..], [Effect::FinishRun(_, RunOutcome::Refused(_))]));
}

#[test]
fn aborted_run_stops_its_workers_and_next_run_starts() {
    let (mut bench, specs) = Bench::forked(3);
    assert!(starts(&bench.send(Event::Collect(RunId(2)))).is_empty());
    let effects = bench.send(Event::Abort(RunId(1)));
    let stopped: Vec<AttemptId> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Stop(job, StopReason::Abandoned, _) => Some(*job),
            _ => None,
        })
        .collect();
    assert_eq!(stopped, specs.iter().map(|spec| spec.id).collect::<Vec<_>>());
    let refused = |effects: &[Effect]| {
        effects.iter().filter(|effect| matches!(effect, Effect::FinishRun(RunId(1), RunOutcome::Refused(_)))).count()
    };
    assert_eq!(refused(&effects), 1);
    assert!(starts(&effects).is_empty(), "the workers of the aborted run have not ended");
    let late = bench.complete(&specs[0]);
    let plan = starts(&late);
    assert_eq!(plan.iter().map(|spec| spec.run).collect::<Vec<_>>(), [Some(RunId(2))], "the next one has its turn");
    assert_eq!(refused(&late), 0, "what arrives late changes nothing");
    let late = bench.complete(&specs[1]);
    assert_eq!(refused(&late) + starts(&late).len(), 0, "what arrives late changes nothing");
    assert_eq!(refused(&bench.send(Event::Abort(RunId(1)))), 0);
}

#[test]
fn abort_cancels_delivery() {
    let (mut bench, specs) = Bench::forked(1);
    let effects = bench.complete(&specs[0]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Deliver(..))));
    let effects = bench.send(Event::Abort(RunId(1)));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::CancelDelivery(RunId(1)))));
}

/// Plans a collector that `--collector` does not name, beside one that it could be; both fail so.
fn failed_plans(is_named: bool, kind: FailureKind) -> RunReport {
    let unnamed = |name| CollectorPolicy { is_named, ..collector(name, true, true, 2) };
    let mut bench = Bench::new(vec![unnamed("aws"), collector("example", false, false, 1)], 5);
    let plans = starts(&bench.send(Event::Collect(RunId(1))));
    bench.job(plans[0].id, AttemptEvent::Ended(AttemptOutcome::Failed(failure(kind))));
    bench.job(plans[1].id, AttemptEvent::Planned(units(1)));
    bench.job(plans[1].id, AttemptEvent::UnitStarted(0));
    bench.job(plans[1].id, AttemptEvent::UnitComplete(0, UnitStats::default()));
    delivery(&bench.job(plans[1].id, AttemptEvent::Ended(AttemptOutcome::Finished))).unwrap()
}

#[test]
fn unnamed_collector_without_credentials_is_skipped() {
    let report = failed_plans(false, FailureKind::NoCredentials);
    assert_eq!((report.collectors[0].skipped.as_deref(), &report.collectors[0].failure), (Some("because"), &None));
    assert!(report.is_complete());
}

#[test]
fn named_or_rejected_collector_fails() {
    for (is_named, kind) in [(true, FailureKind::NoCredentials), (false, FailureKind::Credentials)] {
        let report = failed_plans(is_named, kind);
        assert_eq!((report.collectors[0].failure.as_deref(), &report.collectors[0].skipped), (Some("because"), &None));
        assert!(!report.is_complete() && report.has_something());
    }
}

#[test]
fn account_without_credentials_fails_and_skips_nothing() {
    let unnamed = CollectorPolicy { is_named: false, ..collector("aws", false, false, 2) };
    let mut bench = Bench::new(vec![unnamed], 5);
    let whole = starts(&bench.send(Event::Collect(RunId(1))));
    bench.job(whole[0].id, AttemptEvent::Planned(units(1)));
    bench.job(whole[0].id, AttemptEvent::UnitStarted(0));
    bench.job(whole[0].id, AttemptEvent::UnitFailed(0, failure(FailureKind::NoCredentials)));
    let report = delivery(&bench.job(whole[0].id, AttemptEvent::Ended(AttemptOutcome::Finished))).unwrap();
    assert!(report.collectors[0].skipped.is_none() && !report.is_complete());
}

#[test]
fn run_whose_collectors_are_all_skipped_is_not_complete() {
    let mut bench = Bench::new(vec![CollectorPolicy { is_named: false, ..collector("aws", true, true, 2) }], 5);
    let plan = starts(&bench.send(Event::Collect(RunId(1))));
    let outcome = AttemptOutcome::Failed(failure(FailureKind::NoCredentials));
    let report = delivery(&bench.job(plan[0].id, AttemptEvent::Ended(outcome))).unwrap();
    assert!(!report.is_complete() && !report.has_something());
}
