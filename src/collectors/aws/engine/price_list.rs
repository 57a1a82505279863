//! How the price list is asked: by one account first, and not at all once it has failed for the run.
//!
//! The list is the same for all accounts and is served in one region. If it hangs or fails, each account would wait for it
//! in turn. So the first question of a run is asked by one account while the others wait; and the first account that gets
//! no answer says so to all. What only this account is refused is not shared, nor is one type's failure any other's.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::OnceCell;
use worker_proto::Failure;

use super::super::{
    super::{CollectContext, Shared},
    client::{CallError, CallErrorKind, code},
};

/// How long one question may take with all its attempts: everything else can do without prices.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// A list that throttles so many questions in a row to the end is not asked any further.
const THROTTLED: u32 = 4;

/// The shared value that says that the list answers, or why not. Who fetches it asks the first question.
const ANSWERS: &str = "price list";

/// The shared value that says why the list no longer answers. Nobody fetches it: it is published, or absent.
const FAILED: &str = "price list failed";

/// What one account knows of the price list.
#[derive(Default)]
pub(super) struct PriceList {
    /// Whether the first question of the run was answered.
    open: OnceCell<()>,
    /// Why the list is not asked any further.
    refusal: OnceLock<CallError>,
    /// How many questions in a row were throttled to the end.
    throttled: AtomicU32,
}

/// Whom a failure concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailureScope {
    /// All questions of all accounts.
    Run,
    /// All questions of this account.
    Account,
    /// This question, whoever asks it.
    Question,
}

impl PriceList {
    /// Asks the list, unless it is of no use. The outer error ends the unit.
    pub(super) async fn ask<T, F>(
        &self,
        context: &CollectContext,
        question: impl FnOnce() -> F,
    ) -> Result<Result<T, CallError>, Failure>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut question = Some(question);
        let mut first = None;
        self.open.get_or_try_init(|| self.first(context, &mut question, &mut first)).await?;
        let Some(question) = question else {
            return Ok(first.unwrap_or_else(|| Err(self.refusal.get().cloned().unwrap_or_else(unknown))));
        };
        if self.refusal.get().is_none()
            && let Some(failed) = peek(context).await?
        {
            let _ = self.refusal.set(failed);
        }
        if let Some(refusal) = self.refusal.get() {
            return Ok(Err(refusal.clone()));
        }
        let answer = question().await;
        if self.learn(&answer) == Some(FailureScope::Run)
            && let Err(error) = &answer
        {
            publish(context, error).await?;
        }
        Ok(answer)
    }

    /// Waits until the list is known to answer or not. If nobody has asked it yet, asks this question.
    async fn first<T, F>(
        &self,
        context: &CollectContext,
        question: &mut Option<impl FnOnce() -> F>,
        first: &mut Option<Result<T, CallError>>,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let lease = match context.shared(ANSWERS).await? {
            Shared::Value(value) => {
                if let Err(failed) = PublishedPrice::read::<()>(&value) {
                    let _ = self.refusal.set(failed);
                }
                return Ok(());
            }
            Shared::Fetch(lease) => lease,
        };
        let Some(question) = question.take() else { return Ok(()) };
        let answer = question().await;
        let state = match (self.learn(&answer), &answer) {
            // The next account may be allowed to ask.
            (Some(FailureScope::Account), _) => None,
            (Some(FailureScope::Run), Err(error)) => PublishedPrice::of::<()>(&Err(error.clone())),
            _ => PublishedPrice::of(&Ok(Some(()))),
        };
        if let Some(state) = state {
            lease.publish(state).await;
        }
        *first = Some(answer);
        Ok(())
    }

    /// Learns from an answer whether it is of use to go on asking; returns whom a failure concerns.
    fn learn<T>(&self, answer: &Result<T, CallError>) -> Option<FailureScope> {
        let Err(error) = answer else {
            self.throttled.store(0, Ordering::Relaxed);
            return None;
        };
        let scope = match error.kind {
            _ if error.is_account_specific() => FailureScope::Account,
            CallErrorKind::Unavailable => FailureScope::Run,
            CallErrorKind::Throttled if self.throttled.fetch_add(1, Ordering::Relaxed) + 1 >= THROTTLED => {
                FailureScope::Run
            }
            _ => FailureScope::Question,
        };
        if scope != FailureScope::Question {
            // Whoever was first has said why.
            let _ = self.refusal.set(error.clone());
        }
        Some(scope)
    }
}

/// Why the list no longer answers, if somebody has said so.
async fn peek(context: &CollectContext) -> Result<Option<CallError>, Failure> {
    match context.shared(FAILED).await? {
        Shared::Value(value) => Ok(PublishedPrice::read::<()>(&value).err()),
        // Dropping the lease lets the next one look.
        Shared::Fetch(_) => Ok(None),
    }
}

/// Says to all accounts that the list no longer answers.
async fn publish(context: &CollectContext, error: &CallError) -> Result<(), Failure> {
    if let (Shared::Fetch(lease), Some(published)) =
        (context.shared(FAILED).await?, PublishedPrice::of::<()>(&Err(error.clone())))
    {
        lease.publish(published).await;
    }
    Ok(())
}

fn unknown() -> CallError {
    CallError::new(CallErrorKind::Unavailable, code::SKIPPED, "the price list was not asked")
}

/// A shared answer of the list.
#[derive(Serialize, Deserialize)]
pub(super) enum PublishedPrice<T> {
    /// What it says of a type, if anything.
    Found(Option<T>),
    /// How the call failed that asked for it.
    Failed { operation: String, region: String, code: String, message: String, is_throttled: bool },
}

impl PublishedPrice<()> {
    /// The text of an answer for all accounts; `None` if it concerns this account only.
    pub(super) fn of<T: Serialize>(answer: &Result<Option<T>, CallError>) -> Option<String> {
        let published = match answer {
            Ok(found) => PublishedPrice::Found(found.as_ref()),
            Err(error) if error.is_account_specific() => return None,
            Err(error) => PublishedPrice::Failed {
                operation: error.operation.to_string(),
                region: error.region.to_string(),
                code: error.code.clone(),
                message: error.message.clone(),
                is_throttled: error.kind == CallErrorKind::Throttled,
            },
        };
        serde_json::to_string(&published).ok()
    }

    /// Reads such a text.
    pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<Option<T>, CallError> {
        match serde_json::from_str(text) {
            Ok(PublishedPrice::Found(found)) => Ok(found),
            Ok(PublishedPrice::Failed { operation, region, code, message, is_throttled }) => {
                let kind = if is_throttled { CallErrorKind::Throttled } else { CallErrorKind::Unavailable };
                Err(CallError::new(kind, &code, message).of("pricing", &operation, &region))
            }
            Err(_) => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(kind: CallErrorKind, code: &str) -> Result<(), CallError> {
        Err(CallError::new(kind, code, "no").of("pricing", "GetProducts", "us-east-1"))
    }

    #[test]
    fn failure_concerns_run_account_or_question() {
        use CallErrorKind::{Credentials, Denied, NotFound, Throttled, Unavailable, Unexpected};
        for (kind, code, scope) in [
            (Denied, "AccessDeniedException", FailureScope::Account),
            (Credentials, "ExpiredToken", FailureScope::Account),
            (Unavailable, code::NO_CREDENTIALS, FailureScope::Account),
            (Unavailable, code::TIMEOUT, FailureScope::Run),
            (Unavailable, "500", FailureScope::Run),
            (Unavailable, code::UNKNOWN_HOST, FailureScope::Run),
            (Unavailable, code::INVALID_RESPONSE, FailureScope::Run),
            (Throttled, "ThrottlingException", FailureScope::Question),
            (Unexpected, code::RESPONSE_TOO_LARGE, FailureScope::Question),
            (NotFound, "NotFoundException", FailureScope::Question),
        ] {
            let list = PriceList::default();
            assert_eq!(list.learn(&failed(kind, code)), Some(scope), "{code}");
            assert_eq!(list.refusal.get().is_some(), scope != FailureScope::Question, "{code}");
        }
    }

    #[test]
    fn repeatedly_throttled_price_list_fails_for_run() {
        let throttled = || failed(CallErrorKind::Throttled, "ThrottlingException");
        let list = PriceList::default();
        let scopes = [throttled(), throttled(), throttled(), Ok(()), throttled()].map(|answer| list.learn(&answer));
        assert!(!scopes.contains(&Some(FailureScope::Run)), "{scopes:?}");
        let scopes = [throttled(), throttled(), throttled()].map(|answer| list.learn(&answer));
        assert_eq!(scopes[2], Some(FailureScope::Run));
    }

    #[test]
    fn published_price_round_trips() {
        let read = |answer: &Result<Option<f64>, CallError>| {
            PublishedPrice::of(answer).map(|published| PublishedPrice::read::<f64>(&published))
        };
        assert_eq!(read(&Ok(Some(0.08))), Some(Ok(Some(0.08))));
        assert_eq!(read(&Ok(None)), Some(Ok(None)));
        let timeout = failed(CallErrorKind::Unavailable, code::TIMEOUT).map(|()| None);
        assert_eq!(read(&timeout), Some(timeout.clone()));
        let denied = failed(CallErrorKind::Denied, "AccessDeniedException").map(|()| None);
        assert_eq!(read(&denied), None);
        assert!(PublishedPrice::read::<f64>("rubbish").is_err());
    }
}
