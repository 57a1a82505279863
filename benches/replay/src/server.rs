//! The server: one thread, one runtime, HTTP/1.1 with keep-alive, plain or with TLS.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    failure::{Made, failure},
    ids::Place,
    organization::Organization,
    recording::Recording,
    request::{Asked, Scope, key},
    stats::Counts,
};

/// The prefix of control requests.
const CONTROL: &str = "/_ctl/";
/// The pause after a connection could not be accepted, such as for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

type Answered = Response<Full<Bytes>>;

/// The state that all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) recording: Recording,
    pub(crate) organization: Organization,
    pub(crate) counts: Arc<Counts>,
    pub(crate) latency: Duration,
}

/// Accepts connections. Dropping the future closes all of them.
pub(crate) async fn serve(server: Arc<Server>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        connections.spawn(connection(Arc::clone(&server), stream, tls.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(server: Arc<Server>, stream: TcpStream, tls: Option<TlsAcceptor>) {
    let _open = Arc::clone(&server.counts).connected();
    // Without this option an answer may wait for an acknowledgement: slower, but correct.
    let _ = stream.set_nodelay(true);
    match tls {
        None => answer_all(server, stream).await,
        Some(tls) => {
            // The client reports a failed handshake itself.
            if let Ok(stream) = tls.accept(stream).await {
                answer_all(server, stream).await;
            }
        }
    }
}

async fn answer_all(server: Arc<Server>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|request| answer(Arc::clone(&server), request));
    // A client may close the connection at any time.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Result<Answered, Infallible> {
    if request.uri().path().starts_with(CONTROL) {
        return Ok(server.control(request.method(), request.uri().path()));
    }
    let _in_flight = server.counts.begin();
    let (head, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(plain(StatusCode::BAD_REQUEST, &format!("cannot read the request: {error}"))),
    };
    if !server.latency.is_zero() {
        sleep(server.latency).await;
    }
    Ok(server.api(&head.headers, &head.method, head.uri.path_and_query().map_or("/", |path| path.as_str()), &body))
}

impl Server {
    fn api(&self, headers: &HeaderMap, method: &Method, path: &str, body: &[u8]) -> Answered {
        let Some(scope) = Scope::of(headers) else {
            self.counts.unmatched(format!("unsigned: {method} {path}"));
            return plain(StatusCode::FORBIDDEN, "the request is not signed");
        };
        let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let asked = Asked { signing: scope.signing, method: method.as_str(), path, target, body };
        let account = self.organization.account_of(scope.access_key);
        let account_id = &self.organization.accounts()[account as usize];
        if let Some((name, made)) = self.organization.answer(&asked, account_id) {
            self.counts.answered(name, account_id);
            return response(made);
        }
        let region = match asked.is_global() {
            true => Some(0),
            false => self.organization.region(asked.priced_region().as_deref().unwrap_or(scope.region)),
        };
        let recorded = region.and_then(|region| self.recorded(&asked, Place { account, region }));
        recorded.unwrap_or_else(|| self.unmatched(&asked, scope, account_id))
    }

    fn recorded(&self, asked: &Asked<'_>, place: Place) -> Option<Answered> {
        let names = self.organization.names(place);
        let key = key(asked, names, self.recording.names(), Some((self.recording.ids(), place)));
        let answer = self.recording.answer(&key)?;
        self.counts.answered(&answer.name, names.account);
        let mut response = Response::new(Full::from(self.recording.body(answer, place, names)));
        *response.status_mut() = answer.status;
        response.headers_mut().insert(CONTENT_TYPE, answer.content_type.clone());
        Some(response)
    }

    fn unmatched(&self, asked: &Asked<'_>, scope: Scope<'_>, account: &str) -> Answered {
        let (service, region, operation) = (scope.signing, scope.region, asked.operation());
        self.counts.answered(&format!("{service}:{operation}"), account);
        let body = String::from_utf8_lossy(asked.body);
        self.counts.unmatched(format!("{region} {account} {service} {operation}: {} {body}", asked.path));
        let message = if self.organization.region(region).is_none() {
            format!("the region {region} is not one of the {} that are replayed", self.organization.regions().len())
        } else {
            format!("the recording has no such request of {service} {operation}; see /_ctl/stats")
        };
        response(failure(asked, StatusCode::BAD_REQUEST, "NotRecorded", &message))
    }

    /// Responds to `GET /_ctl/stats`, `GET /_ctl/regions` and `POST /_ctl/reset`.
    fn control(&self, method: &Method, path: &str) -> Answered {
        let found = match (method, path.trim_start_matches(CONTROL)) {
            (&Method::GET, "stats") => serde_json::to_string(&self.counts.stats()),
            (&Method::GET, "regions") => serde_json::to_string(self.organization.regions()),
            (&Method::POST, "reset") => {
                self.counts.reset();
                Ok("{}".to_owned())
            }
            _ => return plain(StatusCode::NOT_FOUND, "there are GET stats, GET regions and POST reset"),
        };
        match found {
            Ok(text) => response((StatusCode::OK, "application/json", text)),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}

fn response((status, content_type, body): Made) -> Answered {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn plain(status: StatusCode, text: &str) -> Answered {
    response((status, "text/plain", format!("{text}\n")))
}

/// Listens on a port of the loopback interface; 0 takes a free port.
pub(crate) fn listen(port: u16, backlog: u32) -> io::Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    socket.listen(backlog)
}
