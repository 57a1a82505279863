//! Collects a location: its regions and networks, and its servers at the same time.
//!
//! A server that cannot be collected is a gap: the core keeps what it has of it. If none can be collected, the location
//! fails.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use worker_proto::{Failure, Gap, Missing, Unit, Why};

use super::{
    broker::Access,
    facts::{self, Facts},
    kinds::schema,
    options::Options,
    plan::{LOCATION_KIND, Payload},
    server::Server,
    ssh::Ssh,
    system::{self, System},
};
use crate::{
    collector_api::{BoxFuture, CollectContext, End, UnitGraph},
    engine::{CallError, call_failure},
    graph::{NodeId, Resource, Scope, UNDEFINED, Value},
};

/// The cloud's ID.
const CLOUD: &str = "onprem";
/// The kind of a server's node.
const SERVER_KIND: &str = "onprem_instance";

/// Collects a location. All failures but these are gaps.
///
/// # Errors
/// `Unavailable` or `Credentials` if none of its servers could be collected, `Cancelled` if the session is ending,
/// `Internal` for a bug.
pub(super) async fn collect(context: &CollectContext, unit: &Unit) -> Result<(), Failure> {
    let Payload { servers, locations_at_once } = Payload::read(unit)?;
    let access = Access::read(&context.credentials().get().await?)?;
    let pool = Options::of(context.settings()).pool;
    let ssh = Ssh::new(context, access, &servers, locations_at_once)?;
    let location = Location { context, graph: UnitGraph::new(context.clone()), id: &unit.id };
    let places = location.send_places(&servers).await?;
    let mut all: Vec<BoxFuture<'_, Asked<'_>>> = Vec::with_capacity(servers.len());
    for server in &servers {
        let ssh = &ssh;
        all.push(Box::pin(async move { (server, ask(ssh, server).await) }));
    }
    let mut asked = stream::iter(all).buffer_unordered(pool);
    let (mut done, mut failures, mut unseen) = (0_u32, Vec::new(), BTreeSet::new());
    while let Some((server, answer)) = asked.next().await {
        let place = places.of(server);
        match answer {
            Ok((facts, system)) => location.send_server(place, server, &facts, system?, &mut unseen).await?,
            Err(error) => {
                location.report(server, &error).await?;
                unseen.insert((place.0, SERVER_KIND, label(server).to_owned(), Why::Unseen));
                failures.push(error);
            }
        }
        done += 1;
        context.progress(done, u32::try_from(servers.len()).unwrap_or(u32::MAX));
    }
    drop(asked);
    ssh.close().await;
    if let Some(first) = failures.first().filter(|_| failures.len() == servers.len()) {
        return Err(call_failure(&format!("location {}: none of its servers could be collected", unit.id), first));
    }
    location.finish(unseen).await
}

/// A server, and what it answered.
type Asked<'s> = (&'s Server, Result<(Facts, Result<System, Failure>), CallError>);

/// Asks a server for all that is collected of it.
async fn ask(ssh: &Ssh, server: &Server) -> Result<(Facts, Result<System, Failure>), CallError> {
    let session = ssh.log_in(server).await?;
    let answer = match facts::read(&session, server).await {
        Ok(facts) => Ok((facts, system::read(&session, server).await)),
        Err(error) => Err(error),
    };
    session.close().await;
    answer
}

/// Returns the name of the scope in which references to a server's nodes are looked up.
fn label(server: &Server) -> &str {
    server.region.as_deref().unwrap_or(&server.location)
}

/// Kinds below nodes that were not seen, with the name of their scope and the reason.
type Unseen = BTreeSet<([u8; 16], &'static str, String, Why)>;

/// A location in progress.
struct Location<'c> {
    context: &'c CollectContext,
    graph: UnitGraph,
    id: &'c str,
}

/// The nodes of a location, its regions and its networks.
struct Places {
    location: NodeId,
    regions: BTreeMap<String, NodeId>,
    /// By region, if they are in one, and ID.
    networks: BTreeMap<(Option<String>, String), NodeId>,
}

impl Places {
    /// Returns the node below which a server is.
    fn of(&self, server: &Server) -> NodeId {
        let network = server.network.as_ref().and_then(|id| self.networks.get(&(server.region.clone(), id.clone())));
        let region = || server.region.as_ref().and_then(|id| self.regions.get(id));
        network.or_else(region).copied().unwrap_or(self.location)
    }
}

impl Location<'_> {
    async fn add(
        &self,
        resource: Resource<'static>,
        region: Option<&str>,
        parent: Option<NodeId>,
    ) -> Result<NodeId, Failure> {
        let region = region.unwrap_or(UNDEFINED);
        let scope = Scope { cloud: CLOUD, account: self.id, region, zone: UNDEFINED };
        let node = self.graph.add(resource.finish(&scope)?, Vec::new()).await?;
        if let Some(parent) = parent {
            self.graph.edge(End::Node(parent), End::Node(node));
        }
        Ok(node)
    }

    /// Sends the location with its regions and networks.
    async fn send_places(&self, servers: &[Server]) -> Result<Places, Failure> {
        let schema = schema()?;
        let resource = |kind: &str, id: &str| Ok::<_, Failure>(Resource::new(schema.require(kind)?, id));
        let location = self.add(resource(LOCATION_KIND, self.id)?, None, None).await?;
        let mut places = Places { location, regions: BTreeMap::new(), networks: BTreeMap::new() };
        for region in servers.iter().filter_map(|server| server.region.as_ref()) {
            if !places.regions.contains_key(region) {
                let node = self.add(resource("onprem_region", region)?, Some(region), Some(location)).await?;
                places.regions.insert(region.clone(), node);
            }
        }
        for server in servers {
            let Some(network) = &server.network else { continue };
            let key = (server.region.clone(), network.clone());
            if !places.networks.contains_key(&key) {
                let parent = server.region.as_ref().and_then(|region| places.regions.get(region)).copied();
                let resource = resource("onprem_network", network)?;
                let node = self.add(resource, server.region.as_deref(), Some(parent.unwrap_or(location))).await?;
                places.networks.insert(key, node);
            }
        }
        Ok(places)
    }

    /// Sends a server with its parts.
    async fn send_server(
        &self,
        place: NodeId,
        server: &Server,
        facts: &Facts,
        system: System,
        unseen: &mut Unseen,
    ) -> Result<(), Failure> {
        let mut resource = Resource::new(schema()?.require(SERVER_KIND)?, server.id.as_str());
        let text = |value: &Option<String>| value.clone().map_or(Value::Null, Value::Text);
        let [ip4, ip6] = &facts.addresses;
        let status = resource.kind().map_status("instance_status_map", "running").to_owned();
        let fields = [
            ("instance_cores", Value::Int(facts.cores)),
            ("instance_memory", Value::Int(facts.memory)),
            ("instance_type", text(&facts.model)),
            ("instance_status", Value::Text(status)),
            ("network_device", text(&facts.device)),
            ("network_ip4", text(ip4)),
            ("network_ip6", text(ip6)),
        ];
        for (field, value) in fields {
            resource.set(field, value)?;
        }
        let region = server.region.as_deref();
        let node = self.add(resource, region, Some(place)).await?;
        for part in system.resources {
            self.add(part, region, Some(node)).await?;
        }
        let why = system.why;
        unseen.extend(system.unseen.into_iter().map(|kind| (node.0, kind, label(server).to_owned(), why.clone())));
        if let Some(error) = &system.error {
            self.report(server, error).await?;
        }
        Ok(())
    }

    /// Reports a failed call as a gap.
    async fn report(&self, server: &Server, error: &CallError) -> Result<(), Failure> {
        let labels = [("account", self.id), ("region", server.id.as_str()), ("collector", "servers")];
        self.context.count("plugin_onprem_unhandled_collector_exceptions", &labels, 1).await?;
        tracing::debug!(location = self.id, server = server.id, %error, "skipped a part of a location");
        let gap = Gap {
            account: self.id.to_owned(),
            region: server.id.clone(),
            service: error.service.to_string(),
            operation: error.operation.to_string(),
            code: error.code.clone(),
            message: error.message.to_string(),
        };
        self.context.gap(gap).await
    }

    async fn finish(&self, unseen: Unseen) -> Result<(), Failure> {
        let kinds = unseen.iter().flat_map(|(_, kind, ..)| {
            let parts = if *kind == SERVER_KIND { &system::KINDS[..] } else { &[] };
            parts.iter().copied().chain([*kind])
        });
        let kinds: BTreeSet<&'static str> = kinds.collect();
        for (below, kind, scope, why) in unseen {
            let parts = if kind == SERVER_KIND { &system::KINDS[..] } else { &[] };
            let with = parts.iter().map(|part| (*part).to_owned()).collect();
            let missing = Missing::Kind { below, scope, kind: kind.to_owned(), with, why };
            self.context.missing(vec![missing]).await?;
        }
        let nodes = self.graph.nodes();
        self.graph.clone().finish(&kinds).await?;
        tracing::info!(location = self.id, nodes, "collected location");
        Ok(())
    }
}
