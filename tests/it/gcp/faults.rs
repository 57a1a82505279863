//! Faults of Google's services, and what the client makes of them.

use std::time::{Duration, Instant};

use ckworker::engine::{Body, CallError, CallErrorKind, Partial, code};
use serde_json::json;

use super::client::{Setup, request};

/// Lists networks while a fault is in force.
async fn list(setup: &Setup, fault: &str) -> Result<(), CallError> {
    setup.server.mend().await;
    setup.server.fault(&format!("{fault}&op=compute.networks.list")).await;
    setup.call("compute", "networks.list", json!({})).await.map(|_| ())
}

#[tokio::test]
async fn final_faults_are_not_retried() {
    let setup = Setup::start(&[]).await;
    for (fault, kind, expected) in [
        ("disabled", CallErrorKind::Denied, "SERVICE_DISABLED"),
        ("denied", CallErrorKind::Denied, "forbidden"),
        ("billing", CallErrorKind::Denied, "BILLING_DISABLED"),
        ("notfound", CallErrorKind::NotFound, "notFound"),
    ] {
        let before = setup.server.calls("compute.networks.list").await;
        let error = list(&setup, &format!("fault={fault}")).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, expected), "{fault}");
        assert_eq!(setup.server.calls("compute.networks.list").await, before + 1, "{fault}");
    }
}

#[tokio::test]
async fn transient_faults_are_retried() {
    let setup = Setup::start(&[]).await;
    for fault in ["rate403", "rate429", "unavailable", "internal", "html", "malformed", "empty", "reset"] {
        let before = setup.server.calls("compute.networks.list").await;
        list(&setup, &format!("fault={fault}&times=2")).await.unwrap();
        assert_eq!(setup.server.calls("compute.networks.list").await, before + 3, "{fault}");
    }
    list(&setup, "fault=slow&seconds=0.1").await.unwrap();
}

#[tokio::test]
async fn lasting_faults_keep_their_meaning() {
    let setup = Setup::start(&[]).await;
    for (fault, kind, expected) in [
        ("rate403", CallErrorKind::Throttled, "rateLimitExceeded"),
        ("rate429", CallErrorKind::Throttled, "RATE_LIMIT_EXCEEDED"),
        ("unavailable", CallErrorKind::Unavailable, "backendError"),
        ("html", CallErrorKind::Unavailable, code::INVALID_RESPONSE),
        ("malformed", CallErrorKind::Unavailable, code::INVALID_RESPONSE),
        ("empty", CallErrorKind::Unavailable, code::INVALID_RESPONSE),
        ("reset", CallErrorKind::Unavailable, code::CONNECTION_LOST),
    ] {
        let error = list(&setup, &format!("fault={fault}")).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, expected), "{fault}: {error}");
        assert_eq!((&*error.service, &*error.operation), ("compute", "networks.list"), "{fault}");
    }
}

#[tokio::test]
async fn requested_pause_is_kept() {
    let setup = Setup::start(&[]).await;
    for fault in ["rate403", "unavailable"] {
        let began = Instant::now();
        list(&setup, &format!("fault={fault}&times=1&after=1")).await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(1), "{fault}");
    }
}

#[tokio::test]
async fn hanging_call_ends_in_time() {
    let setup = Setup::start(&[]).await;
    setup.server.fault("fault=hang&op=compute.networks.list").await;
    let began = Instant::now();
    let hanging = request("compute", "networks.list", json!({})).within(Duration::from_secs(1));
    let error = setup.client.call(hanging).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Unavailable, code::TIMEOUT));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(450) && took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn repeated_token_of_page_ends_the_list() {
    let setup = Setup::start(&["--page-size", "1"]).await;
    setup.server.fault("fault=loop&op=compute.networks.list").await;
    let mut pages = setup.client.pages(request("compute", "networks.list", json!({})));
    let error = loop {
        match pages.next().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(error.message.contains("repeated"), "{error}");
}

#[tokio::test]
async fn expired_token_is_renewed_once() {
    let setup = Setup::start(&[]).await;
    setup.call("compute", "networks.list", json!({})).await.unwrap();
    setup.server.control("expire").await;
    setup.call("compute", "networks.list", json!({})).await.unwrap();
    assert_eq!(setup.tokens.renewals(), 1);
    let error = list(&setup, "fault=unauthorized").await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (CallErrorKind::Credentials, "authError"));
    assert_eq!(setup.tokens.renewals(), 2, "once in this call");
}

#[tokio::test]
async fn token_expiring_before_wait_does_not_repeat_the_change() {
    let setup = Setup::start(&[]).await;
    let link = setup.free_disk().await;
    setup.server.fault("fault=unauthorized&op=compute.zoneOperations.wait&times=1").await;
    setup.call("compute", "delete", json!({"link": link})).await.unwrap();
    assert_eq!(setup.tokens.renewals(), 1);
    assert_eq!(setup.server.calls("compute.disks.delete").await, 1);
}

#[tokio::test]
async fn silent_zones_are_named() {
    let setup = Setup::start(&[]).await;
    let complete = setup.call("compute", "instances.aggregatedList", json!({})).await.unwrap();
    assert_eq!(complete.partial().unwrap(), []);
    setup.server.fault("fault=partial&op=compute.instances.aggregatedList&scope=zones/us-central1-[ab]").await;
    let page = setup.call("compute", "instances.aggregatedList", json!({})).await.unwrap();
    let mut parts = page.partial().unwrap();
    parts.sort_by(|a, b| a.id.cmp(&b.id));
    let expected = |zone: &str| Partial {
        scope: Some("zone".into()),
        id: zone.into(),
        code: "UNREACHABLE".into(),
        message: format!("The scope 'zones/{zone}' is unreachable."),
        is_alone: true,
    };
    assert_eq!(parts, [expected("us-central1-a"), expected("us-central1-b")]);
}
