//! Replays recorded responses to AWS API requests, for any number of invented accounts and regions.
//!
//! `scripts/aws-record` records the responses of a local AWS to one collection of one account in one region. [`Replay`]
//! responds to the same requests for N accounts in R regions, tens of thousands a second on one thread. A response is a
//! template into which account, region and resource IDs are inserted.
//!
//! A request belongs to the account of its access key, and to the region and the service of its signature. Its
//! recording is found by its text, with account, region, IDs and moments replaced by those of the recording. STS,
//! Organizations and `DescribeRegions` depend on the number of accounts and regions and are not recorded. A request
//! without a recording fails with the code `NotRecorded`, and is listed in [`Stats`].

mod failure;
mod ids;
mod organization;
mod recording;
mod regions;
mod request;
mod server;
mod stats;
mod text;
mod tls;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::{runtime, sync::oneshot};
use tokio_rustls::TlsAcceptor;

use crate::{
    ids::{MAX_ACCOUNTS, MAX_REGIONS},
    organization::Organization,
    recording::Recording,
    server::Server,
    stats::Counts,
};
pub use crate::{stats::Stats, tls::Tls};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The number of accounts, from 1 to 32,768. The first is the account of the recording and manages the
    /// organization.
    pub accounts: usize,
    /// The number of regions, from 1 to 128. The first is the region of the recording.
    pub regions: usize,
    /// The delay of every response.
    pub latency: Duration,
    /// Certificate and key for `https`; `None` for `http`.
    pub tls: Option<Tls>,
    /// The port at 127.0.0.1; 0 takes a free port.
    pub port: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { accounts: 1, regions: 1, latency: Duration::ZERO, tls: None, port: 0 }
    }
}

/// The reason why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There are too many or too few accounts or regions.
    #[error("cannot replay {0}")]
    Config(String),
    /// The recording is not valid.
    #[error("cannot read the recording: {0}; make it again with scripts/aws-record")]
    Recording(String),
    /// Certificate or key are not valid.
    #[error("cannot use the TLS certificate: {0}")]
    Tls(String),
    /// The port is taken, or the system lacks resources.
    #[error("cannot listen on 127.0.0.1:{0}: {1}")]
    Listen(u16, #[source] io::Error),
}

/// A running server. Dropping it stops the server and closes all connections.
#[derive(Debug)]
pub struct Replay {
    address: SocketAddr,
    scheme: &'static str,
    server: Arc<Server>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Replay {
    /// Starts a server on a thread of its own. Returns when the server listens.
    ///
    /// # Errors
    /// A variant of [`StartError`] for each cause.
    pub fn start(config: Config) -> Result<Self, StartError> {
        check("accounts", config.accounts, MAX_ACCOUNTS)?;
        check("regions", config.regions, MAX_REGIONS)?;
        let recording = Recording::embedded()?;
        let organization = Organization::new(recording.names().account, config.accounts, config.regions);
        let acceptor = config.tls.as_ref().map(Tls::acceptor).transpose()?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let counts = Arc::new(Counts::default());
        let server = Arc::new(Server { recording, organization, counts, latency: config.latency });
        let (shared, port) = (Arc::clone(&server), config.port);
        let (stop, stopped) = oneshot::channel();
        let (ready, address) = mpsc::channel();
        let run = move || {
            // `start` waits for the address, and receives an error on the same channel.
            let result = run(shared, port, acceptor, stopped, |address| _ = ready.send(Ok(address)));
            if let Err(error) = result {
                let _ = ready.send(Err(error));
            }
        };
        let failed = |error| StartError::Listen(port, error);
        let thread = thread::Builder::new().name("replay".into()).spawn(run).map_err(failed)?;
        let address = address.recv().map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
        Ok(Self { address, scheme, server, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the URL of the server, such as `http://127.0.0.1:40001`; the value of `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Returns the IDs of all accounts. Requests that are not signed with a role's key belong to the first account.
    #[must_use]
    pub fn accounts(&self) -> &[String] {
        self.server.organization.accounts()
    }

    /// Returns the names of all regions.
    #[must_use]
    pub fn regions(&self) -> &[String] {
        self.server.organization.regions()
    }

    /// Returns the counts since the start or the last reset.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.server.counts.stats()
    }

    /// Resets all counts.
    pub fn reset(&self) {
        self.server.counts.reset();
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread has printed its panic.
            let _ = thread.join();
        }
    }
}

/// Listens, reports the address, and serves until the sender of `stopped` is dropped.
fn run(
    server: Arc<Server>,
    port: u16,
    tls: Option<TlsAcceptor>,
    stopped: oneshot::Receiver<()>,
    ready: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = server::listen(port, BACKLOG)?;
        ready(listener.local_addr()?);
        tokio::select! {
            () = server::serve(server, listener, tls) => {}
            _ = stopped => {}
        }
        Ok(())
    })
}

fn check(what: &str, count: usize, most: usize) -> Result<(), StartError> {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    Err(StartError::Config(format!("{count} {what}: expected a number from 1 to {most}")))
}
