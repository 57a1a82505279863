//! Hooks of collection: values that code adds to items, for what calls alone cannot express.

use toml::Table;
use worker_proto::Failure;

use super::{
    Tree,
    collect::{Location, Run, UnknownParts},
};
use crate::{
    collector_api::{BoxFuture, End, Key},
    graph::Resource,
};

/// Code that adds values to the items of a page. What it keeps between pages is in the slots of the run or the
/// location.
pub trait Hook: Send + Sync {
    /// Returns the name in definitions, by which paths know the values.
    fn name(&self) -> &'static str;

    /// Returns the names of its values.
    fn values(&self) -> &'static [&'static str];

    /// Returns the kinds of the nodes that it sends below the location.
    fn kinds(&self) -> &'static [&'static str] {
        &[]
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
    /// The location of the items.
    pub location: &'a Location,
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

impl HookContext<'_> {
    /// Sends a node made by code, as a child of the location and with its ID as key. `unknown` names the properties
    /// whose calls failed.
    ///
    /// # Errors
    /// `Internal` if the resource is invalid, `Cancelled` if the session is ending.
    pub async fn send(&self, resource: Resource<'_>, unknown: &[&str]) -> Result<(), Failure> {
        let key = self.key(&resource.kind().fqn, resource.id());
        let node = resource.finish(&self.location.ancestors(self.run)).map_err(|error| self.run.internal(error))?;
        let node = self.run.graph.add(node, vec![key]).await?;
        self.run.graph.edge(End::Node(self.location.node), End::Node(node));
        self.run.unseen_parts(node, UnknownParts::properties(unknown));
        Ok(())
    }

    /// Returns the key of a node that code has sent here.
    #[must_use]
    pub fn key(&self, kind: &str, id: &str) -> Key {
        let scope = self.location.label.clone();
        Key { scope, kind: kind.to_owned(), attribute: "id".to_owned(), value: id.to_owned() }
    }
}
