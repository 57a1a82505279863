//! Evaluates sources, conditions and parameters of definitions for an item.

use std::{borrow::Cow, ops::ControlFlow};

use serde_json::{Map, Value as Json};
use time::OffsetDateTime;

use super::{
    definition::{Condition, Constant, Input, Source, SourceTable, Template},
    fill::{Filler, OnMissing},
    path::{Path, Step, Visit},
    tree::Tree,
};
use crate::graph::{Kind, Value};

/// An item and the values that calls and hooks have added, as the roots of paths.
pub(crate) struct Item<'t> {
    /// The item as returned by its list call.
    pub(crate) tree: &'t Tree<'t>,
    /// The added values.
    pub(crate) named: Vec<Named<'t>>,
    /// The names of the values whose calls failed.
    pub(crate) failed: Vec<&'t str>,
}

/// A named value: the part of a response at `take`, in each of its pages.
#[derive(Clone, Copy)]
pub(crate) struct Named<'t> {
    /// The name, without `@`.
    pub(crate) name: &'t str,
    /// The path to the part; the whole page if `None`.
    pub(crate) take: Option<&'t Path>,
    /// The pages of the response.
    pub(crate) pages: &'t [Tree<'t>],
}

impl<'t> Named<'t> {
    /// Names a whole value.
    pub(crate) fn whole(name: &'t str, value: &'t Tree<'t>) -> Self {
        Self { name, take: None, pages: std::slice::from_ref(value) }
    }
}

impl<'t> Item<'t> {
    /// Returns an item without added values.
    pub(crate) fn plain(tree: &'t Tree<'t>) -> Self {
        Self { tree, named: Vec::new(), failed: Vec::new() }
    }

    fn walk(&self, path: &Path, visit: Visit<'_, 't>) -> ControlFlow<()> {
        let Some(root) = &path.root else { return path.walk(self.tree, visit) };
        for named in self.named.iter().filter(|named| *named.name == **root) {
            for page in named.pages {
                match named.take {
                    Some(take) => take.walk(page, &mut |taken| path.walk(taken, visit))?,
                    None => path.walk(page, visit)?,
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Passes each value at a path to `take`.
    pub(crate) fn each(&self, path: &Path, take: &mut dyn FnMut(&'t Tree<'t>)) {
        let _ = self.walk(path, &mut |tree| {
            take(tree);
            ControlFlow::Continue(())
        });
    }

    /// Returns whether there is a list where a path takes each element; and whether there is a value, if it takes none.
    pub(crate) fn has_list(&self, path: &Path) -> bool {
        let list = path.steps.iter().position(|step| matches!(step, Step::Each | Step::Values));
        let steps = path.steps[..list.unwrap_or(path.steps.len())].into();
        self.first(&Path { root: path.root.clone(), steps, part: None }).is_some()
    }

    /// Returns the first value at a path.
    pub(crate) fn first(&self, path: &Path) -> Option<&'t Tree<'t>> {
        let mut found = None;
        let _ = self.walk(path, &mut |tree| {
            if matches!(tree, Tree::Null) {
                return ControlFlow::Continue(());
            }
            found = Some(tree);
            ControlFlow::Break(())
        });
        found
    }

    /// Returns the value of a field of this kind; `None` if it is absent.
    pub(crate) fn value(&self, source: &Source, kind: &Kind) -> Option<Value> {
        let table = &source.0;
        if table.when.as_ref().is_some_and(|condition| !self.holds(condition)) {
            return table.default.as_ref().map(constant);
        }
        if let Some(sources) = &table.any {
            let found = sources.iter().find_map(|source| self.value(source, kind));
            return found.or_else(|| table.default.as_ref().map(constant));
        }
        let value = self.raw_value(table).map(|value| match (&table.status, value) {
            (Some(map), Value::Text(text)) => Value::Text(kind.map_status(map, &text).to_owned()),
            (_, value) => value,
        });
        let null = || table.path.as_ref().filter(|path| table.nulls && self.is_null(path)).map(|_| Value::Null);
        value.or_else(null).or_else(|| table.default.as_ref().map(constant))
    }

    /// Returns whether a path leads to a null.
    fn is_null(&self, path: &Path) -> bool {
        let Some((Step::Member(last), before)) = path.steps.split_last() else { return false };
        let before = Path { root: path.root.clone(), steps: before.into(), part: None };
        self.first(&before)
            .is_some_and(|tree| tree.entries().iter().any(|(name, value)| **name == **last && *value == Tree::Null))
    }

    /// Returns whether a source that depends on a failed call has no reliable value: none apart from its default, or a
    /// list or map that may be incomplete.
    pub(crate) fn is_unset(&self, source: &Source) -> bool {
        let table = &source.0;
        if table.condition.is_some() || table.when.as_ref().is_some_and(|condition| !self.holds(condition)) {
            return true;
        }
        if let Some(sources) = &table.any {
            return sources.iter().all(|source| self.is_unset(source));
        }
        match self.raw_value(table) {
            None | Some(Value::List(_) | Value::Map(_)) => true,
            Some(_) => false,
        }
    }

    fn raw_value(&self, table: &SourceTable) -> Option<Value> {
        if let Some(path) = &table.path {
            return self.path_value(path, table);
        }
        if let Some(paths) = &table.first {
            let found = paths.iter().find_map(|path| match (path.part, self.first(path)?) {
                (None, tree) => Some(tree_value(tree)),
                (Some(_), tree) => taken(path, tree).map(Some),
            });
            return found.flatten();
        }
        if let Some(paths) = &table.all {
            let mut list = Vec::new();
            for path in paths {
                let _ = self.walk(path, &mut |tree| {
                    list.extend(taken(path, tree));
                    ControlFlow::Continue(())
                });
            }
            return Some(Value::List(list));
        }
        if let Some(template) = &table.template {
            return self.fill(template).map(Value::Text);
        }
        if let Some(condition) = &table.condition {
            return Some(Value::Bool(self.holds(condition)));
        }
        table.value.as_ref().map(constant)
    }

    fn path_value(&self, path: &Path, table: &SourceTable) -> Option<Value> {
        if let Some((key, value)) = table.map.as_deref() {
            return Some(Value::Map(self.entries(path, key, value)));
        }
        if !path.is_list() {
            return self.first(path).and_then(|tree| taken(path, tree));
        }
        let mut list = Vec::new();
        let _ = self.walk(path, &mut |tree| {
            list.extend(match &table.element {
                Some(each) => {
                    let found = Item::plain(tree).first(each).and_then(|tree| taken(each, tree));
                    found.or(table.default.as_ref().map(constant))
                }
                None => taken(path, tree),
            });
            ControlFlow::Continue(())
        });
        Some(Value::List(list))
    }

    fn entries(&self, path: &Path, key: &str, value: &str) -> Vec<(String, Value)> {
        let mut entries = Vec::new();
        let _ = self.walk(path, &mut |tree| {
            if let (Some(key), Some(value)) = (tree.get(key).and_then(text), tree.get(value).and_then(tree_value)) {
                entries.push((key.into_owned(), value));
            }
            ControlFlow::Continue(())
        });
        entries
    }

    /// Returns whether a source starts at a named value that the item does not have.
    pub(crate) fn lacks(&self, source: &Source) -> bool {
        let root = source.0.path.as_ref().and_then(|path| path.root.as_deref());
        root.is_some_and(|root| !self.named.iter().any(|named| named.name == root))
    }

    /// Returns the first string at a path.
    pub(crate) fn path_text(&self, path: &Path) -> Option<String> {
        self.first(path).and_then(text).and_then(|text| path.take(text)).map(Cow::into_owned)
    }

    /// Returns the string of a source, for IDs, names and the values of references.
    pub(crate) fn text(&self, source: &Source) -> Option<String> {
        let mut found = None;
        self.texts(source, &mut |text| {
            found.get_or_insert(text);
        });
        found
    }

    /// Passes each string of a source to `take`.
    pub(crate) fn texts(&self, source: &Source, take: &mut dyn FnMut(String)) {
        let table = &source.0;
        if table.when.as_ref().is_some_and(|condition| !self.holds(condition)) {
            return;
        }
        if let Some(found) = table.any.iter().flatten().find(|source| self.text(source).is_some()) {
            return self.texts(found, take);
        }
        for path in table.path.iter().chain(table.all.iter().flatten()) {
            let _ = self.walk(path, &mut |tree| {
                let text = text(tree).and_then(|text| path.take(text));
                text.into_iter().for_each(|text| take(text.into_owned()));
                ControlFlow::Continue(())
            });
        }
        if table.path.is_none()
            && table.all.is_none()
            && let Some(Value::Text(text)) = self.raw_value(table)
        {
            take(text);
        }
    }

    /// Passes the tags of a source to `take`: from a list of structures with key and value, or from a map. The source's
    /// `map` names the members of the structures where they are not `Key` and `Value`.
    pub(crate) fn tags(&self, source: &Source, take: &mut dyn FnMut(String, String)) {
        let table = &source.0;
        let first = table.first.iter().flatten().find(|path| self.first(path).is_some());
        for path in table.path.iter().chain(first) {
            let _ = self.walk(path, &mut |tree| {
                each_tag(tree, table.map.as_deref(), take);
                ControlFlow::Continue(())
            });
        }
    }

    /// Returns whether a condition holds.
    pub(crate) fn holds(&self, condition: &Condition) -> bool {
        let mut found = false;
        let mut holds = false;
        let _ = self.walk(&condition.path, &mut |tree| {
            let part;
            let tree = if condition.path.part.is_some() {
                part = text(tree).and_then(|text| condition.path.take(text)).map_or(Tree::Null, Tree::Text);
                &part
            } else {
                tree
            };
            if matches!(tree, Tree::Null) {
                return ControlFlow::Continue(());
            }
            found = true;
            let one_of = condition.one_of.is_empty() || condition.one_of.iter().any(|wanted| equals(tree, wanted));
            let contains =
                condition.contains.as_deref().is_none_or(|part| text(tree).is_some_and(|text| text.contains(part)));
            holds |= one_of && contains;
            ControlFlow::Continue(())
        });
        match condition.present {
            Some(false) => !found,
            _ => holds,
        }
    }

    /// Returns the parameters of a call; one whose path leads to nothing is omitted.
    pub(crate) fn input(&self, input: &Input) -> Map<String, Json> {
        let find = |path: &Path| self.first(path);
        Filler { find: &find, on_missing: OnMissing::Omit }.input(input).unwrap_or_default()
    }

    /// Returns a template's string; `None` if one of its paths leads to nothing.
    pub(crate) fn fill(&self, template: &Template) -> Option<String> {
        let find = |path: &Path| self.first(path);
        Filler { find: &find, on_missing: OnMissing::Fail }.template(template).ok()
    }
}

fn each_tag(tree: &Tree<'_>, members: Option<&(String, String)>, take: &mut dyn FnMut(String, String)) {
    match tree {
        Tree::List(list) => list.iter().for_each(|entry| {
            let key = match members {
                Some((key, _)) => entry.get(key),
                None => entry.get("Key").or_else(|| entry.get("key")),
            };
            let value = match members {
                Some((_, value)) => entry.get(value),
                None => entry.get("Value").or_else(|| entry.get("value")),
            };
            let value = value.and_then(text);
            if let Some(key) = key.and_then(text) {
                take(key.into_owned(), value.unwrap_or_default().into_owned());
            }
        }),
        Tree::Map(members) => members.iter().for_each(|(key, value)| {
            take(key.to_string(), text(value).unwrap_or_default().into_owned());
        }),
        _ => {}
    }
}

fn equals(tree: &Tree<'_>, wanted: &Constant) -> bool {
    match (tree, wanted) {
        (Tree::Text(text), Constant::Text(wanted)) => text == wanted,
        (Tree::Bool(value), Constant::Bool(wanted)) => value == wanted,
        (Tree::Int(number), Constant::Int(wanted)) => number == wanted,
        _ => false,
    }
}

fn constant(constant: &Constant) -> Value {
    match constant {
        Constant::Bool(value) => Value::Bool(*value),
        Constant::Int(number) => Value::Int(*number),
        Constant::Float(number) => Value::Float(*number),
        Constant::Text(text) => Value::Text(text.clone()),
    }
}

/// Returns a scalar as a string.
pub(crate) fn text<'t>(tree: &'t Tree<'_>) -> Option<Cow<'t, str>> {
    match tree {
        Tree::Text(text) => Some(Cow::Borrowed(text)),
        Tree::Int(number) => Some(Cow::Owned(number.to_string())),
        Tree::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        _ => None,
    }
}

/// Converts a part of a response to a field's value; nulls and bytes have none.
fn tree_value(tree: &Tree<'_>) -> Option<Value> {
    Some(match tree {
        Tree::Bool(value) => Value::Bool(*value),
        Tree::Int(number) => Value::Int(*number),
        Tree::Float(number) => Value::Float(*number),
        Tree::Text(text) => Value::Text(text.to_string()),
        Tree::Time(time) => Value::Time(truncated(*time)),
        Tree::List(list) => Value::List(list.iter().filter_map(tree_value).collect()),
        Tree::Map(members) => {
            let members = members.iter().filter_map(|(name, value)| Some((name.to_string(), tree_value(value)?)));
            Value::Map(members.collect())
        }
        _ => return None,
    })
}

/// Returns the field's value of what a path leads to.
fn taken(path: &Path, tree: &Tree<'_>) -> Option<Value> {
    match path.part {
        None => tree_value(tree),
        Some(_) => path.take(text(tree)?).map(|text| Value::Text(text.into_owned())),
    }
}

/// Truncates a point in time to microseconds, as in the core.
pub(crate) fn truncated(time: OffsetDateTime) -> OffsetDateTime {
    let micros = time.nanosecond() / 1000;
    time.replace_nanosecond(micros * 1000).unwrap_or(time)
}
