//! Planning: the locations with their servers. Nothing is contacted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use worker_proto::{Failure, FailureKind, Plan, Unit};

use super::{options::Options, server::Server};
use crate::collector_api::CollectContext;

/// The kind of a location's node, which is an account.
pub(crate) const LOCATION_KIND: &str = "onprem_location";

/// The payload of a unit, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The servers, in the order of the option.
    pub(crate) servers: Vec<Server>,
    /// The number of locations that are collected at the same time.
    pub(crate) locations_at_once: usize,
}

impl Payload {
    /// Parses the payload of a unit.
    ///
    /// # Errors
    /// `Internal` if it is malformed.
    pub(crate) fn read(unit: &Unit) -> Result<Self, Failure> {
        serde_json::from_str(&unit.payload).map_err(|error| Failure {
            kind: FailureKind::Internal,
            message: format!("cannot read the payload of location {}: {error}", unit.id),
        })
    }
}

/// Groups the servers by location.
pub(crate) async fn plan(context: &CollectContext) -> Result<Plan, Failure> {
    // The broker knows whether there are any.
    context.credentials().get().await?;
    let options = Options::of(context.settings());
    let configuration = |message| Failure { kind: FailureKind::Configuration, message };
    let (servers, warnings) = Server::all(&options).map_err(configuration)?;
    for warning in &warnings {
        tracing::warn!(warning, "servers are named more than once");
    }
    let count = servers.len();
    let mut locations: BTreeMap<String, Vec<Server>> = BTreeMap::new();
    for server in servers {
        locations.entry(server.location.clone()).or_default().push(server);
    }
    tracing::info!(locations = locations.len(), servers = count, "planned collection of on-premises servers");
    let locations_at_once = options.pool.min(locations.len());
    let units = locations.into_iter().map(|(location, servers)| unit(location, servers, locations_at_once));
    Ok(Plan { units: units.collect::<Result<_, _>>()?, gaps: Vec::new(), is_whole: true })
}

fn unit(location: String, servers: Vec<Server>, locations_at_once: usize) -> Result<Unit, Failure> {
    let parts = u32::try_from(servers.len()).unwrap_or(u32::MAX);
    let payload = serde_json::to_string(&Payload { servers, locations_at_once }).map_err(|error| Failure {
        kind: FailureKind::Internal,
        message: format!("cannot write the payload of location {location}: {error}"),
    })?;
    Ok(Unit { id: location.clone(), label: location, kind: LOCATION_KIND.to_owned(), parts, payload })
}
