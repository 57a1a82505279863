//! Machines: the properties that are read, and the items that they become.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::element::Element;

/// The time of creation, which servers before 6.7 do not know.
pub(super) const CREATED: &str = "config.createDate";
const CORES: &str = "config.hardware.numCPU";
const MEMORY: &str = "config.hardware.memoryMB";
const TEMPLATE: &str = "config.template";
const STATE: &str = "guest.guestState";
const VALUES: &str = "value";
const FIELDS: &str = "availableField";

/// The properties of a machine.
pub(super) const PATHS: [&str; 8] = ["name", VALUES, FIELDS, CREATED, CORES, MEMORY, TEMPLATE, STATE];

/// The machines and templates of a page, as an item with two lists.
pub(super) fn page<'e>(objects: impl Iterator<Item = &'e Element>) -> Value {
    let (mut machines, mut templates) = (Vec::new(), Vec::new());
    for object in objects {
        let Some(id) = object.text_of("obj") else { continue };
        let item = machine(id, object);
        let list = if item["template"] == true { &mut templates } else { &mut machines };
        list.push(item);
    }
    json!({ "machines": machines, "templates": templates })
}

/// Returns the properties that an object has.
pub(super) fn properties(object: &Element) -> BTreeMap<&str, &Element> {
    let properties = object.all("propSet");
    properties.filter_map(|property| Some((property.text_of("name")?, property.child("val")?))).collect()
}

/// Returns the names of a machine's custom attributes by their keys.
pub(super) fn fields(properties: &BTreeMap<&str, &Element>) -> Option<BTreeMap<String, String>> {
    let fields = properties.get(FIELDS)?.children.iter();
    let field = |field: &Element| Some((field.text_of("key")?.to_owned(), field.child("name")?.text.clone()));
    Some(fields.filter_map(field).collect())
}

fn machine(id: &str, object: &Element) -> Value {
    let properties = properties(object);
    let text = |path: &str| properties.get(path).map(|value| value.text.clone());
    let number = |path: &str| text(path).and_then(|text| text.trim().parse::<i64>().ok());
    let mut item = json!({ "id": id });
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(value), Some(item)) = (value, item.as_object_mut()) {
            item.insert(name.to_owned(), value);
        }
    };
    set("identity", text("name").map(|name| json!({ "name": name })));
    set("guest", text(STATE).map(|state| json!({ "state": state })));
    // It stays one without the rest of its configuration.
    set("template", text(TEMPLATE).map(|text| (text.trim() == "true").into()));
    // Being created, or out of reach, it has none.
    let config = (number(CORES), number(MEMORY));
    set(
        "config",
        if let (Some(cores), Some(memory)) = config {
            let mut config = json!({ "cores": cores, "memory": memory / 1024 });
            if let (Some(created), Some(config)) = (text(CREATED), config.as_object_mut()) {
                config.insert("created".to_owned(), created.trim().into());
            }
            Some(config)
        } else {
            None
        },
    );
    set("attributes", attributes(&properties).map(|tags| json!({ "tags": tags })));
    let denied = object.all("missingSet").filter_map(|missing| {
        let fault = missing.child("fault")?;
        let code = fault.child("fault").unwrap_or(fault).value_type.as_deref()?;
        Some(json!({ "path": missing.text_of("path")?, "code": code }))
    });
    set("missing", Some(denied.collect()));
    item
}

/// Returns the custom attributes as tags; those of which the value is empty are not set.
fn attributes(properties: &BTreeMap<&str, &Element>) -> Option<Map<String, Value>> {
    let fields = fields(properties)?;
    let mut tags = Map::new();
    for value in &properties.get(VALUES)?.children {
        let (Some(key), Some(value)) = (value.text_of("key"), value.child("value")) else { continue };
        if let Some(name) = fields.get(key).filter(|_| !value.text.is_empty()) {
            tags.insert(name.clone(), value.text.clone().into());
        }
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn object(properties: &[(&str, &str)], more: &str) -> Element {
        let sets =
            properties.iter().map(|(name, val)| format!("<propSet><name>{name}</name><val>{val}</val></propSet>"));
        let sets: String = sets.collect();
        Element::parse(&format!("<objects><obj type=\"VirtualMachine\">vm-1</obj>{sets}{more}</objects>")).unwrap()
    }

    #[test]
    fn attributes_are_named_by_the_fields_of_their_machine() {
        let fields = "<D><key>7</key><name>owner</name></D><D><key>8</key><name>größe</name></D>";
        let values =
            "<V><key>7</key><value>me</value></V><V><key>8</key><value></value></V><V><key>9</key><value>x</value></V>";
        let machine = object(&[("value", values), ("availableField", fields)], "");
        assert_eq!(page([&machine].into_iter())["machines"][0]["attributes"], json!({ "tags": { "owner": "me" } }));
        let unnamed = object(&[("value", values)], "");
        assert!(page([&unnamed].into_iter())["machines"][0].get("attributes").is_none(), "unknown");
    }

    #[test]
    fn machine_without_configuration_is_an_item() {
        let missing = "<missingSet><path>config</path><fault><fault xsi:type=\"NoPermission\"/></fault></missingSet>";
        let page = page([&object(&[("name", "a")], missing)].into_iter());
        let expected = json!([{ "path": "config", "code": "NoPermission" }]);
        assert_eq!(
            (&page["machines"][0]["identity"]["name"], &page["machines"][0]["missing"]),
            (&json!("a"), &expected)
        );
        assert!(page["machines"][0].get("config").is_none());
    }

    #[test]
    fn templates_are_apart() {
        let config = [(CORES, "2"), (MEMORY, "1536"), (TEMPLATE, "true")];
        let page = page([&object(&config, "")].into_iter());
        assert_eq!(page["machines"], json!([]));
        assert_eq!(page["templates"][0]["config"], json!({ "cores": 2, "memory": 1 }));
        let unreadable = object(&[(TEMPLATE, "true")], "");
        assert_eq!(super::page([&unreadable].into_iter())["templates"][0]["id"], "vm-1", "also without the rest");
    }
}
