//! Operations on resources: the project whose credentials they need.

use serde_json::json;
use worker_proto::{Failure, Unit};

use super::{
    broker::Payload,
    cloud::{PROJECT_KIND, cloud},
};
use crate::{collector_api::Target, engine::change};

/// Returns the unit of the project to which a resource belongs.
///
/// # Errors
/// `Configuration` if this kind cannot be changed, or if the resource's project is unknown.
pub(crate) fn unit(target: &Target) -> Result<Unit, Failure> {
    change::find(cloud()?, target)?;
    let project = &target.account.id;
    if project.is_empty() {
        return Err(change::rejected(target, "its project is unknown"));
    }
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
