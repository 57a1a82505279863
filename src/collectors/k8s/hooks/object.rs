//! Changes of objects: labels and deletion, each guarded by the object's UID. The object is read first, as another one
//! may have its name by now, and as what a controller owns is changed through its owner.

use serde_json::{Map, Value, json};
use worker_proto::{Failure, Outcome};

use super::super::cloud::cloud;
use crate::engine::{CallError, Request, Response, Tree, change::Change};

/// The resources of which only metadata is read, as their content may be a secret.
const SECRET: [&str; 2] = ["configmaps", "secrets"];

/// What is known of an object before its change.
enum Found {
    /// It is as it was collected.
    Same(Tree<'static>),
    /// It does not exist.
    Gone(CallError),
    /// The change is not made.
    Refused(Outcome),
}

/// A controller that owns an object.
struct Controller {
    kind: String,
    name: String,
    /// The controller as it is; `None` if it cannot be read.
    object: Option<Tree<'static>>,
}

/// Sets a label, or removes it.
pub(super) async fn label(change: &Change, key: &str, value: Option<&str>) -> Result<Outcome, Failure> {
    let object = match find(change).await? {
        Found::Same(object) => object,
        Found::Gone(error) => return Err(change.failure(&error)),
        Found::Refused(outcome) => return Ok(outcome),
    };
    if object.at("metadata.labels").and_then(|labels| labels.get(key)).and_then(Tree::text) == value {
        return Ok(Outcome::Done);
    }
    if let Some(Controller { kind, name, object: Some(owner) }) = controller(change, &object).await? {
        let selector = owner.at("spec.selector").map(|selector| selector.get("matchLabels").unwrap_or(selector));
        if selector.is_some_and(|labels| labels.get(key).is_some()) {
            return Ok(change.nothing(&format!("its {kind} {name} selects by the label {key}, and would lose it")));
        }
    }
    let body = json!({ "metadata": { "labels": { key: value }, "uid": change.target.id } });
    match call(change, "patch", Some(body)).await? {
        Ok(_) => Ok(Outcome::Done),
        // The server takes another UID for an attempt to change it.
        Err(error) if error.code == "Invalid" && error.message.contains("metadata.uid") => {
            Ok(change.nothing("another resource has its name now"))
        }
        Err(error) => Err(change.failure(&error)),
    }
}

/// Deletes an object, and in the background what it owns.
pub(super) async fn delete(change: &Change) -> Result<Outcome, Failure> {
    let object = match find(change).await? {
        Found::Same(object) => object,
        Found::Gone(_) => return Ok(Outcome::Done),
        Found::Refused(outcome) => return Ok(outcome),
    };
    // The server deletes it when all that holds it has let go.
    if object.at("metadata.deletionTimestamp").is_some() {
        return Ok(Outcome::Done);
    }
    if let Some(Controller { kind, name, .. }) = controller(change, &object).await? {
        let why = format!("its controller, the {kind} {name}, would create it again; delete the {kind} instead");
        return Ok(change.nothing(&why));
    }
    let body = json!({ "preconditions": { "uid": change.target.id }, "propagationPolicy": "Background" });
    match call(change, "delete", Some(body)).await? {
        Ok(_) => Ok(Outcome::Done),
        Err(error) if error.means_deleted() => Ok(Outcome::Done),
        Err(error) if error.means_changed() => Ok(change.nothing("another resource has its name now")),
        Err(error) => Err(change.failure(&error)),
    }
}

/// Reads the object.
async fn find(change: &Change) -> Result<Found, Failure> {
    let response = match call(change, "get", None).await? {
        Err(error) if error.means_deleted() => return Ok(Found::Gone(error)),
        response => response.map_err(|error| change.failure(&error))?,
    };
    let object = owned(&response.tree().map_err(|error| change.failure(&error))?);
    match object.at("metadata.uid").and_then(Tree::text) {
        Some(uid) if uid == change.target.id => Ok(Found::Same(object)),
        Some(uid) => Ok(Found::Refused(change.is_another("id", uid))),
        None => Err(change.failed("the response has no UID")),
    }
}

/// Returns the controller that owns an object, unless it does not exist any more or is being deleted itself.
async fn controller(change: &Change, object: &Tree<'_>) -> Result<Option<Controller>, Failure> {
    let owners = object.path("metadata.ownerReferences[]");
    let controls = |owner: &&Tree<'_>| owner.get("controller").and_then(Tree::bool) == Some(true);
    let Some(owner) = owners.into_iter().find(controls) else { return Ok(None) };
    let text = |name: &str| owner.get(name).and_then(Tree::text).unwrap_or_default().to_owned();
    let (version, kind, name, uid) = (text("apiVersion"), text("kind"), text("name"), text("uid"));
    let Some(Owner { service, resource, is_secret }) = resource_of(&version, &kind)? else {
        return Ok(Some(Controller { kind, name, object: None }));
    };
    let (get, mut parameters) = (format!("get {resource}"), Map::new());
    parameters.insert("metadata".to_owned(), is_secret.into());
    parameters.insert("name".to_owned(), name.clone().into());
    // An owner in no namespace may own objects in one.
    if let Some(namespace) = object.at("metadata.namespace").and_then(Tree::text).filter(|_| kind != "Node") {
        parameters.insert("namespace".to_owned(), namespace.into());
    }
    let request = Request::new(&service, &get, &change.region).input(parameters);
    let response = match change.send(request).await {
        Err(error) if error.means_deleted() => return Ok(None),
        // Without the right to read it, it counts as there.
        Err(_) => return Ok(Some(Controller { kind, name, object: None })),
        Ok(response) => response,
    };
    let object = owned(&response.tree().map_err(|error| change.failure(&error))?);
    let is_other = object.at("metadata.uid").and_then(Tree::text) != Some(&uid);
    let is_going = object.at("metadata.deletionTimestamp").is_some();
    Ok((!is_other && !is_going).then_some(Controller { kind, name, object: Some(object) }))
}

/// Where the API server has an owner.
#[derive(Debug, PartialEq)]
struct Owner {
    /// Group and version.
    service: String,
    resource: String,
    /// Whether only its metadata may be read.
    is_secret: bool,
}

/// Returns where a kind is that has a definition.
fn resource_of(version: &str, kind: &str) -> Result<Option<Owner>, Failure> {
    let wanted = format!("kubernetes_{}", snake(kind));
    let found = cloud()?.find(&wanted).filter(|(service, _)| service.service == version);
    Ok(found.and_then(|(service, definition)| {
        let list = definition.list.as_ref()?;
        let resource = list.operation.get_ref().strip_prefix("list ")?.to_owned();
        let is_secret = SECRET.contains(&resource.as_str());
        Some(Owner { service: service.service.clone(), resource, is_secret })
    }))
}

/// Returns a name in capitals as one with underscores: `ReplicaSet` as `replica_set`, `CSINode` as `csi_node`.
pub(in super::super) fn snake(kind: &str) -> String {
    let chars: Vec<char> = kind.chars().collect();
    let mut out = String::with_capacity(kind.len() + 4);
    for (index, current) in chars.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| chars.get(before));
        let after = chars.get(index + 1);
        let begins_word = current.is_ascii_uppercase()
            && before.is_some_and(|before| {
                !before.is_ascii_uppercase() || after.is_some_and(|after| after.is_ascii_lowercase())
            });
        if begins_word {
            out.push('_');
        }
        out.push(if current.is_ascii_alphanumeric() { current.to_ascii_lowercase() } else { '_' });
    }
    out
}

/// Where the API server has the target.
struct Address {
    service: String,
    resource: String,
    namespace: Option<String>,
}

/// Returns the address of the target: that of its definition, or for kinds that only discovery knows that of its node.
fn address(change: &Change) -> Result<Address, Failure> {
    let target = &change.target;
    let missing = |what: &str| change.failed(&format!("the core has no {what} of it; collect it again"));
    if let (Some(service), Some(resource)) = (target.text("api_version"), target.text("api_resource")) {
        let namespace = target.text("namespace").map(str::to_owned);
        return Ok(Address { service: service.to_owned(), resource: resource.to_owned(), namespace });
    }
    let found = cloud()?.find(&target.kind);
    let (service, definition) = found.ok_or_else(|| missing("API version"))?;
    let list = definition.list.as_ref().map(|list| list.operation.get_ref().as_str());
    let resource = list.and_then(|list| list.strip_prefix("list ")).ok_or_else(|| missing("API resource"))?;
    let namespace = match definition.location.is_empty() {
        true => None,
        false => {
            let name = target.region.as_ref().and_then(|namespace| namespace.name.clone());
            Some(name.ok_or_else(|| missing("namespace"))?)
        }
    };
    Ok(Address { service: service.service.clone(), resource: resource.to_owned(), namespace })
}

/// Makes a call for the target. Its metadata is all that is needed, and the rest may be a secret.
async fn call(change: &Change, verb: &str, body: Option<Value>) -> Result<Result<Response, CallError>, Failure> {
    let Address { service, resource, namespace } = address(change)?;
    let name = change.target.name.clone();
    let mut input = Map::from_iter([("name".to_owned(), name.into()), ("metadata".to_owned(), true.into())]);
    input.extend(namespace.map(|namespace| ("namespace".to_owned(), namespace.into())));
    input.extend(body.map(|body| ("body".to_owned(), body)));
    Ok(change.send(Request::new(&service, &format!("{verb} {resource}"), &change.region).input(input)).await)
}

fn owned(tree: &Tree<'_>) -> Tree<'static> {
    Tree::from(serde_json::to_value(tree).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn kinds_become_names_with_underscores() {
        for (kind, expected) in [
            ("Pod", "pod"),
            ("ReplicaSet", "replica_set"),
            ("CSINode", "csi_node"),
            ("CSIStorageCapacity", "csi_storage_capacity"),
            ("APIService", "api_service"),
            ("IPAddress", "ip_address"),
            ("ServiceCIDR", "service_cidr"),
            ("HorizontalPodAutoscaler", "horizontal_pod_autoscaler"),
            ("widget", "widget"),
            ("My-Kind2", "my__kind2"),
        ] {
            assert_eq!(snake(kind), expected);
        }
    }

    #[test]
    fn owners_of_defined_kinds_can_be_read() {
        for (version, kind, expected) in [
            ("apps/v1", "ReplicaSet", Some(("replicasets", false))),
            ("v1", "ReplicationController", Some(("replicationcontrollers", false))),
            ("v1", "Secret", Some(("secrets", true))),
            ("v1", "ConfigMap", Some(("configmaps", true))),
            ("serving.test/v1", "Service", None),
            ("ck.test/v1", "Widget", None),
        ] {
            let owner = |(resource, is_secret): (&str, bool)| Owner {
                service: version.to_owned(),
                resource: resource.to_owned(),
                is_secret,
            };
            assert_eq!(resource_of(version, kind).unwrap(), expected.map(owner), "{kind}");
        }
    }
}
