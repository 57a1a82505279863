//! What the price list knows about instance types: cores, memory and price, and the nodes of the types.
//!
//! A type is asked for once per account and location. Nothing hangs on the answer but these facts: an instance whose
//! type has no entry is collected without them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value as Json, json};
use tokio::sync::OnceCell;
use worker_proto::Failure;

use super::{
    super::client::{self, CallError, Request, Tree},
    Run, internal,
    place::Place,
};
use crate::graph::{End, Key, Resource, Value};

/// The kind of the nodes of instance types.
const TYPE_KIND: &str = "aws_ec2_instance_type";

/// The price list is served here for all regions of the partition `aws`; the others have none that answers this.
const PRICE_REGION: &str = "us-east-1";
const PRICE_PARTITION: &str = "aws";

/// The regions whose descriptions begin with "Europe" everywhere but in the price list.
const EU_REGIONS: [&str; 6] = ["eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "eu-south-1"];

/// What the price list answered about one type in one location; whoever asks while it is asked waits.
type Answer = Arc<OnceCell<Option<InstanceType>>>;

/// What was asked so far.
#[derive(Default)]
pub(crate) struct Prices {
    /// By type and location.
    known: Mutex<HashMap<(String, String), Answer>>,
    /// Set once the price list could not be asked: the account's role lacks the right, or nothing answers.
    is_off: AtomicBool,
}

/// What the price list says about an instance type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InstanceType {
    cores: i64,
    /// In GiB.
    memory: f64,
    /// In US dollars an hour.
    cost: Option<f64>,
}

/// The facts about the type of each instance, as the values `cores` and `memory`; sends the nodes of the types.
pub(crate) async fn instance_types(
    run: &Run<'_>,
    place: &Place,
    collector: &str,
    items: &[&Tree<'_>],
) -> Result<Vec<Tree<'static>>, Failure> {
    let name = |item: &Tree<'_>| item.get("InstanceType").and_then(Tree::text).map(str::to_owned);
    let mut types = HashMap::new();
    for wanted in items.iter().filter_map(|item| name(item)).collect::<BTreeSet<_>>() {
        if let Some(found) = find(run, place, collector, &wanted).await? {
            announce(run, place, &wanted, &found).await?;
            types.insert(wanted, found);
        }
    }
    let facts = |item: &&Tree<'_>| match name(item).and_then(|name| types.get(&name)) {
        Some(found) => {
            Tree::Map(vec![("cores".into(), Tree::Int(found.cores)), ("memory".into(), Tree::Float(found.memory))])
        }
        None => Tree::Null,
    };
    Ok(items.iter().map(facts).collect())
}

async fn find(run: &Run<'_>, place: &Place, collector: &str, wanted: &str) -> Result<Option<InstanceType>, Failure> {
    let Some(location) = location(&place.region).filter(|_| run.payload.partition == PRICE_PARTITION) else {
        return Ok(None);
    };
    let cell = {
        let mut known = run.prices.known.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry((wanted.to_owned(), location.clone())).or_default())
    };
    let found = cell.get_or_try_init(|| ask(run, wanted, &location)).await;
    match found {
        Ok(found) => Ok(found.clone()),
        Err(None) => Ok(None),
        Err(Some(error)) => {
            run.prices.is_off.store(true, Ordering::Relaxed);
            run.lost(&place.label, collector, &error).await?;
            Ok(None)
        }
    }
}

/// Asks the price list. The error is none if the list is off.
async fn ask(run: &Run<'_>, wanted: &str, location: &str) -> Result<Option<InstanceType>, Option<CallError>> {
    if run.prices.is_off.load(Ordering::Relaxed) {
        return Err(None);
    }
    let filter = |field: &str, value: &str| json!({"Type": "TERM_MATCH", "Field": field, "Value": value});
    let filters = [
        filter("operatingSystem", "Linux"),
        filter("operation", "RunInstances"),
        filter("capacitystatus", "Used"),
        filter("instanceType", wanted),
        filter("location", location),
    ];
    let mut input = serde_json::Map::new();
    input.insert("ServiceCode".into(), "AmazonEC2".into());
    input.insert("Filters".into(), filters.into_iter().collect());
    let request = Request { service: "pricing", operation: "GetProducts", region: PRICE_REGION, input };
    let mut pages = run.client.pages(request);
    let mut best: Option<InstanceType> = None;
    while let Some(page) = pages.next().await {
        let page = page.map_err(Some)?;
        let tree = page.tree().map_err(Some)?;
        for product in tree.path("PriceList[]").into_iter().filter_map(Tree::text) {
            match read(product, wanted) {
                Some((found, true)) => return Ok(Some(found)),
                Some((found, false)) => best = best.or(Some(InstanceType { cost: None, ..found })),
                None => tracing::debug!(wanted, location, "a product of the AWS price list is not understood"),
            }
        }
    }
    Ok(best)
}

/// Reads one product, a JSON text; whether it is for shared tenancy, the one that instances have unless told otherwise.
fn read(product: &str, wanted: &str) -> Option<(InstanceType, bool)> {
    let product: Json = serde_json::from_str(product).ok()?;
    let attributes = product.get("product")?.get("attributes")?;
    let attribute = |name: &str| attributes.get(name).and_then(Json::as_str);
    if attribute("instanceType") != Some(wanted) {
        return None;
    }
    let found = InstanceType {
        cores: attribute("vcpu")?.parse().ok()?,
        memory: gibibytes(attribute("memory")?)?,
        cost: on_demand(&product),
    };
    Some((found, attribute("tenancy") == Some("Shared")))
}

/// The first price in US dollars of the first on-demand offer.
fn on_demand(product: &Json) -> Option<f64> {
    let offer = product.get("terms")?.get("OnDemand")?.as_object()?.values().next()?;
    let dimension = offer.get("priceDimensions")?.as_object()?.values().next()?;
    dimension.get("pricePerUnit")?.get("USD")?.as_str()?.parse().ok()
}

/// A size such as `1,952 GiB`.
fn gibibytes(text: &str) -> Option<f64> {
    let number = text.strip_suffix("GiB")?.trim_end();
    number.replace(',', "").parse().ok().filter(|size: &f64| size.is_finite())
}

/// What the price list calls a region.
fn location(region: &str) -> Option<String> {
    let description = client::region(region)?.description;
    match description.strip_prefix("Europe (") {
        Some(rest) if EU_REGIONS.contains(&region) => Some(format!("EU ({rest}")),
        _ => Some(description.to_owned()),
    }
}

/// Sends the node of a type; the graph drops those that are there already.
async fn announce(run: &Run<'_>, place: &Place, name: &str, found: &InstanceType) -> Result<(), Failure> {
    let mut resource = Resource::new(run.kind(TYPE_KIND)?, name);
    for (field, value) in [
        ("instance_type", Value::from(name)),
        ("instance_cores", Value::Int(found.cores)),
        ("instance_memory", Value::Float(found.memory)),
        ("ondemand_cost", found.cost.map_or(Value::Null, Value::Float)),
    ] {
        resource.set(field, value).map_err(internal)?;
    }
    let node = resource.finish(&place.ancestors(run)).map_err(internal)?;
    let key = Key { scope: place.label.clone(), kind: TYPE_KIND.into(), attribute: "id".into(), value: name.into() };
    let node = run.graph.add(node, vec![key]).await?;
    run.graph.edge(End::Node(place.node), End::Node(node));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn product(tenancy: &str, memory: &str) -> String {
        json!({
            "product": {"attributes": {"instanceType": "x1.32xlarge", "vcpu": "128", "memory": memory, "tenancy": tenancy}},
            "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": {"pricePerUnit": {"USD": "13.3380000000"}}}}}},
        })
        .to_string()
    }

    #[test]
    fn products_are_read() {
        let (found, shared) = read(&product("Shared", "1,952 GiB"), "x1.32xlarge").unwrap();
        assert_eq!(found, InstanceType { cores: 128, memory: 1952.0, cost: Some(13.338) });
        assert!(shared);
        assert!(!read(&product("Dedicated", "1,952 GiB"), "x1.32xlarge").unwrap().1);
        assert!(read(&product("Shared", "1,952 GiB"), "m5.large").is_none());
        assert!(read(&product("Shared", "NA"), "x1.32xlarge").is_none());
        assert!(read("no json", "x1.32xlarge").is_none());
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(gibibytes("0.5 GiB"), Some(0.5));
        assert_eq!(gibibytes("24,576 GiB"), Some(24576.0));
        assert_eq!(gibibytes("8"), None);
        assert_eq!(gibibytes("NaN GiB"), None);
    }

    #[test]
    fn the_price_list_has_names_of_its_own_for_europe() {
        assert_eq!(location("eu-west-1").as_deref(), Some("EU (Ireland)"));
        assert_eq!(location("eu-central-2").as_deref(), Some("Europe (Zurich)"));
        assert_eq!(location("us-east-1").as_deref(), Some("US East (N. Virginia)"));
        assert_eq!(location("mars-north-1"), None);
    }
}
