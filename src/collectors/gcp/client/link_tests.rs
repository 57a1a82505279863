//! Links of every service, and those that are refused.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::{super::model::service, *};

fn project() -> Project {
    Project { id: "example.com:app".into(), number: Some("123".into()) }
}

fn resolved(name: &str, action: &str, link: &str) -> Result<(&'static str, Values), String> {
    let found = resolve(service(name).unwrap(), action, "us-central1", link, Some(&project()));
    found.map(|(method, values)| (method.name, values))
}

/// The collections of Compute Engine that have no `delete`.
const KEPT: [&str; 8] = [
    "diskTypes",
    "machineTypes",
    "projects",
    "regionDiskTypes",
    "regionInstanceGroups",
    "regionZones",
    "regions",
    "zones",
];

#[test]
fn every_resource_of_compute_has_one_method_for_each_action() {
    let methods = || service("compute").unwrap().methods();
    for get in methods().filter(|method| method.action() == "get" && !method.name.contains("Operations")) {
        let collection = get.name.strip_suffix(".get").unwrap();
        let values: Values = get.path.parameters().map(|name| (name, "a".to_owned())).collect();
        let values =
            values.into_iter().map(|(name, value)| (name, if name == "project" { "123".into() } else { value }));
        let link = format!("https://www.googleapis.com/compute/v1/{}", get.path.fill(&values.collect()).unwrap());
        for action in ["get", "delete"] {
            if action == "delete" && KEPT.contains(&collection) {
                assert!(resolved("compute", action, &link).is_err(), "{link}");
                continue;
            }
            assert_eq!(resolved("compute", action, &link).unwrap().0, format!("{collection}.{action}"), "{link}");
            let path: Vec<_> = link.split('/').skip(5).map(Cow::Borrowed).collect();
            let fitting =
                methods().filter(|method| method.action() == action && method.path.read(action, &path).is_some());
            assert_eq!(fitting.count(), 1, "{link}");
        }
    }
}

#[test]
fn links_of_all_hosts_and_scopes_are_accepted() {
    for (name, action, link, method) in [
        (
            "compute",
            "delete",
            "https://www.googleapis.com/compute/v1/projects/123/zones/us-a/instances/i",
            "instances.delete",
        ),
        (
            "compute",
            "setLabels",
            "https://compute.googleapis.com/compute/v1/projects/example.com:app/global/snapshots/s",
            "snapshots.setLabels",
        ),
        (
            "compute",
            "setLabels",
            "https://www.googleapis.com/compute/v1/projects/123/regions/r/disks/d",
            "regionDisks.setLabels",
        ),
        (
            "compute",
            "delete",
            "https://www.googleapis.com/compute/v1/projects/123/global/forwardingRules/f",
            "globalForwardingRules.delete",
        ),
        (
            "compute",
            "wait",
            "https://www.googleapis.com/compute/v1/projects/123/global/operations/o",
            "globalOperations.wait",
        ),
        (
            "compute",
            "listInstances",
            "https://www.googleapis.com/compute/v1/projects/123/regions/r/instanceGroups/g",
            "regionInstanceGroups.listInstances",
        ),
        ("storage", "delete", "https://www.googleapis.com/storage/v1/b/a.b_c", "buckets.delete"),
        ("storage", "patch", "https://storage.googleapis.com/storage/v1/b/a", "buckets.patch"),
        (
            "sqladmin",
            "patch",
            "https://sqladmin.googleapis.com/sql/v1beta4/projects/123/instances/i",
            "instances.patch",
        ),
        ("sqladmin", "get", "https://www.googleapis.com/sql/v1beta4/projects/123/operations/o", "operations.get"),
    ] {
        assert_eq!(resolved(name, action, link).map(|(method, _)| method), Ok(method), "{link}");
    }
}

#[test]
fn project_of_link_becomes_its_id() {
    for written in ["123", "example.com:app", "example.com%3Aapp"] {
        let link = format!("https://www.googleapis.com/compute/v1/projects/{written}/global/networks/n");
        let (_, values) = resolved("compute", "get", &link).unwrap();
        assert_eq!(values, [("project", "example.com:app".to_owned()), ("network", "n".to_owned())]);
    }
}

#[test]
fn links_elsewhere_are_refused_with_reason() {
    for (name, action, link, why) in [
        (
            "compute",
            "delete",
            "http://www.googleapis.com/compute/v1/projects/123/global/networks/n",
            "begins with https://",
        ),
        ("compute", "delete", "https://www.googleapis.com", "begins with https://"),
        ("compute", "delete", "https://evil.example/compute/v1/projects/123/global/networks/n", "another host"),
        (
            "compute",
            "delete",
            "https://www.googleapis.com@evil.example/compute/v1/projects/123/global/networks/n",
            "another host",
        ),
        (
            "compute",
            "delete",
            "https://storage.googleapis.com/compute/v1/projects/123/global/networks/n",
            "another host",
        ),
        (
            "compute",
            "delete",
            "https://www.googleapis.com/compute/beta/projects/123/global/networks/n",
            "path /compute/v1/",
        ),
        ("compute", "delete", "https://www.googleapis.com/storage/v1/b/a", "path /compute/v1/"),
        ("compute", "delete", "https://www.googleapis.com/compute/v1/projects/124/global/networks/n", "of project 124"),
        ("compute", "delete", "~/global/networks/n/x", "no collection"),
        ("compute", "delete", "~/global/networks/", "an empty part"),
        ("compute", "delete", "~/global/networks/%2E.", "one of dots"),
        ("compute", "setLabels", "~/global/networks/n", "method setLabels"),
        ("compute", "delete", "~/global/networks/n?key=hidden", "has a query"),
        ("compute", "delete", "~/global/networks/%4", "incomplete escape"),
    ] {
        let link = &link.replace('~', "https://www.googleapis.com/compute/v1/projects/123");
        let error = resolved(name, action, link).unwrap_err();
        assert!(error.contains(why) && !error.contains("hidden"), "{link}: {error}");
    }
    let link = "https://www.googleapis.com/compute/v1/projects/123/global/networks/n";
    let error = resolve(service("compute").unwrap(), "get", "", link, None).unwrap_err();
    assert!(error.contains("these credentials are of none"), "{error}");
}

#[test]
fn host_with_region_accepts_that_region_only() {
    let text = "service ai\nversion v1\nhost {region}-ai.googleapis.com\npath \n\n\
                datasets.delete\tDELETE\tv1/{+name=projects/*/locations/*/datasets/*}\t-\t-\n\nA b=s\n";
    let service: &'static Service = Box::leak(Box::new(Service::parse(text).unwrap()));
    let resolve = |host: &str, project: &str| {
        let link = format!("https://{host}/v1/projects/{project}/locations/us-central1/datasets/1");
        resolve(service, "delete", "us-central1", &link, Some(&Project { id: "p".into(), number: None }))
    };
    assert!(resolve("us-central1-ai.googleapis.com", "p").is_ok());
    assert!(resolve("us-east1-ai.googleapis.com", "p").unwrap_err().contains("another host"));
    assert!(resolve("us-central1-ai.googleapis.com", "q").unwrap_err().contains("of project q"));
    assert!(host(service, "us.evil/").is_err());
}
