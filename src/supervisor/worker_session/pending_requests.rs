//! A worker's pending requests to the supervisor: credentials of its units, and shared values.

use std::time::Duration;

use tokio::{sync::mpsc, task::JoinError, time::timeout};
use worker_proto::{COLLECTOR_INDEX, Failure, FailureKind, JobKind, ToWorker};

use super::{
    session::{WorkerSession, send},
    termination::{SessionEnd, protocol},
};
use crate::{
    collector_api::shared_values::{Answer, MAX_KEY},
    process::StopReason,
};

/// Requests for shared values that a worker may have open; it requests each key once.
const MAX_SHARED_REQUESTS: usize = 1000;

impl WorkerSession<'_> {
    pub(super) fn request_credentials(
        &mut self,
        unit: u32,
        are_rejected: bool,
        out: &mpsc::Sender<ToWorker>,
    ) -> Result<(), SessionEnd> {
        let Some(broker) = self.collector.broker.clone() else {
            let message = format!("the collector {} has no credentials", self.spec.collector);
            let credentials = Err(Failure { kind: FailureKind::Configuration, message });
            return send(out, ToWorker::Credentials { unit, credentials });
        };
        let is_held = self.buffers.is_open(unit) || self.operates();
        let subject = match (unit, self.buffers.unit(unit)) {
            (COLLECTOR_INDEX, _) if matches!(self.spec.kind, JobKind::Plan | JobKind::PlanAndCollect { .. }) => None,
            (_, Some(unit)) if is_held => Some(unit.clone()),
            _ => return Err(protocol(format!("credentials of unit {unit} were requested, which is not in progress"))),
        };
        if !self.credentials.insert(unit) {
            return Err(protocol(format!("credentials of unit {unit} were requested twice")));
        }
        let limit = self.context.timeouts.credentials;
        self.replies.spawn(async move {
            let late = Failure {
                kind: FailureKind::Unavailable,
                message: format!("no credentials within {} seconds", limit.as_secs()),
            };
            let credentials = match are_rejected {
                true => broker.renewed(subject.as_ref()),
                false => broker.credentials(subject.as_ref()),
            };
            let answer = timeout(limit, credentials).await;
            ToWorker::Credentials { unit, credentials: answer.unwrap_or(Err(late)) }
        });
        Ok(())
    }

    pub(super) fn request_shared_value(&mut self, key: String) -> Result<(), SessionEnd> {
        if key.len() > MAX_KEY {
            return Err(protocol(format!("a shared value was requested with a key of {} bytes", key.len())));
        }
        if self.shared_requests >= MAX_SHARED_REQUESTS {
            return Err(protocol(format!(
                "more than {MAX_SHARED_REQUESTS} shared values were requested at the same time"
            )));
        }
        self.shared_requests += 1;
        let answer = self.context.shared_values.request(&self.spec, &key);
        self.replies.spawn(async move {
            let value = match answer.await {
                Answer::Value(value) => Some(value),
                Answer::Fetch => None,
            };
            ToWorker::Shared { key, value }
        });
        Ok(())
    }

    /// Sends the reply to a request, or stops the worker if the task that looked for it panicked.
    pub(super) fn send_reply(
        &mut self,
        reply: Result<ToWorker, JoinError>,
        out: &mpsc::Sender<ToWorker>,
    ) -> Result<(), SessionEnd> {
        let reply = reply.map_err(|_| SessionEnd::Stop(StopReason::InternalError, Duration::ZERO, String::new()))?;
        match &reply {
            ToWorker::Credentials { unit, .. } => _ = self.credentials.remove(unit),
            ToWorker::Shared { .. } => self.shared_requests -= 1,
            _ => {}
        }
        send(out, reply)
    }
}
