//! The AWS price list: properties of instance types, and the prices of instance and volume types.
//!
//! The first account that needs a type in a region requests it once per run. Only these properties depend on it:
//! instances and volumes are collected without them if the list has no entry or fails. `price_list` decides when the
//! list is called and what a failure concerns. Each region that needed a failed type has a gap, and prices that other
//! accounts have fetched are still used.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use tokio::sync::OnceCell;
use worker_proto::Failure;

use super::{
    super::account::Partition,
    price_list::{PriceList, PublishedPrice, TIMEOUT},
};
use crate::{
    collector_api::Shared,
    engine::{
        CallError, Request, Tree,
        collect::{Location, Run},
    },
};

/// The region that serves the price list for all regions of the partition `aws`. The other partitions have no such
/// list.
const PRICE_REGION: &str = "us-east-1";
const PRICE_PARTITION: &str = "aws";

/// The type of location with regular prices. Local zones, wavelength zones and outposts have the code of their region
/// and their own prices.
const LOCATION_TYPE: &str = "AWS Region";

/// The product family with the price of a volume's storage. Operations and throughput belong to other families with the
/// same volume type.
const STORAGE: &str = "Storage";

/// The prices requested so far.
#[derive(Default)]
pub(crate) struct Prices {
    instances: PriceCache<InstanceType>,
    volumes: PriceCache<f64>,
    list: PriceList,
}

/// The price list's entry for a type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Price<T> {
    /// The entry.
    Known(T),
    /// The list has no entry.
    Unlisted,
    /// The call failed.
    Failed,
}

/// The results by type and region, failures included. Concurrent requests for a type share one call.
struct PriceCache<T>(Mutex<HashMap<(String, String), PriceCell<T>>>);

type PriceCell<T> = Arc<OnceCell<Result<Option<T>, CallError>>>;

impl<T> Default for PriceCache<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> PriceCache<T> {
    fn cell(&self, wanted: &str, region: &str) -> PriceCell<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry((wanted.to_owned(), region.to_owned())).or_default())
    }
}

/// The price list's properties of an instance type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InstanceType {
    pub(crate) cores: i64,
    /// In GiB.
    pub(crate) memory: f64,
    /// In US dollars per hour.
    pub(crate) cost: Option<f64>,
}

/// Returns the properties of an instance type in a region.
pub(crate) async fn instance_type(
    run: &Run<'_>,
    location: &Location,
    wanted: &str,
) -> Result<Price<InstanceType>, Failure> {
    let fields = [
        ("operatingSystem", "Linux"),
        ("operation", "RunInstances"),
        ("capacitystatus", "Used"),
        ("instanceType", wanted),
    ];
    let prices = run.slots.get::<Prices>();
    find(run, location, &prices, &prices.instances, wanted, &fields, |products| {
        let found: Vec<_> = products.iter().filter_map(|product| read_instance_type(product, wanted)).collect();
        let shared = found.iter().find(|(_, is_shared)| *is_shared).map(|(found, _)| found.clone());
        shared.or_else(|| found.into_iter().next().map(|(found, _)| InstanceType { cost: None, ..found }))
    })
    .await
}

/// Returns the monthly price of a GiB of a volume type in a region, in US dollars.
pub(crate) async fn volume_type(run: &Run<'_>, location: &Location, wanted: &str) -> Result<Price<f64>, Failure> {
    let Some(name) = volume_type_name(wanted) else { return Ok(Price::Unlisted) };
    let fields = [("productFamily", STORAGE), ("volumeType", name), ("volumeApiName", wanted)];
    let prices = run.slots.get::<Prices>();
    find(run, location, &prices, &prices.volumes, wanted, &fields, storage_cost).await
}

/// Returns the price list's name of a volume type.
fn volume_type_name(wanted: &str) -> Option<&'static str> {
    Some(match wanted {
        "standard" => "Magnetic",
        "gp2" | "gp3" => "General Purpose",
        "io1" | "io2" => "Provisioned IOPS",
        "st1" => "Throughput Optimized HDD",
        "sc1" => "Cold HDD",
        _ => return None,
    })
}

async fn find<T: Clone + Serialize + DeserializeOwned>(
    run: &Run<'_>,
    location: &Location,
    prices: &Prices,
    known: &PriceCache<T>,
    wanted: &str,
    fields: &[(&str, &str)],
    choose: impl FnOnce(&[Json]) -> Option<T>,
) -> Result<Price<T>, Failure> {
    if run.slots.get::<Partition>().0 != PRICE_PARTITION {
        return Ok(Price::Unlisted);
    }
    let cell = known.cell(wanted, &location.region);
    let answer = cell.get_or_try_init(|| request(run, &prices.list, &location.region, wanted, fields, choose));
    match answer.await? {
        Ok(Some(found)) => Ok(Price::Known(found.clone())),
        Ok(None) => Ok(Price::Unlisted),
        Err(error) => run.report_failure(&location.label, "pricing", error).await.map(|()| Price::Failed),
    }
}

/// Returns the result that another account has published, or calls the list. The outer error ends the unit, the inner
/// one is the call's.
async fn request<T: Serialize + DeserializeOwned>(
    run: &Run<'_>,
    list: &PriceList,
    region: &str,
    wanted: &str,
    fields: &[(&str, &str)],
    choose: impl FnOnce(&[Json]) -> Option<T>,
) -> Result<Result<Option<T>, CallError>, Failure> {
    let lease = match run.context.shared(&format!("price {wanted} {region}")).await? {
        Shared::Value(value) => return Ok(PublishedPrice::read(&value)),
        Shared::Fetch(lease) => lease,
    };
    let products = list.call(run.context, || products(run, fields, region)).await?;
    let found = products.map(|products| choose(&products));
    if let Some(published) = PublishedPrice::of(&found) {
        lease.publish(published).await;
    }
    Ok(found)
}

async fn products(run: &Run<'_>, fields: &[(&str, &str)], region: &str) -> Result<Vec<Json>, CallError> {
    let filters = fields.iter().copied().chain([("regionCode", region), ("locationType", LOCATION_TYPE)]);
    let filters = filters.map(|(field, value)| json!({"Type": "TERM_MATCH", "Field": field, "Value": value}));
    let request = Request::new("pricing", "GetProducts", PRICE_REGION)
        .with("ServiceCode", "AmazonEC2")
        .with("Filters", filters.collect::<Vec<_>>());
    let mut pages = run.pages(request.within(TIMEOUT));
    let mut products = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page?;
        let tree = page.tree()?;
        for text in tree.path("PriceList[]").into_iter().filter_map(Tree::text) {
            products.push(serde_json::from_str(text).map_err(|error| unreadable(&error))?);
        }
    }
    Ok(products)
}

/// Each product is a JSON string. A malformed one is a failure: it does not mean that the type has no price.
fn unreadable(error: &serde_json::Error) -> CallError {
    CallError::foreign_response(format!("cannot parse a product of the price list: {error}"))
}

/// Parses a product, and returns whether its tenancy is shared, which is the default of instances.
fn read_instance_type(product: &Json, wanted: &str) -> Option<(InstanceType, bool)> {
    let attributes = product.get("product")?.get("attributes")?;
    let attribute = |name: &str| attributes.get(name).and_then(Json::as_str);
    let is_elsewhere = attribute("locationType").is_some_and(|location| location != LOCATION_TYPE);
    if is_elsewhere || attribute("instanceType") != Some(wanted) {
        return None;
    }
    let found = InstanceType {
        cores: attribute("vcpu")?.parse().ok()?,
        memory: gibibytes(attribute("memory")?)?,
        cost: on_demand(product),
    };
    Some((found, attribute("tenancy") == Some("Shared")))
}

/// Returns the monthly price of a GiB: the first that is not zero, as free offers may come first.
fn storage_cost(products: &[Json]) -> Option<f64> {
    let family = |product: &Json| product.get("product")?.get("productFamily")?.as_str().map(str::to_owned);
    let storage = products.iter().filter(|product| family(product).as_deref() == Some(STORAGE));
    storage.filter_map(on_demand).find(|cost| *cost > 0.0)
}

/// Returns the first price in US dollars of the first on-demand offer.
fn on_demand(product: &Json) -> Option<f64> {
    let offer = product.get("terms")?.get("OnDemand")?.as_object()?.values().next()?;
    let dimension = offer.get("priceDimensions")?.as_object()?.values().next()?;
    dimension.get("pricePerUnit")?.get("USD")?.as_str()?.parse().ok()
}

/// Parses a size such as `1,952 GiB`.
fn gibibytes(text: &str) -> Option<f64> {
    let number = text.strip_suffix("GiB")?.trim_end();
    number.replace(',', "").parse().ok().filter(|size: &f64| size.is_finite())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn product(tenancy: &str, memory: &str) -> Json {
        json!({
            "product": {"attributes": {"instanceType": "x1.32xlarge", "vcpu": "128", "memory": memory, "tenancy": tenancy}},
            "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": {"pricePerUnit": {"USD": "13.3380000000"}}}}}},
        })
    }

    #[test]
    fn products_are_read() {
        let (found, shared) = read_instance_type(&product("Shared", "1,952 GiB"), "x1.32xlarge").unwrap();
        assert_eq!(found, InstanceType { cores: 128, memory: 1952.0, cost: Some(13.338) });
        assert!(shared);
        assert!(!read_instance_type(&product("Dedicated", "1,952 GiB"), "x1.32xlarge").unwrap().1);
        assert!(read_instance_type(&product("Shared", "1,952 GiB"), "m5.large").is_none());
        assert!(read_instance_type(&product("Shared", "NA"), "x1.32xlarge").is_none());
        assert!(read_instance_type(&Json::Null, "x1.32xlarge").is_none());
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(gibibytes("0.5 GiB"), Some(0.5));
        assert_eq!(gibibytes("24,576 GiB"), Some(24576.0));
        assert_eq!(gibibytes("8"), None);
        assert_eq!(gibibytes("NaN GiB"), None);
    }

    #[test]
    fn volume_price_is_of_storage() {
        let offer = |family: &str, usd: &str| {
            json!({
                "product": {"productFamily": family, "attributes": {"volumeApiName": "gp3"}},
                "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": {"pricePerUnit": {"USD": usd}}}}}},
            })
        };
        let products = [
            offer("System Operation", "0.0050000000"),
            offer("Provisioned Throughput", "40.9600000000"),
            offer("Storage", "0.0000000000"),
            offer("Storage", "0.0800000000"),
        ];
        assert_eq!(storage_cost(&products), Some(0.08));
        assert_eq!(storage_cost(&products[..3]), None);
        assert_eq!(storage_cost(&[Json::Null]), None);
    }
}
