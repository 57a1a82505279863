//! What the example account has.

use std::collections::BTreeSet;

use time::OffsetDateTime;
use worker_proto::Failure;

use super::{ACCOUNT, REGION_OPTION};
use crate::{
    collector_api::{CollectContext, End, UnitGraph},
    graph::{NodeId, Resource, Schema, Scope, UNDEFINED, Value},
    settings::Settings,
};

/// A region of the account.
pub(super) struct Region {
    pub(super) id: &'static str,
    name: &'static str,
}

/// All regions of the account.
pub(super) const REGIONS: [Region; 2] =
    [Region { id: "us-west", name: "US West" }, Region { id: "us-east", name: "US East" }];

/// The regions that the settings want; all if they name none.
pub(super) fn selected(settings: &Settings) -> impl Iterator<Item = &'static Region> {
    let wanted = settings.list(REGION_OPTION);
    REGIONS.iter().filter(move |region| wanted.is_empty() || wanted.iter().any(|id| id == region.id))
}

/// Collects the account.
pub(super) async fn collect(context: &CollectContext) -> Result<(), Failure> {
    let account = Account { graph: UnitGraph::new(context.clone()), schema: super::schema()? };
    let top = account.add(account.resource("example_account", ACCOUNT)?, UNDEFINED, None).await?;
    let (parts, mut done) = (selected(context.settings()).count(), 0_u32);
    for region in selected(context.settings()) {
        let mut node = account.resource("example_region", region.id)?;
        node.name(region.name).tag("Some Tag", "Some Value");
        let node = account.add(node, region.id, Some(top)).await?;
        match region.id {
            "us-west" => account.us_west(node).await?,
            _ => account.us_east(node).await?,
        }
        done += 1;
        context.progress(done, u32::try_from(parts).unwrap_or(0));
    }
    account.graph.finish(&BTreeSet::new()).await?;
    Ok(())
}

struct Account {
    graph: UnitGraph,
    schema: &'static Schema,
}

impl Account {
    fn resource(&self, kind: &str, id: &str) -> Result<Resource<'static>, Failure> {
        Ok(Resource::new(self.schema.require(kind)?, id))
    }

    async fn add(&self, node: Resource<'_>, region: &str, parent: Option<NodeId>) -> Result<NodeId, Failure> {
        let scope = Scope { cloud: "example", account: ACCOUNT, region, zone: UNDEFINED };
        let id = self.graph.add(node.finish(&scope)?, Vec::new()).await?;
        if let Some(parent) = parent {
            self.graph.edge(End::Node(parent), End::Node(id));
        }
        Ok(id)
    }

    async fn us_west(&self, region: NodeId) -> Result<(), Failure> {
        let mut network = self.resource("example_network", "someNetwork")?;
        network.tag("Name", "Example Network");
        let network = self.add(network, "us-west", Some(region)).await?;
        self.add(self.running_instance()?, "us-west", Some(network)).await?;
        let mut custom = self.resource("example_custom_resource", "someExampleResource")?;
        custom.set("custom_optional_float_attribute", Value::Float(10.0))?;
        custom.set("custom_list_attribute", vec!["foo", "bar"].into())?;
        self.add(custom, "us-west", Some(region)).await?;
        Ok(())
    }

    async fn us_east(&self, region: NodeId) -> Result<(), Failure> {
        let mut instance = self.instance("someInstance2", "stopped")?;
        instance.tag("Name", "Example Instance 2").tag("expiration", "36h");
        instance.tag("cloudkeeper:ctime", "2019-09-05T10:40:11+00:00");
        self.add(instance, "us-east", Some(region)).await?;
        Ok(())
    }

    fn running_instance(&self) -> Result<Resource<'static>, Failure> {
        let mut instance = self.instance("someInstance1", "running")?;
        instance.tag("Name", "Example Instance 1").tag("expiration", "2d").tag("owner", "lukas");
        let now = OffsetDateTime::now_utc();
        for field in ["ctime", "mtime", "atime"] {
            instance.set(field, now.into())?;
        }
        instance.set("instance_cores", Value::Int(4))?.set("instance_memory", Value::Int(32))?;
        Ok(instance)
    }

    fn instance(&self, id: &str, state: &str) -> Result<Resource<'static>, Failure> {
        let mut instance = self.resource("example_instance", id)?;
        let status = instance.kind().map_status("instance_status_map", state);
        instance.set("instance_status", status.into())?;
        Ok(instance)
    }
}
