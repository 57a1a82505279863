//! Everything else that an API server has: resources without a definition, custom ones too, found by discovery. Each kind
//! has a kind in the model that is made at run time, named after group and kind.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use worker_proto::{Failure, Why};

use super::{
    cloud::{CLUSTER, NAMESPACE, OBJECT_KIND},
    definitions::{definitions, kinds},
    discovery::{ApiResource, Discovered, discover, prefix},
    hooks,
    options::Options,
};
use crate::{
    collector_api::{BoxFuture, End},
    engine::{CallError, CallErrorKind, HookContext, Request, Response, Tree, code, collect::at_most},
    graph::{Kind, KindSpec, ModelKind, Resource, ResourceError, Schema, Value},
};

/// The name that selects all of them.
pub(super) const OTHERS: &str = "others";

/// The kinds that are known only at run time, for what cannot be listed.
pub(super) const ANY: &str = "kubernetes_*";

/// Resources that are collected only if they are named: they change all the time, or are no objects.
const LEFT_OUT: [&str; 4] = ["events", "events.events.k8s.io", "leases.coordination.k8s.io", "componentstatuses"];

/// The kinds that are listed at the same time.
const AT_ONCE: usize = 4;

/// The most kinds of a cluster.
const MAX_KINDS: usize = 2000;

/// The longest name of a kind, below what the supervisor takes.
const MAX_NAME: usize = 200;

/// The kinds in one message to the supervisor.
const CHUNK: usize = 500;

/// Returns whether a name may select such a resource: `RESOURCE.GROUP`, a group, or one of those that are left out.
pub(super) fn is_name(name: &str) -> bool {
    name == OTHERS || name.contains('.') || LEFT_OUT.contains(&name)
}

/// Collects what no definition lists.
///
/// # Errors
/// `Cancelled` if the session is ending, `Internal` for a bug.
pub(super) async fn collect(context: HookContext<'_>, options: &Options) -> Result<(), Failure> {
    let is_kept = options.keep_uncollected || !options.namespaces.is_empty();
    if !options.collect.is_empty() && !options.collect.iter().any(|name| is_name(name)) {
        if is_kept {
            unseen(context, ANY, &Why::Kept);
        }
        return Ok(());
    }
    let (run, location) = (context.run, context.location);
    let Discovered { resources, silent } = match discover(run).await {
        Ok(found) => found,
        Err(error) => {
            unseen(context, ANY, &Why::Unseen);
            return location.report_failure(run, OTHERS, &error).await;
        }
    };
    for name in unknown(&resources, &silent, options) {
        let cluster = run.account_id();
        tracing::warn!(cluster, name, "the cluster has no such resource or group, which options name");
    }
    for (group, error) in silent.iter().filter(|(group, _)| is_wanted_group(group, options)) {
        unseen(context, &format!("{}*", prefix(group)), &Why::Unseen);
        let error = error.clone().of(group, "list", CLUSTER);
        run.report_failure(&location.label, OTHERS, &error).await?;
    }
    let (wanted, others): (Vec<_>, Vec<_>) =
        resources.into_iter().filter(is_undefined).partition(|resource| is_wanted(resource, options));
    if is_kept {
        others.iter().for_each(|resource| unseen(context, &resource.model_kind(), &Why::Kept));
    }
    let wanted = distinct(context, wanted).await?;
    let specs: Vec<KindSpec> = wanted.keys().map(|name| spec(name)).collect();
    let texts: Vec<String> =
        specs.iter().map(|spec| json!({"fqn": spec.fqn, "bases": spec.bases}).to_string()).collect();
    for chunk in texts.chunks(CHUNK) {
        run.context.kinds(chunk.to_vec()).await?;
    }
    let schema = Schema::of([kinds()?, specs].concat())?;
    let futures = wanted.iter().map(|(name, resource)| -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async { list(Listing { context, resource, kind: schema.require(name)? }).await })
    });
    at_most(AT_ONCE, futures.collect()).await
}

/// Returns whether no definition lists a resource, in whatever version.
fn is_undefined(resource: &ApiResource) -> bool {
    let list = format!("list {}", resource.resource);
    let group_of = |service: &str| service.split_once('/').map_or(String::new(), |(group, _)| group.to_owned());
    !definitions().is_ok_and(|definitions| {
        definitions.iter().any(|(service, definition)| {
            group_of(&service.service) == resource.group
                && definition.list.as_ref().is_some_and(|call| *call.operation.get_ref() == list)
        })
    })
}

/// Returns whether options select a resource. With rights in some namespaces, what is in none is not asked for.
fn is_wanted(resource: &ApiResource, options: &Options) -> bool {
    let name = resource.name();
    let is_named = |names: &[String], wanted: &str| {
        names.iter().any(|known| known == wanted || (*known == resource.group && !known.is_empty()))
    };
    let is_usual = !LEFT_OUT.contains(&name.as_str());
    let is_selected = match options.collect.is_empty() {
        true => is_usual,
        false if options.collect.contains(&name) => true,
        false => is_usual && is_named(&options.collect, OTHERS),
    };
    let is_excluded = is_named(&options.no_collect, OTHERS) || options.no_collect.contains(&name);
    is_selected && !is_excluded && (resource.is_in_namespaces || options.namespaces.is_empty())
}

/// Returns the names in options that no resource and no group has.
fn unknown<'o>(resources: &[ApiResource], silent: &[(String, CallError)], options: &'o Options) -> Vec<&'o str> {
    let is_known = |name: &str| {
        let of_group = |group: &str| group == name || name.ends_with(&format!(".{group}"));
        name == OTHERS
            || LEFT_OUT.contains(&name)
            || resources.iter().any(|resource| resource.group == name || resource.name() == name)
            || silent.iter().any(|(group, _)| of_group(group))
    };
    let named = options.collect.iter().chain(&options.no_collect).map(String::as_str);
    named.filter(|name| is_name(name) && !is_known(name)).collect()
}

/// Returns whether options may select a resource of a group.
fn is_wanted_group(group: &str, options: &Options) -> bool {
    let is_of = |name: &String| name == OTHERS || name == group || name.ends_with(&format!(".{group}"));
    let is_excluded = options.no_collect.iter().any(|name| name == OTHERS || name == group);
    (options.collect.is_empty() || options.collect.iter().any(is_of)) && !is_excluded
}

/// Returns the resources by the names of their kinds. Two groups whose names differ only in dots and dashes would share
/// one: the second is a gap, and so is what exceeds the limit.
async fn distinct(
    context: HookContext<'_>,
    mut resources: Vec<ApiResource>,
) -> Result<BTreeMap<String, ApiResource>, Failure> {
    // The same one wins in each run, in whatever order the server names them.
    resources.sort_by(|one, other| (&one.group, &one.resource).cmp(&(&other.group, &other.resource)));
    let defined: BTreeSet<String> = kinds()?.into_iter().map(|kind| kind.fqn).collect();
    let mut found = BTreeMap::new();
    for resource in resources {
        let name = resource.model_kind();
        let message = match () {
            () if defined.contains(&name) || found.contains_key(&name) => format!("another kind is named {name}"),
            () if name.len() > MAX_NAME => format!("the name of a kind has more than {MAX_NAME} characters"),
            () if found.len() >= MAX_KINDS => format!("the cluster has more than {MAX_KINDS} kinds"),
            () => {
                found.insert(name, resource);
                continue;
            }
        };
        // The core may have nodes of it, from a time without the other one.
        let known: String = name.chars().take(MAX_NAME).collect();
        unseen(context, &known, &Why::Unseen);
        let error = CallError::new(CallErrorKind::Unexpected, code::INVALID_RESOURCE, message);
        let error = error.of(&resource.api_version(), &format!("list {}", resource.resource), CLUSTER);
        context.run.report_failure(&context.location.label, OTHERS, &error).await?;
    }
    Ok(found)
}

fn spec(name: &str) -> KindSpec {
    KindSpec {
        fqn: name.to_owned(),
        bases: vec![OBJECT_KIND.to_owned()],
        origin: "discovery".to_owned(),
        ..KindSpec::default()
    }
}

/// Records that objects of a kind may be missing, in the cluster and in each namespace.
fn unseen(context: HookContext<'_>, kind: &str, why: &Why) {
    context.all().for_each(|location| context.run.unseen_other(location, kind, why));
}

/// The listing of one kind.
#[derive(Clone, Copy)]
struct Listing<'a> {
    context: HookContext<'a>,
    resource: &'a ApiResource,
    kind: &'a Kind,
}

/// Lists a resource and sends its nodes.
async fn list(listing: Listing<'_>) -> Result<(), Failure> {
    let Listing { context, resource, kind } = listing;
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
            run.report_failure(&place.label, OTHERS, &self.named(error)).await?;
        }
        for item in tree.path("items[]") {
            self.item(item).await?;
        }
        Ok(Ok(()))
    }

    fn named(&self, error: CallError) -> CallError {
        error.of(&self.resource.api_version(), &format!("list {}", self.resource.resource), CLUSTER)
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
            return run.report_failure(&location.label, OTHERS, &self.named(error)).await;
        };
        let finish =
            |with_content| self.resource(item, uid, with_content).and_then(|one| one.finish(&place.ancestors(run)));
        // Definitions of custom resources, for example, are longer than a core reads.
        let node = match finish(true) {
            Err(ResourceError::TooLong { .. }) => finish(false),
            finished => finished,
        };
        let node = match node {
            Ok(node) => node,
            Err(error) => {
                run.unseen_other(place, &self.kind.fqn, &Why::Unseen);
                let error = CallError::new(CallErrorKind::Unexpected, code::INVALID_RESOURCE, error.to_string());
                return run.report_failure(&place.label, OTHERS, &self.named(error)).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, name: &str) -> ApiResource {
        let (group, resource) = (group.to_owned(), name.to_owned());
        ApiResource { group, version: "v1".into(), resource, kind: "X".into(), is_in_namespaces: true }
    }

    fn options(collect: &[&str], no_collect: &[&str]) -> Options {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Options { collect: list(collect), no_collect: list(no_collect), ..Options::default() }
    }

    #[test]
    fn names_and_groups_select_resources() {
        let (widgets, events) = (resource("ck.test", "widgets"), resource("", "events"));
        for (collect, no_collect, expected) in [
            (&[][..], &[][..], [true, false]),
            (&["events"], &[], [false, true]),
            (&["others"], &[], [true, false]),
            (&["others", "events"], &[], [true, true]),
            (&["widgets.ck.test"], &[], [true, false]),
            (&["ck.test"], &[], [true, false]),
            (&["serving.test"], &[], [false, false]),
            (&[], &["others"], [false, false]),
            (&[], &["ck.test"], [false, false]),
            (&[], &["widgets.ck.test"], [false, false]),
            (&[], &["planets.ck.test"], [true, false]),
        ] {
            let options = options(collect, no_collect);
            let found = [&widgets, &events].map(|resource| is_wanted(resource, &options));
            assert_eq!(found, expected, "{collect:?} {no_collect:?}");
        }
        let in_one = Options { namespaces: vec!["shop".into()], ..Options::default() };
        assert!(!is_wanted(&ApiResource { is_in_namespaces: false, ..widgets }, &in_one));
    }

    #[test]
    fn unknown_names_are_found() {
        let error = CallError::configuration("down");
        let silent = [("metrics.k8s.io".to_owned(), error)];
        let names =
            ["pods", "widgets.ck.test", "ck.test", "wigdets.ck.test", "pods.metrics.k8s.io", "events", "no.such"];
        let options = options(&names, &["others"]);
        assert_eq!(unknown(&[resource("ck.test", "widgets")], &silent, &options), ["wigdets.ck.test", "no.such"]);
    }

    #[test]
    fn silent_group_counts_if_options_may_select_it() {
        for (collect, no_collect, expected) in [
            (&[][..], &[][..], true),
            (&["pods.metrics.k8s.io"], &[], true),
            (&["ck.test"], &[], false),
            (&[], &["metrics.k8s.io"], false),
            (&[], &["others"], false),
        ] {
            let options = options(collect, no_collect);
            assert_eq!(is_wanted_group("metrics.k8s.io", &options), expected, "{collect:?} {no_collect:?}");
        }
    }

    #[test]
    fn resources_with_definitions_are_no_others() {
        assert!(
            !is_undefined(&resource("", "pods")) && !is_undefined(&resource("autoscaling", "horizontalpodautoscalers"))
        );
        assert!(is_undefined(&resource("serving.test", "services")) && is_undefined(&resource("", "events")));
    }
}
