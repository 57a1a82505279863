//! Requests to the core: authenticated, with a timeout and bounded responses.

use std::{
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode, header::AUTHORIZATION};
use reqwest::{RequestBuilder, Response, Url};
use tokio::sync::{Mutex, watch};

use super::{
    discovery::CoreInfo,
    response::{failure, read},
    tls::Trust,
    token::Tokens,
};
use crate::ckcore::{CoreConfig, CoreError};

/// The limit of an error response, in bytes.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// Requests to one core, which is detected before the first request and again after a failure.
#[derive(Debug)]
pub struct HttpClient {
    pub config: Arc<CoreConfig>,
    pub tokens: Tokens,
    trust: Trust,
    core: watch::Sender<Option<Arc<CoreInfo>>>,
    /// The core that was logged last: detecting it again is logged at level DEBUG.
    last_logged: StdMutex<String>,
    /// Held during a detection, so that there is only one at a time.
    detecting: Mutex<()>,
}

impl HttpClient {
    pub fn new(config: Arc<CoreConfig>) -> Result<Self, CoreError> {
        let trust = Trust::read(&config.tls, config.uses_tls())?;
        let tokens = Tokens::new(config.psk.clone());
        Ok(Self {
            config,
            tokens,
            trust,
            core: watch::Sender::default(),
            last_logged: StdMutex::default(),
            detecting: Mutex::default(),
        })
    }

    /// Returns the core; detects it if it is not known.
    pub async fn core(&self) -> Result<Arc<CoreInfo>, CoreError> {
        let _detecting = self.detecting.lock().await;
        let known = self.core.borrow().clone();
        if let Some(core) = known {
            return Ok(core);
        }
        let core = Arc::new(CoreInfo::detect(&self.config, &self.trust).await?);
        self.log_detected(&core);
        self.core.send_replace(Some(Arc::clone(&core)));
        Ok(core)
    }

    fn log_detected(&self, core: &CoreInfo) {
        let (core, graph) = (core.dialect.name(), &core.graph);
        let found = format!("{core}, {graph}");
        let mut last_logged = self.last_logged.lock().unwrap_or_else(PoisonError::into_inner);
        if *last_logged == found {
            tracing::debug!(peer = "core", core, graph, "detected the core again");
        } else {
            tracing::info!(peer = "core", core, graph, "detected the core");
            *last_logged = found;
        }
    }

    /// Returns the core as soon as another call has detected it.
    pub async fn detected(&self) -> Arc<CoreInfo> {
        self.detected_if(|_| true).await
    }

    /// Returns when the core was replaced by one of another generation.
    pub async fn replaced(&self, core: &CoreInfo) {
        self.detected_if(|other| other.dialect != core.dialect).await;
    }

    async fn detected_if(&self, is_it: impl Fn(&CoreInfo) -> bool) -> Arc<CoreInfo> {
        let mut known = self.core.subscribe();
        let found = known.wait_for(|known| known.as_deref().is_some_and(&is_it)).await;
        match found.ok().and_then(|known| known.clone()) {
            Some(core) => core,
            // `self` holds the sender.
            None => std::future::pending().await,
        }
    }

    /// Detects the core again before the next request: its connection failed, and it may have been replaced.
    pub fn forget(&self, core: &Arc<CoreInfo>) {
        self.core.send_if_modified(|known| {
            let is_it = known.as_ref().is_some_and(|known| Arc::ptr_eq(known, core));
            if is_it {
                *known = None;
            }
            is_it
        });
    }

    /// Returns a request with a token, if there is a pre-shared key.
    pub async fn request(&self, core: &CoreInfo, method: Method, url: Url) -> Result<RequestBuilder, CoreError> {
        let request = core.client.request(method, url);
        Ok(match self.tokens.header().await? {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        })
    }

    /// Sends a request whose response must have a status of success. The timeout includes the body.
    pub async fn send(
        &self,
        what: &'static str,
        request: RequestBuilder,
        limit: Duration,
    ) -> Result<Response, CoreError> {
        let response = request.timeout(limit).send().await.map_err(|error| failure(what, limit, &error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status == StatusCode::UNAUTHORIZED {
            self.tokens.forget().await;
        }
        let headers = response.headers().clone();
        // The status counts, even if the body cannot be read.
        let body = read(response, REFUSAL_LIMIT).await.unwrap_or_default();
        Err(CoreError::answered(what, status, &headers, &String::from_utf8_lossy(&body)))
    }

    /// Sends a short request and ignores the body of the response.
    pub async fn send_short(
        &self,
        what: &'static str,
        request: RequestBuilder,
        limit: Duration,
    ) -> Result<(), CoreError> {
        let mut response = self.send(what, request, limit).await?;
        while response.chunk().await.map_err(|error| failure(what, limit, &error))?.is_some() {}
        Ok(())
    }
}
