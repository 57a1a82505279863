//! A server that gives the responses that it was told, one after the other or by what is asked, and keeps the requests.

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

/// Returns the response to a request, from its number and its line.
type Route = Arc<dyn Fn(usize, &str) -> Canned + Send + Sync>;

/// A running server. Dropping it ends it.
pub struct CannedServer {
    url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    task: JoinHandle<()>,
}

impl CannedServer {
    /// Starts a server; it repeats the last response.
    pub async fn start(responses: Vec<Canned>) -> Self {
        Self::routed(move |number, _| responses[number.min(responses.len() - 1)].clone()).await
    }

    /// Starts a server that responds by the number of a request and by its line.
    pub async fn routed(route: impl Fn(usize, &str) -> Canned + Send + Sync + 'static) -> Self {
        let route: Route = Arc::new(route);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let arrived = Arc::<Mutex<Vec<Arrived>>>::default();
        let kept = Arc::clone(&arrived);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, route) = (Arc::clone(&kept), Arc::clone(&route));
                let service = service_fn(move |request| answer(request, Arc::clone(&kept), Arc::clone(&route)));
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
    route: Route,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let line = format!("{} {}", request.method(), request.uri());
    let headers = request.headers().clone();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.into()).unwrap();
    let number = {
        let mut kept = kept.lock().unwrap();
        kept.push(Arrived { line: line.clone(), headers, body });
        kept.len() - 1
    };
    let (status, headers, body) = route(number, &line);
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::from(body)).unwrap())
}
