//! TLS of the server.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use crate::StartError;

/// A certificate with its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The file of the certificate, with those of its authorities if there are any between.
    pub certificate: PathBuf,
    /// The file of the private key.
    pub key: PathBuf,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, StartError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|error| StartError::Tls(format!("{}: {error}", self.certificate.display())))?;
        let key = PrivateKeyDer::from_pem_file(&self.key);
        let key = key.map_err(|error| StartError::Tls(format!("{}: {error}", self.key.display())))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = builder.with_safe_default_protocol_versions();
        let config = config.and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(|error| StartError::Tls(error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
