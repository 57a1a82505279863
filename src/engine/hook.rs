//! Hooks of collection: values that code adds to items, for what calls alone cannot express.

use toml::Table;
use worker_proto::Failure;

use super::{
    Tree,
    collect::{Location, Locations, Run, UnknownParts},
};
use crate::{
    collector_api::{BoxFuture, End},
    graph::{Key, NodeId, Resource, Value},
};

/// Code that adds values to the items of a page. What it keeps between pages is in the slots of the run or the
/// location.
pub trait Hook: Send + Sync {
    /// Returns the name in definitions, by which paths know the values.
    fn name(&self) -> &'static str;

    /// Returns the names of its values.
    fn values(&self) -> &'static [&'static str];

    /// Returns the kinds of the nodes that it sends below the locations of its items.
    fn kinds(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the name that selects one of these kinds, if it is not selected with the kind of the items.
    fn collector_of(&self, _kind: &str) -> Option<&'static str> {
        None
    }

    /// Returns the kind of this hook whose nodes are the parents of the nodes of another one, instead of a location.
    fn parent_of(&self, _kind: &str) -> Option<&'static str> {
        None
    }

    /// Checks the input that a definition gives it.
    ///
    /// # Errors
    /// What is missing, unknown or of the wrong type.
    fn check(&self, input: &Table) -> Result<(), String>;

    /// Returns the values of items, one for each of them or none at all. A call that fails is reported, and what
    /// depends on it is unknown.
    fn values_of<'a>(&'a self, context: HookContext<'a>, items: &'a [&'a Tree<'a>]) -> HookValues<'a>;
}

/// The values of items that a hook returns.
pub type HookValues<'a> = BoxFuture<'a, Result<Vec<HookValue>, Failure>>;

/// A hook whose parts are constants and functions.
pub struct FunctionHook {
    /// See [`Hook::name`].
    pub name: &'static str,
    /// See [`Hook::values`].
    pub values: &'static [&'static str],
    /// See [`Hook::kinds`].
    pub kinds: &'static [&'static str],
    /// See [`Hook::collector_of`]: kinds and their names.
    pub collectors: &'static [(&'static str, &'static str)],
    /// See [`Hook::parent_of`]: kinds and their parents.
    pub parents: &'static [(&'static str, &'static str)],
    /// See [`Hook::check`].
    pub check: fn(&Table) -> Result<(), String>,
    /// See [`Hook::values_of`].
    pub values_of: for<'a> fn(HookContext<'a>, &'a [&'a Tree<'a>]) -> HookValues<'a>,
}

impl Hook for FunctionHook {
    fn name(&self) -> &'static str {
        self.name
    }

    fn values(&self) -> &'static [&'static str] {
        self.values
    }

    fn kinds(&self) -> &'static [&'static str] {
        self.kinds
    }

    fn collector_of(&self, kind: &str) -> Option<&'static str> {
        self.collectors.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name)
    }

    fn parent_of(&self, kind: &str) -> Option<&'static str> {
        self.parents.iter().find(|(known, _)| *known == kind).map(|(_, parent)| *parent)
    }

    fn check(&self, input: &Table) -> Result<(), String> {
        (self.check)(input)
    }

    fn values_of<'a>(&'a self, context: HookContext<'a>, items: &'a [&'a Tree<'a>]) -> HookValues<'a> {
        (self.values_of)(context, items)
    }
}

/// Checks the input of a hook that needs none.
///
/// # Errors
/// The first input.
pub fn no_input(input: &Table) -> Result<(), String> {
    input.keys().next().map_or(Ok(()), |name| Err(format!("there is no {name}")))
}

/// Where a hook runs, and what it is for.
#[derive(Clone, Copy)]
pub struct HookContext<'a> {
    /// The account's collection.
    pub run: &'a Run<'a>,
    /// The location in which the items were listed.
    pub location: &'a Location,
    /// All locations of the account.
    pub(super) locations: &'a Locations,
    /// The input that the definition gives the hook.
    pub input: &'a Table,
}

/// The value that a hook adds to an item.
#[derive(Debug, Default)]
pub struct HookValue {
    /// The value, known by the hook's name.
    pub value: Tree<'static>,
    /// Whether it is incomplete because a call failed.
    pub is_unknown: bool,
}

impl HookValue {
    /// Returns a complete value.
    #[must_use]
    pub fn known(value: Tree<'static>) -> Self {
        Self { value, is_unknown: false }
    }
}

impl<'a> HookContext<'a> {
    /// Returns the location of a level with this ID.
    #[must_use]
    pub fn find(&self, scope: &str, id: &str) -> Option<&'a Location> {
        self.locations.find(scope, id)
    }

    /// Iterates over all locations of the account.
    pub fn all(&self) -> impl Iterator<Item = &'a Location> {
        self.locations.iter()
    }

    /// Returns the context in another location.
    #[must_use]
    pub fn at(self, location: &'a Location) -> Self {
        Self { location, ..self }
    }

    /// Returns a resource made by code, with values in any notation that its fields take.
    ///
    /// # Errors
    /// `Internal` if the schema lacks the kind or a field, or a value does not fit.
    pub fn resource(
        &self,
        kind: &str,
        id: &str,
        name: &str,
        fields: Vec<(&'static str, Value)>,
    ) -> Result<Resource<'static>, Failure> {
        let kind = self.run.kind(kind)?;
        let mut resource = Resource::new(kind, id);
        resource.name(name);
        for (field, value) in fields {
            resource.set_converted(field, value).map_err(|error| self.run.internal(error))?;
        }
        Ok(resource)
    }

    /// Sends a node made by code, as a child of the location and with its ID as key. `unknown` names the properties
    /// whose calls failed.
    ///
    /// # Errors
    /// `Internal` if the resource is invalid, `Cancelled` if the session is ending.
    pub async fn send(&self, resource: Resource<'static>, unknown: &[&str]) -> Result<NodeId, Failure> {
        self.send_below(self.location.node, resource, unknown).await
    }

    /// Sends a node made by code, as a child of another node in the location, see [`HookContext::send`].
    ///
    /// # Errors
    /// As for [`HookContext::send`].
    pub async fn send_below(
        &self,
        parent: NodeId,
        resource: Resource<'static>,
        unknown: &[&str],
    ) -> Result<NodeId, Failure> {
        let mut keys = self.run.keys(&resource, self.location);
        keys.push(self.key(&resource.kind().fqn, resource.id()));
        let kind = resource.kind();
        let node = resource.finish(&self.location.ancestors(self.run)).map_err(|error| self.run.internal(error))?;
        let node = self.run.graph.add(node, keys).await?;
        self.run.graph.edge(End::Node(parent), End::Node(node));
        self.run.made_parent(&kind.fqn, node);
        self.run.unseen_parts(node, UnknownParts::properties(unknown));
        Ok(node)
    }

    /// Records that the location may have more nodes of a kind of this hook than were sent, as calls of a service
    /// failed.
    pub fn unseen(&self, kind: &'static str, service: &str) {
        let why = self.location.why(service);
        let with = self.run.cloud.made_below(kind).collect();
        self.run.unseen_kind(self.location, kind, with, self.location.node, &why);
    }

    /// Returns the key of a node that code has sent here.
    #[must_use]
    pub fn key(&self, kind: &str, id: &str) -> Key {
        let scope = self.location.label.clone();
        Key { scope, kind: kind.to_owned().into(), attribute: "id".into(), value: id.to_owned() }
    }
}
