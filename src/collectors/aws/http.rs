//! An HTTP client for both schemes. It loads trusted certificates on the first `https` request.
//!
//! Loading the system's certificates takes longer than all other start-up work, and a server on this machine needs
//! none. Proxies come from the environment; metadata services of instances and containers are called without a proxy.

use std::{net::IpAddr, path::Path, sync::OnceLock};

use aws_smithy_http_client::{
    Builder, Connector as SmithyConnector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The content of a validated file of certificates.
#[derive(Clone, Debug)]
pub(super) struct Bundle(Vec<u8>);

/// Reads a file of trusted certificates.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn trusted(path: &Path) -> Result<Bundle, String> {
    let refused = |error: String| format!("cannot read trusted certificates from {}: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| refused(format!("no valid PEM: {error}")))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("there is none in PEM".into()));
    }
    Ok(Bundle(text))
}

/// Returns the client. It trusts the certificates of the bundle, or else those of the system.
pub(super) fn client(bundle: Option<&Bundle>) -> Result<SharedHttpClient, String> {
    let mut context = TlsContext::builder();
    if let Some(Bundle(pem)) = bundle {
        context = context.with_trust_store(TrustStore::empty().with_pem_certificate(pem.clone()));
    }
    let context = context.build().map_err(|error| format!("cannot set up TLS: {error}"))?;
    let secure = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = SmithyConnector::builder();
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.set_proxy_config(Some(ProxyConfig::from_env()));
        builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context.clone()).build()
    });
    let plain = |is_direct: bool| {
        Builder::new().build_with_connector_fn(move |settings, components| {
            let mut builder = SmithyConnector::builder();
            builder.set_connector_settings(settings.cloned());
            builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            let proxy = if is_direct { ProxyConfig::disabled() } else { ProxyConfig::from_env() };
            builder.set_proxy_config(Some(proxy));
            builder.build_http()
        })
    };
    Ok(SharedHttpClient::new(ByAddress { direct: plain(true), plain: plain(false), secure }))
}

/// Selects the client by the address of each request.
#[derive(Debug)]
struct ByAddress {
    direct: SharedHttpClient,
    plain: SharedHttpClient,
    secure: SharedHttpClient,
}

impl HttpClient for ByAddress {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            direct: self.direct.http_connector(settings, components),
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
    direct: SharedHttpConnector,
    plain: SharedHttpConnector,
    secure: OnceLock<SharedHttpConnector>,
    client: SharedHttpClient,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri = request.uri();
        if let Some(rest) = uri.strip_prefix("http://") {
            return if is_link_local(rest) { self.direct.call(request) } else { self.plain.call(request) };
        }
        self.secure.get_or_init(|| self.client.http_connector(&self.settings, &self.components)).call(request)
    }
}

/// Returns whether an address without scheme begins with a link-local or loopback host.
fn is_link_local(rest: &str) -> bool {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority
        .strip_prefix('[')
        .and_then(|host| host.split_once(']'))
        .map_or_else(|| authority.split(':').next().unwrap_or_default(), |(host, _)| host);
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_unicast_link_local() || address.segments()[..2] == [0xfd00, 0x0ec2],
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn metadata_services_are_link_local() {
        for host in ["169.254.169.254", "169.254.170.2/v2", "169.254.170.23:80/x", "[fd00:ec2::254]/latest"] {
            assert!(is_link_local(host), "{host}");
        }
        for host in ["127.0.0.1:5000", "10.1.1.1", "169.255.1.1", "example.org/169.254.169.254", "[::1]:1", ""] {
            assert!(!is_link_local(host), "{host}");
        }
    }

    #[test]
    fn unusable_bundle_is_rejected_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        for (content, expected) in [
            ("", "there is none"),
            ("not PEM at all", "there is none"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot read trusted"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "PEM"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = trusted(&path).unwrap_err();
            assert!(error.contains(expected) && error.contains("ca.pem"), "{error}");
        }
        assert!(trusted(folder.path()).is_err());
        assert!(trusted(&folder.path().join("none.pem")).unwrap_err().contains("none.pem"));
        let good = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates/authority.pem");
        client(Some(&trusted(Path::new(good)).unwrap())).unwrap();
    }
}
