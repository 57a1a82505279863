//! Defaults of a file, and sources with alternatives.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::{Service, Source};
use crate::{
    engine::{Tree, eval::Item},
    graph::{KindFile, Schema, Value},
};

const FILE: &str = r#"
service = "s"

[defaults]
scope = "zone"
location = [{ scope = "zone", id = "zone" }, { scope = "region", id = "region" }]
id = "id"
tags = "labels"
properties = { link = "selfLink", ctime = "created" }

[[kind]]
kind = "x_disk"
properties = { link = "address", size = "sizeGb" }

[[kind]]
kind = "x_rule"
scope = "global"
id = "number"
location = [{ scope = "region", id = "place" }]
"#;

#[test]
fn defaults_apply_where_kind_says_nothing() {
    let service = Service::parse(FILE).unwrap();
    let item: Tree<'_> = serde_json::from_str(r#"{"id":"a","number":"b","selfLink":"l","address":"m"}"#).unwrap();
    let item = Item::plain(&item);
    let [disk, rule] = service.kinds.as_slice() else { unreachable!("two kinds") };
    assert_eq!((disk.scope.get_ref().as_str(), rule.scope.get_ref().as_str()), ("zone", "global"));
    assert_eq!((disk.location.len(), rule.location.len()), (2, 1));
    let text = |source: &Source| item.text(source).unwrap();
    assert_eq!((text(disk.id.get_ref()), text(rule.id.get_ref())), ("a".to_owned(), "b".to_owned()));
    let of = |kind: &super::Definition, name: &str| {
        let found = kind.properties.iter().find(|(field, _)| field.get_ref() == name);
        item.text(found.unwrap().1.get_ref())
    };
    assert_eq!((of(disk, "link").as_deref(), of(rule, "link").as_deref()), (Some("m"), Some("l")));
    assert_eq!((disk.properties.len(), rule.properties.len()), (3, 2));
    assert!(rule.tags.is_some() && rule.name.is_none());
}

#[test]
fn kind_without_id_or_scope_is_rejected() {
    for (without, what) in [("id = \"id\"\n", "x_disk has no id"), ("scope = \"zone\"\n", "x_disk has no scope")] {
        let error = Service::parse(&FILE.replacen(without, "", 1)).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}

/// A volume's status from two members.
const STATUS: &str = r#"
any = [
    { any = [{ value = "in-use", when = { path = "users[0]", present = true } }, { value = "free" }], when = { path = "state", one_of = ["READY"] } },
    { path = "state", status = "states" },
]
default = "unknown"
"#;

#[test]
fn first_source_with_a_value_counts() {
    let json = r#"[{"fqn":"x_disk","bases":[],"status_maps":{"states":{"MAKING":"busy"}},"fields":[]}]"#;
    let schema = Schema::of(KindFile { plugin: "x", json }.parse().unwrap()).unwrap();
    let kind = schema.kind("x_disk").unwrap();
    let source: Source = toml::from_str(STATUS).unwrap();
    for (text, expected) in [
        (r#"{"state":"READY","users":["u"]}"#, "in-use"),
        (r#"{"state":"READY"}"#, "free"),
        (r#"{"state":"MAKING","users":["u"]}"#, "busy"),
        (r#"{"users":["u"]}"#, "unknown"),
    ] {
        let item: Tree<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(Item::plain(&item).value(&source, kind), Some(Value::from(expected)), "{text}");
    }
    let nothing = toml::from_str::<Source>("any = []\nstatus = \"states\"").unwrap_err();
    assert!(nothing.to_string().contains("status belongs to the sources of any"), "{nothing}");
}
