//! TLS: trusted certificates, and the client certificate.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, Error, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{certificates, ckcore::CoreError};

const WHAT: &str = "set-up of TLS";

/// The TLS options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// A file of certificates (PEM) that are trusted in addition to the system's.
    pub ca_cert: Option<PathBuf>,
    /// A file with the client certificate and its chain (PEM), if the core requires one.
    pub cert: Option<PathBuf>,
    /// The file of its private key (PEM), unless it is in `cert`.
    pub cert_key: Option<PathBuf>,
    /// Whether the core's certificate is verified.
    pub verify: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self { ca_cert: None, cert: None, cert_key: None, verify: true }
    }
}

/// The certificates and keys that were read from files.
#[derive(Debug)]
pub struct Trust {
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    verify: bool,
}

impl Trust {
    /// Reads the files, and the system's certificates if `system` is set.
    pub fn read(options: &TlsOptions, system: bool) -> Result<Self, CoreError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &options.ca_cert {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| problem(path, &format!("has no usable certificate: {error}")))?;
            }
        }
        if system && options.verify {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() && roots.is_empty() {
                tracing::warn!(peer = "core", errors = ?found.errors, "no CA certificates found on the system; trusting only the core's own");
            }
            roots.add_parsable_certificates(found.certs);
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Self { provider, roots, identity: identity(options)?, verify: options.verify })
    }

    /// Returns a configuration that also trusts `extra`.
    pub fn config(&self, extra: Option<&CertificateDer<'static>>) -> Result<ClientConfig, CoreError> {
        let mut roots = self.roots.clone();
        if let Some(extra) = extra {
            roots.add(extra.clone()).map_err(|error| wrong(&error))?;
        }
        self.build(self.verify.then_some(roots))
    }

    /// Returns a configuration without verification, for requests whose response is verified by other means.
    pub fn blind_config(&self) -> Result<ClientConfig, CoreError> {
        self.build(None)
    }

    fn build(&self, roots: Option<RootCertStore>) -> Result<ClientConfig, CoreError> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?;
        let builder = match roots {
            Some(roots) => builder.with_root_certificates(roots),
            None => {
                let verifier = Arc::new(certificates::AcceptAll(Arc::clone(&self.provider)));
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        match &self.identity {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|error| wrong(&error))
            }
            None => Ok(builder.with_no_client_auth()),
        }
    }
}

/// TLS errors whose remedy is an option of ckworker: a part of the error's message, and the explanation.
const EXPLANATIONS: &[(&str, &str)] = &[
    (
        "UnknownIssuer",
        "no trusted authority signed the core's certificate: give --ca-cert, or --psk if the core has its own certificate \
         authority",
    ),
    (
        "InvalidContentType",
        "the core does not speak TLS on this port: give http:// in --ckcore-uri and ws:// in --ckcore-ws-uri",
    ),
];

/// The alerts of a core that requires a client certificate; it sends them after the handshake.
const WANTS_CERTIFICATE: &[&str] =
    &["CertificateRequired", "UnknownCA", "BadCertificate", "CertificateUnknown", "DecryptError"];

/// Returns the message of an error, with an explanation if it is a TLS error.
pub fn explained(error: String) -> String {
    let known = EXPLANATIONS.iter().find(|(part, _)| error.contains(part)).map(|(_, explanation)| *explanation);
    let wants = || {
        let wants = WANTS_CERTIFICATE.iter().any(|alert| error.contains(alert));
        wants.then_some("the core requires a client certificate that it trusts: give --cert and --cert-key")
    };
    match known.or_else(|| certificates::explanation(&error)).or_else(wants) {
        Some(explanation) => format!("{error} ({explanation})"),
        None => error,
    }
}

fn identity(options: &TlsOptions) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, CoreError> {
    let Some(cert) = &options.cert else {
        return match &options.cert_key {
            Some(key) => Err(problem(key, "is the key of no certificate: give --cert too")),
            None => Ok(None),
        };
    };
    let path = options.cert_key.as_ref().unwrap_or(cert);
    let key = PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|error| problem(path, &format!("has no usable private key (--cert-key): {error}")))?;
    Ok(Some((certificates(cert)?, key)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CoreError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(problem(path, "has no certificate in PEM form")),
        Err(error) => Err(problem(path, &format!("has no usable certificate: {error}"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CoreError> {
    fs::read(path).map_err(|error: io::Error| problem(path, &format!("cannot be read: {error}")))
}

fn problem(path: &Path, what: &str) -> CoreError {
    CoreError::permanent(WHAT, &format!("{} {what}", path.display()))
}

fn wrong(error: &Error) -> CoreError {
    CoreError::permanent(WHAT, &error.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn tls_errors_name_an_option_or_remedy() {
        use rustls::CertificateError::{Expired, UnknownIssuer};
        for (error, remedy) in [
            (Error::InvalidCertificate(UnknownIssuer), "--ca-cert"),
            (Error::InvalidCertificate(Expired), "renew the certificate"),
            (Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "http://"),
        ] {
            let text = error.to_string();
            let told = explained(text.clone());
            assert!(told.starts_with(&text) && told.contains(remedy), "{told}");
        }
        assert_eq!(explained("connection refused".into()), "connection refused");
    }

    #[test]
    fn invalid_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("empty"), "").unwrap();
        fs::write(path("damaged"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let options = |ca: Option<&str>, cert: Option<&str>, key: Option<&str>| TlsOptions {
            ca_cert: ca.map(path),
            cert: cert.map(path),
            cert_key: key.map(path),
            verify: true,
        };
        for (options, name, why) in [
            (options(Some("missing"), None, None), "missing", "cannot be read"),
            (options(Some("empty"), None, None), "empty", "no certificate"),
            (options(Some("damaged"), None, None), "damaged", "no usable certificate"),
            (options(None, Some("damaged"), None), "damaged", "--cert-key"),
            (options(None, Some("damaged"), Some("missing")), "missing", "cannot be read"),
            (options(None, None, Some("empty")), "empty", "--cert"),
        ] {
            let error = Trust::read(&options, false).unwrap_err();
            assert!(!error.retryable && error.message.contains(name) && error.message.contains(why), "{error}");
        }
        assert!(Trust::read(&TlsOptions::default(), false).is_ok());
    }
}
