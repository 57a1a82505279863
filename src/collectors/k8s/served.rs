//! The API of a cluster, in the versions that its server has.
//!
//! A definition names one version of a group. If a server answers that there is none, its discovery decides: a resource
//! that it has in another version is asked for there, one that it has in this version is a failed call, and only a group
//! that discovery does not name is not in use. A proxy may answer "not found" as well as an API server.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use super::{
    client::{Client, DISCOVERY_SERVICE, error::UNKNOWN_API},
    discovery::{Discovered, discover},
};
use crate::{
    collector_api::BoxFuture,
    engine::{Api, CallError, CallErrorKind, Request, Response},
};

/// The API of a cluster.
pub(super) struct ServedApi {
    client: Client,
    discovered: OnceCell<Result<Discovered, CallError>>,
    /// The services of resources that are in another version than their definition says, by service and resource.
    moved: Mutex<HashMap<(String, String), String>>,
}

/// Where a server has a resource that it did not find.
#[derive(Debug, PartialEq)]
enum Place {
    /// In another version of the group, as a service.
    In(String),
    /// In no version that discovery has read.
    Missing(CallError),
}

impl ServedApi {
    /// Returns an API; contacts nothing.
    pub(super) fn new(client: Client) -> Self {
        Self { client, discovered: OnceCell::new(), moved: Mutex::default() }
    }

    /// Returns what the server has. It is asked once.
    ///
    /// # Errors
    /// If the list of groups cannot be read.
    pub(super) async fn discovered(&self) -> &Result<Discovered, CallError> {
        self.discovered.get_or_init(|| discover(&self.client)).await
    }

    /// Makes a call in another version, if the definition's has not been found before.
    async fn send(&self, request: Request<'_>) -> Result<Response, CallError> {
        let key = (request.service.to_owned(), resource(&request).to_owned());
        let known = self.moved.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(service) = known {
            return self.send_to(&service, request).await;
        }
        let error = match self.client.call(request.clone()).await {
            Err(error) if is_absent(&request, &error) => error,
            answer => return answer.map(Response::new),
        };
        let place = match self.discovered().await {
            Ok(found) => found.place(&request, error),
            Err(why) => Place::Missing(explained(error, &format!("; its discovery cannot be read: {}", why.message))),
        };
        match place {
            Place::Missing(error) => Err(error),
            Place::In(service) => {
                self.moved.lock().unwrap_or_else(PoisonError::into_inner).insert(key, service.clone());
                self.send_to(&service, request).await
            }
        }
    }

    /// Makes a call to another service. Its errors name the one that the caller knows.
    async fn send_to(&self, service: &str, request: Request<'_>) -> Result<Response, CallError> {
        let (known, operation, region) = (request.service, request.operation, request.region);
        let answer = self.client.call(Request { service, ..request }).await;
        answer.map(Response::new).map_err(|error| error.of(known, operation, region))
    }
}

impl Api for ServedApi {
    fn call<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, CallError>> {
        Box::pin(self.send(request))
    }

    fn limit_page(&self, request: &mut Request<'_>) {
        self.client.limit_page(request);
    }
}

impl Discovered {
    /// Returns where a resource is that the server did not find.
    fn place(&self, request: &Request<'_>, error: CallError) -> Place {
        let ((group, version), resource) = (split(request.service), resource(request));
        let is_it = |(of, name, _): &&(String, String, String)| of == group && name == resource;
        let versions: Vec<&str> = self.versions.iter().filter(is_it).map(|(_, _, version)| version.as_str()).collect();
        if versions.contains(&version) {
            return Place::Missing(explained(error, &format!(", although its discovery names {resource}")));
        }
        // The first one is that which the group prefers.
        let preferred = self.resources.iter().find(|one| one.group == group && one.resource == resource);
        if let Some(other) = preferred {
            return Place::In(other.api_version());
        }
        if let Some((_, silent)) = self.silent.iter().find(|(silent, _)| silent == group) {
            return Place::Missing(silent.clone().of(request.service, request.operation, request.region));
        }
        let mut error = error;
        let has_group = self.resources.iter().any(|one| one.group == group);
        error.facts.is_not_in_use = !has_group && is_list(request);
        Place::Missing(error)
    }
}

fn explained(mut error: CallError, more: &str) -> CallError {
    error.message = format!("{}{more}", error.message).into();
    error
}

/// Returns whether an error says that the server does not have what a call is about. Of an object that is not found, the
/// resource is there.
fn is_absent(request: &Request<'_>, error: &CallError) -> bool {
    let says_so = error.code == UNKNOWN_API || is_list(request);
    request.service != DISCOVERY_SERVICE && error.kind == CallErrorKind::NotFound && says_so
}

fn is_list(request: &Request<'_>) -> bool {
    request.operation.starts_with("list ")
}

/// Returns the resource of a call: that of `list pods` is `pods`.
fn resource<'r>(request: &Request<'r>) -> &'r str {
    request.operation.split_once(' ').map_or("", |(_, resource)| resource)
}

/// Returns group and version of a service; the group of `v1` is empty.
fn split(service: &str) -> (&str, &str) {
    service.split_once('/').unwrap_or(("", service))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::k8s::discovery::ApiResource;

    fn found(all: &[(&str, &str, &str)], silent: &[&str]) -> Discovered {
        let resource = |(group, version, resource): &(&str, &str, &str)| ApiResource {
            group: (*group).into(),
            version: (*version).into(),
            resource: (*resource).into(),
            kind: "X".into(),
            is_in_namespaces: true,
        };
        let down = |group: &&str| ((*group).to_owned(), CallError::new(CallErrorKind::Unavailable, "Down", "down"));
        let resources: Vec<_> = all.iter().map(resource).collect();
        let key = |one: &ApiResource| (one.group.clone(), one.resource.clone(), one.version.clone());
        let versions = resources.iter().map(key).collect();
        Discovered { resources, versions, silent: silent.iter().map(down).collect() }
    }

    #[test]
    fn discovery_decides_what_not_found_means() {
        let found = found(
            &[
                ("policy", "v1beta1", "budgets"),
                ("ck.test", "v2", "moons"),
                ("ck.test", "v1", "moons"),
                ("", "v1", "pods"),
            ],
            &["down.test", "ck.test"],
        );
        let absent = || CallError::new(CallErrorKind::NotFound, UNKNOWN_API, "no such API");
        for (service, operation, expected) in [
            ("policy/v1", "list budgets", Ok("policy/v1beta1")),
            ("policy/v1", "patch budgets", Ok("policy/v1beta1")),
            ("ck.test/v3", "list moons", Ok("ck.test/v2")),
            ("ck.test/v1", "list moons", Err((UNKNOWN_API, false))),
            ("v1", "list pods", Err((UNKNOWN_API, false))),
            ("v1", "list nopes", Err((UNKNOWN_API, false))),
            ("policy/v1", "list others", Err((UNKNOWN_API, false))),
            ("down.test/v1", "list moons", Err(("Down", false))),
            ("none.test/v1", "list moons", Err((UNKNOWN_API, true))),
            ("none.test/v1", "patch moons", Err((UNKNOWN_API, false))),
        ] {
            let place = found.place(&Request::new(service, operation, ""), absent());
            match (&place, expected) {
                (Place::In(other), Ok(expected)) => assert_eq!(other, expected, "{service} {operation}"),
                (Place::Missing(error), Err(expected)) => {
                    let actual = (error.code.as_str(), error.facts.is_not_in_use);
                    assert_eq!(actual, expected, "{service} {operation}");
                }
                _ => assert_eq!(format!("{place:?}"), format!("{expected:?}"), "{service} {operation}"),
            }
        }
    }

    #[test]
    fn missing_objects_need_no_discovery() {
        for (code, operation, expected) in [
            ("NotFound", "list pods", true),
            (UNKNOWN_API, "list pods", true),
            (UNKNOWN_API, "get pods", true),
            ("NotFound", "get pods", false),
            ("NotFound", "delete pods", false),
        ] {
            let error = CallError::new(CallErrorKind::NotFound, code, "");
            assert_eq!(is_absent(&Request::new("v1", operation, ""), &error), expected, "{code} {operation}");
            let other = CallError::new(CallErrorKind::Unavailable, code, "");
            assert!(!is_absent(&Request::new("v1", operation, ""), &other));
        }
    }
}
