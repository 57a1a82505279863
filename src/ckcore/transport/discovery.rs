//! Which core it is that we talk to, found out by asking it.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use reqwest::{Client, Response, redirect};
use rustls::{ClientConfig, pki_types::CertificateDer};

use super::{
    authority,
    response::{causes, failure, read},
    tls::Trust,
};
use crate::ckcore::{CoreConfig, CoreError, Generation, Psk, dialect::Dialect, error::bounded};

const WHAT: &str = "look at the core";

/// The most that is read of an answer, in bytes.
const LIMIT: usize = 1024;

/// How long a connection may be idle before the system asks the core whether it lives.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A core that was looked at.
#[derive(Debug)]
pub struct CoreInfo {
    /// What it speaks.
    pub(in crate::ckcore) dialect: Dialect,
    /// The client for its requests.
    pub client: Client,
    /// The graph that we write.
    pub graph: String,
    /// The id that it knows us by.
    pub subscriber: String,
    tls: Arc<ClientConfig>,
}

impl CoreInfo {
    /// Looks at the core: what it speaks, and by whom its certificate is signed.
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
            subscriber: dialect.subscriber(config.subscriber_id.as_deref()),
            tls: Arc::new(tls),
        })
    }

    /// How websockets are secured.
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }
}

/// The core's own certificate authority, or `None` if this core has none.
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

/// Asks a core that may be of either generation.
async fn ask(config: &CoreConfig, client: &Client) -> Result<Dialect, CoreError> {
    let response = get(config, client, &["system", "ready"], WHAT).await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = text(response).await;
    match (status, body.trim()) {
        (StatusCode::OK, "ok") => Ok(Dialect::Core4),
        (StatusCode::OK, "200: OK") => Ok(Dialect::Core2),
        (StatusCode::OK, other) => {
            let message = format!(
                "{} answers {:?}, as neither ckcore nor fixcore does; name the one it is with --core-dialect",
                config.uri,
                bounded(other)
            );
            Err(CoreError::transport(WHAT, &message))
        }
        // A core that is starting up is asked again.
        (status, body) => Err(CoreError { retryable: true, ..CoreError::answered(WHAT, status, &headers, body) }),
    }
}

async fn get(config: &CoreConfig, client: &Client, path: &[&str], what: &'static str) -> Result<Response, CoreError> {
    // A core answers these at once, also while it starts.
    let limit = config.timing.request.min(config.timing.connect);
    let request = client.request(Method::GET, config.url(path)).timeout(limit);
    request.send().await.map_err(|error| {
        let failed = failure(what, limit, &error);
        if error.is_timeout() && !error.is_connect() {
            let message = format!(
                "{} accepted the connection and sent no answer within {:.1} s: check that --ckcore-uri is the address of a \
                 core, and that the core is not overloaded",
                config.uri,
                limit.as_secs_f64()
            );
            return CoreError::transport(what, &message);
        }
        failed
    })
}

async fn text(response: Response) -> String {
    // An answer that cannot be read says nothing.
    String::from_utf8_lossy(&read(response, LIMIT).await.unwrap_or_default()).into_owned()
}

fn client(config: &CoreConfig, tls: ClientConfig) -> Result<Client, CoreError> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(config.timing.connect)
        .tcp_keepalive(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        // Requests are rare: a fresh connection each costs little and is never one that the core closed meanwhile.
        .pool_max_idle_per_host(0)
        // The core never redirects, and the token is for the core alone.
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| CoreError::permanent("set-up of the connection to the core", &causes(&error)))
}
