//! Parameters of calls from a node's fields. Other than in collection, a missing field is an error.

use serde_json::{Map, Value};

use super::super::{
    definition::{Condition, Input},
    eval::{Item, Named},
    fill::{Filler, MissingValue, OnMissing},
    path::Path,
    tree::Tree,
};
use crate::collector_api::Target;

/// The fields of a node, as the root of paths.
pub(crate) struct Fields {
    node: Tree<'static>,
}

impl Fields {
    /// Returns the fields of a node without its tags.
    pub(crate) fn of(target: &Target) -> Self {
        let mut node = target.reported.clone();
        node.remove("tags");
        node.insert("id".into(), target.id.clone().into());
        node.insert("name".into(), target.name.clone().into());
        Self { node: Value::Object(node).into() }
    }

    /// Returns the parameters of a call.
    pub(crate) fn input(&self, input: &Input) -> Result<Map<String, Value>, MissingValue> {
        self.roots(None, None).input(input)
    }

    /// Returns the parameters of a call for an item of a listing.
    pub(crate) fn input_for(&self, item: &Tree<'_>, input: &Input) -> Result<Map<String, Value>, MissingValue> {
        self.roots(None, Some(("item", item))).input(input)
    }

    /// Returns the parameters of a call for a tag, a structure with `key` and `value`; `current` is the tag before the
    /// change.
    pub(crate) fn input_for_tag(
        &self,
        tag: &Tree<'_>,
        current: Option<&Tree<'_>>,
        input: &Input,
    ) -> Result<Map<String, Value>, MissingValue> {
        self.roots(Some(tag), current.map(|current| ("current", current))).input(input)
    }

    /// Returns whether a condition holds for an item of a listing.
    pub(crate) fn holds(&self, item: &Tree<'_>, condition: &Condition) -> bool {
        self.roots(None, Some(("item", item))).holds(condition)
    }

    /// Returns whether a condition holds for the node.
    pub(crate) fn holds_for_node(&self, condition: &Condition) -> bool {
        self.roots(None, None).holds(condition)
    }

    /// Returns whether a condition holds for the response `@response` of a call.
    pub(crate) fn holds_for_response(&self, answer: &Tree<'_>, condition: &Condition) -> bool {
        self.roots(None, Some(("response", answer))).holds(condition)
    }

    fn roots<'t>(&'t self, tag: Option<&'t Tree<'t>>, value: Option<(&'t str, &'t Tree<'t>)>) -> Roots<'t> {
        let named = value.map(|(name, tree)| Named::whole(name, tree)).into_iter().collect();
        Roots { node: Item { tree: &self.node, named, failed: Vec::new() }, tag: tag.map(Item::plain) }
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
