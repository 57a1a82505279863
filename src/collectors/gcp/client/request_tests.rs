//! Requests of each kind, and wrong parameters.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

fn project() -> Project {
    Project { id: "example.com:app".into(), number: Some("123".into()) }
}

fn built(service: &str, operation: &str, input: Value) -> Result<Outgoing, String> {
    let input = input.as_object().unwrap().clone();
    outgoing(&Request::new(service, operation, "global").input(input), Some(&project()))
}

fn target(service: &str, operation: &str, input: Value) -> String {
    built(service, operation, input).unwrap().target
}

#[test]
fn project_is_the_clients_unless_given() {
    assert_eq!(target("compute", "regions.list", json!({})), "compute/v1/projects/example.com%3Aapp/regions");
    assert_eq!(target("compute", "regions.list", json!({"project": "other"})), "compute/v1/projects/other/regions");
    assert_eq!(target("storage", "buckets.list", json!({})), "storage/v1/b?project=example.com%3Aapp");
    let about = |input| built("compute", "regions.list", input).unwrap().project.unwrap();
    assert_eq!(about(json!({})), project());
    assert_eq!(about(json!({"project": "other"})), Project { id: "other".into(), number: None });
    let request = Request::new("compute", "regions.list", "global");
    assert!(outgoing(&request, None).unwrap_err().contains("parameter project is missing"));
}

#[test]
fn parameters_go_to_path_query_and_body() {
    let input =
        json!({"zone": "us-a", "instanceGroup": "g", "maxResults": 5, "filter": "a=b & c", "instanceState": "ALL"});
    let outgoing = built("compute", "instanceGroups.listInstances", input).unwrap();
    assert_eq!(
        outgoing.target,
        "compute/v1/projects/example.com%3Aapp/zones/us-a/instanceGroups/g/listInstances?filter=a%3Db%20%26%20c&maxResults=5"
    );
    assert_eq!(outgoing.body.as_deref(), Some("{\"instanceState\":\"ALL\"}"));
    assert_eq!((outgoing.host.as_str(), outgoing.method.verb), ("compute.googleapis.com", "POST"));
    let list = built("cloudbilling", "services.skus.list", json!({"parent": "services/6F81"})).unwrap();
    assert_eq!((list.target.as_str(), list.body), ("v1/services/6F81/skus", None));
    assert_eq!(
        target("cloudresourcemanager.v3", "projects.search", json!({"query": "id:a"})),
        "v3/projects:search?query=id%3Aa"
    );
}

#[test]
fn null_in_a_body_removes_a_member() {
    let outgoing = built("storage", "buckets.patch", json!({"bucket": "b", "labels": {"a": null, "b": "c"}})).unwrap();
    assert_eq!(outgoing.body.unwrap(), r#"{"labels":{"a":null,"b":"c"}}"#);
    let labels = json!({"instance": "i", "settings": {"userLabels": {"a": null}}, "project": "p"});
    assert_eq!(
        built("sqladmin", "instances.patch", labels).unwrap().body.unwrap(),
        r#"{"settings":{"userLabels":{"a":null}}}"#
    );
}

#[test]
fn wrong_parameters_are_named() {
    for (service, operation, input, why) in [
        ("nowhere", "a.b", json!({}), "no model of the service nowhere"),
        ("compute", "instances.explode", json!({}), "no method instances.explode"),
        ("compute", "delete", json!({}), "parameter link is missing"),
        ("compute", "delete", json!({"link": "https://evil.example/a"}), "another host"),
        ("compute", "instances.get", json!({"zone": "z"}), "parameter instance is missing"),
        ("compute", "instances.get", json!({"zone": "z", "instance": ".."}), "lead to another path"),
        ("compute", "instances.get", json!({"zone": "z", "instance": ["a"]}), "parameter instance cannot be a list"),
        ("compute", "regions.list", json!({"colour": "red"}), "no parameter colour"),
        ("storage", "buckets.patch", json!({"bucket": "b", "colour": "red"}), "Bucket has no member colour"),
        (
            "storage",
            "buckets.patch",
            json!({"bucket": "b", "labels": {"a": 1}}),
            "labels: a number cannot be sent as text",
        ),
        ("storage", "buckets.patch", json!({"bucket": "b", "labels": "a"}), "labels: a string cannot be sent as map"),
    ] {
        let error = built(service, operation, input).unwrap_err();
        assert!(error.contains(why), "{service} {operation}: {error}");
    }
}

#[test]
fn changes_have_a_request_id_of_their_own() {
    let link = "https://www.googleapis.com/compute/v1/projects/123/zones/z/disks/d";
    let id = |input| target("compute", "delete", input).split_once("requestId=").unwrap().1.to_owned();
    let (first, second) = (id(json!({"link": link})), id(json!({"link": link})));
    assert!(first != second && first.len() == 36 && first.as_bytes()[14] == b'4', "{first} {second}");
    assert!(matches!(first.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{first}");
    assert_eq!(id(json!({"link": link, "requestId": "mine"})), "mine");
    let labels = json!({"link": link, "labels": {"a": "b"}, "labelFingerprint": "42"});
    let outgoing = built("compute", "setLabels", labels).unwrap();
    assert!(outgoing.target.starts_with("compute/v1/projects/example.com%3Aapp/zones/z/disks/d/setLabels?requestId="));
    assert_eq!(outgoing.body.unwrap(), r#"{"labelFingerprint":"42","labels":{"a":"b"}}"#);
    assert!(!target("compute", "get", json!({"link": link})).contains("requestId"));
}
