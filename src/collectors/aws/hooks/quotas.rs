//! Service quotas, listed once per service and region and indexed by name.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;
use toml::{Table, Value};
use worker_proto::Failure;

use crate::engine::{
    CallError, FunctionHook, HookContext, HookValue, Request, Tree,
    collect::{Location, Run},
};

/// The name of all quotas in `--aws-no-collect`.
pub(super) const OPTION: &str = "quotas";

/// The name of quotas in metrics.
const LABEL: &str = "Service Quota";

/// The quotas of a service by name; `None` if the list failed.
type Values = Option<HashMap<String, f64>>;

/// A quota's value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QuotaValue {
    /// The value, if the quota exists.
    pub(super) value: Option<f64>,
    /// Whether the quotas of its service could not be listed.
    pub(super) is_unknown: bool,
}

/// The quotas listed so far in one region, by service.
#[derive(Default)]
struct Quotas(Mutex<HashMap<String, Arc<OnceCell<Values>>>>);

/// Returns the value of the first of these quotas that the service has here.
pub(super) async fn value(
    run: &Run<'_>,
    location: &Location,
    service: &str,
    names: &[impl AsRef<str>],
) -> Result<QuotaValue, Failure> {
    if run.selection.is_excluded(OPTION) {
        return Ok(QuotaValue::default());
    }
    let quotas = location.slots.get::<Quotas>();
    let cell = {
        let mut known = quotas.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    let mut pages = run.pages(request);
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

/// The quota of a service that the definition's input names: `service`, its code in Service Quotas, and `names`, all
/// names that AWS has used for the quota.
pub(super) const SERVICE_QUOTA: FunctionHook = FunctionHook {
    name: "service_quota",
    values: &["value"],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: check_input,
    values_of: |context, items| {
        Box::pin(async move {
            let HookContext { run, location, input, .. } = context;
            let service = input.get("service").and_then(Value::as_str).unwrap_or_default();
            let names = input.get("names").and_then(Value::as_array).into_iter().flatten();
            let names: Vec<&str> = names.filter_map(Value::as_str).collect();
            let quota = value(run, location, service, &names).await?;
            let members = || quota.value.map(|value| ("value".into(), Tree::Float(value))).into_iter().collect();
            let of_item = |_: &&Tree<'_>| HookValue { value: Tree::Map(members()), is_unknown: quota.is_unknown };
            Ok(items.iter().map(of_item).collect())
        })
    },
};

fn check_input(input: &Table) -> Result<(), String> {
    if let Some(name) = input.keys().find(|name| !["service", "names"].contains(&name.as_str())) {
        return Err(format!("there is no {name}"));
    }
    let names = input.get("names").and_then(Value::as_array).filter(|names| !names.is_empty());
    match (input.get("service").and_then(Value::as_str), names) {
        (None, _) => Err("service, the code in Service Quotas, is missing or no string".to_owned()),
        (_, Some(names)) if names.iter().all(Value::is_str) => Ok(()),
        _ => Err("names, the names of the quota, is missing or no list of strings".to_owned()),
    }
}
