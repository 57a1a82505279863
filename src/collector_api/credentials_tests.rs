//! Credentials of one holder, with clocks passed in.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::{super::waits::Waits, *};

fn credentials(secret: &str, expires: Option<Duration>) -> Credentials {
    Credentials { secret: secret.into(), expires: expires.map(|expires| expires.as_secs().try_into().unwrap()) }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn expiring_credentials_are_used_only_during_refresh() {
    let now = Instant::now();
    let known = |left: u64, asked: Option<Instant>| Known {
        credentials: Some(credentials("old", None)),
        end: Some(now + seconds(left)),
        asked,
    };
    assert!(known(301, None).usable(now).is_some());
    assert!(known(300, None).usable(now).is_none());
    assert!(known(300, Some(now)).usable(now + PAUSE / 2).is_some());
    assert!(known(300, Some(now)).usable(now + PAUSE).is_none());
    assert!(known(5, Some(now)).usable(now).is_none());
    assert!(Known { credentials: Some(credentials("eternal", None)), ..Known::default() }.usable(now).is_some());
    assert!(Known { asked: Some(now), ..Known::default() }.usable(now).is_none());
}

#[test]
fn lifetime_is_measured_from_receipt_by_monotonic_clock() {
    let (unix, now) = (seconds(1_000_000), Instant::now());
    let received = |expires: Duration| {
        let mut known = Known::default();
        known.receive(credentials("new", Some(expires)), unix, now);
        known
    };
    let hour = received(unix + seconds(3600));
    assert!(hour.usable(now + seconds(3299)).is_some());
    assert!(hour.usable(now + seconds(3301)).is_none());
    // The clock is an hour ahead, or more: they seem to have ended long ago.
    for expires in [unix, unix - seconds(3600), Duration::ZERO] {
        let known = received(expires);
        assert!(known.usable(now).is_some() && known.usable(now + PAUSE - seconds(1)).is_some());
        assert!(known.usable(now + PAUSE).is_none(), "a refresh is due");
        assert!(known.with_left(LEAST, now + PAUSE).is_some(), "and they stay usable");
    }
}

/// Answers each request with the next of these, and counts the requests.
fn holder(answers: Vec<Result<Credentials, FailureKind>>) -> (CredentialSource, mpsc::Receiver<()>) {
    let (requests, mut asked) = mpsc::channel(1);
    let (count, counted) = mpsc::channel(16);
    tokio::spawn(async move {
        for answer in answers {
            let Some(Request::Credentials { unit: 7, waiter, .. }) = asked.recv().await else { return };
            let answer = answer.map_err(|kind| Failure { kind, message: "no".into() });
            waiter.send(answer).unwrap();
            count.send(()).await.unwrap();
        }
    });
    (CredentialSource::new(7, requests, Waits::default().unit(7)), counted)
}

#[tokio::test]
async fn current_credentials_are_used_when_refresh_fails() {
    let old = credentials("old", Some(unix_time() + seconds(200)));
    let (source, mut counted) = holder(vec![Ok(old.clone()), Err(FailureKind::Unavailable)]);
    assert_eq!(source.get().await, Ok(old.clone()));
    source.lock().asked = None;
    assert_eq!(source.get().await, Ok(old.clone()), "the failed refresh loses nothing");
    assert_eq!(source.clone().get().await, Ok(old), "no second refresh at once");
    drop(source);
    let mut asked = 0;
    while counted.recv().await.is_some() {
        asked += 1;
    }
    assert_eq!(asked, 2);
}

#[tokio::test(start_paused = true)]
async fn seemingly_expired_credentials_are_refreshed_once_a_minute() {
    let past = || Ok(credentials("new", Some(unix_time() - seconds(3600))));
    let (source, mut counted) = holder((0..5).map(|_| past()).collect());
    for _ in 0..2000 {
        assert!(source.get().await.is_ok());
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    drop(source);
    let mut asked = 0;
    while counted.recv().await.is_some() {
        asked += 1;
    }
    assert_eq!(asked, 4, "in 200 seconds");
}

#[tokio::test]
async fn current_credentials_stay_usable_during_refresh() {
    let old = credentials("old", Some(unix_time() + seconds(200)));
    let (requests, mut asked) = mpsc::channel(1);
    let source = CredentialSource::new(7, requests, Waits::default().unit(7));
    source.lock().receive(old.clone(), unix_time(), Instant::now());
    source.lock().asked = None;
    let asking = tokio::spawn({
        let source = source.clone();
        async move { source.get().await }
    });
    let Some(Request::Credentials { waiter, .. }) = asked.recv().await else { unreachable!() };
    assert_eq!(source.get().await, Ok(old));
    let new = credentials("new", Some(unix_time() + seconds(3600)));
    waiter.send(Ok(new.clone())).unwrap();
    assert_eq!(asking.await.unwrap(), Ok(new.clone()));
    assert_eq!(source.get().await, Ok(new));
}

#[tokio::test]
async fn failure_without_credentials_is_returned_and_retried() {
    let new = credentials("new", None);
    let (source, _counted) = holder(vec![Err(FailureKind::Unavailable), Ok(new.clone())]);
    assert_eq!(source.get().await.map_err(|failure| failure.kind), Err(FailureKind::Unavailable));
    assert_eq!(source.get().await, Ok(new));
}

#[tokio::test]
async fn rejected_credentials_are_renewed_once_for_all_clones() {
    let [old, new] = ["old", "new"].map(|secret| credentials(secret, None));
    let (requests, mut asked) = mpsc::channel(1);
    let source = CredentialSource::new(7, requests, Waits::default().unit(7));
    source.lock().receive(old.clone(), unix_time(), Instant::now());
    let renewals = [0, 1, 2].map(|_| {
        let (source, old) = (source.clone(), old.clone());
        tokio::spawn(async move { source.renew(&old).await })
    });
    let Some(Request::Credentials { unit: 7, rejected: true, waiter }) = asked.recv().await else { unreachable!() };
    waiter.send(Ok(new.clone())).unwrap();
    for renewal in renewals {
        assert_eq!(renewal.await.unwrap(), Ok(new.clone()));
    }
    assert_eq!(source.get().await, Ok(new.clone()));
    assert!(asked.try_recv().is_err(), "one request for all");
    // The new ones are rejected too, and there are no others.
    let renewal = tokio::spawn(async move { source.renew(&new).await });
    let Some(Request::Credentials { rejected: true, waiter, .. }) = asked.recv().await else { unreachable!() };
    waiter.send(Err(Failure { kind: FailureKind::Credentials, message: "no".into() })).unwrap();
    assert_eq!(renewal.await.unwrap().map_err(|failure| failure.kind), Err(FailureKind::Credentials));
}
