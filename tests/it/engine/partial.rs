//! Responses that name locations that did not answer: their items are unseen there only.

use super::*;

/// Where servers are missing if it is not known where.
pub(super) fn everywhere() -> BTreeSet<String> {
    let regions = ["north", "south"].map(|region| format!("region {region}"));
    let zones = ["north-a", "north-b", "south-a", "south-b"].map(|zone| format!("zone {zone}"));
    regions.into_iter().chain(zones).chain(["account acc-1".to_owned()]).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn silent_zone_is_one_gap_and_unseen_there_only() {
    let server = Server::start().await;
    let truth = collect_all(&server).await;
    // Both pages say so.
    server.silence("aggregated", &["zones/north-a"]);
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps(), [("north-a", "aggregated/servers", "UNREACHABLE")]);
    assert_eq!(collected.gaps[0].message, "the location did not answer");
    assert_eq!(collected.missing_below("nimbus_server"), set(&["zone north-a"]));
    let lost: Vec<_> = truth.labels("server").difference(&collected.labels("server")).cloned().collect();
    assert_eq!(lost, ["server server-0 north-a", "server server-1 north-a", "server server-2 north-a"]);
    assert_eq!(collected.labels("disk"), truth.labels("disk"));
}

#[tokio::test]
async fn silence_of_unknown_place_hides_kind_everywhere() {
    for (silent, operation, region) in [
        // What is in no known location has a name at least.
        ("somewhere", "aggregated/servers somewhere", false),
        // A zone that the list of regions lacks.
        ("zones/west-a", "aggregated/servers", true),
    ] {
        let server = Server::start().await;
        server.silence("aggregated", &[silent]);
        let collected = collect_all(&server).await;
        assert_eq!(collected.gaps(), [("global", operation, "UNREACHABLE")], "{silent}");
        assert_eq!(collected.missing_below("nimbus_server"), everywhere(), "{silent}");
        assert_eq!(collected.labels("server").len(), 4 * SERVERS, "what the page has counts");
        assert_eq!(!collected.missing_below("nimbus_region").is_empty(), region, "{silent}");
    }
}

#[tokio::test]
async fn silent_region_hides_its_items_and_those_of_its_zones() {
    for (silent, hidden) in [
        ("regions/north", &["region north", "zone north-a", "zone north-b"][..]),
        // Its zones answer for themselves.
        ("only regions/north", &["region north"]),
        ("zones/north-a", &["zone north-a"]),
    ] {
        let server = Server::start().await;
        server.silence("aggregated", &[silent]);
        let collected = collect_all(&server).await;
        let place = silent.rsplit('/').next().unwrap();
        assert_eq!(collected.gaps(), [(place, "aggregated/servers", "UNREACHABLE")], "{silent}");
        assert_eq!(collected.missing_below("nimbus_server"), set(hidden), "{silent}");
    }
}

#[tokio::test]
async fn silent_region_hides_list_whose_items_have_no_location() {
    let server = Server::start().await;
    server.silence("networks", &["regions/north"]);
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps(), [("north", "networks", "UNREACHABLE")]);
    assert_eq!(collected.missing_below("nimbus_network"), set(&["account acc-1"]));
    assert_eq!(collected.labels("network").len(), 7);
}

#[tokio::test]
async fn silent_location_that_is_not_selected_is_no_gap() {
    let server = Server::start().await;
    server.silence("aggregated", &["zones/north-a"]);
    let selected = Selection { has_some_locations: true, ..selection() };
    let collected = collect(&account(&server, &["south"]), hasty(), selected).await.unwrap();
    assert_eq!((collected.gaps(), collected.missing_below("nimbus_server")), (vec![], set(&[])));
    assert_eq!(collected.labels("server").len(), 2 * SERVERS);
}

#[tokio::test]
async fn silence_in_shared_list_is_unseen_there_only() {
    let server = Server::start().await;
    server.silence("images", &["regions/south"]);
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps(), [("south", "images", "UNREACHABLE")]);
    assert_eq!(collected.missing_below("nimbus_image"), set(&["region south"]));
    assert_eq!(collected.labels("image"), set(&["image image-north"]));
}

#[tokio::test]
async fn silence_in_details_is_told_by_list_in_their_place() {
    let server = Server::start().await;
    server.silence("overview", &["regions/north"]);
    let collected = collect_all(&server).await;
    assert_eq!((collected.gaps(), collected.labels("key").len()), (vec![], 2), "the list has all");
    server.silence("keys", &["regions/north"]);
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps(), [("north", "keys", "UNREACHABLE")]);
    assert_eq!(collected.missing_below("nimbus_key"), set(&["region north"]));
    assert_eq!(collected.labels("key"), set(&["key key-south"]));
}

#[tokio::test]
async fn silence_in_call_for_item_makes_its_values_unknown() {
    let server = Server::start().await;
    server.silence("usage", &["zones/north-a"]);
    let collected = collect_all(&server).await;
    assert_eq!(collected.gaps(), [("north-a", "usage", "UNREACHABLE")]);
    assert_eq!(collected.missing_below("nimbus_server"), set(&[]));
    let unknown = collected.missing.iter().map(|missing| match missing {
        Missing::Parts { nodes, properties, edges } => (nodes.len(), properties.as_slice(), edges.len()),
        other => panic!("{other:?}"),
    });
    assert_eq!(unknown.collect::<Vec<_>>(), [(4 * SERVERS, &["atime".to_owned()][..], 0)]);
}

#[tokio::test]
async fn silence_in_call_for_account_name_fails_account() {
    let server = Server::start().await;
    server.silence("about", &["regions/north"]);
    let failure = collect(&account(&server, &[]), hasty(), selection()).await.unwrap_err();
    assert!(failure.message.contains("cannot read its name") && failure.message.contains("UNREACHABLE"), "{failure:?}");
}
