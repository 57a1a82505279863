//! Unexplained losses in comparison with the core.

use serde_json::json;
use worker_proto::{Counts as Sent, EdgeList, Node, Why};

use super::*;
use crate::{
    ckcore::Summary,
    graph::{self, NodeId, Spool, UnitStore},
};

/// Returns a node's ID as the core writes it.
fn name(number: u8) -> String {
    NodeId([number; 16]).to_string()
}

/// Returns the core's state of the account: these numbers of volumes and VPCs in each of two regions.
fn known(volumes: [u64; 2], vpcs: [u64; 2]) -> Summaries {
    let summary = |node: u8, kind: &str, id: &str, counts: [u64; 2]| Summary {
        node: name(node),
        kind: kind.into(),
        id: id.into(),
        account: "1".into(),
        counts: [("volume".to_owned(), counts[0]), ("vpc".to_owned(), counts[1])].into(),
    };
    let regions = [0, 1].map(|region: u8| {
        let counts = [volumes, vpcs].map(|counts| counts[usize::from(region)]);
        summary(region + 1, "region", &format!("region-{region}"), counts)
    });
    let account = summary(0, "account", "1", [volumes, vpcs].map(|counts| counts.iter().sum()));
    Summaries { regions: regions.into(), accounts: vec![account] }
}

/// Returns the same account as collected. A region without nodes is absent.
fn unit(volumes: [u8; 2], vpcs: [u8; 2]) -> CompleteUnit {
    let account = graph::Account { kind: "account".into(), id: "1".into(), label: "1".into() };
    let mut store = UnitStore::new(account, &Spool::new(1 << 20));
    let (mut nodes, mut edges) = (Vec::new(), EdgeList::default());
    let mut add = |id: [u8; 16], above: Option<[u8; 16]>, kind: &str| {
        let line = json!({ "id": NodeId(id).to_string() }).to_string().into_bytes().into();
        nodes.push(Node { id, kind: kind.into(), resource: "1".into(), line });
        above.into_iter().for_each(|above| edges.push(above, id));
    };
    add([0; 16], None, "account");
    for region in 0..2_u8 {
        let counts = [volumes, vpcs].map(|counts| counts[usize::from(region)]);
        if counts == [0, 0] {
            continue;
        }
        add([region + 1; 16], Some([0; 16]), "region");
        for (kind, count) in ["volume", "vpc"].into_iter().zip(counts) {
            for number in 0..count {
                let mut id = [10 + region; 16];
                (id[0], id[1]) = (number, u8::from(kind == "vpc"));
                add(id, Some([region + 1; 16]), kind);
            }
        }
    }
    assert!(store.nodes(&nodes).is_ok());
    store.edges(&edges);
    let counts = Sent { nodes: nodes.len() as u64, edges: edges.len() as u64, ..Sent::default() };
    store.complete(counts).unwrap_or_else(|error| unreachable!("{error}"))
}

fn kind(below: u8, kind: &str) -> Missing {
    Missing::Kind { below: [below; 16], scope: String::new(), kind: kind.into(), with: vec![], why: Why::Unseen }
}

fn judge(losses: &mut HeldLosses, known: &Summaries, unit: &CompleteUnit, hold: Option<u64>) -> (Vec<String>, usize) {
    losses.begin();
    let judgement = losses.judge("aws", unit, known, &[], hold);
    losses.all_arrived();
    let named = judgement.losses.into_iter().map(|loss| format!("{} {} {}", loss.what, loss.before, loss.now));
    (named.collect(), judgement.held.len())
}

#[test]
fn loss_of_more_than_half_of_fifty_nodes_is_named() {
    let mut losses = HeldLosses::default();
    assert_eq!(judge(&mut losses, &known([24, 25], [0, 0]), &unit([0, 0], [0, 0]), None), (vec![], 0), "too few");
    let mut named = |before, after| judge(&mut losses, &known(before, [10, 10]), &unit(after, [10, 10]), None).0;
    assert_eq!(named([60, 60], [30, 30]), Vec::<String>::new(), "half is not more");
    assert_eq!(named([60, 60], [59, 0]), ["volume 120 59", "all kinds of region-1 70 10"]);
    assert_eq!(
        named([60, 60], [0, 0]),
        ["volume 120 0", "all kinds of region-0 70 10", "all kinds of region-1 70 10", "all kinds 140 20"]
    );
}

#[test]
fn held_loss_is_accepted_when_the_next_run_confirms_it() {
    let (mut losses, core) = (HeldLosses::default(), known([60, 60], [10, 10]));
    let (named, held) = judge(&mut losses, &core, &unit([60, 20], [10, 10]), Some(20));
    assert_eq!((named.len(), held), (3, 3), "volumes below both regions and the account");
    let (named, held) = judge(&mut losses, &core, &unit([60, 20], [10, 10]), Some(20));
    assert_eq!((named, held), (vec!["all kinds of region-1 70 30".to_owned()], 0), "more than half of it");
    let (_, held) = judge(&mut losses, &core, &unit([60, 20], [10, 10]), Some(20));
    assert!(held > 0, "the core did not accept it, so it counts again");
}

#[test]
fn recovered_or_larger_loss_is_not_confirmed() {
    let (mut losses, core) = (HeldLosses::default(), known([60, 60], [10, 10]));
    assert!(judge(&mut losses, &core, &unit([60, 20], [10, 10]), Some(20)).1 > 0);
    assert_eq!(judge(&mut losses, &core, &unit([60, 60], [10, 10]), Some(20)), (vec![], 0), "it came back");
    assert!(judge(&mut losses, &core, &unit([60, 20], [10, 10]), Some(20)).1 > 0, "a new loss");
    assert!(judge(&mut losses, &core, &unit([10, 0], [10, 10]), Some(20)).1 > 0, "it grew");
    assert_eq!(judge(&mut losses, &core, &unit([10, 0], [10, 10]), Some(20)).1, 0);
}

#[test]
fn unseen_parts_are_no_sudden_loss() {
    let core = known([60, 60], [10, 10]);
    let judge =
        |unit: &CompleteUnit, missing: &[Missing]| HeldLosses::default().judge("aws", unit, &core, missing, Some(1));
    let lost = unit([0, 0], [10, 10]);
    assert_eq!(judge(&lost, &[kind(1, "volume"), kind(2, "volume")]), Judgement::default());
    assert_eq!(judge(&lost, &[kind(99, "volume")]), Judgement::default(), "below a node that is no region");
    assert_eq!(judge(&lost, &[kind(1, "volume")]), Judgement::default(), "a kind not seen in one region is not judged");
    let region = unit([60, 0], [10, 0]);
    assert_eq!(judge(&region, &[kind(0, "region")]), Judgement::default(), "regions may be missing");
    assert!(!judge(&region, &[]).held.is_empty());
    let regions = Missing::Kind {
        below: [0; 16],
        scope: String::new(),
        kind: "region".into(),
        with: vec!["volume".into(), "vpc".into()],
        why: Why::LeftOut,
    };
    assert!(!judge(&lost, &[regions]).held.is_empty(), "all known regions are there");
}

#[test]
fn loss_after_a_run_that_could_not_see_is_held() {
    let (mut losses, core) = (HeldLosses::default(), known([60, 60], [10, 10]));
    let lost = unit([0, 0], [10, 10]);
    losses.judge("aws", &lost, &core, &[kind(1, "volume"), kind(2, "volume")], Some(20));
    assert!(judge(&mut losses, &core, &lost, Some(20)).1 > 0, "one run has missed it so far");
    assert_eq!(judge(&mut losses, &core, &lost, Some(20)).1, 0, "confirmed");
}

#[test]
fn nodes_that_the_core_counts_below_another_region_are_not_lost() {
    // As an instance below its profile, which is below the region of the account's roles.
    let core = known([60, 0], [10, 10]);
    assert_eq!(judge(&mut HeldLosses::default(), &core, &unit([0, 60], [10, 10]), Some(1)), (vec![], 0));
}

#[test]
fn loss_of_another_kind_is_not_confirmed() {
    let (mut losses, core) = (HeldLosses::default(), known([20, 20], [20, 20]));
    let lost = |unit: &CompleteUnit, losses: &mut HeldLosses| judge(losses, &core, unit, Some(30));
    assert_eq!(lost(&unit([1, 1], [20, 20]), &mut losses).1, 3, "all kinds of the account");
    assert_eq!(lost(&unit([20, 20], [1, 1]), &mut losses).1, 3, "the same number of others");
    assert_eq!(lost(&unit([20, 20], [1, 1]), &mut losses).1, 0, "confirmed");
}

#[test]
fn nodes_directly_below_an_account_are_judged() {
    let account = Summary { counts: [("user".to_owned(), 80)].into(), ..known([0, 0], [0, 0]).accounts.remove(0) };
    let core = Summaries { regions: Vec::new(), accounts: vec![account] };
    let (named, held) = judge(&mut HeldLosses::default(), &core, &unit([0, 0], [0, 0]), Some(20));
    assert_eq!((named, held), (vec!["user 80 0".to_owned(), "all kinds 80 0".to_owned()], 1));
}

#[test]
fn plan_that_lost_most_of_its_accounts_is_held_once() {
    let mut losses = HeldLosses::default();
    assert_eq!(losses.judge_plan("aws", 3, 1, true), None, "too few to judge");
    assert_eq!(losses.judge_plan("aws", 10, 5, true), None, "half is not most");
    assert_eq!(losses.judge_plan("aws", 10, 2, false), Some(false));
    assert_eq!(losses.judge_plan("aws", 10, 2, true), Some(true));
    losses.begin();
    assert_eq!(losses.judge_plan("aws", 10, 2, true), Some(true), "the last delivery did not arrive");
    losses.all_arrived();
    assert_eq!(losses.judge_plan("aws", 10, 2, true), Some(false), "confirmed");
}

#[test]
fn number_of_remembered_accounts_is_bounded() {
    let mut losses = HeldLosses::default();
    for number in 0..=MAX_ACCOUNTS {
        losses.judge_plan(&number.to_string(), 10, 1, true);
        losses.all_arrived();
    }
    assert_eq!(losses.accounts.len(), MAX_ACCOUNTS);
}
