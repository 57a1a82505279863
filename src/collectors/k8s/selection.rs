//! Which resources that only discovery knows are collected, and the names of their kinds.

use std::collections::{BTreeMap, BTreeSet};

use worker_proto::Why;

use super::{definitions::definitions, discovery::ApiResource, options::Options};
use crate::engine::CallError;

/// The name that selects all of them.
pub(super) const OTHERS: &str = "others";

/// The kinds that are known only at run time, for what cannot be listed.
pub(super) const ANY: &str = "kubernetes_*";

/// Resources that are collected only if they are named: they change all the time, or are no objects.
const LEFT_OUT: [&str; 4] = ["events", "events.events.k8s.io", "leases.coordination.k8s.io", "componentstatuses"];

/// The most kinds of a cluster.
const MAX_KINDS: usize = 2000;

/// The longest name of a kind, below what the supervisor takes.
const MAX_NAME: usize = 200;

/// Returns whether a name may select such a resource: `RESOURCE.GROUP`, a group, or one of those that are left out.
pub(super) fn is_name(name: &str) -> bool {
    name == OTHERS || name.contains('.') || LEFT_OUT.contains(&name)
}

/// Returns whether no definition lists a resource, in whatever version.
pub(super) fn is_undefined(resource: &ApiResource) -> bool {
    let list = format!("list {}", resource.resource);
    let group_of = |service: &str| service.split_once('/').map_or(String::new(), |(group, _)| group.to_owned());
    !definitions().is_ok_and(|definitions| {
        definitions.iter().any(|(service, definition)| {
            group_of(&service.service) == resource.group
                && definition.list.as_ref().is_some_and(|call| *call.operation.get_ref() == list)
        })
    })
}

/// Returns whether options select a resource. With rights in some namespaces, what is in none is not asked for.
pub(super) fn is_wanted(resource: &ApiResource, options: &Options) -> bool {
    let name = resource.name();
    let is_named = |names: &[String], wanted: &str| {
        names.iter().any(|known| known == wanted || (*known == resource.group && !known.is_empty()))
    };
    let is_usual = !LEFT_OUT.contains(&name.as_str());
    let is_selected = match options.collect.is_empty() {
        true => is_usual,
        false if options.collect.contains(&name) => true,
        false => is_usual && is_named(&options.collect, OTHERS),
    };
    let is_excluded = is_named(&options.no_collect, OTHERS) || options.no_collect.contains(&name);
    is_selected && !is_excluded && (resource.is_in_namespaces || options.namespaces.is_empty())
}

/// Returns the names in options that no resource and no group has.
pub(super) fn unknown<'o>(
    resources: &[ApiResource],
    silent: &[(String, CallError)],
    options: &'o Options,
) -> Vec<&'o str> {
    let is_known = |name: &str| {
        let of_group = |group: &str| group == name || name.ends_with(&format!(".{group}"));
        name == OTHERS
            || LEFT_OUT.contains(&name)
            || resources.iter().any(|resource| resource.group == name || resource.name() == name)
            || silent.iter().any(|(group, _)| of_group(group))
    };
    let named = options.collect.iter().chain(&options.no_collect).map(String::as_str);
    named.filter(|name| is_name(name) && !is_known(name)).collect()
}

/// Returns whether options may select a resource of a group.
fn is_wanted_group(group: &str, options: &Options) -> bool {
    let is_of = |name: &String| name == OTHERS || name == group || name.ends_with(&format!(".{group}"));
    let is_excluded = options.no_collect.iter().any(|name| name == OTHERS || name == group);
    (options.collect.is_empty() || options.collect.iter().any(is_of)) && !is_excluded
}

/// The resources to collect, by the names of their kinds.
#[derive(Debug, Default)]
pub(super) struct Distinct<'d> {
    /// The resources that are collected.
    pub(super) found: BTreeMap<String, &'d ApiResource>,
    /// The resources that are not, each with the name of its kind and the reason.
    pub(super) refused: Vec<(&'d ApiResource, String, String)>,
}

/// Returns the resources by the names of their kinds. Two groups whose names differ only in dots and dashes would share
/// one: the second is refused, and so is what exceeds the limit. `defined` are the names that no resource may take.
pub(super) fn distinct<'d>(mut resources: Vec<&'d ApiResource>, defined: &BTreeSet<String>) -> Distinct<'d> {
    // The same one wins in each run, in whatever order the server names them.
    resources.sort_by(|one, other| (&one.group, &one.resource).cmp(&(&other.group, &other.resource)));
    let mut distinct = Distinct::default();
    for resource in resources {
        let name = resource.model_kind();
        let why = match () {
            () if name.len() > MAX_NAME => format!("the name of its kind has more than {MAX_NAME} characters"),
            () if defined.contains(&name) || distinct.found.contains_key(&name) => {
                format!("another kind is named {name}")
            }
            () if distinct.found.len() >= MAX_KINDS => format!("the cluster has more than {MAX_KINDS} kinds"),
            () => {
                distinct.found.insert(name, resource);
                continue;
            }
        };
        distinct.refused.push((resource, name, why));
    }
    distinct
}

/// Returns why objects of a group whose server is down are missing; `None` if the core may forget them.
pub(super) fn why_silent(group: &str, options: &Options) -> Option<Why> {
    match is_wanted_group(group, options) {
        true => Some(Why::Unseen),
        false => keeps_unwanted(options).then_some(Why::Kept),
    }
}

/// Returns whether the core keeps what options exclude.
pub(super) fn keeps_unwanted(options: &Options) -> bool {
    options.keep_uncollected || !options.namespaces.is_empty()
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
