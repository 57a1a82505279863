//! Access to the price list: one account makes the first call of a run, and a failure stops all accounts.
//!
//! The list is the same for all accounts and is served in one region. If it hangs or fails, each account would wait for
//! it in turn. So one account makes the first call of a run while the others wait, and an account that gets no response
//! publishes that to all. Denials concern only the account and are not shared, and neither is a failure for a single
//! type.

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

use crate::{
    collector_api::{CollectContext, Shared},
    engine::{CallError, CallErrorKind, code},
};

/// The timeout of a call with all its attempts: prices are not essential.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// The consecutive calls, each throttled to the end, after which the list is not called any more.
const THROTTLED: u32 = 4;

/// The shared value that says whether the list responds. Its fetcher makes the first call.
const ANSWERS: &str = "price list";

/// The shared value with the reason why the list stopped responding. It is published or absent, never fetched.
const FAILED: &str = "price list failed";

/// One account's knowledge of the price list.
#[derive(Default)]
pub(super) struct PriceList {
    /// Set once the first call of the run has returned.
    open: OnceCell<()>,
    /// Why the list is not called any more.
    refusal: OnceLock<CallError>,
    /// The number of consecutive calls that were throttled to the end.
    throttled: AtomicU32,
}

/// What a failure concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FailureScope {
    /// All calls of all accounts.
    Run,
    /// All calls of this account.
    Account,
    /// This call, in every account.
    Question,
}

impl PriceList {
    /// Calls the list, unless it has failed before. The outer error ends the unit.
    pub(super) async fn call<T, F>(
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

    /// Waits until the first call of the run has returned, and makes it if no account has.
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
            // The next account may have the permission.
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

    /// Records the result; stops further calls after a denial or repeated failures. Returns what a failure concerns.
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
            // The first reason is kept.
            let _ = self.refusal.set(error.clone());
        }
        Some(scope)
    }
}

/// Returns the published reason why the list stopped responding, if any.
async fn peek(context: &CollectContext) -> Result<Option<CallError>, Failure> {
    match context.shared(FAILED).await? {
        Shared::Value(value) => Ok(PublishedPrice::read::<()>(&value).err()),
        // Dropping the lease passes it to the next waiter.
        Shared::Fetch(_) => Ok(None),
    }
}

/// Publishes to all accounts that the list stopped responding.
async fn publish(context: &CollectContext, error: &CallError) -> Result<(), Failure> {
    if let (Shared::Fetch(lease), Some(published)) =
        (context.shared(FAILED).await?, PublishedPrice::of::<()>(&Err(error.clone())))
    {
        lease.publish(published).await;
    }
    Ok(())
}

fn unknown() -> CallError {
    CallError::new(CallErrorKind::Unavailable, code::SKIPPED, "the price list was not called")
}

/// A shared result of a call.
#[derive(Serialize, Deserialize)]
pub(super) enum PublishedPrice<T> {
    /// The price of the type, if the list has it.
    Found(Option<T>),
    /// The failure of the call.
    Failed { operation: String, region: String, code: String, message: String, is_throttled: bool },
}

impl PublishedPrice<()> {
    /// Serializes a result for all accounts; `None` if it concerns this account only.
    pub(super) fn of<T: Serialize>(answer: &Result<Option<T>, CallError>) -> Option<String> {
        let published = match answer {
            Ok(found) => PublishedPrice::Found(found.as_ref()),
            Err(error) if error.is_account_specific() => return None,
            Err(error) => PublishedPrice::Failed {
                operation: error.operation.to_string(),
                region: error.region.to_string(),
                code: error.code.clone(),
                message: error.message.to_string(),
                is_throttled: error.kind == CallErrorKind::Throttled,
            },
        };
        serde_json::to_string(&published).ok()
    }

    /// Parses a serialized result.
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
