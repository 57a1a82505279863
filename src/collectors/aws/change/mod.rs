//! Operations that change resources: tags, deletion, and what precedes and follows a deletion.
//!
//! The definitions name the calls; code is here only for what they cannot express (`hooks`). Parameters come from the
//! node as the core has it, and a missing one fails the operation before any call: a call without a parameter may
//! concern everything. Identities are checked before a resource is deleted by name. The users of a resource are listed
//! in the cloud, because the graph may be hours old. All operations are idempotent.

mod bucket;
mod delete;
mod detach;
mod fields;
mod group_rules;
pub(super) mod hooks;
mod identity;
mod preconditions;
mod stack;
mod tags;
#[cfg(test)]
mod tests;
mod volume;

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;
use worker_proto::{Failure, FailureKind, Operation, Outcome, Unit, Verb};

use self::fields::Fields;
use super::{
    broker::Payload,
    client::{self, CallError, Client, Request, Response},
    definitions::{Definition, Definitions, Scope, Service},
    engine::{call_failure, fill::MissingValue},
    options::Options,
    plan::ACCOUNT_KIND,
    provider,
    role::Role,
    sdk_settings::DEFAULT_REGION,
    selection::global_region,
};
use crate::collector_api::{CollectContext, Target};

/// The part of an operation's time that is reserved for its result.
const RESULT_RESERVE: Duration = Duration::from_secs(1);

/// Returns the unit of the account to which a resource belongs.
///
/// # Errors
/// `Configuration` if this kind cannot be changed, or if the resource's location is uncertain.
pub(super) fn unit(options: &Options, target: &Target) -> Result<Unit, Failure> {
    let (_, definition) = find(target)?;
    if target.account.id.is_empty() {
        return Err(rejected(target, "its account is unknown"));
    }
    if definition.scope == Scope::Region && target.region.is_none() {
        return Err(rejected(target, "its region is uncertain"));
    }
    is_where_its_arn_says(target, definition)?;
    let stored = target.account.reported.get("role").and_then(Value::as_str).filter(|role| !role.is_empty());
    let role = match options.role.as_deref().filter(|_| options.role_override) {
        Some(given) => Some(role_in(given, target)?),
        None => stored.map(str::to_owned),
    };
    let payload = Payload {
        account: target.account.id.clone(),
        role,
        partition: partition(target).to_owned(),
        regions: Vec::new(),
        verify: true,
    };
    Ok(Unit {
        id: target.account.id.clone(),
        label: target.account.name.clone().unwrap_or_else(|| target.account.id.clone()),
        kind: ACCOUNT_KIND.to_owned(),
        parts: 0,
        payload: serde_json::to_string(&payload).map_err(internal)?,
    })
}

/// Returns the role of `--aws-role`, unless it belongs to another account.
fn role_in(given: &str, target: &Target) -> Result<String, Failure> {
    let role = Role::parse(given).map_err(|error| rejected(target, &format!("--aws-role {given}: {error}")))?;
    match role.owner {
        Some(owner) if owner.account != target.account.id => {
            Err(rejected(target, &format!("--aws-role is a role of account {}", owner.account)))
        }
        _ => Ok(role.name),
    }
}

/// Performs one operation.
pub(super) async fn run(context: &CollectContext, unit: &Unit, operation: &Operation) -> Result<Outcome, Failure> {
    let payload = Payload::read(unit)?;
    let target = Target::read(&operation.subject)?;
    // First, as the broker explains best why there are no credentials.
    context.credentials().get().await?;
    let (service, definition) = find(&target)?;
    let region = match (definition.scope, &target.region) {
        (Scope::Region, Some(region)) => region.id.clone(),
        (Scope::Region, None) => return Err(rejected(&target, "its region is uncertain")),
        (Scope::Global, _) => global_region(&payload.partition).to_owned(),
    };
    let limit = Duration::from_millis(operation.limit_ms);
    let change = Change {
        client: provider::client(context).await?,
        fields: Fields::of(&target),
        target,
        region,
        service,
        definition,
        deadline: Instant::now() + limit.saturating_sub(RESULT_RESERVE),
    };
    match &operation.verb {
        Verb::UpdateTag { key, value } => change.update_tag(key, value).await,
        Verb::DeleteTag { key } => change.delete_tag(key).await,
        Verb::PreDelete => change.pre_delete().await,
        Verb::Delete => change.delete().await,
    }
}

/// An operation in progress.
pub(crate) struct Change {
    client: Client,
    target: Target,
    fields: Fields,
    region: String,
    service: &'static Service,
    definition: &'static Definition,
    /// When waiting ends.
    deadline: Instant,
}

impl Change {
    /// Makes a call to the kind's service.
    async fn call(&self, operation: &str, input: Map<String, Value>) -> Result<Response, CallError> {
        self.client.call(self.request(operation, input)).await
    }

    fn request<'a>(&'a self, operation: &'a str, input: Map<String, Value>) -> Request<'a> {
        Request { service: &self.service.service, operation, region: &self.region, input }
    }

    /// Returns the failure of a call, with the resource's name.
    fn failure(&self, error: &CallError) -> Failure {
        call_failure(&self.target.label(), error)
    }

    /// Returns a failure that no call reports.
    fn failed(&self, reason: &str) -> Failure {
        Failure { kind: FailureKind::Unavailable, message: format!("{}: {reason}", self.target.label()) }
    }

    fn nothing(&self, reason: &str) -> Outcome {
        Outcome::Nothing(format!("{}: {reason}", self.target.label()))
    }
}

/// Returns why AWS never deletes a resource, as far as its node shows that.
pub(super) fn undeletable(target: &Target) -> Option<&'static str> {
    let (_, definition) = find(target).ok()?;
    let fields = Fields::of(target);
    let mut states = definition.undeletable.iter().filter(|state| state.call.is_none());
    states.find(|state| fields.holds_for_node(state.when.get_ref())).map(|state| state.reason.as_str())
}

fn find(target: &Target) -> Result<(&'static Service, &'static Definition), Failure> {
    let found = Definitions::get().map_err(internal)?.find(&target.kind);
    let found = found.filter(|(_, definition)| definition.kind.get_ref() != ACCOUNT_KIND);
    found.ok_or_else(|| rejected(target, "this kind cannot be changed"))
}

/// Checks account and region in the resource's ARN. If they differ from the graph, one of both is wrong.
fn is_where_its_arn_says(target: &Target, definition: &Definition) -> Result<(), Failure> {
    let Some(arn) = target.text("arn").filter(|arn| arn.starts_with("arn:")) else { return Ok(()) };
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, _, region, account, _] = parts.as_slice() else { return Ok(()) };
    if !account.is_empty() && *account != "aws" && *account != target.account.id {
        let why = format!("its ARN is of account {account}, but the core has it in {}", target.account.id);
        return Err(rejected(target, &why));
    }
    match &target.region {
        Some(stored) if definition.scope == Scope::Region && !region.is_empty() && *region != stored.id => {
            Err(rejected(target, &format!("its ARN is of region {region}, but the core has it in {}", stored.id)))
        }
        _ => Ok(()),
    }
}

fn partition(target: &Target) -> &str {
    let arn = target.text("arn").and_then(|arn| arn.strip_prefix("arn:")).and_then(|arn| arn.split(':').next());
    let region = target.region.as_ref().map_or(DEFAULT_REGION, |region| &region.id);
    arn.filter(|partition| !partition.is_empty()).or_else(|| client::partition(region)).unwrap_or("aws")
}

fn rejected(target: &Target, why: &str) -> Failure {
    Failure { kind: FailureKind::Configuration, message: format!("cannot change {}: {why}", target.label()) }
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure { kind: FailureKind::Internal, message: format!("AWS operation: {error}") }
}
