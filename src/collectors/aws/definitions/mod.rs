//! Definitions: a resource kind is data.
//!
//! One TOML file per service says which calls list a kind and how a node and its edges come out of the answer;
//! `docs/collectors.md` is the reference. The files are part of the binary and are read once.

mod action;
pub(crate) mod path;
mod value;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::OnceLock};

pub(crate) use action::{
    Action, Current, Dependant, Each, Gone, Identity, KeptBy, Loosen, Revocable, TagAction, Undeletable,
};
use path::{Path, Template};
use serde::Deserialize;
use toml::Spanned;
pub(crate) use value::{Condition, Constant, Rule, Source};

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
    /// The call that sets a tag on what the kinds marked `tagging` stand for.
    pub(crate) tag: Option<TagAction>,
    /// The call that removes one.
    pub(crate) untag: Option<TagAction>,
    /// The call that gives the details of several kinds at once.
    pub(crate) details: Option<Details>,
    /// Quotas that have nodes of their own, sent before their collector's kinds.
    #[serde(rename = "quota", default)]
    pub(crate) quotas: Vec<Quota>,
    /// The kinds, parents before what is below them.
    #[serde(rename = "kind", default)]
    pub(crate) kinds: Vec<Definition>,
}

/// A call that gives the details of all items of several kinds, so that items need no calls of their own. Where it is
/// refused or fails, the kinds are listed and completed by their own calls, and nothing is missing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Details {
    /// Its name.
    pub(crate) operation: Spanned<String>,
    /// Its parameters.
    pub(crate) input: Spanned<Input>,
    /// Members that nothing needs and that are not kept: answers are kept until all kinds have used them.
    #[serde(default)]
    pub(crate) leave_out: Vec<String>,
}

/// What a kind takes from the details of its service, known as `@details`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromDetails {
    /// The way to each item.
    pub(crate) items: Spanned<Path>,
    /// The member by which an item of the list finds its details. Without one the details are listed instead.
    pub(crate) by: Option<Spanned<String>>,
}

/// A call for many items at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// For how many items at most.
    pub(crate) size: usize,
    /// The way to the parts of the answer, one or more for each item.
    pub(crate) items: Spanned<Path>,
    /// The member of a part that says which item it is for, and the value of the item that it names.
    pub(crate) by: Spanned<String>,
    /// That value of the item.
    pub(crate) is: Spanned<Path>,
}

/// A quota with a node of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quota {
    /// The kind's name in the schema.
    pub(crate) kind: Spanned<String>,
    /// The name that chooses it in `--aws-collect`.
    pub(crate) collector: Spanned<String>,
    /// Where it counts.
    pub(crate) scope: Scope,
    /// The id of the node.
    pub(crate) id: String,
    /// The code of the service in Service Quotas; nothing is asked if there is none.
    pub(crate) service: Option<String>,
    /// The names that AWS has given the quota.
    #[serde(default)]
    pub(crate) names: Vec<String>,
}

/// One kind and how it is collected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    /// The kind's name in the schema.
    pub(crate) kind: Spanned<String>,
    /// The name that chooses it in `--aws-collect`; always collected if none.
    pub(crate) collector: Option<Spanned<String>>,
    /// Where it is listed.
    pub(crate) scope: Scope,
    /// The kind that it hangs below; its list call is made for each such node. The region if none.
    pub(crate) below: Option<Spanned<String>>,
    /// The call that lists it; none if the engine itself has the item (the account).
    pub(crate) list: Option<List>,
    /// What comes from the details of the service.
    pub(crate) details: Option<FromDetails>,
    /// Calls for each item, answers known as `@name`.
    #[serde(default, rename = "call")]
    pub(crate) calls: Vec<Call>,
    /// Values that code finds for all items of a page, known by the hook's name as `@name`.
    #[serde(default)]
    pub(crate) hooks: Vec<Hook>,
    /// The id.
    pub(crate) id: Spanned<Source>,
    /// The name; the id if it leads to nothing.
    pub(crate) name: Option<Spanned<Source>>,
    /// A list of `Key` and `Value`, or a map.
    pub(crate) tags: Option<Spanned<Source>>,
    /// Fields of the kind, `ctime`, `mtime` and `atime` among them.
    #[serde(default)]
    pub(crate) properties: BTreeMap<Spanned<String>, Spanned<Source>>,
    /// When it must not be deleted.
    pub(crate) protected: Option<Spanned<Condition>>,
    /// When it stands for nothing of the account's own.
    pub(crate) phantom: Option<Spanned<Condition>>,
    /// When it is gone already.
    pub(crate) cleaned: Option<Spanned<Condition>>,
    /// Edges from other nodes to this one.
    #[serde(default)]
    pub(crate) predecessors: Vec<Reference>,
    /// Edges from this node to others.
    #[serde(default)]
    pub(crate) successors: Vec<Reference>,
    /// Whether the service's `tag` and `untag` work on it.
    #[serde(default)]
    pub(crate) tagging: bool,
    /// How to tell it from a namesake, where it is addressed by a name.
    pub(crate) identity: Option<Identity>,
    /// The states in which the cloud never deletes it. They are looked at before any call that changes something.
    #[serde(default)]
    pub(crate) undeletable: Vec<Undeletable>,
    /// What keeps it from being deleted, and the calls that take that away.
    #[serde(default)]
    pub(crate) loosen: Vec<Loosen>,
    /// What keeps it and is not removed for it.
    pub(crate) kept_by: Option<KeptBy>,
    /// References that are removed only if they keep it, and put back if it is not deleted in the end.
    pub(crate) revocable: Option<Revocable>,
    /// Parts that have no nodes and are deleted only if they keep it.
    #[serde(default)]
    pub(crate) dependants: Vec<Dependant>,
    /// The call that deletes it.
    pub(crate) delete: Option<Action>,
    /// Kinds that can be deleted only when all of this kind in the region are gone, where no edge says so.
    #[serde(default)]
    pub(crate) before: Vec<String>,
    /// Kinds of what is deleted with it, where an edge leads to it or from it.
    #[serde(default)]
    pub(crate) takes: Vec<String>,
    /// How to see that it is gone, where others depend on that.
    pub(crate) gone: Option<Gone>,
}

/// Where a kind is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Once in each region.
    Region,
    /// Once in the account, below the pseudo region.
    Global,
}

/// The call that lists a kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// Its name.
    pub(crate) operation: Spanned<String>,
    /// Its parameters; several sets mean one listing after the other. For a kind below another, paths in braces start
    /// at that one's item.
    #[serde(default)]
    pub(crate) inputs: Vec<Spanned<Input>>,
    /// The way to each item.
    pub(crate) items: Spanned<Path>,
    /// Whether code needs the answer too, so that it is kept and not asked for twice.
    #[serde(default)]
    pub(crate) shared: bool,
    /// Error codes that mean that there is none.
    #[serde(default)]
    pub(crate) absent: Vec<String>,
}

/// A call for each item.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    /// The name of its answer in paths.
    #[serde(rename = "as")]
    pub(crate) name: String,
    /// Its name.
    pub(crate) operation: Spanned<String>,
    /// Its parameters; paths in braces start at the item.
    #[serde(default)]
    pub(crate) input: Option<Spanned<Input>>,
    /// The part of the answer that the name stands for.
    pub(crate) take: Spanned<Path>,
    /// Error codes that mean that there is none.
    #[serde(default)]
    pub(crate) absent: Vec<String>,
    /// The name that chooses the call in `--aws-collect`; always made if none.
    pub(crate) collector: Option<Spanned<String>>,
    /// Whether the call is left out for items that have details.
    #[serde(default)]
    pub(crate) unless_details: bool,
    /// How to make it for many items at once: lists among the parameters are joined, and `take` starts at a part.
    pub(crate) batch: Option<Batch>,
}

/// What code adds to a page of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hook {
    /// The price list's facts about instance types, and the nodes of the types.
    InstanceType,
    /// The nodes of volume types.
    VolumeType,
    /// When a volume was last read and written.
    VolumeUse,
    /// When somebody was last connected to a database.
    DatabaseUse,
    /// The instances of a target group.
    Targets,
    /// The instances behind a load balancer.
    Backends,
}

impl Hook {
    /// Its name in paths, and the names of its values.
    pub(crate) fn values(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::InstanceType => ("instance_type", &["cores", "memory"]),
            Self::VolumeType => ("volume_type", &[]),
            Self::VolumeUse => ("volume_use", &["read", "written"]),
            Self::DatabaseUse => ("database_use", &["connected"]),
            Self::Targets => ("targets", &["instances"]),
            Self::Backends => ("backends", &["instances"]),
        }
    }
}

/// The parameters of a call.
pub(crate) type Input = BTreeMap<String, Parameter>;

/// A parameter: constants, texts with paths in braces, lists and structures of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Parameter {
    /// Yes or no.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A text.
    Text(Template),
    /// A list.
    List(Vec<Parameter>),
    /// A structure.
    Map(Input),
}

/// The other ends of edges, found by an attribute's value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reference {
    /// The kind of the other end.
    pub(crate) kind: Spanned<String>,
    /// The attribute that has the value.
    #[serde(default = "id_attribute")]
    pub(crate) by: Spanned<String>,
    /// The value, or several.
    pub(crate) value: Spanned<Source>,
    /// Where the other end was listed; where this one was, if not given.
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
    /// The attributes of each kind that references use; nodes are indexed under these only.
    pub(crate) referenced: BTreeMap<String, Vec<String>>,
}

impl Definitions {
    /// All definitions, read on first use.
    ///
    /// # Errors
    /// The file and line of a mistake; a test keeps them free of any.
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
            if !attributes.contains(reference.by.get_ref()) {
                attributes.push(reference.by.get_ref().clone());
            }
        }
        Ok(Self { services, referenced })
    }

    /// The definitions with their services.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Service, &Definition)> {
        self.services.iter().flat_map(|service| service.kinds.iter().map(move |definition| (service, definition)))
    }

    /// The definition of a kind with its service.
    pub(crate) fn find(&self, kind: &str) -> Option<(&Service, &Definition)> {
        self.iter().find(|(_, definition)| definition.kind.get_ref() == kind)
    }

    /// All quotas with nodes of their own.
    pub(crate) fn quotas(&self) -> impl Iterator<Item = &Quota> {
        self.services.iter().flat_map(|service| &service.quotas)
    }

    /// The attributes under which nodes of this kind are indexed.
    pub(crate) fn referenced(&self, kind: &str) -> &[String] {
        self.referenced.get(kind).map_or(&[], Vec::as_slice)
    }
}

impl Call {
    /// The name that chooses it, if it has one.
    pub(crate) fn collector(&self) -> Option<&str> {
        self.collector.as_ref().map(|collector| collector.get_ref().as_str())
    }
}

impl Definition {
    /// The name that chooses it, if it has one.
    pub(crate) fn collector(&self) -> Option<&str> {
        self.collector.as_ref().map(|collector| collector.get_ref().as_str())
    }

    /// Whether its name comes from the answer to this call.
    pub(crate) fn is_named_by(&self, call: &Call) -> bool {
        let rule = self.name.as_ref().map(|name| &name.get_ref().0);
        let paths = rule.into_iter().flat_map(|rule| rule.path.iter().chain(rule.first.iter().flatten()));
        paths.filter_map(|path| path.root.as_deref()).any(|root| root == call.name)
    }

    /// Its references in both directions.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.predecessors.iter().chain(&self.successors)
    }
}
