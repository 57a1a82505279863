//! One cluster, for the engine: its item and its namespaces.

use std::sync::Arc;

use serde_json::json;
use worker_proto::{Failure, FailureKind, Unit, Why};

use super::{
    access::UnitAccess,
    client::{Client, ClientConfig},
    cloud::{CLUSTER, NAMESPACE, cloud},
    hooks, objects,
    options::Options,
    selection,
    served::ServedApi,
};
use crate::{
    collector_api::{BoxFuture, CollectContext},
    engine::{
        CallError, CallErrorKind, HookContext, Request, Tree, call_failure,
        collect::{Account, LocationSpec, Run},
    },
};

/// The service of namespaces.
const CORE: &str = "v1";

/// The operation that lists namespaces.
const LIST: &str = "list namespaces";

/// The operation that reads one of the namespaces that options name.
const GET: &str = "get namespaces";

/// A cluster.
pub(super) struct KubernetesCluster {
    /// The name, which is its ID.
    name: String,
    /// The options.
    options: Options,
    /// The API, which knows what discovery has found.
    api: Arc<ServedApi>,
}

/// Collects one cluster. All failures but these are gaps.
///
/// # Errors
/// `Credentials` if there are no credentials or they are rejected, `Configuration` if the server's certificate is not
/// trusted, `Unavailable` if the namespaces cannot be determined or no call succeeded, `Cancelled` if the session is
/// ending, `Internal` for a bug.
pub(super) async fn collect(context: &CollectContext, unit: &Unit) -> Result<(), Failure> {
    // First, as the broker explains best why there are no credentials.
    context.credentials().get().await?;
    let options = Options::of(context.settings());
    let api = Arc::new(api(context, options.namespaces.clone()));
    let selection = options.selection();
    let cluster = KubernetesCluster { name: unit.id.clone(), options, api: Arc::clone(&api) };
    Run::new(context, cloud()?, &cluster, api, selection).collect().await
}

/// Returns the API of a unit's cluster.
pub(super) fn api(context: &CollectContext, namespaces: Vec<String>) -> ServedApi {
    ServedApi::new(Client::new(ClientConfig {
        access: Arc::new(UnitAccess(context.credentials().clone())),
        namespaces,
        deadline: context.deadline(),
        waits: context.waits().clone(),
    }))
}

impl Account for KubernetesCluster {
    fn id(&self) -> &str {
        &self.name
    }

    fn item(&self) -> Tree<'static> {
        Tree::from(json!({ "name": self.name }))
    }

    fn own_location(&self) -> LocationSpec {
        // No namespace has this label, as its blank is not allowed in names.
        let (id, label) = (CLUSTER.to_owned(), "all namespaces".to_owned());
        LocationSpec { scope: CLUSTER, id, label, within: None, item: Tree::Null }
    }

    fn selects(&self, scope: &str, id: &str) -> bool {
        let named = &self.options.namespaces;
        scope != NAMESPACE || named.is_empty() || named.iter().any(|name| name == id)
    }

    fn has_one_login(&self) -> bool {
        true
    }

    fn other_kinds(&self) -> Option<&'static str> {
        Some(selection::ANY)
    }

    fn collect_others<'a>(&'a self, context: HookContext<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            hooks::connect(context).await?;
            objects::collect(context, &self.options, &self.api).await
        })
    }

    fn locations<'a>(&'a self, run: &'a Run<'a>) -> BoxFuture<'a, Result<Vec<LocationSpec>, Failure>> {
        Box::pin(async move {
            let mut locations = vec![self.own_location()];
            match self.options.namespaces.is_empty() {
                true => locations.extend(all(run).await?),
                false => locations.extend(self.named(run).await?),
            }
            Ok(locations)
        })
    }
}

impl KubernetesCluster {
    /// Returns the namespaces that options name. What is in others stays as the core has it.
    async fn named(&self, run: &Run<'_>) -> Result<Vec<LocationSpec>, Failure> {
        run.unseen_locations(Why::Kept);
        let (mut found, mut last) = (Vec::new(), None);
        for name in &self.options.namespaces {
            let request = Request::new(CORE, GET, CLUSTER).with("name", name.as_str());
            match run.call(request).await.and_then(|page| Ok(location(owned(&page.tree()?)))) {
                Ok(Some(location)) => found.push(location),
                Ok(None) => return Err(run.internal(format!("the namespace {name} has no ID"))),
                // A namespace that does not exist has nothing.
                Err(error) if error.means_deleted() => {
                    tracing::warn!(cluster = self.name, namespace = name, "the namespace does not exist");
                }
                Err(error) => {
                    stop_if_final(run, &error)?;
                    run.unseen_locations(Why::Unseen);
                    run.report_failure(name, NAMESPACE, &error).await?;
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if found.is_empty() => Err(unreadable(run, &error)),
            _ => Ok(found),
        }
    }
}

/// Returns all namespaces. If they may not be listed, what is in them is not seen.
async fn all(run: &Run<'_>) -> Result<Vec<LocationSpec>, Failure> {
    let mut found = Vec::new();
    let mut pages = run.pages(Request::new(CORE, LIST, CLUSTER));
    while let Some(page) = pages.next().await {
        let read = page.and_then(|page| Ok(page.tree()?.path("items[]").into_iter().map(owned).collect::<Vec<_>>()));
        match read {
            Ok(items) => found.extend(items.into_iter().filter_map(location)),
            Err(error) => {
                stop_if_final(run, &error)?;
                if error.kind != CallErrorKind::Denied {
                    return Err(unreadable(run, &error));
                }
                run.unseen_locations(Why::Unseen);
                run.report_failure(CLUSTER, NAMESPACE, &error).await?;
                return Ok(Vec::new());
            }
        }
    }
    Ok(found)
}

/// Fails if no call can succeed.
fn stop_if_final(run: &Run<'_>, error: &CallError) -> Result<(), Failure> {
    let why = match error.kind {
        CallErrorKind::Credentials => "its credentials are rejected; check the user of the context, or the token",
        CallErrorKind::Configuration => "it cannot be reached; check the cluster of the context",
        _ => return Ok(()),
    };
    Err(call_failure(&run.message(why), error))
}

fn unreadable(run: &Run<'_>, error: &CallError) -> Failure {
    let is_unknown = error.kind == CallErrorKind::NotFound;
    let remedy = if is_unknown { "; check that the address is that of an API server" } else { "" };
    let failure = call_failure(&run.message("cannot read its namespaces"), error);
    let kind = if is_unknown { FailureKind::Configuration } else { failure.kind };
    Failure { kind, message: failure.message + remedy }
}

fn owned(tree: &Tree<'_>) -> Tree<'static> {
    Tree::from(serde_json::to_value(tree).unwrap_or_default())
}

/// Returns the location of a namespace.
fn location(item: Tree<'static>) -> Option<LocationSpec> {
    let name = item.at("metadata.name").and_then(Tree::text)?.to_owned();
    item.at("metadata.uid")?;
    Some(LocationSpec { scope: NAMESPACE, id: name.clone(), label: name, within: None, item })
}
