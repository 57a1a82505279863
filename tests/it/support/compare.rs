//! Differences between two exports, or two models, as sentences.
//!
//! What changes from run to run is only looked at for its presence. Numbers are compared by value (the original writes
//! 4 or 4.0 as it comes), times as instants, and the backends of a load balancer without regard to their order.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Iso8601};

/// Fields that say when something was looked at, by kind.
const VOLATILE: [(&str, &[&str]); 4] = [
    ("aws_ec2_volume", &["atime", "mtime"]),
    ("aws_rds_instance", &["atime", "mtime"]),
    ("example_instance", &["ctime", "mtime", "atime"]),
    ("onelogin_user", &["password_age"]),
];

/// Fields that are points in time.
const TIMES: [&str; 4] = ["ctime", "mtime", "atime", "expires"];

/// The differences of two exports. With `kinds`, only nodes of these kinds and the edges between them are looked at.
pub fn graphs(golden: &str, other: &str, kinds: Option<&[&str]>) -> Vec<String> {
    let (golden, other) = (Graph::read(golden, kinds), Graph::read(other, kinds));
    let mut differences = [golden.faults.clone(), other.faults.clone()].concat();
    for (id, node) in &golden.nodes {
        match other.nodes.get(id) {
            Some(theirs) => differences.extend(node_differences(node, theirs)),
            None => differences.push(format!("missing node: {}", label(node))),
        }
    }
    let extra = other.nodes.iter().filter(|(id, _)| !golden.nodes.contains_key(*id));
    differences.extend(extra.map(|(_, node)| format!("extra node: {}", label(node))));
    for (what, ours, theirs) in [("missing", &golden, &other), ("extra", &other, &golden)] {
        let edges = ours.edges.difference(&theirs.edges);
        differences.extend(edges.map(|(from, to)| format!("{what} edge: {} → {}", ours.name(from), ours.name(to))));
    }
    differences
}

/// The differences of two models.
pub fn models(golden: &str, other: &str) -> Vec<String> {
    let (golden, other) = (read_model(golden), read_model(other));
    let names: BTreeSet<_> = golden.keys().chain(other.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        match (golden.get(name), other.get(name)) {
            (Some(ours), Some(theirs)) if ours == theirs => {}
            (Some(_), None) => differences.push(format!("missing kind: {name}")),
            (None, _) => differences.push(format!("extra kind: {name}")),
            (Some(ours), Some(theirs)) => differences.push(format!("kind {name}: {ours:?} became {theirs:?}")),
        }
    }
    differences
}

/// Panics with the first of the differences, if there are any.
#[track_caller]
pub fn assert_none(differences: &[String]) {
    let shown = differences.iter().take(30).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} differences:\n{shown}", differences.len());
}

/// An export by ids. Lines that are twice there are faults.
struct Graph {
    nodes: BTreeMap<String, Value>,
    edges: BTreeSet<(String, String)>,
    faults: Vec<String>,
}

impl Graph {
    fn read(text: &str, kinds: Option<&[&str]>) -> Self {
        let mut graph = Self { nodes: BTreeMap::new(), edges: BTreeSet::new(), faults: Vec::new() };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str(line) {
                Ok(line) => graph.add(line),
                Err(error) => graph.faults.push(format!("no JSON ({error}): {line}")),
            }
        }
        if let Some(kinds) = kinds {
            graph.nodes.retain(|_, node| kinds.contains(&text_of(&node["reported"], "kind")));
            let nodes = &graph.nodes;
            graph.edges.retain(|(from, to)| nodes.contains_key(from) && nodes.contains_key(to));
        }
        graph
    }

    fn add(&mut self, line: Value) {
        let text = |key: &str| text_of(&line, key).to_owned();
        let is_new = if line.get("from").is_some() {
            self.edges.insert((text("from"), text("to")))
        } else {
            self.nodes.insert(text("id"), line.clone()).is_none()
        };
        if !is_new {
            self.faults.push(format!("twice: {line}"));
        }
    }

    fn name(&self, id: &str) -> String {
        self.nodes.get(id).map_or_else(|| id.to_owned(), label)
    }
}

fn node_differences(golden: &Value, other: &Value) -> Vec<String> {
    let kind = text_of(&golden["reported"], "kind");
    let volatile = VOLATILE.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, fields)| fields);
    let mut differences = Vec::new();
    for section in ["reported", "metadata", "desired"] {
        let none = Map::new();
        let [ours, theirs] = [golden, other].map(|node| node[section].as_object().unwrap_or(&none));
        let fields: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for field in fields {
            let is_masked = section == "reported" && volatile.contains(&field.as_str());
            let is_same = match (ours.get(field), theirs.get(field)) {
                (Some(ours), Some(theirs)) => is_masked || is_same(field, ours, theirs),
                (ours, theirs) => ours.is_none() && theirs.is_none(),
            };
            if !is_same {
                let show = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
                let (ours, theirs) = (show(ours.get(field)), show(theirs.get(field)));
                differences.push(format!("{}: {section}.{field} was {ours} and is {theirs}", label(golden)));
            }
        }
    }
    let [ours, theirs] = [golden, other].map(|node| node["replace"] == true);
    if ours != theirs {
        differences.push(format!("{}: replace was {ours} and is {theirs}", label(golden)));
    }
    differences
}

fn is_same(field: &str, ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => ours.as_f64() == theirs.as_f64(),
        (Value::String(ours), Value::String(theirs)) if TIMES.contains(&field) => instant(ours) == instant(theirs),
        (Value::Array(ours), Value::Array(theirs)) if field == "backends" => sorted(ours) == sorted(theirs),
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same("", ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, ours)| theirs.get(key).is_some_and(|theirs| is_same("", ours, theirs)))
        }
        _ => ours == theirs,
    }
}

fn instant(text: &str) -> Result<OffsetDateTime, &str> {
    OffsetDateTime::parse(text, &Iso8601::PARSING).map_err(|_| text)
}

fn sorted(list: &[Value]) -> Vec<String> {
    let mut texts: Vec<_> = list.iter().map(Value::to_string).collect();
    texts.sort();
    texts
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

fn label(node: &Value) -> String {
    let reported = &node["reported"];
    format!("{} {} ({})", text_of(reported, "kind"), text_of(reported, "name"), text_of(reported, "id"))
}

/// Bases and properties by kind; neither has an order that means anything.
fn read_model(text: &str) -> BTreeMap<String, (BTreeSet<String>, BTreeMap<String, Value>)> {
    let kinds: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let kind = |kind: &Value| {
        let bases = list(&kind["bases"]).iter().map(Value::to_string).collect();
        let properties = list(&kind["properties"]).into_iter();
        let properties = properties.map(|property| (text_of(&property, "name").to_owned(), property)).collect();
        (text_of(kind, "fqn").to_owned(), (bases, properties))
    };
    kinds.iter().map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = r#"
{"id":"a","reported":{"kind":"aws_alb","id":"1","name":"n","ctime":"2021-11-01T00:00:07+00:00","backends":["x","y"],"cores":4,"dimensions":[{"n":1}]},"metadata":{"phantom":false}}
{"id":"b","reported":{"kind":"aws_ec2_volume","id":"2","name":"v","atime":"2026-11-22T09:15:11+00:00"},"replace":true}
{"from":"a","to":"b"}"#;

    fn after(from: &str, to: &str) -> Vec<String> {
        let other = GOLDEN.replace(from, to);
        assert_ne!(other, GOLDEN, "nothing was changed");
        graphs(GOLDEN, &other, None)
    }

    #[test]
    fn volatile_fields_are_no_difference() {
        assert_none(&graphs(GOLDEN, GOLDEN, None));
        assert_none(&after("\"cores\":4", "\"cores\":4.0"));
        assert_none(&after("{\"n\":1}", "{\"n\":1.0}"));
        assert_none(&after("2021-11-01T00:00:07+00:00", "2021-11-01T02:00:07.000+02:00"));
        assert_none(&after("[\"x\",\"y\"]", "[\"y\",\"x\"]"));
        assert_none(&after("2026-11-22T09:15:11+00:00", "2027-01-01T00:00:00+00:00"));
    }

    #[test]
    fn every_real_difference_is_named() {
        let cases = [
            ("\"cores\":4", "\"cores\":5", "aws_alb n (1): reported.cores was 4 and is 5"),
            (",\"cores\":4", "", "aws_alb n (1): reported.cores was 4 and is nothing"),
            ("{\"n\":1}", "{\"n\":2}", "aws_alb n (1): reported.dimensions was [{\"n\":1}] and is [{\"n\":2}]"),
            ("\"phantom\":false", "\"phantom\":true", "aws_alb n (1): metadata.phantom was false and is true"),
            (",\"replace\":true", "", "aws_ec2_volume v (2): replace was true and is false"),
            (
                ",\"atime\":\"2026-11-22T09:15:11+00:00\"",
                "",
                "aws_ec2_volume v (2): reported.atime was \"2026-11-22T09:15:11+00:00\" and is nothing",
            ),
            ("{\"from\":\"a\",\"to\":\"b\"}", "", "missing edge: aws_alb n (1) → aws_ec2_volume v (2)"),
            (
                "\"to\":\"b\"}",
                "\"to\":\"b\"}\n{\"from\":\"b\",\"to\":\"a\"}",
                "extra edge: aws_ec2_volume v (2) → aws_alb n (1)",
            ),
        ];
        for (from, to, expected) in cases {
            assert_eq!(after(from, to), [expected]);
        }
        let renamed = after("\"id\":\"a\"", "\"id\":\"c\"");
        assert_eq!(renamed, ["missing node: aws_alb n (1)", "extra node: aws_alb n (1)"]);
        let doubled = format!("{GOLDEN}\n{{\"from\":\"a\",\"to\":\"b\"}}");
        assert_eq!(graphs(GOLDEN, &doubled, None).len(), 1);
    }

    #[test]
    fn filter_compares_its_kinds_only() {
        let other = GOLDEN.replace("\"cores\":4", "\"cores\":5").replace("{\"from\":\"a\",\"to\":\"b\"}", "");
        assert_none(&graphs(GOLDEN, &other, Some(&["aws_ec2_volume"])));
        assert_eq!(graphs(GOLDEN, &other, Some(&["aws_alb", "aws_ec2_volume"])).len(), 2);
    }

    #[test]
    fn models_are_compared_without_regard_to_order() {
        let model = r#"[{"fqn":"a","bases":["x","y"],"properties":[{"name":"p","kind":"string"}]},{"fqn":"b","bases":[],"properties":[]}]"#;
        assert_none(&models(model, &model.replace("\"x\",\"y\"", "\"y\",\"x\"")));
        assert_eq!(models(model, &model.replace("string", "int64")).len(), 1);
        assert_eq!(models(model, &model.replace("\"b\"", "\"c\"")), ["missing kind: b", "extra kind: c"]);
    }
}
