//! Definitions of resource kinds as data.
//!
//! One TOML file per service defines which calls list a kind and how responses become nodes and edges.
//! `docs/collectors.md` documents the format. The files are compiled in and parsed once.

mod action;
mod hook;
mod template;
mod value;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::OnceLock};

use super::client::Path;
pub(crate) use action::{
    BlockedBy, CurrentTag, Dependant, Detach, Identity, Listing, ResourceCall, TagCall, Undeletable, WaitDeleted,
};
pub(crate) use hook::Hook;
use serde::Deserialize;
pub(crate) use template::{Part, Template};
use toml::Spanned;
pub(crate) use value::{Condition, Constant, Source, SourceTable};

/// The definition files: name and text.
pub(crate) const FILES: &[(&str, &str)] = &[
    ("account.toml", include_str!("account.toml")),
    ("autoscaling.toml", include_str!("autoscaling.toml")),
    ("cloudformation.toml", include_str!("cloudformation.toml")),
    ("cloudwatch.toml", include_str!("cloudwatch.toml")),
    ("ec2.toml", include_str!("ec2.toml")),
    ("eks.toml", include_str!("eks.toml")),
    ("elb.toml", include_str!("elb.toml")),
    ("elbv2.toml", include_str!("elbv2.toml")),
    ("iam.toml", include_str!("iam.toml")),
    ("rds.toml", include_str!("rds.toml")),
    ("s3.toml", include_str!("s3.toml")),
];

/// A definition file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// The service's name in the models, such as `ec2`.
    pub(crate) service: String,
    /// The call that sets a tag on resources of the kinds with `tagging`.
    pub(crate) tag: Option<TagCall>,
    /// The call that removes a tag from them.
    pub(crate) untag: Option<TagCall>,
    /// The call that describes all resources of several kinds.
    pub(crate) details: Option<DetailsCall>,
    /// Quotas with nodes of their own, sent before the kinds of their collector.
    #[serde(rename = "quota", default)]
    pub(crate) quotas: Vec<Quota>,
    /// The kinds, parents before their children.
    #[serde(rename = "kind", default)]
    pub(crate) kinds: Vec<Definition>,
}

/// A call that describes all items of several kinds, so that they need no calls of their own. If it is denied or fails,
/// the kinds are listed and completed by their own calls, which is no gap.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DetailsCall {
    /// The operation's name.
    pub(crate) operation: Spanned<String>,
    /// The operation's parameters.
    pub(crate) input: Spanned<Input>,
    /// Members that are dropped to save memory: responses are kept until all kinds have used them.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
}

/// The part of the service's details that describes a kind, known as `@details`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromDetails {
    /// The path to each item.
    pub(crate) items: Spanned<Path>,
    /// The member that items of the list and of the details share. Without it, the details replace the list.
    pub(crate) key: Option<Spanned<String>>,
}

/// The batch form of a call, for several items at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// The most items of one call.
    pub(crate) size: usize,
    /// The path to the parts of the response, one or more for each item.
    pub(crate) items: Spanned<Path>,
    /// The member of a part that identifies its item.
    pub(crate) key: Spanned<String>,
    /// The path to the same value in the item.
    pub(crate) item_key: Spanned<Path>,
}

/// A quota with a node of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quota {
    /// The kind's name in the schema.
    pub(crate) kind: Spanned<String>,
    /// The name that selects it in `--aws-collect`.
    pub(crate) collector: Spanned<String>,
    /// Where it applies.
    pub(crate) scope: Scope,
    /// The node's ID.
    pub(crate) id: String,
    /// The service's code in Service Quotas; without it, the quota has no value.
    pub(crate) service: Option<String>,
    /// All names that AWS has used for the quota.
    #[serde(default)]
    pub(crate) names: Vec<String>,
}

/// One kind: how it is collected, tagged and deleted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    /// The kind's name in the schema.
    pub(crate) kind: Spanned<String>,
    /// The name that selects it in `--aws-collect`; without it, the kind is always collected.
    pub(crate) collector: Option<Spanned<String>>,
    /// Where it is listed.
    pub(crate) scope: Scope,
    /// The kind of its parent node, listed for each of them; the region if `None`.
    pub(crate) parent: Option<Spanned<String>>,
    /// The call that lists it; `None` for the account, whose item the engine makes.
    pub(crate) list: Option<ListCall>,
    /// The part of the service's details that describes it.
    pub(crate) details: Option<FromDetails>,
    /// Calls for each item, whose responses are known as `@name`.
    #[serde(default, rename = "call")]
    pub(crate) calls: Vec<Call>,
    /// Code that adds values to all items of a page, known as `@name` by the hook's name.
    #[serde(default)]
    pub(crate) hooks: Vec<Hook>,
    /// The ID.
    pub(crate) id: Spanned<Source>,
    /// The name; the ID if absent.
    pub(crate) name: Option<Spanned<Source>>,
    /// The tags: a list of `Key` and `Value`, or a map.
    pub(crate) tags: Option<Spanned<Source>>,
    /// Fields of the kind, `ctime`, `mtime` and `atime` among them.
    #[serde(default)]
    pub(crate) properties: BTreeMap<Spanned<String>, Spanned<Source>>,
    /// The condition under which it must not be deleted.
    pub(crate) protected: Option<Spanned<Condition>>,
    /// The condition under which it is not a resource of the account itself.
    pub(crate) phantom: Option<Spanned<Condition>>,
    /// The condition under which it is already deleted.
    pub(crate) cleaned: Option<Spanned<Condition>>,
    /// Edges from other nodes to this one.
    #[serde(default)]
    pub(crate) predecessors: Vec<Reference>,
    /// Edges from this node to others.
    #[serde(default)]
    pub(crate) successors: Vec<Reference>,
    /// Whether the service's `tag` and `untag` apply to it.
    #[serde(default)]
    pub(crate) tagging: bool,
    /// How to distinguish it from a later resource with the same name, if it is addressed by name.
    pub(crate) identity: Option<Identity>,
    /// The states in which the cloud never deletes it. They are checked before any call that changes something.
    #[serde(default)]
    pub(crate) undeletable: Vec<Undeletable>,
    /// Attachments that block its deletion, and the calls that remove them.
    #[serde(default)]
    pub(crate) detach: Vec<Detach>,
    /// Resources that block its deletion and are never removed for it.
    pub(crate) blocked_by: Option<BlockedBy>,
    /// Code that removes references to it only if they block its deletion; they are restored if the deletion fails.
    pub(crate) revoke_hook: Option<Spanned<String>>,
    /// Parts without nodes that are deleted only if they block its deletion.
    #[serde(default)]
    pub(crate) dependants: Vec<Dependant>,
    /// Code that changes its tags, where that takes more than a call.
    pub(crate) tag_hook: Option<Spanned<String>>,
    /// The condition on its node under which it is already deleted.
    pub(crate) deleted_when: Option<Spanned<Condition>>,
    /// Code that runs before its deletion, and prevents it by failing.
    pub(crate) prepare_hook: Option<Spanned<String>>,
    /// Code that deletes it, where that takes more than a call.
    pub(crate) delete_hook: Option<Spanned<String>>,
    /// The call that deletes it.
    pub(crate) delete: Option<ResourceCall>,
    /// Kinds whose resources can be deleted only after all of this kind in the region, where no edge expresses that.
    #[serde(default)]
    pub(crate) delete_before: Vec<String>,
    /// Kinds of connected resources that the cloud deletes with it.
    #[serde(default)]
    pub(crate) cascades_to: Vec<String>,
    /// How to wait until it is deleted, if other deletions depend on that.
    pub(crate) wait_deleted: Option<WaitDeleted>,
}

/// Where a kind is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Once in each region.
    Region,
    /// Once in the account, below the pseudo region `global`.
    Global,
}

/// The call that lists a kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListCall {
    /// The operation's name.
    pub(crate) operation: Spanned<String>,
    /// The parameter sets, one listing for each. For a kind with a parent, paths in braces start at the parent's item.
    #[serde(default)]
    pub(crate) inputs: Vec<Spanned<Input>>,
    /// The path to each item.
    pub(crate) items: Spanned<Path>,
    /// Whether hooks need the responses too, so that they are kept and the call is made once.
    #[serde(default)]
    pub(crate) shared: bool,
    /// Error codes that mean that nothing exists.
    #[serde(default)]
    pub(crate) not_found_codes: Vec<String>,
}

/// A call for each item.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    /// The name of its response in paths.
    #[serde(rename = "as")]
    pub(crate) name: String,
    /// The operation's name.
    pub(crate) operation: Spanned<String>,
    /// The operation's parameters; paths in braces start at the item.
    #[serde(default)]
    pub(crate) input: Option<Spanned<Input>>,
    /// The path to the part of the response that has the name.
    pub(crate) result: Spanned<Path>,
    /// Error codes that mean that nothing exists.
    #[serde(default)]
    pub(crate) not_found_codes: Vec<String>,
    /// The name that selects the call in `--aws-collect`; without it, the call is always made.
    pub(crate) collector: Option<Spanned<String>>,
    /// Whether the call is made only for items without details.
    #[serde(default)]
    pub(crate) without_details: bool,
    /// The batch form: lists among the parameters are joined, and `result` starts at a part.
    pub(crate) batch: Option<Batch>,
}

/// The parameters of a call.
pub(crate) type Input = BTreeMap<Template, Parameter>;

/// A parameter: constants, strings with paths in braces, lists and structures of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Parameter {
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

/// The other ends of edges, identified by the value of an attribute.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reference {
    /// The kind of the other end.
    pub(crate) kind: Spanned<String>,
    /// The attribute of the other end that has the value.
    #[serde(default = "id_attribute")]
    pub(crate) attribute: Spanned<String>,
    /// The value or values.
    pub(crate) value: Spanned<Source>,
    /// Where the other end is listed; in the location of this node if `None`.
    pub(crate) scope: Option<Scope>,
}

fn id_attribute() -> Spanned<String> {
    Spanned::new(0..0, "id".to_owned())
}

/// All definitions.
#[derive(Debug)]
pub(crate) struct Definitions {
    /// By file, in the order of [`FILES`].
    pub(crate) services: Vec<Service>,
    /// The attributes of each kind that references use. Nodes are indexed by these only.
    pub(crate) referenced: BTreeMap<String, Vec<String>>,
}

impl Definitions {
    /// Returns all definitions, parsed on first use.
    ///
    /// # Errors
    /// The file and line of a mistake; a test ensures that there is none.
    pub(crate) fn get() -> Result<&'static Self, &'static str> {
        static ALL: OnceLock<Result<Definitions, String>> = OnceLock::new();
        ALL.get_or_init(Self::read).as_ref().map_err(String::as_str)
    }

    fn read() -> Result<Self, String> {
        let mut services = Vec::with_capacity(FILES.len());
        for (file, text) in FILES {
            services.push(toml::from_str::<Service>(text).map_err(|error| format!("{file}: {error}"))?);
        }
        let mut referenced: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for reference in services.iter().flat_map(|service| &service.kinds).flat_map(Definition::references) {
            let attributes = referenced.entry(reference.kind.get_ref().clone()).or_default();
            if !attributes.contains(reference.attribute.get_ref()) {
                attributes.push(reference.attribute.get_ref().clone());
            }
        }
        Ok(Self { services, referenced })
    }

    /// Iterates over the definitions with their services.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Service, &Definition)> {
        self.services.iter().flat_map(|service| service.kinds.iter().map(move |definition| (service, definition)))
    }

    /// Returns the definition of a kind with its service.
    pub(crate) fn find(&self, kind: &str) -> Option<(&Service, &Definition)> {
        self.iter().find(|(_, definition)| definition.kind.get_ref() == kind)
    }

    /// Iterates over the quotas with nodes of their own.
    pub(crate) fn quotas(&self) -> impl Iterator<Item = &Quota> {
        self.services.iter().flat_map(|service| &service.quotas)
    }

    /// Returns the attributes by which nodes of this kind are indexed.
    pub(crate) fn referenced(&self, kind: &str) -> &[String] {
        self.referenced.get(kind).map_or(&[], Vec::as_slice)
    }
}

impl Call {
    /// Returns the name that selects it, if any.
    pub(crate) fn collector(&self) -> Option<&str> {
        self.collector.as_ref().map(|collector| collector.get_ref().as_str())
    }
}

impl Definition {
    /// Returns the name that selects it, if any.
    pub(crate) fn collector(&self) -> Option<&str> {
        self.collector.as_ref().map(|collector| collector.get_ref().as_str())
    }

    /// Returns whether its name comes from the response to this call.
    pub(crate) fn is_named_by(&self, call: &Call) -> bool {
        let source = self.name.as_ref().map(|name| &name.get_ref().0);
        let paths = source.into_iter().flat_map(|source| source.path.iter().chain(source.first.iter().flatten()));
        paths.filter_map(|path| path.root.as_deref()).any(|root| root == call.name)
    }

    /// Iterates over its references in both directions.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.predecessors.iter().chain(&self.successors)
    }
}
