//! Parameters of calls from a node's fields. Other than in collection, a missing field is an error.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use super::super::{
    client::{Path, Tree},
    definitions::{Condition, Input},
    engine::{
        eval::{Item, Named},
        fill::{Filler, MissingValue, OnMissing},
    },
};
use crate::collector_api::Target;

/// The fields of a node, as the root of paths.
pub(super) struct Fields {
    node: Tree<'static>,
    arn: Tree<'static>,
}

impl Fields {
    /// Returns the fields of a node without its tags.
    pub(super) fn of(target: &Target) -> Self {
        let mut node = target.reported.clone();
        node.remove("tags");
        node.insert("id".into(), target.id.clone().into());
        node.insert("name".into(), target.name.clone().into());
        let tail = target.text("arn").and_then(|arn| arn.split_once('/')).map(|(_, tail)| tail);
        let arn = tail.map(|tail| ("resource_id".to_owned(), Value::from(tail))).into_iter().collect();
        Self { node: tree(Value::Object(node)), arn: tree(Value::Object(arn)) }
    }

    /// Returns the parameters of a call.
    pub(super) fn input(&self, input: &Input) -> Result<Map<String, Value>, MissingValue> {
        self.roots(None, None).input(input)
    }

    /// Returns the parameters of a call for an item of a listing.
    pub(super) fn input_for(&self, item: &Tree<'_>, input: &Input) -> Result<Map<String, Value>, MissingValue> {
        self.roots(None, Some(("item", item))).input(input)
    }

    /// Returns the parameters of a call for a tag, a structure with `key` and `value`; `current` is the tag before the
    /// change.
    pub(super) fn input_for_tag(
        &self,
        tag: &Tree<'_>,
        current: Option<&Tree<'_>>,
        input: &Input,
    ) -> Result<Map<String, Value>, MissingValue> {
        self.roots(Some(tag), current.map(|current| ("current", current))).input(input)
    }

    /// Returns whether a condition holds for an item of a listing.
    pub(super) fn holds(&self, item: &Tree<'_>, condition: &Condition) -> bool {
        self.roots(None, Some(("item", item))).holds(condition)
    }

    /// Returns whether a condition holds for the node.
    pub(super) fn holds_for_node(&self, condition: &Condition) -> bool {
        self.roots(None, None).holds(condition)
    }

    /// Returns whether a condition holds for the response `@response` of a call.
    pub(super) fn holds_for_response(&self, answer: &Tree<'_>, condition: &Condition) -> bool {
        self.roots(None, Some(("response", answer))).holds(condition)
    }

    fn roots<'t>(&'t self, tag: Option<&'t Tree<'t>>, value: Option<(&'t str, &'t Tree<'t>)>) -> Roots<'t> {
        let named = |name, tree: &'t Tree<'t>| Named { name, take: None, pages: std::slice::from_ref(tree) };
        let mut all = vec![named("arn", &self.arn)];
        all.extend(value.map(|(name, tree)| named(name, tree)));
        Roots { node: Item { tree: &self.node, named: all, failed: Vec::new() }, tag: tag.map(Item::plain) }
    }
}

/// The roots of paths: the tag if it has the member, else the node and the named values.
struct Roots<'t> {
    node: Item<'t>,
    tag: Option<Item<'t>>,
}

impl<'t> Roots<'t> {
    fn holds(&self, condition: &Condition) -> bool {
        self.node.holds(condition)
    }

    fn input(&self, input: &Input) -> Result<Map<String, Value>, MissingValue> {
        let find = |path: &Path| self.first(path);
        Filler { find: &find, on_missing: OnMissing::Fail }.input(input)
    }

    fn first(&self, path: &Path) -> Option<&'t Tree<'t>> {
        // Empty fields identify nothing, but the value of a tag may be empty.
        let of_tag = self.tag.as_ref().filter(|_| path.root.is_none()).and_then(|tag| tag.first(path));
        of_tag.or_else(|| self.node.first(path).filter(|found| !found.is_empty()))
    }
}

/// Converts JSON to a tree.
pub(super) fn tree(value: Value) -> Tree<'static> {
    match value {
        Value::Null => Tree::Null,
        Value::Bool(value) => Tree::Bool(value),
        Value::Number(number) => numeric(&number),
        Value::String(text) => Tree::Text(Cow::Owned(text)),
        Value::Array(items) => Tree::List(items.into_iter().map(tree).collect()),
        Value::Object(members) => {
            Tree::Map(members.into_iter().map(|(name, value)| (Cow::Owned(name), tree(value))).collect())
        }
    }
}

fn numeric(number: &Number) -> Tree<'static> {
    match (number.as_i64(), number.as_f64()) {
        (Some(number), _) => Tree::Int(number),
        (None, Some(number)) => Tree::Float(number),
        (None, None) => Tree::Null,
    }
}
