//! The parts of an account that its collection could not see: kinds with incomplete lists, and properties and edges
//! with failed calls.
//!
//! An upload replaces the account in the core, so that the core deletes whatever is not sent. These records name what
//! it must keep.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::PoisonError,
};

use worker_proto::{Failure, Missing, MissingEdge, Why};

use super::{
    super::{
        cloud::Cloud,
        definition::{Definition, Service, Source, SourceTable},
        eval::Item,
    },
    Location, Run, Selection,
    locations::Locations,
};
use crate::graph::NodeId;

/// The most nodes in one message, which must fit into a batch.
const NODES: usize = 8192;

/// The records so far.
#[derive(Default)]
pub(super) struct Unseen {
    /// By parent node and kind.
    kinds: BTreeMap<UnseenKind, UnseenListing>,
    /// The nodes of hooks that are parents of other nodes, by kind.
    made_parents: BTreeMap<&'static str, BTreeSet<[u8; 16]>>,
    parts: BTreeMap<UnknownParts, Vec<[u8; 16]>>,
}

/// A node and a kind below it.
type UnseenKind = ([u8; 16], Cow<'static, str>);

/// The scope of references to a kind, its descendants, and why it is missing.
type UnseenListing = (String, Vec<Cow<'static, str>>, Why);

/// The unknown parts of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownParts {
    properties: Vec<String>,
    edges: Vec<MissingEdge>,
}

impl UnknownParts {
    /// Returns unknown properties.
    pub(crate) fn properties(names: &[&str]) -> Self {
        Self { properties: names.iter().map(|name| (*name).to_owned()).collect(), edges: Vec::new() }
    }

    /// Adds edges that may be missing.
    pub(crate) fn add_edges(&mut self, edges: Vec<MissingEdge>) {
        self.edges.extend(edges);
    }

    /// Adds the name, if it is unknown.
    pub(crate) fn add_name(&mut self, definition: &Definition, item: &Item<'_>) {
        let name = definition.name.as_ref().map(|name| name.get_ref());
        if name.is_some_and(|name| is_affected(item, name) && item.text(name).is_none()) {
            self.properties.push("name".to_owned());
        }
    }

    /// Adds all properties and tags of which the item has no value.
    pub(crate) fn add_unset(&mut self, definition: &Definition, item: &Item<'_>) {
        let sources = definition.properties.iter().map(|(field, source)| (field.get_ref().as_str(), source));
        let sources = sources.chain(definition.tags.iter().map(|source| ("tags", source)));
        let unset = sources.filter(|(_, source)| item.is_unset(source.get_ref()));
        self.properties.extend(unset.map(|(field, _)| field.to_owned()));
    }

    /// Returns the parts that a node lacks because calls for its item failed.
    pub(crate) fn of(definition: &Definition, item: &Item<'_>) -> Self {
        let mut parts = Self::default();
        if item.failed.is_empty() {
            return parts;
        }
        let sources = definition.properties.iter().map(|(field, source)| (field.get_ref().as_str(), source.get_ref()));
        let tags = definition.tags.iter().map(|source| ("tags", source.get_ref()));
        let unknown = sources.chain(tags).filter(|(_, source)| is_affected(item, source) && item.is_unset(source));
        parts.properties = unknown.map(|(field, _)| field.to_owned()).collect();
        for (outgoing, references) in [(false, &definition.predecessors), (true, &definition.successors)] {
            let lost = references.iter().filter(|reference| is_affected(item, reference.value.get_ref()));
            parts.edges.extend(lost.map(|lost| MissingEdge { outgoing, kind: lost.kind.get_ref().clone() }));
        }
        parts
    }
}

/// Returns whether a source depends on a failed call of the item.
pub(crate) fn is_affected(item: &Item<'_>, source: &Source) -> bool {
    // Nothing has failed for most items.
    !item.failed.is_empty() && source.tables().into_iter().flat_map(roots).any(|root| item.failed.contains(&root))
}

fn roots(rule: &SourceTable) -> impl Iterator<Item = &str> {
    let paths = rule.path.iter().chain(rule.first.iter().flatten()).chain(rule.all.iter().flatten());
    let filled = rule.template.iter().flat_map(|template| template.paths());
    let conditions = rule.condition.iter().chain(&rule.when).map(|condition| &condition.path);
    paths.chain(filled).chain(conditions).filter_map(|path| path.root.as_deref())
}

impl Unseen {
    /// Adds a kind. Of several reasons the first one of [`Why`] counts.
    fn add(&mut self, key: UnseenKind, listing: UnseenListing) {
        match self.kinds.entry(key) {
            Entry::Occupied(mut known) if listing.2 <= known.get().2 => drop(known.insert(listing)),
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => drop(free.insert(listing)),
        }
    }

    /// Returns the incomplete kinds, which stay in the core.
    pub(crate) fn kinds(&self) -> BTreeSet<Cow<'static, str>> {
        let kinds = self.kinds.iter().filter(|(_, (_, _, why))| *why != Why::LeftOut);
        kinds.flat_map(|((_, kind), (_, with, _))| with.iter().chain([kind])).cloned().collect()
    }

    fn messages(&self) -> Vec<Missing> {
        let kinds = self.kinds.iter().map(|((below, kind), (scope, with, why))| {
            let (kind, with) = (kind.to_string(), with.iter().map(|kind| kind.to_string()).collect());
            Missing::Kind { below: *below, scope: scope.clone(), kind, with, why: why.clone() }
        });
        let below_made = self.kinds.iter().flat_map(|((_, kind), (scope, with, why))| {
            let parents = self.made_parents.get(&**kind).into_iter().flatten();
            parents.flat_map(move |parent| {
                with.iter().map(move |kind| {
                    let (kind, scope, why) = (kind.to_string(), scope.clone(), why.clone());
                    Missing::Kind { below: *parent, scope, kind, with: Vec::new(), why }
                })
            })
        });
        let nodes = self.parts.iter().flat_map(|(parts, nodes)| nodes.chunks(NODES).map(move |nodes| (parts, nodes)));
        let parts = nodes.map(|(parts, nodes)| {
            let UnknownParts { properties, edges } = parts.clone();
            Missing::Parts { nodes: nodes.to_vec(), properties, edges }
        });
        kinds.chain(below_made).chain(parts).collect()
    }
}

impl Run<'_> {
    /// Records that a kind was not listed completely below a node, and so neither were its descendants and the nodes of
    /// its hooks. The items of a list of several locations are below those.
    pub(super) fn unseen(
        &self,
        location: &Location,
        all: &Locations,
        service: &'static Service,
        kind: &'static Definition,
        below: NodeId,
    ) {
        let why = location.why(&service.service);
        self.unseen_in(&all.of_items(kind, location), location, service, kind, (below, why));
    }

    /// Records that a kind of a listing was not seen in some locations, and neither were its descendants there and the
    /// nodes of its hooks, which may be below the location of the listing too. The items of the listing are below a
    /// node.
    pub(super) fn unseen_in(
        &self,
        places: &[&Location],
        listing: &Location,
        service: &'static Service,
        kind: &'static Definition,
        (below, why): (NodeId, Why),
    ) {
        let with = descendants(service, kind);
        for place in places {
            let below = if std::ptr::eq(*place, listing) { below } else { place.node };
            self.unseen_kind(place, kind.kind.get_ref(), with.clone(), below, &why);
        }
        for place in places.iter().copied().chain([listing]) {
            for Made { kind: made, parent, .. } in self.cloud.kinds_of_hooks(kind) {
                if parent.is_none() {
                    self.unseen_kind(place, made, self.cloud.made_below(made).collect(), place.node, &why);
                }
            }
        }
    }

    pub(crate) fn unseen_kind(
        &self,
        location: &Location,
        kind: &'static str,
        with: Vec<&'static str>,
        below: NodeId,
        why: &Why,
    ) {
        let with = with.into_iter().map(Cow::Borrowed).collect();
        self.lock_unseen().add((below.0, kind.into()), (location.label.clone(), with, why.clone()));
    }

    /// Records that a kind which is known only at run time was not listed completely below a location.
    pub(crate) fn unseen_other(&self, location: &Location, kind: &str, why: &Why) {
        let listing = (location.label.clone(), Vec::new(), why.clone());
        self.lock_unseen().add((location.node.0, kind.to_owned().into()), listing);
    }

    /// Records the kinds and locations that the user's options exclude.
    pub(super) fn record_uncollected(&self, locations: &Locations) {
        let why = if self.selection.keep_uncollected { Why::Kept } else { Why::LeftOut };
        let mut unseen = self.lock_unseen();
        // What the core forgets is named once in each level: there may be hundreds of locations.
        let places = if self.selection.keep_uncollected { usize::MAX } else { 1 };
        for Unwanted { scope, kind, with } in unwanted(self.cloud, &self.selection) {
            for location in locations.iter().filter(|location| location.scope() == scope).take(places) {
                let with = with.iter().copied().map(Cow::Borrowed).collect();
                unseen.add((location.node.0, kind.into()), (location.label.clone(), with, why.clone()));
            }
        }
        drop(unseen);
        if self.selection.has_some_locations {
            self.unseen_locations(why);
        }
    }

    /// Records that the account may have more locations than the collected ones. The first one of several reasons counts.
    pub fn unseen_locations(&self, why: Why) {
        let mut unseen = self.unseen_locations.lock().unwrap_or_else(PoisonError::into_inner);
        *unseen = Some(unseen.take().map_or(why.clone(), |known| known.min(why)));
    }

    /// Returns whether the account has no locations of a level, as the service that lists them is not in use.
    pub(super) fn lacks_level(&self, scope: &str, locations: &Locations) -> bool {
        let unseen = self.unseen_locations.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*unseen, Some(Why::NotInUse { .. })) && locations.iter().all(|location| location.scope() != scope)
    }

    /// Records the levels whose locations may be incomplete: below the account, and below each location that contains
    /// others.
    pub(super) fn record_unseen_locations(&self, account: NodeId, locations: &Locations) {
        let why = self.unseen_locations.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(why) = why else { return };
        let mut unseen = self.lock_unseen();
        for (level, node) in self.cloud.levels.iter().filter_map(|level| Some((level, level.node?))) {
            let above: Vec<NodeId> = match level.within {
                None => vec![account],
                Some(scope) => locations.iter().filter(|one| one.scope() == scope).map(|one| one.node).collect(),
            };
            let others = || {
                let kinds = self.cloud.schema.kinds().map(|kind| kind.fqn.as_str()).filter(|kind| *kind != node.kind);
                kinds.chain(self.account.other_kinds()).map(Cow::Borrowed).collect()
            };
            for id in above {
                unseen.add((id.0, node.kind.into()), (String::new(), others(), why.clone()));
            }
        }
    }

    /// Notes a node of a hook, if hooks send others below it.
    pub(crate) fn made_parent(&self, kind: &str, node: NodeId) {
        let hooks = self.cloud.hooks.iter();
        let mut parents = hooks.flat_map(|hook| hook.kinds().iter().filter_map(move |made| hook.parent_of(made)));
        if let Some(kind) = parents.find(|parent| *parent == kind) {
            self.lock_unseen().made_parents.entry(kind).or_default().insert(node.0);
        }
    }

    /// Records the unknown parts of a node that was sent.
    pub(crate) fn unseen_parts(&self, node: NodeId, parts: UnknownParts) {
        if parts != UnknownParts::default() {
            self.lock_unseen().parts.entry(parts).or_default().push(node.0);
        }
    }

    /// Sends the records to the supervisor, and returns the incomplete kinds.
    pub(super) async fn send_unseen(&self) -> Result<BTreeSet<Cow<'static, str>>, Failure> {
        let (kinds, messages) = {
            let unseen = self.lock_unseen();
            (unseen.kinds(), unseen.messages())
        };
        for message in messages {
            self.context.missing(vec![message]).await?;
        }
        Ok(kinds)
    }
}

/// A kind of nodes that a hook sends.
struct Made {
    kind: &'static str,
    /// The name that selects it, if it is not selected with the kind of the items.
    collector: Option<&'static str>,
    /// The kind of its parents, instead of a location.
    parent: Option<&'static str>,
}

/// A kind that the user's options exclude, with its descendants.
struct Unwanted {
    /// The level of its nodes.
    scope: &'static str,
    kind: &'static str,
    with: Vec<&'static str>,
}

/// Returns the kinds that the user's options exclude.
fn unwanted(cloud: &'static Cloud, selection: &Selection) -> Vec<Unwanted> {
    let mut unwanted = Vec::new();
    for (service, definition) in cloud.definitions.iter() {
        if definition.parent.is_some() {
            continue;
        }
        let is_wanted = definition.collector().is_none_or(|collector| selection.is_wanted(collector));
        let listed = definition.scope.get_ref().as_str();
        let scopes = definition.location.iter().map(|location| location.scope.get_ref().as_str()).chain([listed]);
        for scope in scopes {
            if !is_wanted {
                unwanted.push(Unwanted {
                    scope,
                    kind: definition.kind.get_ref(),
                    with: descendants(service, definition),
                });
            }
            let made = cloud.kinds_of_hooks(definition);
            let is_unwanted = |made: &Made| !is_wanted || made.collector.is_some_and(|name| !selection.is_wanted(name));
            let made = made.filter(|made| made.parent.is_none() && is_unwanted(made));
            unwanted.extend(made.map(|Made { kind, .. }| Unwanted {
                scope,
                kind,
                with: cloud.made_below(kind).collect(),
            }));
        }
    }
    unwanted
}

/// Returns the kinds that these options exclude from each account.
#[must_use]
pub fn uncollected_kinds(cloud: &'static Cloud, selection: &Selection) -> BTreeSet<String> {
    let kinds =
        unwanted(cloud, selection).into_iter().flat_map(|unwanted| unwanted.with.into_iter().chain([unwanted.kind]));
    kinds.map(str::to_owned).collect()
}

/// Returns the descendants of a kind.
fn descendants(service: &'static Service, kind: &'static Definition) -> Vec<&'static str> {
    let mut found = vec![kind.kind.get_ref().as_str()];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let below =
            service.kinds.iter().filter(|kind| kind.parent.as_ref().is_some_and(|below| below.get_ref() == parent));
        found.extend(below.map(|kind| kind.kind.get_ref().as_str()));
        next += 1;
    }
    found.split_off(1)
}

impl Cloud {
    /// Iterates over the kinds of the nodes that the hooks of a definition send.
    fn kinds_of_hooks<'a>(&'a self, kind: &'a Definition) -> impl Iterator<Item = Made> + use<'a> {
        let hooks = kind.hooks.iter().filter_map(|used| self.hook(used.hook.get_ref()));
        hooks.flat_map(|hook| {
            let made = |kind: &'static str| {
                let (collector, parent) = (hook.collector_of(kind), hook.parent_of(kind));
                Made { kind, collector, parent }
            };
            hook.kinds().iter().copied().map(made)
        })
    }

    /// Iterates over the kinds whose nodes hooks send below the nodes of this one.
    pub(crate) fn made_below(&self, parent: &str) -> impl Iterator<Item = &'static str> {
        let made = self.hooks.iter().flat_map(|hook| {
            let below = hook.kinds().iter().copied().filter(|kind| hook.parent_of(kind) == Some(parent));
            below.collect::<Vec<_>>()
        });
        made.collect::<BTreeSet<_>>().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weightier_reason_counts_in_any_order() {
        let not_in_use = || Why::NotInUse { service: "compute".to_owned(), operation: "list".to_owned() };
        let reasons = [Why::Unseen, not_in_use(), Why::Kept, Why::LeftOut];
        for (index, reason) in reasons.iter().enumerate() {
            for other in &reasons[index..] {
                for order in [[reason, other], [other, reason]] {
                    let mut unseen = Unseen::default();
                    order.into_iter().for_each(|why| {
                        unseen.add(([1; 16], "disk".into()), (String::new(), Vec::new(), why.clone()));
                    });
                    let found: Vec<_> = unseen.kinds.values().map(|(_, _, why)| why).collect();
                    assert_eq!(found, [reason], "{reason:?} and {other:?}");
                }
            }
        }
    }
}
