//! The pages of the endpoint: text, HTML and JSON.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};

use super::WebState;
use crate::report::CoreStatus;

/// A response with its whole body.
pub(super) type Page = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The pages that the first page lists.
const PAGES: &[(&str, &str)] = &[
    ("health", "whether the process is running"),
    ("ready", "whether the core is connected"),
    ("metrics", "metrics for Prometheus"),
    ("jobs", "the state of every job, as JSON"),
];

/// Returns the response to a request.
pub(super) fn answer(method: &Method, path: &str, prefix: &str, state: &WebState) -> Page {
    if method != Method::GET && method != Method::HEAD {
        let mut page = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are served\r\n");
        page.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return page;
    }
    match below(path, prefix).trim_matches('/') {
        "" => page(StatusCode::OK, HTML, index(prefix)),
        "health" => page(StatusCode::OK, TEXT, "ok\r\n"),
        "ready" => ready(&state.core.borrow()),
        "metrics" => page(StatusCode::OK, PROMETHEUS, metrics(state)),
        "jobs" => jobs(state),
        _ => page(StatusCode::NOT_FOUND, TEXT, "there is no such page\r\n"),
    }
}

/// Whether a path is a probe's. Probes are repeated, and are answered first.
pub(super) fn is_probe(path: &str, prefix: &str) -> bool {
    matches!(below(path, prefix).trim_matches('/'), "health" | "ready")
}

/// Returns the response to a request above the limit.
pub(super) fn busy() -> Page {
    let mut page = page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "too many requests at the same time; try again\r\n");
    page.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    page
}

/// Returns the path below the prefix, or else the path itself: pages are served at both.
fn below<'a>(path: &'a str, prefix: &str) -> &'a str {
    match path.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

fn index(prefix: &str) -> String {
    let items = PAGES
        .iter()
        .map(|(name, what)| format!("<li><a href=\"{}/{name}\">{name}</a>: {what}</li>\n", escaped(prefix)));
    let items: String = items.collect();
    let version = env!("CARGO_PKG_VERSION");
    format!("<!DOCTYPE html>\n<title>ckworker</title>\n<h1>ckworker {version}</h1>\n<ul>\n{items}</ul>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

fn ready(core: &CoreStatus) -> Page {
    match core {
        CoreStatus::None => page(StatusCode::OK, TEXT, "ready, without a core\r\n"),
        CoreStatus::Connected => page(StatusCode::OK, TEXT, "ready\r\n"),
        CoreStatus::Disconnected(reason) => {
            page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not connected to ckcore: {reason}\r\n"))
        }
    }
}

/// Returns the metrics. Gauges that mirror the snapshots are set at each request, so that they agree with `/jobs`.
fn metrics(state: &WebState) -> String {
    state.metrics.set_jobs(&state.status.borrow().jobs_by_state());
    state.metrics.set_core_connected(*state.core.borrow() == CoreStatus::Connected);
    state.metrics.encode()
}

fn jobs(state: &WebState) -> Page {
    match serde_json::to_vec_pretty(&*state.status.borrow()) {
        Ok(json) => page(StatusCode::OK, JSON, json),
        Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\r\n")),
    }
}

fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Full::new(body.into()));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}
