//! How a definition says what changes the cloud: tags, deletion, and what has to be done before and after it.
//!
//! Braces in parameters hold fields of the node; `{key}` and `{value}` are those of a tag, `@item` is an item of a
//! listing, `@current` a tag before it is changed, `@now` the answer to a call that decides whether a resource can be
//! deleted, and `@arn.tail` is what follows the type in the resource's ARN.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{Condition, Constant, Input, path::Path};

/// A call that changes the cloud.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    /// Its name.
    pub(crate) operation: Spanned<String>,
    /// Its parameters.
    pub(crate) input: Spanned<Input>,
}

/// A call that sets or removes a tag.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagAction {
    /// Its name.
    pub(crate) operation: Spanned<String>,
    /// Its parameters.
    pub(crate) input: Spanned<Input>,
    /// The tag as the cloud has it now, known as `@current`: for a call that would replace more than the value.
    pub(crate) current: Option<Current>,
}

/// How to read a tag before it is changed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Current {
    /// The call that lists tags.
    pub(crate) operation: Spanned<String>,
    /// Its parameters.
    pub(crate) input: Spanned<Input>,
    /// The path to each tag.
    pub(crate) items: Spanned<Path>,
    /// The member of a tag that holds its key.
    pub(crate) key: Spanned<String>,
    /// The members of a tag that does not exist yet.
    pub(crate) otherwise: BTreeMap<Spanned<String>, Constant>,
}

/// A state in which the cloud never deletes a resource.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Undeletable {
    /// The reason for people, such as `it is the main route table of its VPC`.
    pub(crate) reason: String,
    /// A call whose answer is known as `@now`; without one the condition is about the node.
    pub(crate) call: Option<Action>,
    /// The resource is not deleted if this holds.
    pub(crate) when: Spanned<Condition>,
}

/// Something that is not removed for a deletion and lets the cloud refuse it. While there is any, neither revocable
/// references nor dependants are removed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptBy {
    /// The call that lists it.
    pub(crate) operation: Spanned<String>,
    /// Its parameters.
    pub(crate) input: Spanned<Input>,
    /// The path to the names, by the noun for people, such as `node group`.
    pub(crate) names: BTreeMap<String, Spanned<Path>>,
}

/// A part of a resource that has no node. If the cloud refuses the deletion because the resource is in use, its parts are
/// deleted, one after the other, and the deletion is tried again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dependant {
    /// The call that lists it.
    pub(crate) each: Each,
    /// Only items for which this holds.
    pub(crate) when: Option<Spanned<Condition>>,
    /// The call that deletes an item, known as `@item`.
    pub(crate) delete: Action,
    /// How to see that it is gone; it is not waited for without.
    pub(crate) gone: Option<Gone>,
}

/// Code that removes references to a resource if the cloud refuses its deletion because of them, and puts them back if the
/// cloud refuses the deletion in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Revocable {
    /// Rules of other security groups that name a security group.
    SecurityGroupRules,
}

/// Something that keeps a resource from being deleted, as the cloud has it now.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Loosen {
    /// The call that lists it.
    pub(crate) each: Each,
    /// The calls for each item, one after the other.
    pub(crate) calls: Vec<Step>,
    /// Whether it is so rare that a listing that fails is no reason to stop: the deletion will tell.
    #[serde(default)]
    pub(crate) rare: bool,
}

/// A listing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Each {
    /// Its name.
    pub(crate) operation: Spanned<String>,
    /// Its parameters.
    pub(crate) input: Spanned<Input>,
    /// The way to each item.
    pub(crate) items: Spanned<Path>,
}

/// A call for an item.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// Its name.
    pub(crate) operation: Spanned<String>,
    /// Its parameters.
    pub(crate) input: Spanned<Input>,
    /// It is made only if this holds.
    pub(crate) when: Option<Spanned<Condition>>,
}

/// How to see that what has the name now is what was collected: hours later it may be a namesake.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// The call.
    pub(crate) operation: Spanned<String>,
    /// Its parameters.
    pub(crate) input: Spanned<Input>,
    /// The way to what no namesake shares.
    pub(crate) is: Spanned<Path>,
    /// The field of the node that has the same.
    #[serde(default = "super::id_attribute")]
    pub(crate) field: Spanned<String>,
}

/// How to see that a resource is gone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gone {
    /// The service to ask, if it is another one.
    pub(crate) service: Option<String>,
    /// The call.
    pub(crate) operation: Spanned<String>,
    /// Its parameters.
    pub(crate) input: Spanned<Input>,
    /// The way to the states of what is still there; none at all means gone.
    pub(crate) states: Spanned<Path>,
    /// States that count as gone.
    #[serde(default)]
    pub(crate) ended: Vec<String>,
    /// States from which it will not go.
    #[serde(default)]
    pub(crate) failed: Vec<String>,
}
