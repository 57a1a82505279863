//! What the system allows: how many workers, and how many lines of the log.

use std::time::Duration;

use tokio::time::sleep;

use super::{Failed, failed};
use crate::{
    cli::{Enabled, ExitCode, Mode, Run},
    collector_api::limits,
    collectors,
    process::{
        Program,
        descriptors::{Descriptors, PER_WORKER},
        reaper,
    },
    supervisor::policy::{CollectorPolicy, Policy},
    telemetry::Log,
    web,
};

/// Between two looks for suppressed lines of the log that are to be reported.
const SUPPRESSED_REPORTS: Duration = Duration::from_secs(5);

/// How the supervisor runs the collectors, with no more worker processes than the system allows.
///
/// # Errors
/// If worker processes are wanted and cannot be started.
pub(super) fn policy(run: &Run, descriptors: Descriptors) -> Result<Policy, Failed> {
    let collectors = run.collectors.iter().map(|Enabled { collector, is_named, settings }| CollectorPolicy {
        name: collector.name(),
        is_named: *is_named,
        process: run.core.fork,
        units: collector.concurrency(settings),
    });
    let mut policy = Policy::new(collectors.collect(), run.core.pool_size, run.core.timeout);
    let is_daemon = matches!(run.mode, Mode::Daemon);
    let has_core = is_daemon && run.core.ckcore.is_some();
    let most = policy.most_processes(has_core);
    if most > 0 {
        Program::check().map_err(failed(ExitCode::Internal))?;
    } else if let Err(error) = reaper::check() {
        tracing::warn!("{error}");
    }
    let web = if is_daemon { descriptors.for_web(web::usual_descriptors()) } else { 0 };
    let processes = descriptors.workers(web);
    for (collector, pool, lowered) in policy.fit(processes, has_core) {
        let needed = descriptors.needed(most, web);
        let limit = descriptors.limit();
        let advice = collectors::find(collector).and_then(|collector| collector.advice(limits::POOL_SIZE));
        let option = advice.map_or_else(String::new, |option| format!(" (such as with {option})"));
        tracing::warn!(
            "the limit of {limit} open files allows {processes} worker processes at the same time, each of which takes \
             {PER_WORKER}: the pool of {collector} is lowered from {pool} to {lowered}{option}; \
             for all, raise the hard limit to {needed} (`ulimit -Hn`, or LimitNOFILE= in a systemd unit)"
        );
    }
    Ok(policy)
}

/// Logs how many lines were suppressed, also while no further line comes.
pub(super) async fn report_suppressed(log: Log) {
    loop {
        sleep(SUPPRESSED_REPORTS).await;
        log.report_suppressed();
    }
}
