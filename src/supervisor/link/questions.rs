//! What a worker asks for: credentials of its units, and values that all units share.

use std::time::Duration;

use tokio::{sync::mpsc, task::JoinError, time::timeout};
use worker_proto::{COLLECTOR_INDEX, Failure, FailureKind, JobKind, ToWorker};

use super::{
    end::{End, protocol},
    talk::{Talk, give},
};
use crate::{
    collector_api::shared_values::{Answer, MAX_KEY},
    process::StopReason,
};

/// Questions for shared values that a worker may have open; it asks for each key once.
const QUESTIONS: usize = 1000;

impl Talk<'_> {
    pub(super) fn need_credentials(&mut self, unit: u32, out: &mpsc::Sender<ToWorker>) -> Result<(), End> {
        let Some(broker) = self.collector.broker.clone() else {
            let message = format!("the collector {} has no credentials", self.order.collector);
            let credentials = Err(Failure { kind: FailureKind::Configuration, message });
            return give(out, ToWorker::Credentials { unit, credentials });
        };
        let has = self.held.is_open(unit) || self.operates();
        let subject = match (unit, self.held.unit(unit)) {
            (COLLECTOR_INDEX, _) if matches!(self.order.kind, JobKind::Plan | JobKind::PlanAndCollect { .. }) => None,
            (_, Some(unit)) if has => Some(unit.clone()),
            _ => return Err(protocol(format!("it wants credentials of unit {unit}, which it is not at work on"))),
        };
        if !self.credentials.insert(unit) {
            return Err(protocol(format!("it wants credentials of unit {unit} while they are on their way")));
        }
        let patience = self.context.patience.credentials;
        self.answers.spawn(async move {
            let late = Failure {
                kind: FailureKind::Unavailable,
                message: format!("no credentials within {} seconds", patience.as_secs()),
            };
            let answer = timeout(patience, broker.credentials(subject.as_ref())).await;
            ToWorker::Credentials { unit, credentials: answer.unwrap_or(Err(late)) }
        });
        Ok(())
    }

    pub(super) fn need_shared(&mut self, key: String) -> Result<(), End> {
        if key.len() > MAX_KEY {
            return Err(protocol(format!("it wants a shared value with a key of {} bytes", key.len())));
        }
        if self.questions >= QUESTIONS {
            return Err(protocol(format!("it wants more than {QUESTIONS} shared values at the same time")));
        }
        self.questions += 1;
        let answer = self.context.shelf.ask(&self.order, &key);
        self.answers.spawn(async move {
            let value = match answer.await {
                Answer::Value(value) => Some(value),
                Answer::Fetch => None,
            };
            ToWorker::Shared { key, value }
        });
        Ok(())
    }

    /// What was looked for was found, or the search for it has a fault.
    pub(super) fn answer(
        &mut self,
        answer: Result<ToWorker, JoinError>,
        out: &mpsc::Sender<ToWorker>,
    ) -> Result<(), End> {
        let answer = answer.map_err(|_| End::Stop(StopReason::Fault, Duration::ZERO, String::new()))?;
        match &answer {
            ToWorker::Credentials { unit, .. } => _ = self.credentials.remove(unit),
            ToWorker::Shared { .. } => self.questions -= 1,
            _ => {}
        }
        give(out, answer)
    }
}
