//! Workers that send far more than they may: the other account is complete, and the supervisor's memory stays bounded.

use std::sync::atomic::{AtomicUsize, Ordering};

use worker_proto::Credentials;

use super::*;

const MIB: u64 = 1 << 20;

/// What the supervisor may take in these plays beside what it takes anyway: the bound, what growing lists reserve, and
/// a few of the largest frames on their way. Each flood is of a GiB.
const ROOM: u64 = 250 * MIB;

/// The most memory that this process has taken.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Plays one flood beside a worker that behaves, with a bound of 32 MiB.
fn play(flood: &str) -> Play {
    let mut play = Play::new(&[flood, "well"]);
    play.limits = Limits { unit: 32 * MIB, worker: 64 * MIB, lines: 64 * MIB };
    play
}

async fn ends(flood: &str, label: &str, said: &str) {
    let before = peak();
    let play = play(flood);
    let (reason, detail) = play.fails_alone().await;
    assert_eq!(reason, label, "{flood}: {detail}");
    assert!(detail.contains(said), "{flood}: {detail}");
    assert!(play.exits(label), "{flood}");
    let grown = peak() - before;
    assert!(grown < ROOM, "{flood}: {} MiB", grown / MIB);
}

/// Invariant: a worker cannot exhaust the supervisor's memory.
#[tokio::test]
async fn flood_of_edges_is_ended() {
    ends("flood-of-edges", "excess", "32 MiB").await;
}

/// Invariant: a worker cannot exhaust the supervisor's memory.
#[tokio::test]
async fn flood_of_empty_nodes_is_ended() {
    ends("flood-of-nodes", "excess", "32 MiB").await;
}

/// Invariant: a worker cannot exhaust the supervisor's memory.
#[tokio::test]
async fn flood_of_largest_frames_is_ended() {
    ends("flood-of-large-frames", "excess", "32 MiB").await;
}

/// Invariant: a worker cannot exhaust the supervisor's memory.
#[tokio::test]
async fn flood_of_deferred_edges_is_ended() {
    ends("flood-of-deferred", "excess", "32 MiB").await;
}

#[tokio::test]
async fn names_that_are_none_of_kinds_end_the_worker() {
    ends("flood-of-kinds", "protocol", "kinds").await;
}

/// Invariant: a worker cannot exhaust the supervisor's memory.
#[tokio::test]
async fn flood_of_questions_is_ended() {
    ends("flood-of-questions", "protocol", "shared values").await;
    ends("flood-of-long-questions", "protocol", "key").await;
}

/// Is asked and does not answer.
#[derive(Default)]
struct Slow(AtomicUsize);

impl Broker for Slow {
    fn credentials<'a>(&'a self, _: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }
}

/// Invariant: a worker cannot exhaust the supervisor's memory.
#[tokio::test]
async fn flood_of_credential_requests_asks_cloud_once() {
    let broker = Arc::new(Slow::default());
    let mut play = play("flood-of-credentials");
    play.broker = Some(Arc::clone(&broker) as Arc<dyn Broker>);
    let (reason, detail) = play.fails_alone().await;
    assert_eq!(reason, "protocol", "{detail}");
    assert!(broker.0.load(Ordering::Relaxed) <= 1, "no role is assumed again and again");
}

/// Invariant: a worker cannot exhaust the supervisor's memory.
#[tokio::test]
async fn long_texts_of_gaps_are_truncated() {
    let before = peak();
    let report = play("flood-of-gaps").report().await;
    let gaps = &report.collectors[0].units[0].gaps;
    assert!(gaps.len() > 500, "{}", gaps.len());
    assert!(gaps.iter().all(|gap| gap.message.len() < 5000 && gap.region.len() < 300));
    assert!(report.collectors[0].units.iter().all(UnitReport::counts));
    let grown = peak() - before;
    assert!(grown < ROOM, "{} MiB", grown / MIB);
}
