//! How a definition says what changes the cloud: tags, deletion, and what has to be done before and after it.
//!
//! Braces in parameters hold fields of the node; `{key}` and `{value}` are those of a tag, `@item` is an item of a
//! listing, and `@arn.tail` is what follows the type in the resource's ARN.

use serde::Deserialize;
use toml::Spanned;

use super::{Condition, Input, path::Path};

/// A call that changes the cloud.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    /// Its name.
    pub(crate) operation: Spanned<String>,
    /// Its parameters.
    pub(crate) input: Spanned<Input>,
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
