//! Service quotas, listed once per service and region and indexed by name.

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
    location::Location,
    unseen::UnknownParts,
};
use crate::{
    collector_api::{End, Key},
    graph::{Resource, Value},
};

/// The name of all quotas in `--aws-no-collect`.
const OPTION: &str = "quotas";

/// The name of quotas in metrics.
const LABEL: &str = "Service Quota";

/// The value of an unknown quota.
const UNKNOWN: f64 = -1.0;

/// The quotas of a service by name; `None` if the list failed.
type Values = Option<HashMap<String, f64>>;

/// A quota's value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QuotaValue {
    /// The value, if the quota exists.
    pub(crate) value: Option<f64>,
    /// Whether the quotas of its service could not be listed.
    pub(crate) is_unknown: bool,
}

/// The quotas listed so far in one region, by service.
#[derive(Default)]
pub(crate) struct Quotas(Mutex<HashMap<String, Arc<OnceCell<Values>>>>);

/// Returns the value of the first of these quotas that the service has here.
pub(crate) async fn value(
    run: &Run<'_>,
    location: &Location,
    service: &str,
    names: &[impl AsRef<str>],
) -> Result<QuotaValue, Failure> {
    if run.options.is_excluded(OPTION) {
        return Ok(QuotaValue::default());
    }
    let cell = {
        let mut known = location.quotas.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(service.to_owned()).or_default())
    };
    let values = cell.get_or_try_init(|| async {
        match list(run, location, service).await {
            Ok(values) => Ok(Some(values)),
            Err(error) => location.report_failure(run, LABEL, &error).await.map(|()| None),
        }
    });
    let values = values.await?.as_ref();
    let value = values.and_then(|values| names.iter().find_map(|name| values.get(name.as_ref()).copied()));
    Ok(QuotaValue { value, is_unknown: values.is_none() })
}

async fn list(run: &Run<'_>, location: &Location, service: &str) -> Result<HashMap<String, f64>, CallError> {
    let request = Request::new("service-quotas", "ListServiceQuotas", &location.region).with("ServiceCode", service);
    let mut pages = run.client.pages(request);
    let mut values = HashMap::new();
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
pub(crate) async fn send_node(run: &Run<'_>, location: &Location, quota: &Quota) -> Result<(), Failure> {
    let limit = match &quota.service {
        Some(service) => value(run, location, service, &quota.names).await?,
        None => QuotaValue::default(),
    };
    let mut resource = Resource::new(run.kind(quota.kind.get_ref())?, quota.id.as_str());
    resource.set("quota", Value::Float(limit.value.unwrap_or(UNKNOWN))).map_err(internal)?;
    send(run, location, resource, if limit.is_unknown { &["quota"] } else { &[] }).await
}

/// Sends a node made by code, as a child of the region with its ID as key. `unknown` names the properties whose calls
/// failed.
pub(crate) async fn send(
    run: &Run<'_>,
    location: &Location,
    resource: Resource<'_>,
    unknown: &[&str],
) -> Result<(), Failure> {
    let key = Key {
        scope: location.label.clone(),
        kind: resource.kind().fqn.to_owned(),
        attribute: "id".to_owned(),
        value: resource.id().to_owned(),
    };
    let node = resource.finish(&location.ancestors(run)).map_err(internal)?;
    let node = run.graph.add(node, vec![key]).await?;
    run.graph.edge(End::Node(location.node), End::Node(node));
    run.unseen_parts(node, UnknownParts::properties(unknown));
    Ok(())
}
