//! Hooks of collection: values that code adds to items, for what calls alone cannot express.

use toml::Table;
use worker_proto::Failure;

use super::{
    Tree,
    collect::{Location, Locations, Run, UnknownParts},
};
use crate::{
    collector_api::{BoxFuture, End, Key},
    graph::{NodeId, Resource},
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

    /// Checks the input that a definition gives it.
    ///
    /// # Errors
    /// What is missing, unknown or of the wrong type.
    fn check(&self, input: &Table) -> Result<(), String>;

    /// Returns the values of items, one for each of them or none at all. A call that fails is reported, and what
    /// depends on it is unknown.
    fn values_of<'a>(
        &'a self,
        context: HookContext<'a>,
        items: &'a [&'a Tree<'a>],
    ) -> BoxFuture<'a, Result<Vec<HookValue>, Failure>>;
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

    /// Sends a node made by code, as a child of the location and with its ID as key. `unknown` names the properties
    /// whose calls failed.
    ///
    /// # Errors
    /// `Internal` if the resource is invalid, `Cancelled` if the session is ending.
    pub async fn send(&self, resource: Resource<'_>, unknown: &[&str]) -> Result<NodeId, Failure> {
        self.send_below(self.location.node, resource, unknown).await
    }

    /// Sends a node made by code, as a child of another node in the location, see [`HookContext::send`].
    ///
    /// # Errors
    /// As for [`HookContext::send`].
    pub async fn send_below(
        &self,
        parent: NodeId,
        resource: Resource<'_>,
        unknown: &[&str],
    ) -> Result<NodeId, Failure> {
        let mut keys = self.run.keys(&resource, self.location);
        keys.push(self.key(&resource.kind().fqn, resource.id()));
        let node = resource.finish(&self.location.ancestors(self.run)).map_err(|error| self.run.internal(error))?;
        let node = self.run.graph.add(node, keys).await?;
        self.run.graph.edge(End::Node(parent), End::Node(node));
        self.run.unseen_parts(node, UnknownParts::properties(unknown));
        Ok(node)
    }

    /// Returns the key of a node that code has sent here.
    #[must_use]
    pub fn key(&self, kind: &str, id: &str) -> Key {
        let scope = self.location.label.clone();
        Key { scope, kind: kind.to_owned(), attribute: "id".to_owned(), value: id.to_owned() }
    }
}
