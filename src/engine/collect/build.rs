//! Turns an item into a node of the graph: its resource, the keys by which others refer to it, and its edges.

use toml::Spanned;
use worker_proto::{Failure, MissingEdge, Why};

use super::{
    super::{
        definition::{ANYWHERE, CLOUD, Reference},
        error::{CallError, CallErrorKind, code},
        eval::Item,
    },
    Location, Run, UnknownParts,
    described::{invalid_value, missing_id},
    kind::{KindCollection, ParentItem},
    traced::Part,
    unseen::is_affected,
};
use crate::{
    collector_api::End,
    graph::{Key, NodeId, Resource, Value},
};

/// The scope of keys that are unique in the account.
const WHOLE_ACCOUNT: &str = "";

/// The result of building a node.
pub(super) enum Built<'r> {
    /// The node was sent, in a location.
    Node(NodeId, &'r Location),
    /// There is no node: the call for the item's ID returned that it does not exist, or its location was not selected.
    Nothing,
    /// The item cannot be identified.
    Unknown,
}

impl<'r> KindCollection<'r> {
    /// Sends the node of an item and declares its edges. An item without an ID is reported and skipped.
    /// `index` is its place in the page.
    pub(super) async fn node(
        &self,
        item: &Item<'_>,
        index: usize,
        parent: Option<ParentItem<'_>>,
    ) -> Result<Built<'r>, Failure> {
        let definition = self.definition;
        let places = definition.location.iter().map(|location| &location.id);
        let named_by = [Some(&definition.id), definition.name.as_ref()].into_iter().flatten().chain(places);
        if named_by.map(Spanned::get_ref).any(|source| is_affected(item, source) && item.text(source).is_none()) {
            return Ok(Built::Unknown);
        }
        let is_gone = item.lacks(definition.id.get_ref());
        let Some(resource) = self.resource(item, Some(index)).await? else {
            return Ok(if is_gone { Built::Nothing } else { Built::Unknown });
        };
        let location = match self.location_of(item) {
            Ok(location) => location,
            Err((scope, id)) if !self.run.selects(scope, &id) => return Ok(Built::Nothing),
            Err((scope, _)) if self.run.lacks_level(scope, self.locations) => self.location,
            // Why the location is unknown was reported.
            Err(_) if self.run.has_unlisted_locations => return Ok(Built::Unknown),
            Err((scope, id)) => {
                // The list of locations is older than the item, or incomplete.
                self.run.unseen_locations(Why::Unseen);
                let message = format!(
                    "an item in the {scope} {id}, which the list of the account's locations lacks; if the {scope} is new, \
                     the next collection has both"
                );
                self.unexpected(code::UNKNOWN_LOCATION, message).await?;
                return Ok(Built::Unknown);
            }
        };
        let keys = self.run.keys(&resource, location);
        let node = match resource.finish(&location.ancestors(self.run)) {
            Ok(node) => node,
            Err(error) => {
                self.unexpected(code::INVALID_RESOURCE, error.to_string()).await?;
                return Ok(Built::Unknown);
            }
        };
        self.run.traced.iter().for_each(|traced| traced.note_node(&node, item.tree));
        let node = self.run.graph.add(node, keys).await?;
        let parent = parent.map_or(location.node, |parent| parent.node);
        self.run.graph.edge(End::Node(parent), End::Node(node));
        let mut parts = UnknownParts::of(definition, item);
        let lost = self.connect(item, node, location);
        if !lost.is_empty() {
            if !self.run.has_unlisted_locations {
                let message = format!("references of an item of {} lead to no single location", location.label);
                self.unexpected(code::UNKNOWN_LOCATION, message).await?;
            }
            parts.add_edges(lost);
        }
        self.run.unseen_parts(node, parts);
        Ok(Built::Node(node, location))
    }

    /// Builds the resource of an item. `index` is its place in a page, if it is in one.
    pub(super) async fn resource(
        &self,
        item: &Item<'_>,
        index: Option<usize>,
    ) -> Result<Option<Resource<'static>>, Failure> {
        let definition = self.definition;
        self.trace(Part::Item, item);
        let Some(id) = item.text(definition.id.get_ref()) else {
            // The call for it has failed, which is already a gap, or has returned that nothing exists.
            if !item.lacks(definition.id.get_ref()) {
                self.unexpected(code::MISSING_ID, missing_id(item, definition.id.get_ref(), index)).await?;
            }
            return Ok(None);
        };
        // A character was unreadable. With another ID it would be another resource.
        if id.contains(char::REPLACEMENT_CHARACTER) {
            self.unexpected(code::INVALID_RESPONSE, format!("an item with an unreadable ID: {id}")).await?;
            return Ok(None);
        }
        let name = definition.name.as_ref().map(|name| item.text(name.get_ref()));
        let mut resource = Resource::new(self.kind, id);
        match name {
            Some(Some(name)) => _ = resource.name(name),
            Some(None) if definition.unnamed => _ = resource.unnamed(),
            _ => {}
        }
        if let Some(tags) = &definition.tags {
            item.tags(tags.get_ref(), &mut |key, value| {
                resource.tag(key, value);
            });
        }
        for (field, source) in &definition.properties {
            let Some(value) = item.value(source.get_ref(), self.kind) else { continue };
            if let Err(error) = resource.set_converted(field.get_ref(), value) {
                let value = item.value(source.get_ref(), self.kind);
                let of = (field.get_ref().as_str(), source.get_ref());
                self.unexpected(code::INVALID_VALUE, invalid_value(&resource, &error, of, value.as_ref())).await?;
            }
        }
        resource.protected(definition.protected.as_ref().is_some_and(|when| item.holds(when.get_ref())));
        resource.cleaned(definition.cleaned.as_ref().is_some_and(|when| item.holds(when.get_ref())));
        if definition.phantom.as_ref().is_some_and(|when| item.holds(when.get_ref())) {
            resource.phantom(true);
        }
        Ok(Some(resource))
    }

    /// Returns the location of an item.
    ///
    /// # Errors
    /// Level and ID, if it is not among those that are collected.
    fn location_of(&self, item: &Item<'_>) -> Result<&'r Location, (&'static str, String)> {
        let mut levels = self.definition.location.iter();
        let found = levels.find_map(|level| Some((level.scope.get_ref(), item.text(level.id.get_ref())?)));
        let Some((scope, id)) = found else { return Ok(self.location) };
        self.locations.find(scope, &id).ok_or((scope, id))
    }

    /// Reports an invalid item or field. The other items of the kind are not affected.
    async fn unexpected(&self, code: &str, message: String) -> Result<(), Failure> {
        let operation = self.definition.list.as_ref().map(|list| list.operation.get_ref().clone()).unwrap_or_default();
        let message = format!("{}: {message}", self.kind.fqn);
        let error = CallError::new(CallErrorKind::Unexpected, code, message).of(
            &self.service.service,
            &operation,
            &self.location.region,
        );
        self.location.report_failure(self.run, self.collector(), &error).await
    }

    /// Returns the other end of a reference; `None` if the location to which it leads is unknown.
    fn other(&self, reference: &'static Reference, value: String, location: &Location) -> Option<End> {
        let key = |scope: &str| key(reference.kind.get_ref(), reference.attribute.get_ref(), value, scope);
        let scope = match reference.scope.as_ref().map(|scope| scope.get_ref().as_str()) {
            Some(CLOUD) => return Some(End::Cloud(key(WHOLE_ACCOUNT))),
            None => location.label.clone(),
            Some(ANYWHERE) => WHOLE_ACCOUNT.to_owned(),
            Some(scope) => self.locations.label_from(location, scope)?.to_owned(),
        };
        Some(End::Ref(key(&scope)))
    }

    /// Declares the edges of a node, and returns those whose other end is in no single location.
    fn connect(&self, item: &Item<'_>, node: NodeId, location: &Location) -> Vec<MissingEdge> {
        let mut lost = Vec::new();
        for (outgoing, references) in [(false, &self.definition.predecessors), (true, &self.definition.successors)] {
            for reference in references {
                item.texts(reference.value.get_ref(), &mut |value| match self.other(reference, value, location) {
                    Some(other) if outgoing => self.run.graph.edge(End::Node(node), other),
                    Some(other) => self.run.graph.edge(other, End::Node(node)),
                    None => lost.push(MissingEdge { outgoing, kind: reference.kind.get_ref().clone() }),
                });
            }
        }
        lost
    }
}

impl Run<'_> {
    /// Returns the keys by which references find a resource.
    pub(crate) fn keys(&self, resource: &Resource<'static>, location: &Location) -> Vec<Key> {
        let kind = resource.kind().fqn.as_str();
        let value = |attribute: &str| match attribute {
            "id" => Some(resource.id().to_owned()),
            "name" => resource.name_value().map(str::to_owned),
            other => match resource.get(other) {
                Some(Value::Text(text)) => Some(text.clone()),
                _ => None,
            },
        };
        let attributes = self.cloud.definitions.referenced(kind);
        let keys = attributes.filter_map(|(kind, attribute, is_from_anywhere)| {
            let scope = if is_from_anywhere { WHOLE_ACCOUNT } else { &location.label };
            Some(key(kind, attribute, value(attribute)?, scope))
        });
        keys.collect()
    }
}

fn key(kind: &'static str, attribute: &'static str, value: String, scope: &str) -> Key {
    Key { scope: scope.to_owned(), kind: kind.into(), attribute: attribute.into(), value }
}
