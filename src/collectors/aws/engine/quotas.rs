//! Service quotas: asked once per service and region, kept by their names.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;
use worker_proto::Failure;

use super::{
    super::{
        client::{CallError, Request, Tree},
        definitions::Quota,
    },
    Run, internal,
    place::Place,
};
use crate::graph::{End, Key, Resource, Value};

/// What quotas are called in `--aws-no-collect`.
const OPTION: &str = "quotas";

/// What they are called in metrics.
const LABEL: &str = "Service Quota";

/// The value of a quota that is not known.
const UNKNOWN: f64 = -1.0;

/// The quotas of a service by name.
type Values = HashMap<String, f64>;

/// What was asked so far in one region, by service.
#[derive(Default)]
pub(crate) struct Quotas(Mutex<HashMap<String, Arc<OnceCell<Values>>>>);

/// The value of the first of these quotas that the service has here.
pub(crate) async fn value(
    run: &Run<'_>,
    place: &Place,
    service: &str,
    names: &[impl AsRef<str>],
) -> Result<Option<f64>, Failure> {
    let unwanted = run.context.settings().list("aws-no-collect");
    if unwanted.iter().any(|name| name == OPTION) {
        return Ok(None);
    }
    let cell = {
        let mut known = place.quotas.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(service.to_owned()).or_default())
    };
    let values = cell.get_or_try_init(|| async {
        match ask(run, place, service).await {
            Ok(values) => Ok(values),
            Err(error) => place.lost(run, LABEL, &error).await.map(|()| Values::new()),
        }
    });
    let values = values.await?;
    Ok(names.iter().find_map(|name| values.get(name.as_ref()).copied()))
}

async fn ask(run: &Run<'_>, place: &Place, service: &str) -> Result<Values, CallError> {
    let request = Request::new("service-quotas", "ListServiceQuotas", &place.region).with("ServiceCode", service);
    let mut pages = run.client.pages(request);
    let mut values = Values::new();
    while let Some(page) = pages.next().await {
        let page = page?;
        for quota in page.tree()?.path("Quotas[]") {
            let name = quota.get("QuotaName").and_then(Tree::text);
            if let Some((name, value)) = name.zip(quota.get("Value").and_then(Tree::float)) {
                values.insert(name.to_owned(), value);
            }
        }
    }
    Ok(values)
}

/// Sends the node of a quota that a definition file names.
pub(crate) async fn announce(run: &Run<'_>, place: &Place, quota: &Quota) -> Result<(), Failure> {
    let value = match &quota.service {
        Some(service) => value(run, place, service, &quota.names).await?,
        None => None,
    };
    let mut resource = Resource::new(run.kind(quota.kind.get_ref())?, quota.id.as_str());
    resource.set("quota", Value::Float(value.unwrap_or(UNKNOWN))).map_err(internal)?;
    send(run, place, resource).await
}

/// Sends a node that code made, below the region and known by its id.
pub(crate) async fn send(run: &Run<'_>, place: &Place, resource: Resource<'_>) -> Result<(), Failure> {
    let key = Key {
        scope: place.label.clone(),
        kind: resource.kind().fqn.to_owned(),
        attribute: "id".to_owned(),
        value: resource.id().to_owned(),
    };
    let node = resource.finish(&place.ancestors(run)).map_err(internal)?;
    let node = run.graph.add(node, vec![key]).await?;
    run.graph.edge(End::Node(place.node), End::Node(node));
    Ok(())
}
