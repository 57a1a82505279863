//! Collections at the size that users have: many regions in each account, forked and in one process, near and far.

use std::{collections::BTreeMap, fs, time::Duration};

use replay::{Config, Replay};

use crate::support::{aws::serve, program};

/// How an organization is collected.
#[derive(Clone, Copy, Debug)]
struct Shape {
    forked: bool,
    latency_ms: u64,
    /// `--aws-account-pool-size`, if it is given.
    pool: Option<usize>,
}

/// Nodes by kind, and edges, of the graph that was written.
type Counts = (BTreeMap<String, usize>, usize);

fn collect(server: &Replay, shape: Shape, more: &[&str]) -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("graph.ndjson");
    let mut command =
        program::command(&["collect", "--collector", "aws", "--aws-role", "Cloudkeeper", "--aws-scrape-org"]);
    command.args(["--output", output.to_str().unwrap()]).args(more);
    if shape.forked {
        command.args(["--fork", "--aws-fork"]);
    }
    if let Some(pool) = shape.pool {
        command.args(["--aws-account-pool-size", &pool.to_string()]);
    }
    let run = program::run(serve(&server.endpoint(), &mut command));
    assert_eq!(run.code, 0, "{shape:?}: {}", run.stderr);
    for text in ["retrying", "sent no frame", "no progress"] {
        assert!(!run.stderr.contains(text), "{shape:?}: {text}: {}", run.stderr);
    }
    let stats = server.stats();
    assert_eq!(stats.unmatched, 0, "{shape:?}: {:?}", stats.unmatched_requests);
    server.reset();
    counts(&fs::read_to_string(output).unwrap())
}

fn counts(graph: &str) -> Counts {
    let mut kinds = BTreeMap::new();
    let mut edges = 0;
    for line in graph.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        match line["reported"]["kind"].as_str() {
            Some(kind) => *kinds.entry(kind.to_owned()).or_default() += 1,
            None => edges += 1,
        }
    }
    (kinds, edges)
}

/// All shapes of an organization of so many accounts and regions give the same complete graph.
fn all_alike(accounts: usize, regions: usize, shapes: &[Shape]) {
    let mut first: Option<Counts> = None;
    for latency_ms in [0, 50] {
        let config = Config { accounts, regions, latency: Duration::from_millis(latency_ms), ..Config::default() };
        let server = Replay::start(config).unwrap();
        for shape in shapes.iter().filter(|shape| shape.latency_ms == latency_ms) {
            let found = collect(&server, *shape, &[]);
            let (kinds, edges) = first.get_or_insert_with(|| found.clone());
            assert_eq!((&found.0, found.1), (&*kinds, *edges), "{shape:?}");
            assert_eq!(kinds["aws_account"], accounts);
            assert_eq!(kinds["aws_region"], accounts * (regions + 1), "the regions and the global one");
            assert!(kinds["aws_ec2_volume"] > accounts * regions * 20, "{kinds:?}");
        }
    }
}

#[test]
fn accounts_of_17_regions_are_complete_in_every_shape() {
    let shape = |forked, latency_ms, pool| Shape { forked, latency_ms, pool };
    let shapes = [
        shape(true, 0, None),
        shape(false, 0, None),
        shape(true, 50, None),
        shape(false, 50, None),
        shape(true, 0, Some(1)),
        shape(false, 0, Some(1)),
        shape(true, 0, Some(100)),
        shape(false, 50, Some(100)),
    ];
    all_alike(3, 17, &shapes);
}

#[test]
fn account_of_34_regions_is_complete_with_any_pool_of_regions() {
    let config = Config { accounts: 1, regions: 34, ..Config::default() };
    let server = Replay::start(config).unwrap();
    let mut first = None;
    for pool in ["1", "3", "40"] {
        for forked in [true, false] {
            let shape = Shape { forked, latency_ms: 0, pool: None };
            let found = collect(&server, shape, &["--aws-region-pool-size", pool]);
            let expected = first.get_or_insert_with(|| found.clone());
            assert_eq!(&found, expected, "{shape:?} with {pool} regions at once");
        }
    }
}
