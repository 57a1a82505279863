//! Definitions of the invented cloud, checked without a model of its API.

use ckworker::engine::definition::Service;

use super::nimbus::{DEFINITIONS, cloud};

#[test]
fn definitions_are_checked_without_a_model() {
    let mistakes = |text: &str| -> Vec<String> {
        let service = Service::parse(text).unwrap();
        cloud().mistakes(&service).into_iter().map(|mistake| mistake.what).collect()
    };
    assert_eq!(mistakes(DEFINITIONS), [""; 0]);
    assert_eq!(cloud().unknown_levels(), [""; 0]);
    // The edge from a server to its disks is turned. A peering leads from a network to another one.
    let circle = [("nimbus_network", "nimbus_peering"), ("nimbus_peering", "nimbus_network")];
    assert_eq!(cloud().deletion_circles(), circle.into());
    for (right, wrong, expected) in [
        ("scope = \"zone\"\nlist", "scope = \"zona\"\nlist", "there is no scope zona; there are global, region, zone"),
        ("{ scope = \"zone\", id", "{ scope = \"rack\", id", "there is no scope rack"),
        ("scope = \"region\" }", "scope = \"regions\" }", "there is no scope regions"),
        (
            "kind = \"nimbus_subnet\"\ncollector",
            "kind = \"nimbus_sub\"\ncollector",
            "the kind nimbus_sub has no schema",
        ),
        ("volume_size =", "volume_sise =", "nimbus_disk has no field volume_sise"),
        ("status = \"volume_status_map\"", "status = \"volume_map\"", "nimbus_disk has no status map volume_map"),
        (
            "attribute = \"link\", value = \"disks",
            "attribute = \"lnk\", value = \"disks",
            "nimbus_disk has no field lnk",
        ),
        (
            "id = \"id\"\nname = \"name\"",
            "id = \"id\"\nhooks = [{ hook = \"x\" }]\nname = \"name\"",
            "there is no hook x",
        ),
        (
            "id = \"id\"\nname = \"name\"",
            "id = \"id\"\nparent = \"nimbus_x\"\nname = \"name\"",
            "nimbus_x is not in this file",
        ),
        ("tagging = true", "tagging = true\ndelete_hook = \"y\"", "there is no hook y"),
        ("path = \"volume_status\",", "path = \"status\",", "nimbus_disk has no field status"),
        ("delete = {", "# delete = {", "deletable needs delete of the service"),
        ("field = \"ctime\"", "field = \"created\"", "nimbus_server has no field created"),
        ("[\"nimbus_disk\"]", "[\"nimbus_dsk\"]", "delete_before: there is no definition of nimbus_dsk"),
        ("collector = \"networks\"\n", "", "nimbus_network needs a collector"),
        ("items = \"subnets[]\"", "items = \"subnets[]|last_part\"", "takes no part of a string"),
    ] {
        assert!(DEFINITIONS.contains(right), "{right}");
        let found = mistakes(&DEFINITIONS.replacen(right, wrong, 1)).join("\n");
        assert!(found.contains(expected), "{wrong}: {found}");
    }
}
