//! Detects the core's generation and certificate authority.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use reqwest::{Client, Response, redirect};
use rustls::{ClientConfig, pki_types::CertificateDer};

use super::{
    authority,
    response::{causes, failure, read},
    tls::Trust,
};
use crate::ckcore::{CoreConfig, CoreError, Generation, Psk, SubscriberId, dialect::Dialect, error::bounded};

const WHAT: &str = "detection of the core";

/// The limit of a response, in bytes.
const LIMIT: usize = 1024;

/// The idle time before the system sends TCP keepalive probes.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A detected core.
#[derive(Debug)]
pub struct CoreInfo {
    /// The protocol of its generation.
    pub(in crate::ckcore) dialect: Dialect,
    /// The HTTP client for requests to it.
    pub client: Client,
    /// The name of the graph.
    pub graph: String,
    tls: Arc<ClientConfig>,
}

impl CoreInfo {
    /// Detects the core's generation and certificate authority.
    pub async fn detect(config: &CoreConfig, trust: &Trust) -> Result<Self, CoreError> {
        let (chosen, authority) = match (&config.psk, config.tls.verify && config.tls.ca_cert.is_none()) {
            (Some(psk), true) if config.uses_tls() && config.generation != Generation::Ckcore => {
                match own_authority(config, trust, psk).await? {
                    Some(authority) => (Some(Dialect::Core4), Some(authority)),
                    None => (None, None),
                }
            }
            _ => (None, None),
        };
        let tls = trust.config(authority.as_ref())?;
        let client = client(config, tls.clone())?;
        let dialect = match (config.generation, chosen) {
            (Generation::Ckcore, _) => Dialect::Core2,
            (Generation::Fixcore, _) => Dialect::Core4,
            (Generation::Auto, Some(dialect)) => dialect,
            (Generation::Auto, None) => ask(config, &client).await?,
        };
        Ok(Self {
            dialect,
            client,
            graph: config.graph.clone().unwrap_or_else(|| dialect.default_graph().to_owned()),
            tls: Arc::new(tls),
        })
    }

    /// Returns the ID of a subscriber.
    pub fn subscriber(&self, config: &CoreConfig, id: SubscriberId) -> String {
        self.dialect.subscriber(config.subscriber_id.as_deref(), id)
    }

    /// Returns the TLS configuration for websockets.
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }
}

/// Returns the core's own certificate authority, or `None` if this generation has none.
async fn own_authority(
    config: &CoreConfig,
    trust: &Trust,
    psk: &Psk,
) -> Result<Option<CertificateDer<'static>>, CoreError> {
    let client = client(config, trust.blind_config()?)?;
    let response = get(config, &client, &["ca", "cert"], authority::WHAT).await?;
    match response.status() {
        StatusCode::OK => authority::proved(response, psk, config.timing.request).await.map(Some),
        // ckcore 2.0 does not know the path.
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => Ok(None),
        status => {
            let headers = response.headers().clone();
            Err(CoreError::answered(authority::WHAT, status, &headers, &text(response).await))
        }
    }
}

/// Requests the generation from the core.
async fn ask(config: &CoreConfig, client: &Client) -> Result<Dialect, CoreError> {
    let response = get(config, client, &["system", "ready"], WHAT).await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = text(response).await;
    match (status, body.trim()) {
        (StatusCode::OK, "ok") => Ok(Dialect::Core4),
        (StatusCode::OK, "200: OK") => Ok(Dialect::Core2),
        (StatusCode::OK, other) => {
            let message = format!(
                "{} responds {:?}, which is neither ckcore nor fixcore; set the generation with --core-dialect",
                config.uri,
                bounded(other)
            );
            Err(CoreError::transport(WHAT, &message))
        }
        // A core that is starting rejects the request for a while.
        (status, body) => Err(CoreError { retryable: true, ..CoreError::answered(WHAT, status, &headers, body) }),
    }
}

async fn get(config: &CoreConfig, client: &Client, path: &[&str], what: &'static str) -> Result<Response, CoreError> {
    // A core responds at once, also while it starts.
    let limit = config.timing.request.min(config.timing.connect);
    let request = client.request(Method::GET, config.url(path)).timeout(limit);
    request.send().await.map_err(|error| {
        let failed = failure(what, limit, &error);
        if error.is_timeout() && !error.is_connect() {
            let message = format!(
                "{} accepted the connection and sent no response within {:.1} s: check that --ckcore-uri is the address of \
                 a core, and that the core is not overloaded",
                config.uri,
                limit.as_secs_f64()
            );
            return CoreError::transport(what, &message);
        }
        failed
    })
}

async fn text(response: Response) -> String {
    // The status counts, even if the body cannot be read.
    String::from_utf8_lossy(&read(response, LIMIT).await.unwrap_or_default()).into_owned()
}

fn client(config: &CoreConfig, tls: ClientConfig) -> Result<Client, CoreError> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(config.timing.connect)
        .tcp_keepalive(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        // Requests are rare: a new connection for each is cheap, and never one that the core has closed.
        .pool_max_idle_per_host(0)
        // The core never redirects, and the token is for the core alone.
        .redirect(redirect::Policy::none())
        .no_gzip()
        .no_proxy()
        .build()
        .map_err(|error| CoreError::permanent("set-up of the connection to the core", &causes(&error)))
}
