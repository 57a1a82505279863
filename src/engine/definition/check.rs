//! Mistakes of a definition file that need no model of the API: kinds, fields, levels, hooks and parents that do not
//! exist. What the API accepts and returns is checked by the cloud.

use std::collections::BTreeSet;

use toml::Spanned;

use super::{ANYWHERE, CLOUD, Condition, Definition, Service};
use crate::{
    engine::cloud::{Cloud, LevelNode},
    graph::Kind,
    settings::with_nearest,
};

/// A mistake in a definition file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The position in the text, in bytes.
    pub at: usize,
    /// What is wrong.
    pub what: String,
}

/// The checks of one file.
struct Check<'c> {
    cloud: &'c Cloud,
    service: &'c Service,
    mistakes: Vec<Mistake>,
}

/// Returns the mistakes of a file.
pub(crate) fn check(cloud: &Cloud, service: &Service) -> Vec<Mistake> {
    let mut check = Check { cloud, service, mistakes: Vec::new() };
    for definition in &service.kinds {
        check.definition(definition);
    }
    check.mistakes
}

impl Check<'_> {
    fn add(&mut self, at: &Spanned<String>, what: String) {
        self.mistakes.push(Mistake { at: at.span().start, what });
    }

    fn unknown_kind(&mut self, kind: &Spanned<String>) {
        let name = kind.get_ref();
        let known = self.cloud.schema.kinds().map(|kind| kind.fqn.as_str());
        self.add(kind, with_nearest(&format!("there is no kind {name}"), name, known));
    }

    fn unknown_field(&mut self, field: &Spanned<String>, kind: &Kind) {
        let name = field.get_ref();
        let known = kind.fields.iter().map(|field| field.name.as_str());
        self.add(field, with_nearest(&format!("{} has no field {name}", kind.fqn), name, known));
    }

    fn definition(&mut self, definition: &Definition) {
        let name = definition.kind.get_ref();
        let Some(kind) = self.cloud.schema.kind(name) else {
            return self.add(&definition.kind, format!("the kind {name} has no schema"));
        };
        let is_made = name == self.cloud.account || self.cloud.is_level(name) || kind.is_abstract;
        if definition.collector.is_none() && definition.parent.is_none() && !is_made {
            self.add(&definition.kind, format!("{name} needs a collector, the name that selects it"));
        }
        self.scope(&definition.scope);
        definition.location.iter().for_each(|location| self.scope(&location.scope));
        self.parent(definition);
        self.hooks(definition);
        self.properties(definition, kind);
        self.references(definition);
        self.conditions(definition, kind);
        self.parts(definition);
        if definition.tagging && (self.service.tag.is_none() || self.service.untag.is_none()) {
            self.add(&definition.kind, "tagging needs tag and untag of the service".to_owned());
        }
        if definition.deletable && self.service.delete_of(definition).is_none() {
            self.add(&definition.kind, "deletable needs delete of the service".to_owned());
        }
        for before in &definition.delete_before {
            if self.cloud.find(before).is_none() {
                self.add(&definition.kind, format!("delete_before: there is no definition of {before}"));
            }
        }
        if definition.details.is_some() && self.service.details.is_none() {
            self.add(&definition.kind, "the file has no details".to_owned());
        }
    }

    fn scope(&mut self, scope: &Spanned<String>) {
        if self.cloud.level(scope.get_ref()).is_none() {
            let known: Vec<_> = self.cloud.levels.iter().map(|level| level.scope).collect();
            self.add(scope, format!("there is no scope {}; there are {}", scope.get_ref(), known.join(", ")));
        }
    }

    fn parent(&mut self, definition: &Definition) {
        let Some(parent) = &definition.parent else {
            if definition.items.is_some() {
                self.add(&definition.kind, "items are a part of a parent's item, and there is no parent".to_owned());
            }
            return;
        };
        if definition.items.is_some() == definition.list.is_some() {
            self.add(&definition.kind, "a kind with a parent has either list or items".to_owned());
        }
        if !self.service.kinds.iter().any(|known| known.kind.get_ref() == parent.get_ref()) {
            self.add(parent, format!("{} is not in this file", parent.get_ref()));
        }
    }

    fn hooks(&mut self, definition: &Definition) {
        for used in &definition.hooks {
            let name = used.hook.get_ref();
            match self.cloud.hook(name).map(|hook| hook.check(&used.input)) {
                None => self.add(&used.hook, format!("there is no hook {name}")),
                Some(Err(why)) => self.add(&used.hook, format!("the input of the hook {name}: {why}")),
                Some(Ok(())) => {}
            }
        }
        for (named, is_known) in self.cloud.change_hooks.used(definition) {
            if !is_known {
                self.add(named, format!("there is no hook {}", named.get_ref()));
            }
        }
    }

    fn properties(&mut self, definition: &Definition, kind: &Kind) {
        for (field, source) in &definition.properties {
            let name = field.get_ref().as_str();
            if kind.position(name).is_none() || matches!(name, "id" | "name" | "tags") {
                self.unknown_field(field, kind);
            }
            let all = source.get_ref().tables();
            let maps = all.iter().filter_map(|table| table.status.as_deref());
            for map in maps.filter(|map| !kind.status_maps.contains_key(*map)) {
                let what = format!("{} has no status map {map}", kind.fqn);
                self.mistakes.push(Mistake { at: source.span().start, what });
            }
        }
        if let Some(identity) = self.service.identity_of(definition)
            && kind.position(identity.field.get_ref()).is_none()
        {
            self.unknown_field(&identity.field, kind);
        }
    }

    fn references(&mut self, definition: &Definition) {
        for reference in definition.references() {
            let name = reference.kind.get_ref();
            match self.cloud.schema.kind(name) {
                None => self.unknown_kind(&reference.kind),
                Some(kind) if kind.position(reference.attribute.get_ref()).is_none() => {
                    self.unknown_field(&reference.attribute, kind);
                }
                Some(_) => {}
            }
            let scope = reference.scope.as_ref().filter(|scope| ![ANYWHERE, CLOUD].contains(&scope.get_ref().as_str()));
            if let Some(scope) = scope {
                self.scope(scope);
            }
        }
    }

    /// Checks that paths to items and results, which are no strings, take no part of one.
    fn parts(&mut self, definition: &Definition) {
        let calls = definition.calls.iter();
        let batches = calls.clone().filter_map(|call| call.batch.as_ref()).map(|batch| &batch.items);
        let lists = definition.list.iter().map(|list| &list.items);
        let details = definition.details.iter().map(|details| &details.items);
        let items = definition.items.iter();
        for path in calls.map(|call| &call.result).chain(batches).chain(lists).chain(details).chain(items) {
            if path.get_ref().part.is_some() {
                let what = format!("{} leads to items and takes no part of a string", path.get_ref());
                self.mistakes.push(Mistake { at: path.span().start, what });
            }
        }
    }

    /// Checks conditions about the node, whose paths start at the fields of the kind.
    fn conditions(&mut self, definition: &Definition, kind: &Kind) {
        let states = definition.undeletable.iter().filter(|state| state.call.is_none()).map(|state| &state.when);
        for condition in states.chain(definition.deleted_when.as_deref()) {
            let Condition { path, .. } = condition.get_ref();
            let field = path.first_member().filter(|_| path.root.is_none());
            if let Some(field) = field.filter(|field| kind.position(field).is_none()) {
                let what = format!("{} has no field {field}", kind.fqn);
                self.mistakes.push(Mistake { at: condition.span().start, what });
            }
        }
    }
}

impl Cloud {
    /// Returns the pairs of kinds that are on a circle of the order of deletion, or between two, as `upper, deeper`. Of
    /// each pair, an edge or `delete_before` says that the deeper one is deleted first; an edge opposite to a
    /// `delete_before` does not count.
    #[must_use]
    pub fn deletion_circles(&self) -> BTreeSet<(&'static str, &'static str)> {
        let definitions = || self.definitions.iter().map(|(_, definition)| definition);
        let name = |kind: &'static Spanned<String>| kind.get_ref().as_str();
        let (mut pairs, mut turned) = (BTreeSet::new(), BTreeSet::new());
        for definition in definitions() {
            let kind = name(&definition.kind);
            let parents = definition.predecessors.iter().map(|reference| &reference.kind).chain(&definition.parent);
            pairs.extend(parents.map(|parent| (name(parent), kind)));
            pairs.extend(definition.successors.iter().map(|reference| (kind, name(&reference.kind))));
            turned.extend(definition.delete_before.iter().map(|after| (kind, after.as_str())));
        }
        // Resources of one kind that lead to each other are ordered by their edges.
        pairs.retain(|(upper, deeper)| upper != deeper && !turned.contains(&(*upper, *deeper)));
        pairs.extend(turned.iter().map(|(first, after)| (*after, *first)));
        loop {
            // Kinds that are deeper than no other, or above no other, are on no circle.
            let (uppers, deepers): (BTreeSet<&str>, BTreeSet<&str>) = pairs.iter().copied().unzip();
            let before = pairs.len();
            pairs.retain(|(upper, deeper)| deepers.contains(upper) && uppers.contains(deeper));
            if pairs.len() == before {
                return pairs;
            }
        }
    }

    /// Returns the levels whose kinds of nodes do not exist, as mistakes of the cloud itself.
    #[must_use]
    pub fn unknown_levels(&self) -> Vec<&'static str> {
        let nodes = self.levels.iter().filter_map(|level| level.node).map(|LevelNode { kind, .. }| kind);
        nodes.chain([self.account]).filter(|kind| self.schema.kind(kind).is_none()).collect()
    }
}
