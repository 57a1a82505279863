//! The API of the invented cloud: two regions with two zones each, and what its calls are told to do wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

/// The zones.
pub const ZONES: [&str; 4] = ["north-a", "north-b", "south-a", "south-b"];
/// The servers of a zone.
pub const SERVERS: usize = 3;
/// The items of a page.
const PAGE: usize = 5;

/// A fault: the status, the wait in seconds, and how often; forever if `None`.
pub type Fault = (u16, Option<u64>, Option<usize>);

/// A peering: its account and ID, and the addresses of the networks before and behind it.
pub type Peering = (&'static str, &'static str, &'static str, &'static [&'static str]);

#[derive(Default)]
struct State {
    faults: BTreeMap<String, Fault>,
    /// The calls: method, path and query.
    calls: Vec<String>,
    /// By path: until when it asked for a pause.
    paused: BTreeMap<String, Instant>,
    /// The calls that came before the end of such a pause.
    hasty: usize,
    /// A zone that the list of regions lacks.
    hidden: Option<&'static str>,
    /// Whether the servers do not say in which zone they are.
    is_zone_missing: bool,
    /// A zone that the list of regions has twice, and the region in which it is listed again.
    doubled: Option<(&'static str, &'static str)>,
    /// By path: the locations that do not answer its calls. Their items are missing.
    silent: BTreeMap<String, Vec<&'static str>>,
    /// The items that do not exist any more, by the end of their link.
    deleted: Vec<&'static str>,
    /// The peerings: account, ID, the network before it, and those behind it.
    peerings: Vec<Peering>,
    /// The accounts whose tokens are rejected.
    rejected: Vec<&'static str>,
    /// Whether the cursor of networks leads to the same page again.
    is_cursor_stuck: bool,
}

/// The running server.
pub struct Server {
    /// The address.
    pub base: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(serve(listener, Arc::clone(&state), base.clone()));
        Self { base, state, task }
    }

    /// Makes calls whose path begins so fail.
    pub fn fail(&self, path: &str, fault: Fault) {
        self.state.lock().unwrap().faults.insert(path.to_owned(), fault);
    }

    /// Takes a zone out of the list of regions.
    pub fn hide(&self, zone: &'static str) {
        self.state.lock().unwrap().hidden = Some(zone);
    }

    /// Lists a zone once more, in this region.
    pub fn double(&self, zone: &'static str, region: &'static str) {
        self.state.lock().unwrap().doubled = Some((zone, region));
    }

    /// Makes the cursor of networks lead to the same page again.
    pub fn stick(&self) {
        self.state.lock().unwrap().is_cursor_stuck = true;
    }

    /// Makes locations not answer calls whose path begins so.
    pub fn silence(&self, path: &str, locations: &[&'static str]) {
        self.state.lock().unwrap().silent.insert(path.to_owned(), locations.to_vec());
    }

    /// Deletes an item, named by the end of its link.
    pub fn delete(&self, link: &'static str) {
        self.state.lock().unwrap().deleted.push(link);
    }

    /// Answers that the service of the regions is not in use; other services have nothing in them.
    pub fn unlist_regions(&self) {
        for path in ["regions", "networks", "aggregated", "images", "overview", "keys", "peerings"] {
            self.fail(path, (410, None, None));
        }
        ["/buckets/bucket-north", "/buckets/bucket-south"].iter().for_each(|bucket| self.delete(bucket));
    }

    /// Sets the peerings of all accounts.
    pub fn peer(&self, peerings: &[Peering]) {
        self.state.lock().unwrap().peerings = peerings.to_vec();
    }

    /// Rejects the tokens of an account.
    pub fn reject(&self, account: &'static str) {
        self.state.lock().unwrap().rejected.push(account);
    }

    /// Ends all faults and silence.
    pub fn recover(&self) {
        let mut state = self.state.lock().unwrap();
        state.faults.clear();
        state.silent.clear();
        state.rejected.clear();
    }

    /// Takes the zone out of all servers.
    pub fn hide_zones_of_servers(&self) {
        self.state.lock().unwrap().is_zone_missing = true;
    }

    /// The number of calls before the end of a pause.
    pub fn hasty(&self) -> usize {
        self.state.lock().unwrap().hasty
    }

    /// The calls since the last time.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>, base: String) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (state, base) = (Arc::clone(&state), base.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer(&state, &base, &request);
            async move { Ok::<_, std::convert::Infallible>(answer) }
        });
        connections.spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await });
    }
}

fn answer(state: &Mutex<State>, base: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let query: BTreeMap<String, String> = reqwest::Url::parse(&format!("{base}{}", request.uri()))
        .unwrap()
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let mut state = state.lock().unwrap();
    state.calls.push(format!("{} {}", request.method(), request.uri()));
    state.hasty += usize::from(state.paused.get(&path).is_some_and(|until| Instant::now() < *until));
    let fault = state.faults.iter_mut().find(|(prefix, _)| path.starts_with(prefix.as_str()));
    if let Some((_, (status, wait, left))) = fault.filter(|(_, (.., left))| *left != Some(0)) {
        if let Some(left) = left {
            *left -= 1;
        }
        let mut response = Response::builder().status(*status);
        if let Some(wait) = *wait {
            response = response.header("retry-after", wait);
            state.paused.insert(path, Instant::now() + Duration::from_secs(wait));
        }
        return response.body(Full::from("it was told to fail")).unwrap();
    }
    let token = request.headers().get("authorization").and_then(|token| token.to_str().ok());
    let account = token.and_then(|token| token.strip_prefix("Bearer token-")).unwrap_or_default();
    let is_authorized = !account.is_empty() && !state.rejected.contains(&account);
    let body = match (request.method().as_str(), path.as_str()) {
        _ if !is_authorized => Err(401),
        ("GET", "networks") => Ok(networks(&state, base, account, from(&query))),
        ("GET", "peerings") => Ok(peerings(&state, base, account)),
        (method, path) => route(&state, base, method, path, &query),
    };
    let (status, mut body) = body.map_or_else(|status| (status, json!({})), |body| (200, body));
    hide_items(&state, &path, &mut body);
    Response::builder().status(status).body(Full::from(body.to_string())).unwrap()
}

/// Takes out the items that were deleted, and those of locations that do not answer, which the body then names.
fn hide_items(state: &State, path: &str, body: &mut Value) {
    let silent = state.silent.iter().find(|(prefix, _)| path.starts_with(prefix.as_str()));
    let silent: Vec<&str> = silent.map(|(_, locations)| locations.clone()).unwrap_or_default();
    let is_hidden = |link: &str| {
        silent.iter().any(|location| link.contains(&format!("/{location}/")))
            || state.deleted.iter().any(|end| link.ends_with(end))
    };
    retain(body, &is_hidden);
    if !silent.is_empty() {
        body["silent"] = json!(silent);
    }
}

fn retain(body: &mut Value, is_hidden: &dyn Fn(&str) -> bool) {
    match body {
        Value::Array(items) => {
            items.retain(|item| !item["selfLink"].as_str().is_some_and(is_hidden));
            items.iter_mut().for_each(|item| retain(item, is_hidden));
        }
        Value::Object(members) => members.values_mut().for_each(|member| retain(member, is_hidden)),
        _ => {}
    }
}

fn route(state: &State, base: &str, method: &str, path: &str, query: &BTreeMap<String, String>) -> Result<Value, u16> {
    let segments: Vec<&str> = path.split('/').collect();
    let from = from(query);
    Ok(match (method, segments.as_slice()) {
        ("GET", ["about"]) => {
            json!({ "account": { "displayName": "Weather", "plan": "gold", "opened": "2020-02-02T00:00:00Z" } })
        }
        ("GET", ["accounts"]) => json!({ "accounts": ["acc-1", "acc-2"] }),
        ("GET", ["regions"]) => json!({ "regions": [region(state, "north"), region(state, "south")] }),
        ("GET", ["regions", region, "subnets"]) => json!({ "subnets": [subnet(base, region)] }),
        ("GET", ["zones", zone, "disks"]) => {
            json!({ "disks": (0..SERVERS).map(|number| disk(base, zone, number)).collect::<Vec<_>>() })
        }
        ("GET", ["aggregated", "servers"]) => servers(state, base, from),
        ("GET", ["images"]) => json!({ "images": (["north", "south"].map(|region| regional(base, region, "image"))) }),
        ("GET", ["buckets"]) => {
            json!({ "buckets": (["north", "south"].map(|region| regional(base, region, "bucket"))) })
        }
        ("GET", ["buckets", bucket, "objects"]) => json!({ "objects": [below(base, bucket, "object")] }),
        ("GET", ["policies", _]) => json!({ "labels": { "policy": "strict" } }),
        ("GET", ["tapes", _]) => json!({ "tapes": [] }),
        ("GET", ["shares"]) => json!({ "shares": [below(base, "all", "share")] }),
        ("GET", ["overview" | "keys"]) => {
            json!({ "keys": (["north", "south"].map(|region| regional(base, region, "key"))) })
        }
        ("GET", ["usage"]) => json!({ "usage": { "lastUsed": "2021-01-01T00:00:00Z" } }),
        ("GET", ["resource"]) => resource(state, query)?,
        ("PUT" | "DELETE", ["labels", _] | ["resource"]) => match query.get("link") {
            Some(link) if link.ends_with("/gone") => return Err(404),
            Some(_) => json!({}),
            None => return Err(400),
        },
        _ => return Err(404),
    })
}

/// A resource by its link, as it is now: the last part of the link is its ID.
fn resource(state: &State, query: &BTreeMap<String, String>) -> Result<Value, u16> {
    let link = query.get("link").ok_or(400_u16)?;
    let is_deleted =
        state.calls.iter().any(|call| call.starts_with("DELETE /resource") && call.ends_with(&encoded(link)));
    match link.rsplit('/').next() {
        Some(id) if id != "gone" && !is_deleted => Ok(json!({ "id": id, "created": "2020-03-03T03:03:03.500Z" })),
        _ => Err(404),
    }
}

fn encoded(link: &str) -> String {
    link.replace('/', "%2F")
}

fn region(state: &State, name: &str) -> Value {
    let zones = ZONES.into_iter().filter(|zone| zone.starts_with(name) && Some(*zone) != state.hidden);
    let zones = zones.chain(state.doubled.filter(|(_, region)| *region == name).map(|(zone, _)| zone));
    json!({ "name": name, "zones": zones.collect::<Vec<_>>() })
}

/// The number of the first item of a page.
fn from(query: &BTreeMap<String, String>) -> usize {
    query.get("cursor").and_then(|cursor| cursor.strip_prefix("from-")?.parse().ok()).unwrap_or(0)
}

fn peerings(state: &State, base: &str, account: &str) -> Value {
    let peerings = state.peerings.iter().filter(|(of, ..)| *of == account).map(
        |(_, id, from, to)| json!({ "id": id, "from": from, "to": to, "selfLink": format!("{base}/peerings/{id}") }),
    );
    json!({ "peerings": peerings.collect::<Vec<_>>() })
}

fn networks(state: &State, base: &str, account: &str, from: usize) -> Value {
    let networks = (0..7).map(|number| network(base, account, number)).collect();
    let mut page = page("networks", networks, from);
    if state.is_cursor_stuck {
        page["nextCursor"] = "from-5".into();
    }
    page
}

/// A page of items, with the cursor of the next one.
fn page(name: &str, items: Vec<Value>, from: usize) -> Value {
    let next = from + PAGE;
    let mut page = json!({ name: items.get(from..next.min(items.len())).unwrap_or_default() });
    if next < items.len() {
        page["nextCursor"] = format!("from-{next}").into();
    }
    page
}

/// The servers of all zones, two zones on a page.
fn servers(state: &State, base: &str, from: usize) -> Value {
    let zones = ZONES.iter().skip(from).take(2);
    let items = zones.map(|zone| {
        let servers: Vec<_> = (0..SERVERS).map(|number| server(base, zone, number)).collect();
        let servers: Vec<_> = servers.into_iter().map(|server| without_zone(state, server)).collect();
        (format!("zones/{zone}"), json!({ "servers": servers }))
    });
    let mut page = json!({ "items": items.collect::<serde_json::Map<_, _>>() });
    if from + 2 < ZONES.len() {
        page["nextCursor"] = format!("from-{}", from + 2).into();
    }
    page
}

fn without_zone(state: &State, mut server: Value) -> Value {
    if state.is_zone_missing {
        server["zone"].take();
    }
    server
}

fn network(base: &str, account: &str, number: usize) -> Value {
    let id = format!("net-{number}");
    let tags = json!([{ "name": "team", "content": format!("t{number}") }]);
    json!({ "id": id, "name": id, "tags": tags, "address": format!("{account}/{id}"),
        "selfLink": format!("{base}/networks/{id}") })
}

fn regional(base: &str, region: &str, kind: &str) -> Value {
    let id = format!("{kind}-{region}");
    json!({ "id": id, "name": id, "region": region, "selfLink": format!("{base}/regions/{region}/{kind}s/{id}") })
}

fn below(base: &str, above: &str, kind: &str) -> Value {
    let id = format!("{kind}-{above}");
    json!({ "id": id, "name": id, "selfLink": format!("{base}/{kind}s/{id}") })
}

fn subnet(base: &str, region: &str) -> Value {
    let id = format!("sub-{region}");
    json!({ "id": id, "name": "subnet", "labels": { "a": "b" }, "network": format!("{base}/networks/net-1"),
        "selfLink": format!("{base}/regions/{region}/subnets/{id}") })
}

fn disk(base: &str, zone: &str, number: usize) -> Value {
    json!({ "id": format!("disk-{number}"), "name": format!("disk {number}"), "sizeGb": 10 + number, "state": "ATTACHED",
        "type": format!("{base}/zones/{zone}/types/fast"), "labels": {},
        "selfLink": format!("{base}/zones/{zone}/disks/disk-{number}") })
}

/// The first server of a zone has a disk of the next zone too.
fn server(base: &str, zone: &str, number: usize) -> Value {
    let region = zone.split('-').next().unwrap();
    let next = ZONES[(ZONES.iter().position(|known| *known == zone).unwrap() + 1) % ZONES.len()];
    let mut disks = vec![json!({ "source": format!("{base}/zones/{zone}/disks/disk-{number}") })];
    if number == 0 {
        disks.push(json!({ "source": format!("{base}/zones/{next}/disks/disk-2") }));
    }
    json!({ "id": format!("server-{number}"), "name": format!("{zone} {number}"), "cores": 2, "state": "UP",
        "labels": { "env": "test", "number": number.to_string() }, "created": "2020-03-03T03:03:03Z",
        "machineType": format!("{base}/zones/{zone}/machineTypes/small"), "zone": format!("{base}/zones/{zone}"),
        "network": format!("{base}/networks/net-2"), "disks": disks,
        "interfaces": [{ "subnet": format!("{base}/regions/{region}/subnets/sub-{region}") }],
        "selfLink": format!("{base}/zones/{zone}/servers/server-{number}") })
}
