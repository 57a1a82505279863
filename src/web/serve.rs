//! Accepts connections, within bounds.
//!
//! A connection first waits for its request's head. When too many connections wait, the oldest is dropped. A request is
//! then served within one of two limits: probes (`/health`, `/ready`) have their own, all other pages share the second.
//! So probes are served regardless of other clients.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::pages;
use crate::{
    report::{CoreStatus, StatusSnapshot},
    telemetry::Metrics,
};

/// The size limit of a request's head, in bytes; hyper requires at least 8 KiB.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// The pause after a failed accept, such as when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// The grace period of open requests at shutdown.
const GRACE: Duration = Duration::from_secs(1);

/// The state that the pages show. Cloning is cheap.
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
pub struct Limits {
    /// The number of connections that wait for their request's head. Above it, a new connection replaces the oldest
    /// one.
    pub waiting: usize,
    /// The time for which a waiting connection is not replaced.
    pub patience: Duration,
    /// The number of probes that are served at the same time.
    pub probes: usize,
    /// The number of other requests that are served at the same time; further ones are rejected.
    pub requests: usize,
    /// The timeout for a complete request head.
    pub head: Duration,
    /// The timeout of a connection, whatever happens on it.
    pub connection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiting: 128,
            patience: Duration::from_millis(200),
            probes: 32,
            requests: 64,
            head: Duration::from_secs(5),
            connection: Duration::from_secs(15),
        }
    }
}

impl Limits {
    /// Returns the usual limits, scaled down to a number of descriptors; at least two of each.
    #[must_use]
    pub fn within(descriptors: usize) -> Self {
        let usual = Self::default();
        let part = |usual: usize| (usual * descriptors / usual_descriptors()).clamp(2, usual);
        Self { waiting: part(usual.waiting), probes: part(usual.probes), requests: part(usual.requests), ..usual }
    }
}

/// Returns the number of descriptors that clients take with the usual limits.
#[must_use]
pub fn usual_descriptors() -> usize {
    let Limits { waiting, probes, requests, .. } = Limits::default();
    waiting + probes + requests
}

/// Serves pages until `shutdown` is ready, then for at most a second the requests that were open. `prefix` is the path
/// below which the pages are served as well: empty, or with a leading and without a trailing slash.
pub async fn serve(
    limits: Limits,
    listener: TcpListener,
    prefix: String,
    state: WebState,
    shutdown: impl Future<Output = ()>,
) {
    let places =
        Places { probes: Arc::new(Semaphore::new(limits.probes)), requests: Arc::new(Semaphore::new(limits.requests)) };
    let server = Server { limits, prefix: prefix.into(), state, places };
    let mut connections = JoinSet::new();
    let mut waiting = Waiting::default();
    tokio::pin!(shutdown);
    loop {
        let room_at = waiting.room_at(&limits);
        let accepted = async {
            sleep_until(room_at).await;
            listener.accept().await
        };
        tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => match accepted {
                Ok((stream, _)) => {
                    waiting.make_room(&limits);
                    let decided = Decided::default();
                    let connection = server.clone().connection(stream, Arc::clone(&decided));
                    waiting.push(decided, connections.spawn(connection));
                }
                Err(error) => {
                    tracing::warn!(peer = "client", %error, "cannot accept a connection to the web endpoint");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    // Requests that are still open are dropped with the set.
    let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
}

/// Whether a connection's request was admitted, so that the connection is no longer waiting.
type Decided = Arc<AtomicBool>;

/// The connections that wait for their request's head, oldest first.
#[derive(Default)]
struct Waiting(VecDeque<(Instant, Decided, AbortHandle)>);

impl Waiting {
    fn push(&mut self, decided: Decided, handle: AbortHandle) {
        self.0.push_back((Instant::now(), decided, handle));
    }

    /// Removes connections that are no longer waiting.
    fn sort_out(&mut self) {
        self.0.retain(|(_, decided, handle)| !decided.load(Ordering::Relaxed) && !handle.is_finished());
    }

    /// Returns when there is room for one more: now, or when the oldest connection may be replaced.
    fn room_at(&mut self, limits: &Limits) -> Instant {
        if self.0.len() >= limits.waiting {
            self.sort_out();
        }
        match self.0.front() {
            Some((since, ..)) if self.0.len() >= limits.waiting => *since + limits.patience,
            _ => Instant::now(),
        }
    }

    /// Drops the oldest connections, so that there is room for one more.
    fn make_room(&mut self, limits: &Limits) {
        if self.0.len() < limits.waiting {
            return;
        }
        self.sort_out();
        while self.0.len() >= limits.waiting
            && let Some((_, _, handle)) = self.0.pop_front()
        {
            handle.abort();
            tracing::debug!(peer = "client", "dropping a silent client for a new one");
        }
    }
}

/// The permits for requests.
#[derive(Clone)]
struct Places {
    probes: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

impl Places {
    /// Returns a permit for a request, if one is free.
    fn take(&self, is_probe: bool) -> Option<OwnedSemaphorePermit> {
        let places = if is_probe { &self.probes } else { &self.requests };
        Arc::clone(places).try_acquire_owned().ok()
    }
}

/// The state that each connection needs.
#[derive(Clone)]
struct Server {
    limits: Limits,
    prefix: Arc<str>,
    state: WebState,
    places: Places,
}

impl Server {
    async fn connection(self, stream: TcpStream, decided: Decided) {
        let Self { limits, prefix, state, places } = self;
        // The permit is released with the connection, which carries one request.
        let held = OnceLock::new();
        let service = service_fn(move |request: Request<Incoming>| {
            let (method, path) = (request.method(), request.uri().path());
            let place = places.take(pages::is_probe(path, &prefix));
            let response = match place.map(|place| held.set(place)) {
                Some(Ok(())) => {
                    decided.store(true, Ordering::Relaxed);
                    pages::answer(method, path, &prefix, &state)
                }
                // The connection remains waiting, and may be dropped like all waiting ones.
                _ => pages::busy(),
            };
            let status = response.status().as_u16();
            tracing::debug!(peer = "client", %method, path, status, "served");
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
            Ok(Err(error)) => tracing::debug!(peer = "client", %error, "request of a client failed"),
            Err(_) => tracing::debug!(peer = "client", "client exceeded its timeout"),
        }
    }
}
