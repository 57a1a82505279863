//! One HTTP client for both schemes, which reads the system's certificates only when it first meets `https`.
//!
//! Reading them takes longer than everything else at the start of a process, and a server on this machine needs none.

use std::sync::OnceLock;

use aws_config::BehaviorVersion;
use aws_smithy_runtime::client::defaults::default_http_client_plugin_v2;
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
    runtime_plugin::RuntimePlugin,
};

/// The client, or `None` if the official crates were built without one for `https`.
pub(super) fn client() -> Option<SharedHttpClient> {
    let plugin = default_http_client_plugin_v2(BehaviorVersion::latest())?;
    let secure = plugin.runtime_components(&RuntimeComponentsBuilder::new("http")).http_client()?;
    let plain = aws_smithy_http_client::Builder::new().build_http();
    Some(SharedHttpClient::new(ByScheme { plain, secure }))
}

/// Chooses by the scheme of each request.
#[derive(Debug)]
struct ByScheme {
    plain: SharedHttpClient,
    secure: SharedHttpClient,
}

impl HttpClient for ByScheme {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            plain: self.plain.http_connector(settings, components),
            secure: OnceLock::new(),
            client: self.secure.clone(),
            settings: settings.clone(),
            components: components.clone(),
        })
    }
}

#[derive(Debug)]
struct Connector {
    plain: SharedHttpConnector,
    secure: OnceLock<SharedHttpConnector>,
    client: SharedHttpClient,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if request.uri().starts_with("http://") {
            return self.plain.call(request);
        }
        self.secure.get_or_init(|| self.client.http_connector(&self.settings, &self.components)).call(request)
    }
}
