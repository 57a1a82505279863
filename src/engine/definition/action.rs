//! Calls of a definition that change the cloud: tags, deletion, and what precedes and follows a deletion.
//!
//! Braces in parameters hold fields of the node. `{key}` and `{value}` are the fields of a tag, `@item` is an item of a
//! listing, `@current` a tag before its change, and `@response` the response to a call that decides whether a resource
//! can be deleted.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{Condition, Constant, Input};
use crate::engine::Path;

/// A call that changes the cloud, or one that decides whether a change is possible.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceCall {
    /// The operation's name.
    pub operation: Spanned<String>,
    /// The operation's parameters.
    pub input: Spanned<Input>,
}

/// A call that sets or removes a tag.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagCall {
    /// The operation's name.
    pub operation: Spanned<String>,
    /// The operation's parameters.
    pub input: Spanned<Input>,
    /// How to read the tag before the change, known as `@current`: for a call that replaces more than the tag's value.
    pub current: Option<CurrentTag>,
}

/// How to read a tag before its change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrentTag {
    /// The operation that lists tags.
    pub operation: Spanned<String>,
    /// The operation's parameters.
    pub input: Spanned<Input>,
    /// The path to each tag.
    pub items: Spanned<Path>,
    /// The member of a tag that holds its key.
    pub key: Spanned<String>,
    /// The members of a tag that does not exist yet.
    pub default: BTreeMap<Spanned<String>, Constant>,
}

/// A state in which the cloud never deletes a resource.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undeletable {
    /// The reason as users read it, such as `it is the main route table of its VPC`.
    pub reason: String,
    /// A call whose response is known as `@response`. Without a call, the condition is about the node.
    pub call: Option<ResourceCall>,
    /// The condition under which the resource is not deleted.
    pub when: Spanned<Condition>,
}

/// Resources that block a deletion and are never removed for it. While there is any, neither references nor dependants
/// are removed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockedBy {
    /// The operation that lists them.
    pub operation: Spanned<String>,
    /// The operation's parameters.
    pub input: Spanned<Input>,
    /// The paths to their names, by the noun that users read, such as `node group`.
    pub names: BTreeMap<String, Spanned<Path>>,
}

/// Parts of a resource that have no nodes. If the cloud rejects the deletion because the resource is in use, the parts
/// are deleted one after the other, and the deletion is retried.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependant {
    /// The call that lists the parts.
    pub list: Listing,
    /// Restricts the parts to those for which the condition holds.
    pub when: Option<Spanned<Condition>>,
    /// The call that deletes a part, known as `@item`.
    pub delete: ResourceCall,
    /// How to wait for the end of the deletion; `None` if nothing depends on it.
    pub wait_deleted: Option<WaitDeleted>,
}

/// Attachments that block a deletion, and the calls that remove each of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detach {
    /// The call that lists the attachments as the cloud has them now.
    pub list: Listing,
    /// The calls for each attachment, in this order.
    pub calls: Vec<ItemCall>,
    /// Whether a failed listing is ignored: such attachments are rare, and the deletion fails if there is one.
    #[serde(default)]
    pub optional: bool,
}

/// A call that lists items.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// The operation's name.
    pub operation: Spanned<String>,
    /// The operation's parameters.
    pub input: Spanned<Input>,
    /// The path to each item.
    pub items: Spanned<Path>,
}

/// A call for an item of a listing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemCall {
    /// The operation's name.
    pub operation: Spanned<String>,
    /// The operation's parameters.
    pub input: Spanned<Input>,
    /// The condition under which the call is made; `None` means always.
    pub when: Option<Spanned<Condition>>,
}

/// How to check that a resource addressed by name is still the collected one: hours later another one may have the
/// name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The operation that describes the resource with the name.
    pub operation: Spanned<String>,
    /// The operation's parameters.
    pub input: Spanned<Input>,
    /// The path to a value that is unique among all resources that ever had the name.
    pub value: Spanned<Path>,
    /// The node's field with the same value.
    #[serde(default = "super::id_attribute")]
    pub field: Spanned<String>,
}

/// How to wait until a resource is deleted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitDeleted {
    /// The service to ask; the definition's own if `None`.
    pub service: Option<String>,
    /// The operation that describes the resource.
    pub operation: Spanned<String>,
    /// The operation's parameters.
    pub input: Spanned<Input>,
    /// The path to the states of what still exists; no state means that it is deleted.
    pub states: Spanned<Path>,
    /// The states that count as deleted.
    #[serde(default)]
    pub deleted: Vec<String>,
    /// The states in which the deletion has failed.
    #[serde(default)]
    pub failed: Vec<String>,
}
