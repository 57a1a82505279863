//! The price list of Compute Engine, which one unit of a run fetches for all.
//!
//! The list has tens of thousands of SKUs. The unit that fetches it publishes those that types may need, by region and
//! class, and the service. A denial concerns only the unit's account, so that another one may fetch the list; any other
//! failure is published, as each unit would wait for it in turn.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};
use worker_proto::Failure;

use super::prices::{Class, SERVICES, Sku};
use crate::{
    collector_api::{CollectContext, Shared},
    engine::{CallError, CallErrorKind, HookContext, Request, Tree},
};

pub(super) const BILLING: &str = "cloudbilling";

/// The ID of Compute Engine in the price list.
const COMPUTE_ENGINE: &str = "6F81-5844-456A";

/// The shared value with the state of the list. Its fetcher publishes all others.
const LIST: &str = "gcp price list";

/// The SKUs of a class in a region; `None` if they are unknown.
type Known = Option<Vec<Sku>>;

/// One account's knowledge of the list.
#[derive(Default)]
pub(super) struct PriceList {
    state: OnceCell<Option<Value>>,
    skus: Mutex<HashMap<(String, Class), Known>>,
}

/// The state of the list, as it is published.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Published {
    /// The service's item.
    Service(Value),
    /// Why there is no list.
    Failed { operation: String, code: String, message: String },
}

/// All SKUs, by region and class.
type Sorted = HashMap<(String, Class), Vec<Sku>>;

impl PriceList {
    /// Returns the service's item; `None` if the list failed, which is reported.
    pub(super) async fn service(&self, context: HookContext<'_>) -> Result<Option<&Value>, Failure> {
        let state = self.state.get_or_try_init(|| self.state(context)).await?;
        Ok(state.as_ref())
    }

    /// Returns the SKUs of a class in a region. The list was fetched before.
    pub(super) async fn skus(&self, context: HookContext<'_>, region: &str, class: Class) -> Result<Known, Failure> {
        let mut known = self.skus.lock().await;
        let key = (region.to_owned(), class);
        if let Some(found) = known.get(&key) {
            return Ok(found.clone());
        }
        let found = match context.run.context.shared(&name(region, class)).await? {
            Shared::Value(text) => serde_json::from_str(&text).map_err(|error| context.run.internal(error))?,
            // There was no room for them, or the list does not know the region.
            Shared::Fetch(_) => None,
        };
        Ok(known.entry(key).or_insert(found).clone())
    }

    async fn state(&self, context: HookContext<'_>) -> Result<Option<Value>, Failure> {
        let lease = match context.run.context.shared(LIST).await? {
            Shared::Value(text) => {
                return match serde_json::from_str(&text).map_err(|error| context.run.internal(error))? {
                    Published::Service(service) => Ok(Some(service)),
                    Published::Failed { operation, code, message } => {
                        let error = CallError::new(CallErrorKind::Unavailable, &code, message);
                        report(context, &error.of(BILLING, &operation, &context.location.region)).await?;
                        Ok(None)
                    }
                };
            }
            Shared::Fetch(lease) => lease,
        };
        let (published, found) = match fetch(context).await {
            Ok((service, sorted)) => {
                publish(context.run.context, sorted).await?;
                (Some(Published::Service(service.clone())), Some(service))
            }
            Err(error) => {
                report(context, &error).await?;
                let (operation, code) = (error.operation.to_string(), error.code.clone());
                let failed = Published::Failed { operation, code, message: error.message.to_string() };
                ((!error.is_account_specific()).then_some(failed), None)
            }
        };
        // Without a value, the lease passes to the next unit.
        if let Some(published) = published {
            lease.publish(serde_json::to_string(&published).map_err(|error| context.run.internal(error))?).await;
        }
        Ok(found)
    }
}

async fn report(context: HookContext<'_>, error: &CallError) -> Result<(), Failure> {
    context.location.report_failure(context.run, SERVICES, error).await
}

/// Publishes the SKUs of each region and class.
async fn publish(context: &CollectContext, sorted: Sorted) -> Result<(), Failure> {
    for ((region, class), skus) in sorted {
        if let Shared::Fetch(lease) = context.shared(&name(&region, class)).await?
            && let Ok(text) = serde_json::to_string(&skus)
        {
            lease.publish(text).await;
        }
    }
    Ok(())
}

fn name(region: &str, class: Class) -> String {
    format!("gcp skus {region} {}", class.key())
}

/// Fetches the service and its SKUs.
async fn fetch(context: HookContext<'_>) -> Result<(Value, Sorted), CallError> {
    let region = context.location.region.as_str();
    let mut service = None;
    let mut pages = context.run.pages(Request::new(BILLING, "services.list", region));
    while let Some(page) = pages.next_complete().await {
        let page = page?;
        let tree = page.tree()?;
        let is_wanted = |item: &&&Tree<'_>| item.get("serviceId").and_then(Tree::text) == Some(COMPUTE_ENGINE);
        service = service.or_else(|| tree.path("services[]").iter().find(is_wanted).map(|item| json(item)));
    }
    let Some(service) = service else {
        let error = CallError::unexpected_response(format!("the service {COMPUTE_ENGINE} is not listed"));
        return Err(error.of(BILLING, "services.list", region));
    };
    let mut sorted = Sorted::new();
    let parent = format!("services/{COMPUTE_ENGINE}");
    let mut pages = context.run.pages(Request::new(BILLING, "services.skus.list", region).with("parent", parent));
    while let Some(page) = pages.next_complete().await {
        let page = page?;
        let tree = page.tree()?;
        tree.path("skus[]").into_iter().for_each(|item| sort(item, &mut sorted));
    }
    if sorted.is_empty() {
        let error =
            CallError::unexpected_response(format!("the price list has no SKU of the service {COMPUTE_ENGINE}"));
        return Err(error.of(BILLING, "services.skus.list", region));
    }
    // A class without SKUs is known to have none.
    let regions: BTreeSet<String> = sorted.keys().map(|(region, _)| region.clone()).collect();
    for region in regions {
        for class in Class::all() {
            sorted.entry((region.clone(), class)).or_default();
        }
    }
    Ok((service, sorted))
}

/// Adds a SKU to the classes to which it belongs, if any.
fn sort(item: &Tree<'_>, sorted: &mut Sorted) {
    let usage = item.at("category.usageType").and_then(Tree::text);
    if usage != Some("OnDemand") {
        return;
    }
    let sku = Sku::new(json(item));
    for class in Class::all().filter(|class| class.admits(&sku)) {
        for region in sku.regions() {
            sorted.entry((region.to_owned(), class)).or_default().push(sku.clone());
        }
    }
}

fn json(item: &Tree<'_>) -> Value {
    serde_json::to_value(item).unwrap_or_default()
}
