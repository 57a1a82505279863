//! Accepting connections, within bounds.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{CoreStatus, StatusSnapshot, pages};
use crate::telemetry::Metrics;

/// The largest head of a request in bytes; hyper wants 8 KiB at least.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// How long to wait after the system refused a connection, which it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// How long open requests may take once the server is to end.
const GRACE: Duration = Duration::from_secs(1);

/// What the pages are made from. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct WebState {
    /// The measurements.
    pub metrics: Arc<Metrics>,
    /// The state of the jobs.
    pub status: watch::Receiver<StatusSnapshot>,
    /// Whether ckcore is connected.
    pub core: watch::Receiver<CoreStatus>,
}

/// Bounds on clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at the same time; more wait to be accepted.
    pub(super) connections: usize,
    /// Time until a request's head must be complete.
    pub(super) head: Duration,
    /// Time until a connection is over, whatever happens on it.
    pub(super) connection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, head: Duration::from_secs(5), connection: Duration::from_secs(15) }
    }
}

/// Serves pages until `shutdown` is ready, then for a second at most what was asked before. `prefix` is the path below
/// which the pages are found as well: empty, or with a leading and without a trailing slash.
pub async fn serve(listener: TcpListener, prefix: String, state: WebState, shutdown: impl Future<Output = ()>) {
    serve_within(Limits::default(), listener, prefix, state, shutdown).await;
}

pub(super) async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    prefix: String,
    state: WebState,
    shutdown: impl Future<Output = ()>,
) {
    let prefix: Arc<str> = prefix.into();
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            (permit, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let connection = connection(limits, stream, prefix.clone(), state.clone());
                    connections.spawn(async move {
                        // Given back when the connection is over.
                        let _permit = permit;
                        connection.await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    // What is not answered by then is dropped with the set.
    let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(limits: Limits, stream: TcpStream, prefix: Arc<str>, state: WebState) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = pages::answer(request.method(), request.uri().path(), &prefix, &state);
        tracing::debug!(method = %request.method(), path = request.uri().path(), status = response.status().as_u16(), "served");
        async { Ok::<_, Infallible>(response) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(limits.connection, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client's request broke off"),
        Err(_) => tracing::debug!("a client was too slow"),
    }
}
