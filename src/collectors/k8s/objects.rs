//! Everything else that an API server has: resources without a definition, custom ones too, found by discovery. Each kind
//! has a kind in the model that is made at run time, named after group and kind.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde_json::json;
use worker_proto::{Failure, Why};

use super::{
    cloud::{CLUSTER, NAMESPACE, NAMESPACE_KIND, OBJECT_KIND},
    definitions::kinds,
    discovery::{ApiResource, Discovered, prefix},
    hooks,
    options::Options,
    selection::{
        ANY, Distinct, OTHERS, distinct, is_name, is_undefined, is_wanted, keeps_unwanted, unknown, why_silent,
    },
    served::ServedApi,
};
use crate::{
    collector_api::{BoxFuture, End},
    engine::{CallError, CallErrorKind, HookContext, Request, Response, Tree, code, collect::at_most},
    graph::{Kind, KindSpec, ModelKind, Resource, ResourceError, Schema, Value},
};

/// The kinds that are listed at the same time.
const AT_ONCE: usize = 4;

/// The kinds in one message to the supervisor.
const CHUNK: usize = 500;

/// Collects what no definition lists.
///
/// # Errors
/// `Cancelled` if the session is ending, `Internal` for a bug.
pub(super) async fn collect(context: HookContext<'_>, options: &Options, api: &ServedApi) -> Result<(), Failure> {
    let is_kept = keeps_unwanted(options);
    if !options.collect.is_empty() && !options.collect.iter().any(|name| is_name(name)) {
        if is_kept {
            unseen(context, ANY, &Why::Kept);
        }
        return Ok(());
    }
    let (run, location) = (context.run, context.location);
    let Discovered { resources, silent, .. } = match api.discovered().await {
        Ok(found) => found,
        Err(error) => {
            unseen(context, ANY, &Why::Unseen);
            return location.report_failure(run, OTHERS, error).await;
        }
    };
    for name in unknown(resources, silent, options) {
        let cluster = run.account_id();
        tracing::warn!(cluster, name, "the cluster has no such resource or group, which options name");
    }
    for (group, error) in silent {
        let Some(why) = why_silent(group, options) else { continue };
        unseen(context, &format!("{}*", prefix(group)), &why);
        if why == Why::Unseen {
            let error = error.clone().of(group, "list", CLUSTER);
            run.report_failure(&location.label, OTHERS, &error).await?;
        }
    }
    let (wanted, others): (Vec<_>, Vec<_>) =
        resources.iter().filter(|one| is_undefined(one)).partition(|resource| is_wanted(resource, options));
    if is_kept {
        others.iter().for_each(|resource| unseen(context, &resource.model_kind(), &Why::Kept));
    }
    let defined = kinds()?.into_iter().map(|kind| kind.fqn).collect();
    let Distinct { found, refused } = distinct(wanted, &defined);
    for (resource, name, why) in refused {
        // The core may have nodes of it, from a time without the other one.
        unseen(context, &name, &Why::Unseen);
        let error = CallError::new(CallErrorKind::Unexpected, code::INVALID_RESOURCE, why);
        run.report_failure(&location.label, OTHERS, &named(error, resource)).await?;
    }
    list_all(context, &found).await
}

/// Lists resources, each with the name of its kind, which the core learns first.
async fn list_all(context: HookContext<'_>, resources: &BTreeMap<String, &ApiResource>) -> Result<(), Failure> {
    let specs: Vec<KindSpec> = resources.keys().map(|name| spec(name)).collect();
    let texts: Vec<String> =
        specs.iter().map(|spec| json!({"fqn": spec.fqn, "bases": spec.bases}).to_string()).collect();
    for chunk in texts.chunks(CHUNK) {
        context.run.context.kinds(chunk.to_vec()).await?;
    }
    let schema = Schema::of([kinds()?, specs].concat())?;
    let futures = resources.iter().map(|(name, resource)| -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async {
            let listing = Listing { context, resource, kind: schema.require(name)?, long: &Mutex::default() };
            let done = list(listing).await;
            listing.report_long();
            done
        })
    });
    at_most(AT_ONCE, futures.collect()).await
}

/// Names the call in an error of a listing.
fn named(error: CallError, resource: &ApiResource) -> CallError {
    error.of(&resource.api_version(), &format!("list {}", resource.resource), CLUSTER)
}

fn spec(name: &str) -> KindSpec {
    KindSpec {
        fqn: name.to_owned(),
        bases: vec![OBJECT_KIND.to_owned()],
        origin: "discovery".to_owned(),
        ..KindSpec::default()
    }
}

/// Records that objects of a kind may be missing, in the cluster and in each namespace: in one record, as there may be
/// thousands of kinds and of namespaces.
fn unseen(context: HookContext<'_>, kind: &str, why: &Why) {
    context.run.unseen_in_all(context.location, NAMESPACE_KIND, kind, why);
}

/// Objects that are longer than a core reads.
#[derive(Default)]
struct Long {
    objects: u64,
    /// The name of the first one.
    example: String,
}

/// The listing of one kind.
#[derive(Clone, Copy)]
struct Listing<'a> {
    context: HookContext<'a>,
    resource: &'a ApiResource,
    kind: &'a Kind,
    /// The objects that are sent without their contents.
    long: &'a Mutex<Long>,
}

/// Lists a resource and sends its nodes.
async fn list(listing: Listing<'_>) -> Result<(), Failure> {
    let Listing { context, resource, kind, .. } = listing;
    let (run, location) = (context.run, context.location);
    let (service, operation) = (resource.api_version(), format!("list {}", resource.resource));
    let is_over = || location.has_ended() || location.has_ended_service(&service);
    if is_over() || !location.allows(&service, &operation, OTHERS) {
        unseen(context, &kind.fqn, &Why::Unseen);
        return Ok(());
    }
    let mut pages = run.pages(Request::new(&service, &operation, CLUSTER));
    while let Some(page) = pages.next().await {
        let done = match page {
            Ok(page) => {
                location.record_success(&service, &operation);
                listing.page(&page).await?
            }
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            unseen(context, &kind.fqn, &Why::Unseen);
            return location.report_failure(run, OTHERS, &error).await;
        }
    }
    Ok(())
}

impl Listing<'_> {
    /// Sends the nodes of a page. The outer error ends the unit, the inner one the listing.
    async fn page(&self, page: &Response) -> Result<Result<(), CallError>, Failure> {
        let (tree, silent) = match page.tree().and_then(|tree| Ok((tree, page.partial()?))) {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        let run = self.context.run;
        for part in silent {
            let place = self.context.find(NAMESPACE, &part.id).unwrap_or(self.context.location);
            run.unseen_other(place, &self.kind.fqn, &Why::Unseen);
            let error = CallError::new(CallErrorKind::Denied, &part.code, part.message.clone());
            run.report_failure(&place.label, OTHERS, &named(error, self.resource)).await?;
        }
        for item in tree.path("items[]") {
            self.item(item).await?;
        }
        Ok(Ok(()))
    }

    fn add_long(&self, item: &Tree<'_>) {
        let mut long = self.long.lock().unwrap_or_else(PoisonError::into_inner);
        long.objects += 1;
        if long.objects == 1 {
            let text = |path| item.at(path).and_then(Tree::text).unwrap_or_default();
            let (namespace, name) = (text("metadata.namespace"), text("metadata.name"));
            long.example = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        }
    }

    /// Logs the objects that were sent without their contents.
    fn report_long(&self) {
        let long = self.long.lock().unwrap_or_else(PoisonError::into_inner);
        if long.objects > 0 {
            let (cluster, kind, Long { objects, example }) = (self.context.run.account_id(), &self.kind.fqn, &*long);
            tracing::warn!(
                cluster,
                kind,
                objects,
                example,
                "objects are longer than a core reads; sent them without annotations, spec and status"
            );
        }
    }

    /// Sends the node of an object, and declares its edges. What has no UID is computed for each answer, and is no object.
    async fn item(&self, item: &Tree<'_>) -> Result<(), Failure> {
        let HookContext { run, location, .. } = self.context;
        let text = |path| item.at(path).and_then(Tree::text);
        let Some(uid) = text("metadata.uid") else { return Ok(()) };
        let place = match text("metadata.namespace") {
            None => Some(location),
            Some(namespace) => self.context.find(NAMESPACE, namespace),
        };
        let Some(place) = place else {
            run.unseen_locations(Why::Unseen);
            let message = "an object in a namespace that the list of namespaces lacks";
            let error = CallError::new(CallErrorKind::Unexpected, code::UNKNOWN_LOCATION, message);
            return run.report_failure(&location.label, OTHERS, &named(error, self.resource)).await;
        };
        let finish =
            |with_content| self.resource(item, uid, with_content).and_then(|one| one.finish(&place.ancestors(run)));
        // Definitions of custom resources, for example, are longer than a core reads.
        let node = match finish(true) {
            Err(ResourceError::TooLong { .. }) => {
                self.add_long(item);
                finish(false)
            }
            finished => finished,
        };
        let node = match node {
            Ok(node) => node,
            Err(error) => {
                run.unseen_other(place, &self.kind.fqn, &Why::Unseen);
                let error = CallError::new(CallErrorKind::Unexpected, code::INVALID_RESOURCE, error.to_string());
                return run.report_failure(&place.label, OTHERS, &named(error, self.resource)).await;
            }
        };
        let node = run.graph.add(node, vec![hooks::key(uid)]).await?;
        run.graph.edge(End::Node(place.node), End::Node(node));
        for owner in item.path("metadata.ownerReferences[].uid").into_iter().filter_map(Tree::text) {
            run.graph.edge(hooks::object(owner), End::Node(node));
        }
        Ok(())
    }

    fn resource(&self, item: &Tree<'_>, uid: &str, with_content: bool) -> Result<Resource<'_>, ResourceError> {
        let mut resource = Resource::new(self.kind, uid);
        let text = |path| item.at(path).and_then(Tree::text);
        resource.name(text("metadata.name").unwrap_or(uid));
        for (key, value) in item.at("metadata.labels").map(Tree::entries).unwrap_or_default() {
            resource.tag(key.to_string(), value.text().unwrap_or_default());
        }
        resource.set("api_version", Value::Text(self.resource.api_version()))?;
        resource.set("api_resource", Value::Text(self.resource.resource.clone()))?;
        for (field, path) in [
            ("ctime", "metadata.creationTimestamp"),
            ("self_link", "metadata.selfLink"),
            ("namespace", "metadata.namespace"),
            ("resource_version", "metadata.resourceVersion"),
        ] {
            if let Some(text) = text(path) {
                resource.set_converted(field, Value::Text(text.to_owned()))?;
            }
        }
        let contents = if with_content { &["annotations", "spec", "status"][..] } else { &[] };
        for field in contents {
            let found = if *field == "annotations" { item.at("metadata.annotations") } else { item.get(field) };
            let value = found.and_then(|tree| ModelKind::Any.read(&serde_json::to_value(tree).ok()?));
            if let Some(value) = value {
                resource.set(field, value)?;
            }
        }
        Ok(resource)
    }
}
