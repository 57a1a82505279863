//! TLS on the way to a test core, which the real one ends itself.

use ckworker::ckcore::{CoreConfig, Psk, TlsOptions};

use crate::{
    ckcore::{Client, config},
    support::{
        core::TestCore,
        daemon::SUBSCRIBER,
        tls::{TlsFront, certificate},
    },
    upload::{cloud, deliver},
};

/// The configuration for a core behind TLS.
fn secure(front: &TlsFront, server: &TestCore, change: impl FnOnce(&mut TlsOptions)) -> CoreConfig {
    let mut config = config(server);
    let addresses = CoreConfig::new(&front.uri(), &front.ws_uri()).unwrap();
    (config.uri, config.ws_uri) = (addresses.uri, addresses.ws_uri);
    change(&mut config.tls);
    config
}

/// Has a core behind TLS collect something over requests and websockets.
async fn works(server: &TestCore, config: CoreConfig) {
    let mut client = Client::with(config, 16);
    client.core.take_tasks(&[]);
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

#[tokio::test]
async fn a_core_with_a_certificate_is_verified_unless_that_is_not_wanted() {
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
async fn a_core_that_wants_a_certificate_gets_ours() {
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
    for (name, why) in [(None, "--cert"), (Some("stranger"), "--cert")] {
        let reason = Client::with(client(name), 16).disconnected().await;
        assert!(reason.contains(why), "{reason}");
    }
}

#[tokio::test]
async fn a_key_works_behind_a_certificate_of_any_authority() {
    let server = TestCore::start(Some("geheim")).await;
    let front = TlsFront::start(&server.uri(), false).await;
    let mut config = secure(&front, &server, |tls| tls.ca_cert = Some(certificate("authority.pem")));
    config.psk = Psk::new("geheim");
    works(&server, config).await;
}
