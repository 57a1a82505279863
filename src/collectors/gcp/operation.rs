//! Operations on resources: the project whose credentials they need, and the check of a resource's link.
//!
//! The link in a node is the address of its resource, and nothing else is: what the graph says about regions and zones
//! may have been found through other nodes. A link is refused if it is not of the project and the API of the node.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use worker_proto::{Failure, Operation, Outcome, Unit};

use super::{
    broker::Payload,
    cloud::{GLOBAL, PROJECT_KIND, cloud},
    hooks::{part_of, project_of},
    token,
};
use crate::{
    collector_api::{CollectContext, Target},
    engine::change::{self, Change},
};

/// Returns the unit of the project to which a resource belongs.
///
/// # Errors
/// `Configuration` if this kind cannot be changed, or if the resource's project or address is unknown or contradictory.
pub(crate) fn unit(target: &Target) -> Result<Unit, Failure> {
    change::find(cloud()?, target)?;
    let project = &target.account.id;
    if project.is_empty() {
        return Err(change::rejected(target, "its project is unknown"));
    }
    check_link(target)?;
    let item = json!({ "projectId": project });
    let payload = Payload { project: project.clone(), number: None, item, credential: None };
    Ok(Unit {
        id: project.clone(),
        label: target.account.name.clone().unwrap_or_else(|| project.clone()),
        kind: PROJECT_KIND.to_owned(),
        parts: 0,
        payload: payload.write()?,
    })
}

/// Performs one operation.
///
/// # Errors
/// The failed call, its place, and the remedy.
pub(crate) async fn run(context: &CollectContext, unit: &Unit, operation: &Operation) -> Result<Outcome, Failure> {
    let payload = Payload::read(unit)?;
    let target = Target::read(&operation.subject)?;
    check_link(&target)?;
    // First, as the broker explains best why there are no credentials.
    context.credentials().get().await?;
    let client = Arc::new(token::client(context, payload.project())?);
    let location = target.text("link").and_then(location).unwrap_or(GLOBAL).to_owned();
    let limit = Duration::from_millis(operation.limit_ms);
    Change::new(cloud()?, client, target, location, limit)?.perform(&operation.verb).await
}

/// Checks that a resource has a link, and that it is of the resource's project. The client checks the rest: host, API,
/// and that the link leads to a resource that can be changed in the way that is asked for.
fn check_link(target: &Target) -> Result<(), Failure> {
    let Some(link) = target.text("link") else {
        return Err(change::rejected(target, "the core has no link of it; collect it again"));
    };
    // The client checks projects in other notations.
    match project_of(link) {
        Some(project) if project != target.account.id => {
            let why = format!("its link is of project {project}, but the core has it in {}", target.account.id);
            Err(change::rejected(target, &why))
        }
        _ => Ok(()),
    }
}

/// Returns the zone or region in a link.
fn location(link: &str) -> Option<&str> {
    part_of(link, "zones").or_else(|| part_of(link, "regions"))
}
