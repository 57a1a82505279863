//! Actions that misbehave: each request of the core gets one result.

use std::{future::pending, time::Duration};

use ckworker::{
    ckcore::{SubscriberId, Subscription},
    collector_api::BoxFuture,
    settings::{OptionGroup, Settings},
    supervisor::actions::{Action, ActionContext, ActionLimits, ActionResult, EnabledAction, Request},
};

use super::operate::have_cleanup;
use crate::support::core::TestCore;

static OPTIONS: OptionGroup = OptionGroup::empty("cleanup");

/// What an action does instead of cleaning up.
enum Misbehaving {
    Panics,
    IgnoresItsEnd,
    EndsLate,
}

impl Action for Misbehaving {
    fn name(&self) -> &'static str {
        OPTIONS.name
    }

    fn options(&self) -> &'static OptionGroup {
        &OPTIONS
    }

    fn subscriptions(&self) -> &'static [Subscription] {
        &[Subscription { subscriber: SubscriberId::Worker, action: "cleanup" }]
    }

    fn limits(&self) -> ActionLimits {
        let timeout = Some(Duration::from_millis(100));
        ActionLimits { running: 1, waiting: 1, timeout, remedy: "ask for less" }
    }

    fn run(&self, _: Request, context: ActionContext) -> BoxFuture<'static, ActionResult> {
        match self {
            Self::Panics => Box::pin(async { panic!("the action misbehaves") }),
            Self::IgnoresItsEnd => Box::pin(pending()),
            Self::EndsLate => Box::pin(async move {
                let late = |_| Err("out of time".to_owned());
                tokio::time::timeout_at(context.deadline().into(), pending()).await.unwrap_or_else(late)
            }),
        }
    }
}

async fn result(action: &'static Misbehaving) -> (String, String) {
    let core = TestCore::start(None).await;
    let actions = vec![EnabledAction { action, settings: Settings::default() }];
    have_cleanup(&core, actions, "well").await
}

/// Invariant: each action gets exactly one result.
#[tokio::test]
async fn action_that_panics_gets_one_result() {
    let (kind, error) = result(&Misbehaving::Panics).await;
    assert!(kind == "action_error" && error.contains("the action panicked"), "{kind}: {error}");
}

/// Invariant: each action gets exactly one result.
#[tokio::test]
async fn action_that_outlasts_its_deadline_is_abandoned() {
    let (kind, error) = result(&Misbehaving::IgnoresItsEnd).await;
    assert!(
        kind == "action_error" && error.contains("timeout exceeded, and the action did not end"),
        "{kind}: {error}"
    );
}

/// Invariant: each action gets exactly one result.
#[tokio::test]
async fn action_that_ends_at_its_deadline_gives_its_own_result() {
    assert_eq!(result(&Misbehaving::EndsLate).await, ("action_error".to_owned(), "out of time".to_owned()));
}
