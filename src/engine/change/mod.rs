//! Operations that change resources: tags, deletion, and what precedes and follows a deletion.
//!
//! The definitions name the calls; clouds have code only for what they cannot express (`hooks`). Parameters come from
//! the node as the core has it, and a missing one fails the operation before any call: a call without a parameter may
//! concern everything. Identities are checked before a resource is deleted by name. The users of a resource are listed
//! in the cloud, because the graph may be hours old. All operations are idempotent.

mod delete;
mod detach;
pub(crate) mod fields;
mod hooks;
mod identity;
mod preconditions;
mod tags;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tokio::time::Instant;
use worker_proto::{Failure, FailureKind, Outcome, Verb};

use self::fields::Fields;
pub use self::{
    delete::conflict_pauses,
    detach::{Removed, Undo},
    hooks::{ChangeHooks, Delete, Prepare, Revoke, Tag},
};
use super::{
    api::{Api, Request, Response},
    cloud::Cloud,
    definition::{Definition, Service},
    error::{CallError, call_failure},
    fill::MissingValue,
    pages::Pages,
};
use crate::collector_api::Target;

/// The part of an operation's time that is reserved for its result.
const RESULT_RESERVE: Duration = Duration::from_secs(1);

/// An operation in progress.
pub struct Change {
    /// The resource.
    pub target: Target,
    /// The region or other location of the calls.
    pub region: String,
    cloud: &'static Cloud,
    api: Arc<dyn Api>,
    fields: Fields,
    service: &'static Service,
    definition: &'static Definition,
    /// When waiting ends.
    deadline: Instant,
}

/// Returns the definition of a target's kind, with its service.
///
/// # Errors
/// `Configuration` if this kind cannot be changed.
pub fn find(cloud: &'static Cloud, target: &Target) -> Result<(&'static Service, &'static Definition), Failure> {
    let found = cloud.find(&target.kind).filter(|(_, definition)| definition.is_changeable());
    found.ok_or_else(|| rejected(target, "this kind cannot be changed"))
}

/// Returns why the cloud never deletes a resource, as far as its node shows that.
#[must_use]
pub fn undeletable(cloud: &'static Cloud, target: &Target) -> Option<&'static str> {
    let (_, definition) = find(cloud, target).ok()?;
    let fields = Fields::of(target);
    let mut states = definition.undeletable.iter().filter(|state| state.call.is_none());
    states.find(|state| fields.holds_for_node(state.when.get_ref())).map(|state| state.reason.as_str())
}

/// Returns the failure of an operation that must not start.
#[must_use]
pub fn rejected(target: &Target, why: &str) -> Failure {
    Failure { kind: FailureKind::Configuration, message: format!("cannot change {}: {why}", target.label()) }
}

impl Change {
    /// Prepares an operation on a resource, whose calls are sent to a region. It may take at most `limit`.
    ///
    /// # Errors
    /// `Configuration` if this kind cannot be changed.
    pub fn new(
        cloud: &'static Cloud,
        api: Arc<dyn Api>,
        target: Target,
        region: String,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let (service, definition) = find(cloud, &target)?;
        let deadline = Instant::now() + limit.saturating_sub(RESULT_RESERVE);
        let fields = Fields::of(&target);
        Ok(Self { target, region, cloud, api, fields, service, definition, deadline })
    }

    /// Performs the operation.
    ///
    /// # Errors
    /// The failed call, its place, and the remedy.
    pub async fn perform(&self, verb: &Verb) -> Result<Outcome, Failure> {
        match verb {
            Verb::UpdateTag { key, value } => self.update_tag(key, value).await,
            Verb::DeleteTag { key } => self.delete_tag(key).await,
            Verb::PreDelete => self.pre_delete().await,
            Verb::Delete => self.delete().await,
        }
    }

    /// Makes a call to the kind's service.
    ///
    /// # Errors
    /// The error of the call.
    pub async fn call(&self, operation: &str, input: Map<String, Value>) -> Result<Response, CallError> {
        self.send(self.request(operation, input)).await
    }

    /// Makes any call, within the time that the operation has left.
    ///
    /// # Errors
    /// The error of the call.
    pub async fn send(&self, request: Request<'_>) -> Result<Response, CallError> {
        self.api.call(self.limited(request)).await
    }

    /// Returns the pages of any call, each within the time that the operation has left now.
    #[must_use]
    pub fn pages(&self, request: Request<'_>) -> Pages<'_> {
        Pages::new(&*self.api, self.limited(request))
    }

    /// Returns the time that the operation has left.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn limited<'r>(&self, request: Request<'r>) -> Request<'r> {
        let left = self.time_left();
        let limit = request.limit.map_or(left, |limit| limit.min(left));
        request.within(limit)
    }

    /// Returns a call to the kind's service.
    #[must_use]
    pub fn request<'a>(&'a self, operation: &'a str, input: Map<String, Value>) -> Request<'a> {
        Request::new(&self.service.service, operation, &self.region).input(input)
    }

    /// Returns the failure of a call, with the resource's name.
    #[must_use]
    pub fn failure(&self, error: &CallError) -> Failure {
        call_failure(&self.target.label(), error)
    }

    /// Returns a failure that no call reports.
    #[must_use]
    pub fn failed(&self, reason: &str) -> Failure {
        Failure { kind: FailureKind::Unavailable, message: format!("{}: {reason}", self.target.label()) }
    }

    /// Returns the outcome of an operation that changes nothing.
    #[must_use]
    pub fn nothing(&self, reason: &str) -> Outcome {
        Outcome::Nothing(format!("{}: {reason}", self.target.label()))
    }
}
