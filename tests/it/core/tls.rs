//! TLS on the way to a test core, which the real one ends itself.

use std::{sync::Arc, time::Duration};

use ckworker::ckcore::{CoreConfig, Psk, TlsOptions};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::time::timeout;

use crate::support::{
    client::{Client, config},
    core::{HANG_GUARD, TestCore},
    daemon::SUBSCRIBER,
    graph::{cloud, deliver},
    tls::{TlsFront, certificate},
};

/// The configuration for a core behind TLS.
fn secure(front: &TlsFront, server: &TestCore, change: impl FnOnce(&mut TlsOptions)) -> CoreConfig {
    let mut config = config(server);
    let addresses = CoreConfig::new(&front.uri(), &front.ws_uri()).unwrap();
    (config.uri, config.ws_uri) = (addresses.uri, addresses.ws_uri);
    change(&mut config.tls);
    config
}

/// Waits until a client that is refused again and again says this. Its part of a handshake is over before the server
/// judges its certificate, so that a request may fail as a broken connection before the refusal is read.
async fn is_told(client: &mut Client, why: &str) {
    let mut told = Vec::new();
    let search = async {
        while !told.last().is_some_and(|reason: &String| reason.contains(why)) {
            told.push(client.disconnected().await);
        }
    };
    let heard = timeout(HANG_GUARD, search).await.is_ok();
    assert!(heard, "never {why:?} in {told:?}");
}

/// Has a core behind TLS collect something over requests and websockets.
async fn works(server: &TestCore, config: CoreConfig) {
    let mut client = Client::with(config, 16);
    client.core.take_tasks(&["tag"], &[]);
    server.connected(SUBSCRIBER).await;
    server.workers(8).await;
    let task = server.start_workflow("collect").unwrap();
    let action = client.action().await;
    deliver(&client.core.api(), cloud(&["a1"])).await.unwrap();
    client.done(&action).await;
    server.finished(&task).await;
    client.close().await;
    server.connection_lost(SUBSCRIBER).await;
    server.workers(0).await;
}

/// The tests have to work on a machine whose clock is late.
#[test]
fn test_certificates_are_valid_at_any_time() {
    let read = |name: &str| CertificateDer::from_pem_file(certificate(name)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(read("authority.pem")).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    for year in [2021, 2119] {
        let time = UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 365 * 24 * 3600));
        let name = ServerName::try_from("localhost").unwrap();
        verifier.verify_server_cert(&read("server.pem"), &[], &name, &[], time).unwrap();
    }
}

#[tokio::test]
async fn certificate_of_core_is_verified_unless_disabled() {
    let server = TestCore::start(None).await;
    let front = TlsFront::start(&server.uri(), false).await;
    works(&server, secure(&front, &server, |tls| tls.ca_cert = Some(certificate("authority.pem")))).await;
    works(&server, secure(&front, &server, |tls| tls.verify = false)).await;
    let other = |tls: &mut TlsOptions| tls.ca_cert = Some(certificate("stranger.pem"));
    for config in [secure(&front, &server, |_| {}), secure(&front, &server, other)] {
        let reason = Client::with(config, 16).disconnected().await;
        assert!(reason.contains("UnknownIssuer") && reason.contains("--ca-cert"), "{reason}");
    }
}

#[tokio::test]
async fn certificate_of_authority_as_server_is_explained() {
    let server = TestCore::start(None).await;
    let front = TlsFront::with(&server.uri(), "selfmade", false).await;
    let trusted = |tls: &mut TlsOptions| tls.ca_cert = Some(certificate("selfmade.pem"));
    let reason = Client::with(secure(&front, &server, trusted), 16).disconnected().await;
    for part in ["CaUsedAsEndEntity", "certificate authority", "CA:FALSE"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    // The same on the websocket, where the rest of the core has a certificate that is trusted.
    let mut config = secure(&front, &server, trusted);
    config.uri = CoreConfig::new(&server.uri(), &server.ws_uri()).unwrap().uri;
    let reason = Client::with(config, 16).disconnected().await;
    assert!(reason.contains("action websocket") && reason.contains("CA:FALSE"), "{reason}");
    works(&server, secure(&front, &server, |tls| tls.verify = false)).await;
}

#[tokio::test]
async fn server_that_speaks_no_tls_is_explained() {
    let server = TestCore::start(None).await;
    let mut config = config(&server);
    let plain = server.uri();
    let secure = plain.replace("http://", "https://");
    config.uri = CoreConfig::new(&secure, &secure.replace("https://", "wss://")).unwrap().uri;
    let reason = Client::with(config, 16).disconnected().await;
    assert!(reason.contains("does not speak TLS") && reason.contains("http://"), "{reason}");
}

#[tokio::test]
async fn core_that_requests_certificate_gets_ours() {
    let server = TestCore::start(None).await;
    let front = TlsFront::start(&server.uri(), true).await;
    let client = |name: Option<&str>| {
        secure(&front, &server, |tls| {
            tls.ca_cert = Some(certificate("authority.pem"));
            tls.cert = name.map(|name| certificate(&format!("{name}.pem")));
            tls.cert_key = name.map(|name| certificate(&format!("{name}.key")));
        })
    };
    works(&server, client(Some("client"))).await;
    for name in [None, Some("stranger")] {
        is_told(&mut Client::with(client(name), 16), "--cert").await;
    }
}

#[tokio::test]
async fn key_works_behind_certificate_of_any_authority() {
    let server = TestCore::start(Some("geheim")).await;
    let front = TlsFront::start(&server.uri(), false).await;
    let mut config = secure(&front, &server, |tls| tls.ca_cert = Some(certificate("authority.pem")));
    config.psk = Psk::new("geheim");
    works(&server, config).await;
}
