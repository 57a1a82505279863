//! Paths that lead to nothing, items that are one node, and what messages say about them.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_bytes::ByteBuf;

use super::*;
use crate::engine::{collect::described, definition::Definitions, eval::Named};

const DEFINITION: &str = r#"
service = "shop"
[[kind]]
kind = "shop_order"
collector = "orders"
scope = "account"
list = { operation = "GET /orders", items = "orders[]" }
id = "id"
name = "title"
schema = {}
"#;

/// Returns a definition with these lines in its kind.
fn definition(lines: &str) -> &'static Definition {
    let text = format!("{DEFINITION}{lines}");
    let all: &'static Definitions = Box::leak(Box::new(Definitions::read(&[("shop.toml", &text)]).unwrap()));
    &all.services[0].kinds[0]
}

fn tree(json: &str) -> Tree<'_> {
    serde_json::from_str(json).unwrap()
}

/// Returns the paths of the property `p` that led to nothing in these items, and what was probably meant.
fn lost(source: &str, items: &[&str]) -> Vec<(String, Option<String>)> {
    let (traced, definition) = (Traced::default(), definition(&format!("properties = {{ p = {source} }}")));
    for item in items {
        traced.note(definition, Part::Item, &Item::plain(&tree(item)));
    }
    let lost = traced.lost().into_iter().filter(|lost| lost.path != "title");
    lost.map(|lost| (lost.path, lost.meant)).collect()
}

#[test]
fn path_that_leads_to_nothing_names_the_nearest_member() {
    for (source, items, path, meant) in [
        (r#""hostnme""#, &[r#"{"hostname": "a"}"#][..], "hostnme", Some("hostname")),
        (r#""host_name""#, &[r#"{"hostName": "a"}"#], "host_name", Some("hostName")),
        (r#""rack.idd""#, &[r#"{"rack": {"id": 1}}"#, "{}"], "rack.idd", Some("id")),
        (r#""rack.idd""#, &[r#"{"rack": {"id": 1}}"#, r#"{"name": 1}"#], "rack.idd", Some("id")),
        (r#""rack.idd""#, &[r#"{"name": 1}"#, r#"{"rack": {"id": 1}}"#, r#"{"name": 1}"#], "rack.idd", Some("id")),
        (r#""a.b.cc""#, &[r#"{"a": {"x": 1}}"#, r#"{"a": {"b": {"c": 1}}}"#], "a.b.cc", Some("c")),
        (r#""disks[].sise""#, &[r#"{"disks": [{"size": 1}]}"#], "disks[].sise", Some("size")),
        (r#""rack[].id""#, &[r#"{"rack": {"id": 1}}"#], "rack[].id", None),
        (r#""disks.size""#, &[r#"{"disks": [{"size": 1}]}"#], "disks.size", None),
        (r#""color""#, &[r#"{"id": 1}"#, r#"{"id": 2}"#], "color", None),
        (r#""name.first""#, &[r#"{"name": "Ada"}"#], "name.first", None),
        (r#"{ template = "{fist}-{last}" }"#, &[r#"{"first": 1, "last": 2}"#], "fist", Some("first")),
        (r#"{ first = ["fqnd", "nam"] }"#, &[r#"{"fqdn": 1}"#], "fqnd or nam", Some("fqdn")),
        (r#"{ path = "stat", default = "x" }"#, &[r#"{"state": 1}"#], "stat", Some("state")),
        (
            r#"{ path = "labels", map = ["key", "valu"] }"#,
            &[r#"{"labels": [{"key": 1, "value": 2}]}"#],
            "labels[].valu",
            Some("value"),
        ),
        (
            r#"{ path = "id", when = { path = "closd", one_of = [true] } }"#,
            &[r#"{"closed": 1, "id": 1}"#],
            "closd",
            Some("closed"),
        ),
    ] {
        let lost = lost(source, items);
        assert!(lost.contains(&(path.to_owned(), meant.map(str::to_owned))), "{source}: {lost:?}");
    }
}

#[test]
fn path_of_which_nothing_is_known_is_not_lost() {
    for (source, items) in [
        (r#""a.b""#, &[r#"{"a": null}"#, r#"{"a": {}}"#][..]),
        (r#""a.b""#, &[r#"{"a": {"c": 1}}"#, r#"{"a": {"b": 1}}"#]),
        (r#""a.b""#, &[r#"{"a": {"b": null}}"#]),
        (r#""a[].b""#, &[r#"{"a": []}"#, r#"{"a": [null]}"#]),
        (r#""a[0]""#, &[r#"{"a": []}"#]),
        (r#""a[3].b""#, &[r#"{"a": [{}]}"#]),
        (r#""a[key=env].value""#, &[r#"{"a": [{"key": "other"}]}"#]),
        (r#""a[*].b""#, &[r#"{"a": {}}"#]),
        (r#"{ path = "end", default = "x" }"#, &[r#"{"id": 1}"#]),
        (r#"{ first = ["titles", "title"] }"#, &[r#"{"title": 1}"#]),
        (r#"{ first = ["fqdn", "color"] }"#, &[r#"{"id": 1, "color": 2}"#]),
        (r#"{ path = "id", when = { path = "end", present = true } }"#, &[r#"{"id": 1}"#]),
        (r#"{ path = "labels", map = ["key", "value"] }"#, &[r#"{"labels": {"a": "b"}}"#]),
        (r#"{ value = "x" }"#, &["{}"]),
        (r#""@option.none""#, &["{}"]),
        (r#""@details.owner""#, &["{}"]),
    ] {
        assert_eq!(lost(source, items), [], "{source}");
    }
}

#[test]
fn named_values_lists_and_parameters_are_followed() {
    let lines = r#"tags = "labels"
[[kind.call]]
as = "more"
operation = "GET /orders/{id}"
input = { id = "{ident}" }
result = "order"
"#;
    let plain = definition("properties = { p = \"@more.ownr\" }");
    let (traced, answer, item) =
        (Traced::default(), tree(r#"{"order": {"owner": 1}}"#), tree(r#"{"id": 1, "title": 2}"#));
    let take = Path::parse("order").unwrap();
    let named = vec![Named { name: "more", take: Some(&take), pages: std::slice::from_ref(&answer) }];
    traced.note(plain, Part::Item, &Item { tree: &item, named, failed: Vec::new() });
    traced.note(plain, Part::Items, &Item::plain(&tree(r#"{"order": []}"#)));
    traced.note(
        definition(lines),
        Part::Item,
        &Item::plain(&tree(r#"{"idents": 1, "labels": [{"keyy": 1, "value": 2}]}"#)),
    );
    let lost: Vec<_> = traced.lost().into_iter().map(|lost| (lost.path, lost.meant.unwrap_or_default())).collect();
    for (path, meant) in
        [("@more.ownr", "owner"), ("orders[]", "order"), ("ident", "idents"), ("labels[].key or labels[].Key", "keyy")]
    {
        assert!(lost.contains(&(path.to_owned(), meant.to_owned())), "{path}: {lost:?}");
    }
}

#[test]
fn different_items_of_one_node_are_counted() {
    let traced = Traced::default();
    for (id, kind, resource, item) in [
        (1, "shop_order", "o1", r#"{"id": "o1"}"#),
        (1, "shop_order", "o1", r#"{"id": "o1"}"#),
        (1, "shop_order", "o1", r#"{"id": "o1", "uid": 2}"#),
        (1, "shop_order", "o1", r#"{"id": "o1", "uid": 3}"#),
        (2, "shop_order", "o2", "{}"),
        (2, "shop_order", "o2", r#"{"a": null}"#),
        (3, "shop_item", "i1", "[1]"),
        (3, "shop_item", "i1", "[1]"),
        (4, "shop_user", "u1\n", "{}"),
        (4, "shop_user", "u1\n", "[]"),
    ] {
        let (kind, resource) = (kind.to_owned(), resource.to_owned());
        traced.note_node(&Node { id: [id; 16], kind, resource, line: ByteBuf::new() }, &tree(item));
    }
    let nodes = locked(&traced.nodes);
    let found: Vec<_> =
        nodes.repeated.iter().map(|(kind, of)| (kind.as_str(), of.count, of.example.as_str())).collect();
    assert_eq!(found, [("shop_order", 3, "o1"), ("shop_user", 1, "u1")]);
}

#[test]
fn item_without_id_is_named_by_its_place_and_members() {
    for (item, id, index, expected) in [
        (
            r#"{"uid": 1, "name": "a"}"#,
            r#""id""#,
            Some(0),
            "item 1 of a page has no ID: no string or whole number at id; it has uid, name",
        ),
        (
            "{}",
            r#"{ first = ["id", "uuid"] }"#,
            Some(41),
            "item 42 of a page has no ID: no string or whole number at id or uuid",
        ),
        (r#"{"id": {"a": 1}}"#, r#""id""#, None, "an item has no ID: no string or whole number at id; it has id"),
        (
            r#"{"a\nb": 1}"#,
            r#"{ template = "{a}-{b}" }"#,
            Some(1),
            "item 2 of a page has no ID: no string or whole number at a or b; it has ab",
        ),
    ] {
        let text = DEFINITION.replace(r#"id = "id""#, &format!("id = {id}"));
        let all = Definitions::read(&[("shop.toml", &text)]).unwrap();
        let (tree, source) = (tree(item), all.services[0].kinds[0].id.get_ref());
        assert_eq!(described::missing_id(&Item::plain(&tree), source, index), expected);
    }
    let many: String = (0..99).map(|number| format!("\"{number}{}\": 1,", "m".repeat(100))).collect();
    let many = format!("{{{}}}", many.trim_end_matches(','));
    let source = definition("").id.get_ref();
    assert!(described::missing_id(&Item::plain(&tree(&many)), source, Some(0)).len() < 1000);
}
