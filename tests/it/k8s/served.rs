//! The API that a server has: what discovery names, what "not found" means, and the records of what is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use ckworker::{
    collector_api::{CollectContext, Collector},
    collectors::k8s::Kubernetes,
    settings::{Setting, Settings},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use worker_proto::{Credentials, FromWorker, Missing, Unit, Why};

use crate::support::{
    canned::{Canned, CannedServer, reply},
    program::{self, command},
};

/// The time of a collection, in which calls that fail are repeated.
const LIMIT: Duration = Duration::from_secs(10);

/// A group: name, version, whether its server is down, and its resources, each with its kind.
type Group = (&'static str, &'static str, bool, Vec<(String, String)>);

/// What a server has, and what it gives for some paths instead.
struct Served {
    namespaces: usize,
    groups: Vec<Group>,
    instead: BTreeMap<&'static str, Canned>,
}

/// What was collected.
#[derive(Debug, Default)]
struct Collected {
    /// The kinds of the nodes.
    kinds: BTreeSet<String>,
    /// Operation, code and message.
    gaps: Vec<[String; 3]>,
    missing: Vec<Missing>,
    paths: BTreeSet<String>,
}

fn group(name: &'static str, version: &'static str, resources: &[(&str, &str)]) -> Group {
    let named = |(resource, kind): &(&str, &str)| ((*resource).to_owned(), (*kind).to_owned());
    (name, version, false, resources.iter().map(named).collect())
}

fn text(status: u16, media: &str, body: &str) -> Canned {
    (status, vec![("content-type", media.to_owned())], body.as_bytes().to_vec())
}

fn not_found() -> Canned {
    reply(404, &json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "none"}))
}

fn object(name: &str) -> Value {
    json!({"metadata": {"uid": format!("uid-{name}"), "name": name}, "spec": {"size": 1}})
}

fn list(items: &[Value]) -> Canned {
    reply(200, &json!({"kind": "XList", "metadata": {}, "items": items}))
}

impl Served {
    fn new(groups: Vec<Group>) -> Self {
        Self { namespaces: 1, groups, instead: BTreeMap::new() }
    }

    fn instead(mut self, path: &'static str, answer: Canned) -> Self {
        self.instead.insert(path, answer);
        self
    }

    /// The aggregated document of discovery; several groups of one name are its versions.
    fn discovery(&self, is_core: bool) -> Canned {
        let mut groups: Vec<(&str, Vec<Value>)> = Vec::new();
        for (name, version, is_stale, resources) in &self.groups {
            let resource = |(resource, kind): &(String, String)| json!({"resource": resource, "responseKind": {"kind": kind}, "scope": "Cluster", "verbs": ["list"]});
            let resources: Vec<Value> = resources.iter().map(resource).collect();
            let freshness = if *is_stale { "Stale" } else { "Current" };
            let version = json!({"version": version, "freshness": freshness, "resources": resources});
            match groups.iter_mut().find(|(known, _)| known == name) {
                Some((_, versions)) => versions.push(version),
                None => groups.push((name, vec![version])),
            }
        }
        let shown = groups.into_iter().filter(|(name, _)| name.is_empty() == is_core);
        let items: Vec<Value> =
            shown.map(|(name, versions)| json!({"metadata": {"name": name}, "versions": versions})).collect();
        reply(200, &json!({"kind": "APIGroupDiscoveryList", "items": items}))
    }

    fn answer(&self, line: &str) -> Canned {
        let path = line.split([' ', '?']).nth(1).unwrap();
        match path {
            _ if self.instead.contains_key(path) => self.instead[path].clone(),
            "/api" | "/apis" => self.discovery(path == "/api"),
            "/api/v1/namespaces" => {
                list(&(0..self.namespaces).map(|number| object(&format!("n{number}"))).collect::<Vec<_>>())
            }
            _ => list(&[]),
        }
    }

    async fn start(self) -> CannedServer {
        CannedServer::routed(move |_, line| self.answer(line)).await
    }

    /// Collects with these options.
    async fn collect(self, collect: &[&str], no_collect: &[&str], keeps: bool) -> Collected {
        let server = self.start().await;
        let mut settings = Settings::defaults(Kubernetes.options());
        let names = |names: &[&str]| Setting::List(names.iter().map(|name| (*name).to_owned()).collect());
        settings.set("k8s-collect", names(collect));
        settings.set("k8s-no-collect", names(no_collect));
        settings.set("keep-uncollected", Setting::Flag(keeps));
        let access = json!({"route": {"server": server.url(), "is_insecure": false}, "login": "None"});
        let credentials = Credentials { secret: access.to_string(), expires: None };
        let (context, mut frames) = CollectContext::recording(settings, Some(credentials));
        let context = context.until(Instant::now() + LIMIT);
        let name = || "c".to_owned();
        let unit =
            Unit { id: name(), label: name(), kind: "kubernetes_cluster".into(), parts: 0, payload: String::new() };
        let collecting = async {
            Kubernetes.collect(&context, &unit).await.unwrap();
            context.finish().await.unwrap();
            drop(context);
        };
        let mut collected = Collected::default();
        let reading = async {
            while let Some(frame) = frames.next().await {
                match frame {
                    FromWorker::Nodes { nodes, .. } => collected.kinds.extend(nodes.into_iter().map(|node| node.kind)),
                    FromWorker::Gap { gap, .. } => collected.gaps.push([gap.operation, gap.code, gap.message]),
                    FromWorker::Missing { missing, .. } => collected.missing.extend(missing),
                    _ => {}
                }
            }
        };
        tokio::join!(collecting, reading);
        let lines = server.arrived().into_iter();
        collected.paths = lines.map(|call| call.line.split([' ', '?']).nth(1).unwrap().to_owned()).collect();
        collected
    }
}

impl Collected {
    fn has(&self, kind: &str) -> bool {
        self.kinds.contains(kind)
    }

    /// The reasons why a kind that only discovery knows is missing in the whole cluster.
    fn in_all(&self, wanted: &str) -> Vec<Why> {
        let reason = |missing: &Missing| match missing {
            Missing::KindInAll { places, kind, why, .. } if kind == wanted && places == "kubernetes_namespace" => {
                Some(why.clone())
            }
            _ => None,
        };
        self.missing.iter().filter_map(reason).collect()
    }
}

#[tokio::test]
async fn not_found_is_a_gap_unless_discovery_lacks_the_group() {
    let plain = || text(404, "text/plain; charset=utf-8", "404 page not found\n");
    let proxy = || text(404, "text/plain", "default backend - 404");
    let page = || text(404, "text/html", "<html>not here</html>");
    for (answer, code) in
        [(plain(), "UnknownApi"), (not_found(), "NotFound"), (proxy(), "InvalidResponse"), (page(), "InvalidResponse")]
    {
        // One kind that only discovery knows, and one that a definition lists.
        let served = Served::new(vec![
            group("ck.test", "v1", &[("moons", "Moon")]),
            group("policy", "v1", &[("poddisruptionbudgets", "X")]),
        ]);
        let served = served.instead("/apis/ck.test/v1/moons", answer.clone());
        let served = served.instead("/apis/policy/v1/poddisruptionbudgets", answer);
        let found = served.collect(&["others", "poddisruptionbudgets"], &[], false).await;
        let gaps: BTreeSet<(&str, &str)> =
            found.gaps.iter().map(|[call, code, _]| (call.as_str(), code.as_str())).collect();
        assert_eq!(gaps, [("list moons", code), ("list poddisruptionbudgets", code)].into(), "{:?}", found.gaps);
        assert_eq!(found.in_all("kubernetes_ck_test_moon"), [Why::Unseen], "{code}");
    }
    for (groups, is_gap) in [
        (vec![group("ck.test", "v1", &[])], false),
        // The group is there, but does not have the kind.
        (vec![group("policy", "v1", &[("others", "Other")])], true),
        // Whether its server has the kind is not known.
        (vec![("policy", "v1", true, Vec::new())], true),
    ] {
        let served = Served::new(groups).instead("/apis/policy/v1/poddisruptionbudgets", plain());
        let found = served.collect(&["poddisruptionbudgets"], &[], false).await;
        assert_eq!(!found.gaps.is_empty(), is_gap, "{:?}", found.gaps);
        let why = found.missing.iter().find_map(|missing| match missing {
            Missing::Kind { kind, why, .. } if kind == "kubernetes_pod_disruption_budget" => Some(why.clone()),
            _ => None,
        });
        assert_eq!(matches!(why, Some(Why::NotInUse { .. })), !is_gap, "{why:?}");
    }
}

#[tokio::test]
async fn kind_is_collected_in_the_version_that_has_it() {
    let budgets = [("poddisruptionbudgets", "PodDisruptionBudget")];
    let served = Served::new(vec![
        group("ck.test", "v2", &[("stars", "Star")]),
        group("ck.test", "v1", &[("moons", "Moon"), ("stars", "Star")]),
        group("policy", "v1beta1", &budgets),
    ]);
    let served = served.instead("/apis/ck.test/v1/moons", list(&[object("m")]));
    let served = served.instead("/apis/ck.test/v2/stars", list(&[object("s")]));
    let served = served.instead("/apis/policy/v1/poddisruptionbudgets", not_found());
    let mut budget = object("b");
    budget["metadata"]["namespace"] = "n0".into();
    let served = served.instead("/apis/policy/v1beta1/poddisruptionbudgets", list(&[budget]));
    let found = served.collect(&["others", "poddisruptionbudgets"], &[], false).await;
    for kind in ["kubernetes_ck_test_moon", "kubernetes_ck_test_star", "kubernetes_pod_disruption_budget"] {
        assert!(found.has(kind), "{kind}: {found:?}");
    }
    assert!(found.gaps.is_empty() && !found.paths.contains("/apis/ck.test/v1/stars"), "{found:?}");
}

#[tokio::test]
async fn list_without_items_is_a_gap_and_null_is_empty() {
    for (items, is_gap) in [(json!({"items": null}), false), (json!({"items": []}), false), (json!({}), true)] {
        let mut body = json!({"kind": "MoonList", "metadata": {}});
        body.as_object_mut().unwrap().extend(items.as_object().unwrap().clone());
        let served = Served::new(vec![group("ck.test", "v1", &[("moons", "Moon")])]);
        let found = served.instead("/apis/ck.test/v1/moons", reply(200, &body)).collect(&["others"], &[], false).await;
        assert_eq!(found.gaps.iter().any(|[_, code, _]| code == "InvalidResponse"), is_gap, "{items}: {found:?}");
        assert_eq!(!found.in_all("kubernetes_ck_test_moon").is_empty(), is_gap, "{items}");
    }
    let discovery = reply(200, &json!({"kind": "APIGroupDiscoveryList", "metadata": {}}));
    let found = Served::new(Vec::new()).instead("/apis", discovery).collect(&["others"], &[], false).await;
    assert_eq!((found.gaps.len(), found.in_all("kubernetes_*")), (1, vec![Why::Unseen]), "{found:?}");
}

#[tokio::test]
async fn excluded_group_whose_server_is_down_is_no_gap() {
    for (no_collect, keeps, gaps, expected) in [
        (&[][..], false, 1, vec![Why::Unseen]),
        (&[], true, 1, vec![Why::Unseen]),
        (&["metrics.k8s.io"], false, 0, vec![]),
        (&["metrics.k8s.io"], true, 0, vec![Why::Kept]),
        (&["others"], true, 0, vec![Why::Kept]),
    ] {
        let served = Served::new(vec![("metrics.k8s.io", "v1beta1", true, Vec::new())]);
        let found = served.collect(&[], no_collect, keeps).await;
        assert_eq!(found.gaps.len(), gaps, "{no_collect:?} {keeps}: {:?}", found.gaps);
        assert_eq!(found.in_all("kubernetes_metrics_k8s_io_*"), expected, "{no_collect:?} {keeps}");
    }
}

#[tokio::test]
async fn records_of_missing_kinds_do_not_grow_with_namespaces() {
    const KINDS: usize = 30;
    let mut counts = Vec::new();
    for (namespaces, is_refused) in [(1, true), (60, true), (1, false), (60, false)] {
        let resources = (0..KINDS).map(|number| (format!("moons{number}"), format!("Moon{number}")));
        let mut served = Served::new(vec![("ck.test", "v1", false, resources.collect())]);
        served.namespaces = namespaces;
        let found = match is_refused {
            true => {
                let refused = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403});
                let paths = (0..KINDS).map(|number| &*format!("/apis/ck.test/v1/moons{number}").leak());
                served.instead.extend(paths.map(|path| (path, reply(403, &refused))));
                served.collect(&["others"], &[], false).await
            }
            // An option excludes them all.
            false => served.collect(&[], &["others"], true).await,
        };
        let of_kinds = found.missing.iter().filter(|one| format!("{one:?}").contains("kubernetes_ck_test_moon"));
        counts.push(of_kinds.count());
        assert_eq!(found.in_all("kubernetes_ck_test_moon7"), [if is_refused { Why::Unseen } else { Why::Kept }]);
    }
    assert_eq!(counts, [KINDS; 4]);
}

#[tokio::test]
async fn objects_that_are_too_long_are_named_in_the_log() {
    let mut long = object("long");
    long["metadata"]["namespace"] = "n0".into();
    long["spec"]["text"] = "x".repeat(200_000).into();
    let mut other = long.clone();
    other["metadata"]["uid"] = "uid-other".into();
    let served = Served::new(vec![group("ck.test", "v1", &[("moons", "Moon"), ("stars", "Star")])]);
    let served = served.instead("/apis/ck.test/v1/moons", list(&[object("short"), long, other]));
    let served = served.instead("/apis/ck.test/v1/stars", list(&[object("star")]));
    let server = served.start().await;
    let home = tempfile::tempdir().unwrap();
    let (file, config) = (home.path().join("graph.ndjson"), home.path().join("config"));
    let kubeconfig = json!({
        "current-context": "c", "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server.url()}}],
    });
    fs::write(&config, kubeconfig.to_string()).unwrap();
    let mut command = command(&["collect", "--output", file.to_str().unwrap()]);
    crate::support::k8s::serve(&mut command, &config).args(["--k8s-collect", "others", "--fork", "--k8s-fork"]);
    let output = tokio::task::spawn_blocking(move || program::run(&mut command)).await.unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let warned: Vec<&str> = output.stderr.lines().filter(|line| line.contains("longer than a core reads")).collect();
    let expected = ["kubernetes_ck_test_moon", "objects=2", "n0/long"];
    assert!(warned.len() == 1 && expected.iter().all(|part| warned[0].contains(part)), "{}", output.stderr);
    let graph = fs::read_to_string(file).unwrap();
    assert!(graph.contains("uid-long") && graph.contains("uid-short") && !graph.contains("xxxx"));
}
