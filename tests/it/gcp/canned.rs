//! A server that gives the responses that it was told, one after the other, and keeps the requests.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

/// A response: status, headers and body.
pub type Canned = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// A response in JSON.
pub fn reply(status: u16, body: &serde_json::Value) -> Canned {
    (status, vec![("content-type", "application/json".to_owned())], body.to_string().into_bytes())
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Method, path and query.
    pub line: String,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: String,
}

impl Arrived {
    /// The value of a header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// A running server. Dropping it ends it.
pub struct CannedServer {
    url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    task: JoinHandle<()>,
}

impl CannedServer {
    /// Starts a server; it repeats the last response.
    pub async fn start(responses: Vec<Canned>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let arrived = Arc::<Mutex<Vec<Arrived>>>::default();
        let kept = Arc::clone(&arrived);
        let responses = Arc::new(responses);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, responses) = (Arc::clone(&kept), Arc::clone(&responses));
                let service = service_fn(move |request| answer(request, Arc::clone(&kept), Arc::clone(&responses)));
                // A client that goes away ends its connection only.
                tokio::spawn(
                    async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await },
                );
            }
        });
        Self { url, arrived, task }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The requests so far.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }
}

impl Drop for CannedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    kept: Arc<Mutex<Vec<Arrived>>>,
    responses: Arc<Vec<Canned>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let line = format!("{} {}", request.method(), request.uri());
    let headers = request.headers().clone();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.into()).unwrap();
    let number = {
        let mut kept = kept.lock().unwrap();
        kept.push(Arrived { line, headers, body });
        kept.len() - 1
    };
    let (status, headers, body) = &responses[number.min(responses.len() - 1)];
    let mut response = Response::builder().status(*status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    Ok(response.body(Full::from(body.clone())).unwrap())
}
