//! The AWS price list: what instance types have and what types cost.
//!
//! A type is asked for once per run and location, by whichever account needs it first. Nothing hangs on the answer but
//! these facts: an instance or a volume whose type has no entry is collected without them. A list that an account may
//! not ask is a gap there, and is not asked again by that account; what others found is used all the same.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use tokio::sync::OnceCell;
use worker_proto::Failure;

use super::{
    super::{
        super::Shared,
        client::{self, CallError, Request, Tree},
    },
    Run,
    place::Place,
};

/// The price list is served here for all regions of the partition `aws`; the others have none that answers this.
const PRICE_REGION: &str = "us-east-1";
const PRICE_PARTITION: &str = "aws";

/// The regions whose descriptions begin with "Europe" everywhere but in the price list.
const EU_REGIONS: [&str; 6] = ["eu-central-1", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "eu-south-1"];

/// What was asked so far.
#[derive(Default)]
pub(crate) struct Prices {
    instances: Known<InstanceType>,
    volumes: Known<f64>,
    /// Set once the price list could not be asked: the account's role lacks the right, or nothing answers.
    is_off: AtomicBool,
}

/// Answers by type and location; whoever asks while one is on its way waits for it.
struct Known<T>(Mutex<HashMap<(String, String), Answer<T>>>);

type Answer<T> = Arc<OnceCell<Option<T>>>;

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Known<T> {
    fn cell(&self, wanted: &str, location: &str) -> Answer<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry((wanted.to_owned(), location.to_owned())).or_default())
    }
}

/// What the price list says about an instance type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InstanceType {
    pub(crate) cores: i64,
    /// In GiB.
    pub(crate) memory: f64,
    /// In US dollars an hour.
    pub(crate) cost: Option<f64>,
}

/// The facts about an instance type in a region, if the price list has them.
pub(crate) async fn instance_type(run: &Run<'_>, place: &Place, wanted: &str) -> Result<Option<InstanceType>, Failure> {
    let fields = [
        ("operatingSystem", "Linux"),
        ("operation", "RunInstances"),
        ("capacitystatus", "Used"),
        ("instanceType", wanted),
    ];
    find(run, place, &run.prices.instances, wanted, &fields, |products| {
        let found: Vec<_> = products.iter().filter_map(|product| read_instance_type(product, wanted)).collect();
        let shared = found.iter().find(|(_, is_shared)| *is_shared).map(|(found, _)| found.clone());
        shared.or_else(|| found.into_iter().next().map(|(found, _)| InstanceType { cost: None, ..found }))
    })
    .await
}

/// What a GiB of a volume type costs in a month in a region, in US dollars, if the price list says.
pub(crate) async fn volume_type(run: &Run<'_>, place: &Place, wanted: &str) -> Result<Option<f64>, Failure> {
    let Some(name) = volume_type_name(wanted) else { return Ok(None) };
    let fields = [("volumeType", name), ("volumeApiName", wanted)];
    find(run, place, &run.prices.volumes, wanted, &fields, |products| {
        products.iter().filter_map(on_demand).find(|cost| *cost > 0.0)
    })
    .await
}

/// What the price list calls a volume type.
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
    place: &Place,
    known: &Known<T>,
    wanted: &str,
    fields: &[(&str, &str)],
    choose: impl FnOnce(&[Json]) -> Option<T>,
) -> Result<Option<T>, Failure> {
    let Some(location) = location(&place.region).filter(|_| run.payload.partition == PRICE_PARTITION) else {
        return Ok(None);
    };
    let cell = known.cell(wanted, &location);
    let asked = cell.get_or_try_init(|| async {
        let key = format!("price {wanted} {location}");
        let lease = match run.context.shared(&key).await.map_err(Trouble::Session)? {
            Shared::Value(value) => return Ok(serde_json::from_str(&value).unwrap_or_default()),
            Shared::Fetch(lease) => lease,
        };
        if run.prices.is_off.load(Ordering::Relaxed) {
            return Err(Trouble::Off);
        }
        let found = choose(&products(run, fields, &location).await.map_err(Trouble::Call)?);
        if let Ok(value) = serde_json::to_string(&found) {
            lease.publish(value).await;
        }
        Ok(found)
    });
    match asked.await {
        Ok(found) => Ok(found.clone()),
        Err(Trouble::Off) => Ok(None),
        Err(Trouble::Session(failure)) => Err(failure),
        Err(Trouble::Call(error)) => {
            run.prices.is_off.store(true, Ordering::Relaxed);
            run.lost(&place.label, "pricing", &error).await?;
            Ok(None)
        }
    }
}

/// Why there is no answer.
enum Trouble {
    /// This account was refused before.
    Off,
    /// The worker is ending.
    Session(Failure),
    /// The price list could not be asked.
    Call(CallError),
}

async fn products(run: &Run<'_>, fields: &[(&str, &str)], location: &str) -> Result<Vec<Json>, CallError> {
    let filters = fields.iter().copied().chain([("location", location)]);
    let filters = filters.map(|(field, value)| json!({"Type": "TERM_MATCH", "Field": field, "Value": value}));
    let request = Request::new("pricing", "GetProducts", PRICE_REGION)
        .with("ServiceCode", "AmazonEC2")
        .with("Filters", filters.collect::<Vec<_>>());
    let mut pages = run.client.pages(request);
    let mut products = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page?;
        let tree = page.tree()?;
        // Each product is a JSON text; what is none has no price.
        let texts = tree.path("PriceList[]").into_iter().filter_map(Tree::text);
        products.extend(texts.filter_map(|text| serde_json::from_str(text).ok()));
    }
    Ok(products)
}

/// Reads a product; whether it is for shared tenancy, the one that instances have unless told otherwise.
fn read_instance_type(product: &Json, wanted: &str) -> Option<(InstanceType, bool)> {
    let attributes = product.get("product")?.get("attributes")?;
    let attribute = |name: &str| attributes.get(name).and_then(Json::as_str);
    if attribute("instanceType") != Some(wanted) {
        return None;
    }
    let found = InstanceType {
        cores: attribute("vcpu")?.parse().ok()?,
        memory: gibibytes(attribute("memory")?)?,
        cost: on_demand(product),
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
    fn the_price_list_has_names_of_its_own_for_europe() {
        assert_eq!(location("eu-west-1").as_deref(), Some("EU (Ireland)"));
        assert_eq!(location("eu-central-2").as_deref(), Some("Europe (Zurich)"));
        assert_eq!(location("us-east-1").as_deref(), Some("US East (N. Virginia)"));
        assert_eq!(location("mars-north-1"), None);
    }
}
