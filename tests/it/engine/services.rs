//! Several services in one location: a hopeless one is given up, one that is not in use is not asked again, and the others
//! go on.

use super::{cores::Core, nimbus::TAPES, supervised::run, *};

/// A location of all services.
const GLOBAL: &str = "account acc-1";

/// The kinds of the service `storage`.
const STORAGE: [&str; 3] = ["nimbus_bucket", "nimbus_object", "nimbus_share"];

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn calls_of<'a>(calls: &'a [String], paths: &'a [&str]) -> usize {
    calls.iter().filter(|call| paths.iter().any(|path| call.starts_with(&format!("GET /{path}")))).count()
}

/// The kinds of the service `v1` in the level `global`, by the paths of their lists.
const V1: [&str; 6] = ["networks", "aggregated", "images", "overview", "keys", "peerings"];

fn not_in_use(collected: &Collected) -> BTreeSet<(String, String)> {
    let kinds = collected.missing.iter().filter_map(|missing| match missing {
        Missing::Kind { below, kind, why: Why::NotInUse { service, operation }, .. } => {
            assert!(["archive", "v1"].contains(&service.as_str()) && !operation.is_empty());
            Some((collected.label(below), kind.clone()))
        }
        _ => None,
    });
    kinds.collect()
}

/// The codes of the gaps of the service `archive`, and the kinds that the one with the code `Skipped` names.
fn tapes(collected: &Collected) -> (Vec<&str>, usize) {
    let of_archive = collected.gaps.iter().filter(|gap| gap.service == "archive");
    let (skipped, failed): (Vec<_>, Vec<_>) = of_archive.partition(|gap| gap.code == "Skipped");
    let [skipped] = skipped.as_slice() else { panic!("{:?}", collected.gaps) };
    assert_eq!((skipped.region.as_str(), collected.gaps.len()), ("global", failed.len() + 1));
    let kinds = skipped.message.strip_prefix("the service was given up; skipped kinds: ").unwrap();
    (failed.iter().map(|gap| gap.code.as_str()).collect(), kinds.split(", ").count())
}

fn assert_tapes_unseen(collected: &Collected) {
    for number in 0..TAPES {
        assert_eq!(collected.missing_below(&format!("nimbus_tape{number}")), set(&[GLOBAL]));
    }
}

#[tokio::test]
async fn service_without_response_is_given_up_and_others_go_on() {
    let server = Server::start().await;
    server.fail("tapes", (503, None, None));
    let collected = collect_all(&server).await;
    let (failed, skipped) = tapes(&collected);
    // Up to three more are on their way when the fourth one fails.
    assert!((4..8).contains(&failed.len()) && failed.iter().all(|code| *code == "503"), "{failed:?}");
    assert_eq!(failed.len() + skipped, TAPES);
    assert_tapes_unseen(&collected);
    assert_eq!((collected.labels("share").len(), collected.labels("disk").len()), (1, 4 * SERVERS));
    assert_eq!(collected.missing_below("nimbus_share"), set(&[]));
}

#[tokio::test]
async fn service_that_responded_once_is_not_given_up() {
    let server = Server::start().await;
    (1..TAPES).for_each(|number| server.fail(&format!("tapes/{number}"), (503, None, None)));
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps.len(), TAPES - 1, "{:?}", collected.gaps);
    assert!(collected.gaps.iter().all(|gap| gap.code == "503"), "{:?}", collected.gaps);
}

#[tokio::test]
async fn location_without_any_response_is_given_up() {
    let server = Server::start().await;
    for path in V1.iter().chain(&["buckets", "shares", "tapes"]) {
        server.fail(path, (503, None, None));
    }
    let collected = collect_all(&server).await;
    let given_up = collected.gaps.iter().filter(|gap| gap.message.starts_with("the location was given up"));
    assert_eq!(given_up.count(), 1, "{:?}", collected.gaps);
    assert_tapes_unseen(&collected);
    ["nimbus_bucket", "nimbus_share"].iter().for_each(|kind| {
        assert!(collected.missing_below(kind).contains(GLOBAL), "{kind}");
    });
    assert_eq!(collected.labels("disk").len(), 4 * SERVERS, "other locations go on");
}

#[tokio::test]
async fn failure_for_whole_account_is_one_gap_and_ends_its_service() {
    let server = Server::start().await;
    server.fail("tapes", (402, None, None));
    let collected = collect_all(&server).await;
    assert_eq!(tapes(&collected), (vec!["402"], TAPES - 1));
    assert_tapes_unseen(&collected);
    assert!(calls_of(&server.calls(), &["tapes"]) < 8);
    assert_eq!((collected.labels("network").len(), collected.labels("share").len()), (7, 1));
}

#[tokio::test]
async fn end_of_service_leaves_values_of_items_unknown() {
    // The second one says that the service is not in use, although it has listed the items.
    for status in [402, 410] {
        let server = Server::start().await;
        server.fail("policies", (status, None, None));
        let collected = collect_all(&server).await;
        assert_eq!(collected.labels("bucket").len(), 2);
        let code = status.to_string();
        assert_eq!(collected.gaps.iter().filter(|gap| gap.code == code).count(), 1, "{:?}", collected.gaps);
        let parts = collected.missing.iter().map(|missing| match missing {
            Missing::Parts { nodes, properties, .. } if properties == &["tags"] => nodes.len(),
            _ => 0,
        });
        assert_eq!(parts.sum::<usize>(), 2);
        assert!(collected.missing_below("nimbus_bucket").contains(GLOBAL), "objects were not listed");
        assert_eq!(not_in_use(&collected), BTreeSet::new());
    }
}

#[tokio::test]
async fn service_that_responded_and_is_not_in_use_is_given_up() {
    let server = Server::start().await;
    // The first kind of each collector is listed, but for the last collector, which begins after another has ended.
    let rejected = [1, 3, 5, 7, 8, 9];
    rejected.iter().for_each(|number| server.fail(&format!("tapes/{number}"), (410, None, None)));
    let collected = collect_all(&server).await;
    let (failed, skipped) = tapes(&collected);
    assert_eq!(failed, ["410"]);
    assert!((rejected.len() - 1..TAPES - 1).contains(&skipped), "{skipped}");
    for number in rejected {
        assert_eq!(collected.missing_below(&format!("nimbus_tape{number}")), set(&[GLOBAL]));
    }
    assert_eq!(not_in_use(&collected), BTreeSet::new());
    assert_eq!((collected.labels("network").len(), collected.labels("share").len()), (7, 1), "others go on");
}

#[tokio::test]
async fn service_not_in_use_is_no_gap_and_not_asked_again() {
    let server = Server::start().await;
    V1.iter().chain(&["tapes"]).for_each(|path| server.fail(path, (410, None, None)));
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps(), []);
    assert!(calls_of(&server.calls(), &["tapes"]) < 8);
    let missing = not_in_use(&collected);
    let tapes = (0..TAPES).filter(|number| missing.contains(&(GLOBAL.to_owned(), format!("nimbus_tape{number}"))));
    assert_eq!(tapes.count(), TAPES);
    for below in [GLOBAL, "zone north-a"] {
        assert!(missing.contains(&(below.to_owned(), "nimbus_server".to_owned())), "{below}: {missing:?}");
    }
    assert_eq!(collected.labels("disk").len(), 4 * SERVERS, "other locations are asked on their own");
}

#[tokio::test]
async fn unused_service_is_absent_where_the_core_knows_nothing() {
    let (server, core) = (Server::start().await, Core::start().await);
    ["buckets", "shares"].iter().for_each(|path| server.fail(path, (410, None, None)));
    for _ in 0..2 {
        let ran = core.collect(&server).await;
        assert!(ran.is_complete && ran.gaps.is_empty(), "{:?}", ran.gaps);
        assert_eq!((core.count("nimbus_bucket"), core.count("nimbus_network")), (0, 14));
    }
}

#[tokio::test]
async fn unused_service_is_kept_and_gap_where_the_core_has_resources() {
    let (server, core) = (Server::start().await, Core::start().await);
    assert!(core.collect(&server).await.is_complete);
    let counts = || STORAGE.map(|kind| core.count(kind));
    assert_eq!(counts(), [4, 4, 2]);
    ["buckets", "shares"].iter().for_each(|path| server.fail(path, (410, None, None)));
    server.delete("/networks/net-6");
    for _ in 0..2 {
        let ran = core.collect(&server).await;
        assert!(!ran.is_complete);
        assert_eq!((counts(), core.count("nimbus_network")), ([4, 4, 2], 12));
        assert_eq!((ran.gaps.len(), ran.kept), (2, vec![5, 5]), "one gap in each account: {:?}", ran.gaps);
        let gap = &ran.gaps[0];
        assert_eq!((gap.service.as_str(), gap.code.as_str()), ("storage", "NotInUse"));
        assert!(
            gap.message.contains("storage is not enabled in acc-") && gap.message.contains("keeps its 5 resources"),
            "{gap:?}"
        );
    }
    assert_eq!(core.gaps_counted("storage", "NotInUse"), 4);
    server.recover();
    server.delete("/buckets/bucket-north");
    assert!(core.collect(&server).await.is_complete);
    assert_eq!(counts(), [2, 2, 2]);
}

#[tokio::test]
async fn regions_of_unused_service_are_kept_or_absent() {
    let (server, core) = (Server::start().await, Core::start().await);
    server.unlist_regions();
    let ran = core.collect(&server).await;
    assert!(ran.is_complete, "{:?}", ran.gaps);
    assert_eq!((core.count("nimbus_region"), core.count("nimbus_share")), (0, 2));
    server.recover();
    assert!(core.collect(&server).await.is_complete);
    let before = (core.count("nimbus_region"), core.count("nimbus_zone"), core.count("nimbus_disk"));
    assert_eq!(before, (4, 8, 8 * SERVERS));
    server.unlist_regions();
    let ran = core.collect(&server).await;
    assert_eq!((core.count("nimbus_region"), core.count("nimbus_zone"), core.count("nimbus_disk")), before);
    assert_eq!(ran.gaps.iter().map(|gap| gap.code.as_str()).collect::<BTreeSet<_>>(), BTreeSet::from(["NotInUse"]));
}

#[tokio::test]
async fn unused_service_is_absent_in_file() {
    use std::sync::{Arc, Mutex};

    use ckworker::delivery::{NdjsonSink, OutputFile};

    let server = Server::start().await;
    ["buckets", "shares"].iter().for_each(|path| server.fail(path, (410, None, None)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.ndjson");
    let output = Mutex::new(Some(OutputFile::create(&path).unwrap()));
    let ended = run(&server, Arc::new(NdjsonSink { output, ignore_deferred: false, dump: None }), 2).await;
    assert!(ended.report.unwrap().is_complete());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("nimbus_bucket") && text.contains("nimbus_network"));
}
