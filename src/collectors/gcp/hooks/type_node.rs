//! A machine type or disk type: what its item says, its node, and the nodes of its price.

use serde_json::Value as Json;
use worker_proto::Failure;

use super::{
    price_list::{BILLING, PriceList},
    prices::{self, Class, Price, SERVICES, Sku},
};
use crate::{
    collector_api::End,
    engine::{HookContext, Tree},
    graph::{NodeId, Value},
};

/// The kinds of the nodes of a price.
pub(super) const SKU: &str = "gcp_service_sku";
pub(super) const SERVICE: &str = "gcp_service";

/// A machine type or disk type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Type {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) link: String,
    pub(super) created: Option<String>,
    pub(super) cores: f64,
    /// In GiB.
    pub(super) memory: f64,
}

impl Type {
    /// Reads the item of a list or a call.
    pub(super) fn read(item: &Tree<'_>) -> Option<Self> {
        let text = |member: &str| item.get(member).and_then(Tree::text).map(str::to_owned);
        let number = |member: &str| item.get(member).and_then(Tree::float).unwrap_or_default();
        let name = text("name")?;
        Some(Self {
            id: text("id")?,
            link: text("selfLink")?,
            // A custom type is what a user has chosen, and was never created.
            created: text("creationTimestamp").filter(|_| !is_custom(&name)),
            name,
            cores: number("guestCpus"),
            memory: number("memoryMb") / 1024.0,
        })
    }

    /// Returns cores and memory as values of an instance.
    pub(super) fn value(&self) -> Tree<'static> {
        let members = [("cores", self.cores), ("memory", self.memory)];
        Tree::Map(members.into_iter().map(|(name, value)| (name.into(), Tree::Float(value))).collect())
    }

    /// Sends the node with its price: of a machine type, or else of a disk type. `context` is in the location of the
    /// SKUs, `here` in that of the type.
    pub(super) async fn send(
        &self,
        kind: &str,
        is_machine: bool,
        context: HookContext<'_>,
        here: HookContext<'_>,
        region: &str,
    ) -> Result<(), Failure> {
        let class = match is_machine {
            true => Class::of_machine(&self.name),
            false => Class::of_disk(&self.name, here.location.scope() == "region"),
        };
        let list = context.run.slots.get::<PriceList>();
        let mut skus = Vec::new();
        let (mut service, mut is_unknown) = (None, false);
        if let Some(class) = class.filter(|_| context.run.is_wanted(SERVICES)) {
            service = list.service(context).await?;
            let found = match service {
                Some(_) => list.skus(context, region, class).await?,
                None => None,
            };
            is_unknown = found.is_none();
            if is_unknown {
                context.unseen(SERVICE, BILLING);
            }
            skus = found.unwrap_or_default();
        }
        let price = class.and_then(|class| match is_machine {
            true => prices::of_machine(class, self.cores, self.memory, &skus),
            false => prices::of_disk(&skus),
        });
        let mut fields = vec![("link", Value::from(self.link.as_str()))];
        fields.extend(self.created.as_deref().map(|created| ("ctime", Value::from(created))));
        fields.extend(price.as_ref().map(|price| ("ondemand_cost", Value::from(price.cost))));
        match is_machine {
            true => fields.extend([
                ("instance_type", Value::from(self.name.as_str())),
                ("instance_cores", Value::from(self.cores)),
                ("instance_memory", Value::from(self.memory)),
            ]),
            false => fields.push(("volume_type", Value::from(self.name.as_str()))),
        }
        let resource = here.resource(kind, &self.id, &self.name, fields)?;
        let unknown: &[&str] = if is_unknown { &["ondemand_cost"] } else { &[] };
        let node = here.send(resource, unknown).await?;
        match (service, price) {
            (Some(service), Some(price)) => send_skus(context, service, &price, node).await,
            _ => Ok(()),
        }
    }
}

/// Returns whether a machine type is one whose cores and memory were chosen freely.
pub(super) fn is_custom(name: &str) -> bool {
    name.contains("custom")
}

/// Sends the nodes of a price: the service, and the SKUs with their edges to the type.
async fn send_skus(context: HookContext<'_>, service: &Json, price: &Price<'_>, of: NodeId) -> Result<(), Failure> {
    let text = |member: &str| service.get(member).and_then(Json::as_str).unwrap_or_default();
    let resource = context.resource(SERVICE, text("serviceId"), text("displayName"), Vec::new())?;
    let service = context.send(resource, &[]).await?;
    for sku in &price.skus {
        let resource = context.resource(SKU, sku.text("/skuId"), sku.text("/description"), sku_fields(sku))?;
        let sku = context.send_below(service, resource, &[]).await?;
        context.run.graph.edge(End::Node(sku), End::Node(of));
    }
    Ok(())
}

fn sku_fields(sku: &Sku) -> Vec<(&'static str, Value)> {
    let link = format!("https://cloudbilling.googleapis.com/v1/{}", sku.text("/name"));
    let mut fields = vec![("link", Value::Text(link))];
    for (field, pointer) in [
        ("service", "/category/serviceDisplayName"),
        ("resource_family", "/category/resourceFamily"),
        ("resource_group", "/category/resourceGroup"),
        ("usage_type", "/category/usageType"),
        ("pricing_info", "/pricingInfo"),
        ("service_provider_name", "/serviceProviderName"),
        ("geo_taxonomy_type", "/geoTaxonomy/type"),
        ("geo_taxonomy_regions", "/geoTaxonomy/regions"),
    ] {
        fields.extend(sku.get(pointer).map(|value| (field, Value::from(value))));
    }
    fields
}
