//! TLS in front of a test core, as a core with a certificate of its own has it.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{copy, copy_bidirectional, sink},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// A file of the certificates for tests.
pub fn certificate(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates")).join(name)
}

/// A relay that ends TLS. Ends when dropped, with all its connections.
pub struct TlsFront {
    /// The authority of its URIs.
    authority: String,
    server: JoinHandle<()>,
}

impl TlsFront {
    /// Listens on a free port in front of a plain URI. It may want to see a certificate of the tests' authority.
    pub async fn start(plain: &str, wants_certificate: bool) -> Self {
        Self::with(plain, "server", wants_certificate).await
    }

    /// The same with another certificate of the tests.
    pub async fn with(plain: &str, name: &str, wants_certificate: bool) -> Self {
        let target = plain.trim_start_matches("http://").to_owned();
        let acceptor = TlsAcceptor::from(Arc::new(config(name, wants_certificate)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        Self { authority, server: tokio::spawn(run(listener, acceptor, target)) }
    }

    /// Its URI for requests.
    pub fn uri(&self) -> String {
        format!("https://{}", self.authority)
    }

    /// Its URI for websockets.
    pub fn ws_uri(&self) -> String {
        format!("wss://{}", self.authority)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn run(listener: TcpListener, acceptor: TlsAcceptor, target: String) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, target) = (acceptor.clone(), target.clone());
        connections.spawn(async move {
            let mut secure = match acceptor.accept(stream).into_fallible().await {
                Ok(secure) => secure,
                Err((_, refused)) => return drain(refused).await,
            };
            let Ok(mut plain) = TcpStream::connect(target).await else { return };
            let _ = copy_bidirectional(&mut secure, &mut plain).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Reads until a client that was refused goes: a connection that is closed with something unread is reset, which may
/// overtake the alert that says why.
async fn drain(mut refused: TcpStream) {
    let _ = copy(&mut refused, &mut sink()).await;
}

fn config(name: &str, wants_certificate: bool) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = if wants_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate("authority.pem")).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.unwrap().with_client_cert_verifier(verifier)
    } else {
        builder.unwrap().with_no_client_auth()
    };
    let chain = vec![CertificateDer::from_pem_file(certificate(&format!("{name}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificate(&format!("{name}.key"))).unwrap();
    builder.with_single_cert(chain, key).unwrap()
}
