//! Operations: changes that take longer than their call. They are awaited in the call that began them.
//!
//! The change itself is not sent again, whatever happens while its operation is awaited.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Inner, error, model::Service, response::Page};
use crate::engine::{Body, CallError, CallErrorKind, ErrorFacts, Request, Tree, code};

/// The status of an operation that has ended.
const DONE: &str = "DONE";

/// How long one call that waits for an operation may take: the service returns after at most two minutes.
const WAIT: Duration = Duration::from_secs(150);

/// The first pause between two looks at an operation. It doubles with each.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause between two looks.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// An operation, as a service describes it.
struct Operation {
    link: Option<String>,
    is_done: bool,
    /// Code and message of each error.
    errors: Vec<(String, String)>,
    http_status: Option<u16>,
    target: Option<String>,
}

impl Operation {
    fn read(page: &Page) -> Result<Self, CallError> {
        let tree = page.tree()?;
        let text = |name: &str| tree.get(name).and_then(Tree::text).map(str::to_owned);
        let Some(status) = text("status") else {
            return Err(CallError::unexpected_response("an operation without a status"));
        };
        let errors = tree.path("error.errors[]").into_iter().map(|error| {
            let text = |name: &str| error.get(name).and_then(Tree::text).unwrap_or_default().to_owned();
            (text("code"), text("message"))
        });
        let mut errors: Vec<_> = errors.collect();
        let http_status = tree.get("httpErrorStatusCode").and_then(Tree::int);
        let http_status = http_status.and_then(|status| u16::try_from(status).ok()).filter(|status| *status >= 400);
        if errors.is_empty() && http_status.is_some() {
            errors.push((String::new(), text("httpErrorMessage").unwrap_or_default()));
        }
        let (link, target) = (text("selfLink"), text("targetLink"));
        Ok(Self { link, is_done: status == DONE, errors, http_status, target })
    }
}

/// Returns the last description of an operation when it is done.
///
/// # Errors
/// The operation's error; an error of the calls that wait for it; `Timeout` if it is not done in time.
pub(super) async fn finish(
    client: &Inner,
    request: &Request<'_>,
    mut page: Page,
    end: Instant,
) -> Result<Page, CallError> {
    let began = Instant::now();
    let mut pause = PAUSE;
    let mut was_quick = false;
    loop {
        let operation = Operation::read(&page)?;
        if operation.is_done {
            return match operation.errors.as_slice() {
                [] => Ok(page),
                errors => Err(error::of_operation(errors, operation.http_status, operation.target.as_deref())),
            };
        }
        let link = operation.link.ok_or_else(|| CallError::unexpected_response("an operation without a link"))?;
        let name = link.rsplit('/').next().unwrap_or_default();
        let left = || end.saturating_duration_since(Instant::now());
        let can_wait = super::model::service(request.service).is_some_and(can_wait);
        if !can_wait || was_quick {
            sleep(pause.min(left())).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
        if left().is_zero() {
            return Err(unfinished(name, began));
        }
        let asked = Instant::now();
        let action = if can_wait { "wait" } else { "get" };
        let look = Request::new(request.service, action, request.region).with("link", link.as_str()).within(left());
        let outgoing = client.outgoing(&look)?;
        let found = client.exchange(&look, &outgoing, can_wait.then(|| left().min(WAIT))).await;
        was_quick = asked.elapsed() < pause;
        page = match found {
            Ok(page) => page,
            Err(_) if left().is_zero() => return Err(unfinished(name, began)),
            Err(error) => return Err(unknown(name, error)),
        };
    }
}

/// Returns whether the service has calls that return when an operation is done.
fn can_wait(service: &'static Service) -> bool {
    service.methods().any(|method| method.action() == "wait")
}

fn unfinished(name: &str, began: Instant) -> CallError {
    let message = format!("the operation {name} is not done after {} s, and goes on", began.elapsed().as_secs());
    CallError::new(CallErrorKind::Unavailable, code::TIMEOUT, message)
}

/// Returns the error of a call that could not see how an operation ended: what it means for the operation's own record
/// says nothing about the resource.
fn unknown(name: &str, mut error: CallError) -> CallError {
    let message = format!("cannot see how the operation {name} ended: {}", error.message);
    error.facts = ErrorFacts { rejects_credentials: error.facts.rejects_credentials, ..ErrorFacts::default() };
    error.message = message.into();
    error
}
