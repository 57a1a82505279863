//! Definitions of resource kinds as data.
//!
//! One TOML file per service defines which calls list a kind and how responses become nodes and edges.
//! `docs/collectors.md` documents the format.

mod action;
mod check;
mod definitions;
mod schema;
mod service;
mod template;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;

pub use action::{
    BlockedBy, CurrentTag, Dependant, Detach, Identity, Listing, ResourceCall, TagCall, Undeletable, WaitDeleted,
};
pub use check::Mistake;
pub(crate) use check::check;
pub use definitions::Definitions;
pub use schema::{FieldSchema, KindSchema};
use serde::Deserialize;
pub use service::{Defaults, DetailsCall, Service};
pub use template::{Part, Template};
use toml::{Spanned, Table};
pub use value::{Condition, Constant, Source, SourceTable};

use super::path::Path;

/// The part of the service's details that describes a kind, known as `@details`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromDetails {
    /// The path to each item.
    pub items: Spanned<Path>,
    /// The member that items of the list and of the details share. Without it, the details replace the list.
    pub key: Option<Spanned<String>>,
}

/// The batch form of a call, for several items at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The most items of one call.
    pub size: usize,
    /// The path to the parts of the response, one or more for each item.
    pub items: Spanned<Path>,
    /// The member of a part that identifies its item.
    pub key: Spanned<String>,
    /// The path to the same value in the item.
    pub item_key: Spanned<Path>,
}

/// Code that adds values to items.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookUse {
    /// The name of the hook.
    pub hook: Spanned<String>,
    /// What the hook needs to know, in a form of its own.
    #[serde(default)]
    pub input: Table,
}

/// Where an item may belong, if not to the location in which it was listed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemLocation {
    /// The level of the item's location.
    pub scope: Spanned<String>,
    /// The ID of the location; an item without one is not in this level.
    pub id: Spanned<Source>,
}

/// One kind: how it is collected, tagged and deleted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The kind's name in the schema.
    pub kind: Spanned<String>,
    /// The file and line of the kind's name.
    #[serde(skip)]
    pub origin: String,
    /// The kind's schema, if no list of kinds has it.
    pub schema: Option<Box<KindSchema>>,
    /// The name that selects it. Only the account and kinds with a parent may have none.
    pub collector: Option<Spanned<String>>,
    /// Whether it is collected only if the user names its collector, as it takes many calls.
    #[serde(default)]
    pub only_if_named: bool,
    /// The level of the locations in which it is listed, one of those that the cloud has.
    #[serde(default = "unset")]
    pub scope: Spanned<String>,
    /// Where each item belongs, if its list has the items of several locations: the first level of which the item has
    /// an ID; without any, the location in which it was listed.
    #[serde(default)]
    pub location: Vec<ItemLocation>,
    /// The kind of its parent node, listed for each of them; the location if `None`.
    pub parent: Option<Spanned<String>>,
    /// The call that lists it. Without one, there is exactly one item in each location, completed by calls and hooks,
    /// unless there is `items`.
    pub list: Option<ListCall>,
    /// The path to its items in the item of its parent, for a kind without a list.
    pub items: Option<Spanned<Path>>,
    /// The part of the service's details that describes it.
    pub details: Option<Box<FromDetails>>,
    /// Calls for each item, whose responses are known as `@name`.
    #[serde(default, rename = "call")]
    pub calls: Vec<Call>,
    /// Code that adds values to all items of a page, known as `@name` by the hook's name.
    #[serde(default)]
    pub hooks: Vec<HookUse>,
    /// The ID.
    #[serde(default = "unset")]
    pub id: Spanned<Source>,
    /// The name; the ID if absent.
    pub name: Option<Spanned<Source>>,
    /// Whether an item without a name has a node without one, instead of one with the ID as name.
    #[serde(default)]
    pub unnamed: bool,
    /// The tags: a list of `Key` and `Value`, or a map.
    pub tags: Option<Spanned<Source>>,
    /// Fields of the kind, `ctime`, `mtime` and `atime` among them.
    #[serde(default)]
    pub properties: BTreeMap<Spanned<String>, Spanned<Source>>,
    /// The condition under which it must not be deleted.
    pub protected: Option<Box<Spanned<Condition>>>,
    /// The condition under which it is not a resource of the account itself.
    pub phantom: Option<Box<Spanned<Condition>>>,
    /// The condition under which it is already deleted.
    pub cleaned: Option<Box<Spanned<Condition>>>,
    /// Edges from other nodes to this one.
    #[serde(default)]
    pub predecessors: Vec<Reference>,
    /// Edges from this node to others.
    #[serde(default)]
    pub successors: Vec<Reference>,
    /// Whether the service's `tag` and `untag` apply to it.
    #[serde(default)]
    pub tagging: bool,
    /// How to distinguish it from a later resource with the same name, if it is addressed by name.
    pub identity: Option<Box<Identity>>,
    /// The states in which the cloud never deletes it. They are checked before any call that changes something.
    #[serde(default)]
    pub undeletable: Vec<Undeletable>,
    /// Attachments that block its deletion, and the calls that remove them.
    #[serde(default)]
    pub detach: Vec<Detach>,
    /// Resources that block its deletion and are never removed for it.
    pub blocked_by: Option<Box<BlockedBy>>,
    /// Code that removes references to it only if they block its deletion; they are restored if the deletion fails.
    pub revoke_hook: Option<Spanned<String>>,
    /// Parts without nodes that are deleted only if they block its deletion.
    #[serde(default)]
    pub dependants: Vec<Dependant>,
    /// Code that changes its tags, where that takes more than a call.
    pub tag_hook: Option<Spanned<String>>,
    /// The condition on its node under which it is already deleted.
    pub deleted_when: Option<Box<Spanned<Condition>>>,
    /// Code that runs before its deletion, and prevents it by failing.
    pub prepare_hook: Option<Spanned<String>>,
    /// Code that deletes it, where that takes more than a call.
    pub delete_hook: Option<Spanned<String>>,
    /// Whether the service's `delete`, `identity` and `wait_deleted` apply to it, where it has none of its own.
    #[serde(default)]
    pub deletable: bool,
    /// The call that deletes it.
    pub delete: Option<Box<ResourceCall>>,
    /// Kinds whose resources can be deleted only after all of this kind, where no edge expresses that or an edge
    /// expresses the opposite: in the same region, or if one of both is in no region.
    #[serde(default)]
    pub delete_before: Vec<String>,
    /// Kinds of connected resources that the cloud deletes with it.
    #[serde(default)]
    pub cascades_to: Vec<String>,
    /// How to wait until it is deleted, if other deletions depend on that.
    pub wait_deleted: Option<Box<WaitDeleted>>,
}

/// The call that lists a kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListCall {
    /// The operation's name.
    pub operation: Spanned<String>,
    /// The path to values, each of which is listed for with all parameter sets and is known to them as `@each`.
    pub each: Option<Spanned<Path>>,
    /// The parameter sets, one listing for each. For a kind with a parent, paths in braces start at the parent's item.
    #[serde(default)]
    pub inputs: Vec<Spanned<Input>>,
    /// The path to each item.
    pub items: Spanned<Path>,
    /// Whether hooks need the responses too, so that they are kept and the call is made once.
    #[serde(default)]
    pub shared: bool,
    /// Error codes that mean that nothing exists.
    #[serde(default)]
    pub not_found_codes: Vec<String>,
}

/// A call for each item.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The name of its response in paths.
    #[serde(rename = "as")]
    pub name: String,
    /// The operation's name.
    pub operation: Spanned<String>,
    /// The operation's parameters; paths in braces start at the item.
    #[serde(default)]
    pub input: Option<Spanned<Input>>,
    /// The path to the part of the response that has the name.
    pub result: Spanned<Path>,
    /// Error codes that mean that nothing exists.
    #[serde(default)]
    pub not_found_codes: Vec<String>,
    /// The name that selects the call; without it, the call is always made.
    pub collector: Option<Spanned<String>>,
    /// Whether the call is made only for items without details.
    #[serde(default)]
    pub without_details: bool,
    /// The batch form: lists among the parameters are joined, and `result` starts at a part.
    pub batch: Option<Batch>,
}

/// The parameters of a call.
pub type Input = BTreeMap<Template, Parameter>;

/// A parameter: constants, strings with paths in braces, lists and structures of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A string.
    Text(Template),
    /// A list.
    List(Vec<Parameter>),
    /// A structure.
    Map(Input),
}

impl Parameter {
    /// Returns the paths in it.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Bool(_) | Self::Int(_) => Vec::new(),
            Self::Text(template) => template.paths().collect(),
            Self::List(list) => list.iter().flat_map(Self::paths).collect(),
            Self::Map(members) => members.values().flat_map(Self::paths).collect(),
        }
    }
}

/// The other ends of edges, identified by the value of an attribute.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The kind of the other end; the base of all kinds for any.
    pub kind: Spanned<String>,
    /// The attribute of the other end that has the value.
    #[serde(default = "id_attribute")]
    pub attribute: Spanned<String>,
    /// The value or values.
    pub value: Spanned<Source>,
    /// The level of the other end's location, which contains this node's location or is the only one of its level; with
    /// [`ANYWHERE`] any location of the account; with [`CLOUD`] any account of the cloud; this node's own location if `None`.
    pub scope: Option<Spanned<String>>,
}

/// Returns a value that the text does not have.
fn unset<T: Default>() -> Spanned<T> {
    Spanned::new(0..0, T::default())
}

/// Returns whether the text has a value.
fn is_set<T>(value: &Spanned<T>) -> bool {
    !value.span().is_empty()
}

fn id_attribute() -> Spanned<String> {
    Spanned::new(0..0, "id".to_owned())
}

/// The scope of references to nodes in any location of the account, by a value that is unique there.
pub const ANYWHERE: &str = "anywhere";

/// The scope of references to nodes in any account of the cloud, by a value that is unique there.
pub const CLOUD: &str = "cloud";

impl Reference {
    /// Returns whether the other end may be in any location of the account, or of any account.
    pub fn is_from_anywhere(&self) -> bool {
        self.scope.as_ref().is_some_and(|scope| scope.get_ref() == ANYWHERE) || self.is_from_any_account()
    }

    /// Returns whether the other end may be in any account of the cloud.
    pub fn is_from_any_account(&self) -> bool {
        self.scope.as_ref().is_some_and(|scope| scope.get_ref() == CLOUD)
    }
}

impl Call {
    /// Returns the name that selects it, if any.
    pub fn collector(&self) -> Option<&str> {
        self.collector.as_ref().map(|collector| collector.get_ref().as_str())
    }
}

impl Definition {
    /// Returns the name that selects it, if any.
    pub fn collector(&self) -> Option<&str> {
        self.collector.as_ref().map(|collector| collector.get_ref().as_str())
    }

    /// Returns whether the cloud has resources of this kind that can be changed. A kind without a list is made by the
    /// engine: the account, and what hooks complete.
    #[must_use]
    pub fn is_changeable(&self) -> bool {
        self.list.is_some()
    }

    /// Returns whether its name comes from the response to this call.
    pub fn is_named_by(&self, call: &Call) -> bool {
        let source = self.name.as_ref().map(|name| &name.get_ref().0);
        let paths = source.into_iter().flat_map(|source| source.path.iter().chain(source.first.iter().flatten()));
        paths.filter_map(|path| path.root.as_deref()).any(|root| root == call.name)
    }

    /// Iterates over its references in both directions.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.predecessors.iter().chain(&self.successors)
    }
}
