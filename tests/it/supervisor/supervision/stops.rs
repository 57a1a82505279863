//! Signals: each step of the end comes in its time, and a second signal shortens them.

use super::*;

/// Far longer than what the whole shutdown may take. A worker that is still there at that bound is killed with the
/// supervisor: nobody counts its exit. So an exit that was counted came before.
const LONG: Duration = HANG;

/// A hang. That something came before the bound of the whole shutdown is seen in the counted exits and in no time.
const MOST: Duration = Duration::from_secs(30);

/// Plays until this many units have begun, sends so many signals, and answers how long it then took.
async fn signalled(play: &Play, begun: usize, times: usize) -> Duration {
    let (sender, signals) = tokio::sync::mpsc::channel(times);
    let signals = stream::unfold(signals, |mut signals| async { signals.recv().await.map(|signal| (signal, signals)) });
    let mut watched = play.begun.subscribe();
    let at = Mutex::new(None);
    let sending = async {
        watched.wait_for(|count| *count >= begun).await.unwrap();
        *at.lock().unwrap() = Some(Instant::now());
        for _ in 0..times {
            sender.send(15).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = play.run(Box::pin(signals)) => ended,
        () = sending => unreachable!(),
    };
    assert_eq!(ended.signal, Some(15));
    assert!(ended.report.is_none());
    assert!(play.delivery.0.lock().unwrap().is_empty(), "nothing is delivered");
    at.lock().unwrap().unwrap().elapsed()
}

/// Invariant: shutdown has one upper bound, and a second signal skips the grace period.
#[tokio::test]
async fn signal_ends_all_workers_and_second_one_at_once() {
    let mut play = Play::new(&["hang", "ignore-term"]);
    play.policy.stop_grace = LONG;
    let took = signalled(&play, 2, 2).await;
    assert!(took < MOST, "{took:?}");
    assert!(play.exits_times("shutdown", 2), "{}", play.metrics.encode());
}

/// Invariant: shutdown has one upper bound, and a second signal skips the grace period.
#[tokio::test]
async fn worker_ignoring_term_is_killed_after_grace_period() {
    let mut play = Play::new(&["ignore-term"]);
    let grace = Duration::from_millis(500);
    play.policy.stop_grace = grace;
    let took = signalled(&play, 1, 1).await;
    assert!(took >= grace, "not before its time: {took:?}");
    assert!(took < MOST, "{took:?}");
    assert!(play.exits("shutdown"));
}

/// Invariant: shutdown has one upper bound, and a second signal skips the grace period.
#[tokio::test]
async fn worker_is_cancelled_before_it_is_signalled() {
    let mut play = Play::new(&["ignore-term-but-not-cancel"]);
    play.policy.stop_grace = LONG;
    let took = signalled(&play, 1, 1).await;
    assert!(took < MOST, "{took:?}");
    let metrics = play.metrics.encode();
    assert!(metrics.contains("cloudkeeper_puppet_cancelled_total 1"), "it heard so, and was heard: {metrics}");
    assert!(play.exits("shutdown"));
}

/// Invariant: shutdown has one upper bound, and a second signal skips the grace period.
#[tokio::test]
async fn shutdown_has_one_bound_for_any_grace_period() {
    let mut play = Play::new(&["ignore-term"]);
    play.policy.stop_grace = LONG;
    let took = signalled(&play, 1, 1).await;
    assert!(took >= Duration::from_secs(4), "not before its time: {took:?}");
    assert!(took < MOST, "{took:?}");
    assert!(!play.exits("shutdown"), "it was killed with everything else: {}", play.metrics.encode());
}
