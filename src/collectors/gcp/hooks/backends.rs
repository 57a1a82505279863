//! The instances behind forwarding rules: those of the target pool or target instance, or of the groups of the backend
//! service to which a rule or its proxy leads without a URL map.

use std::collections::{BTreeSet, HashSet};

use worker_proto::Failure;

use super::{
    groups::{INSTANCE_GROUPS, members},
    is_foreign, links,
    listed::Listed,
    name_in,
};
use crate::engine::{FunctionHook, HookContext, HookValue, Tree, no_input};

/// The sorted names of the instances behind each rule, as the value `instances`.
pub(super) const BACKENDS: FunctionHook = FunctionHook {
    name: "backends",
    values: &["instances"],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| Box::pin(values_of(context, items)),
};

/// A list that rules lead to: the collection in its links, the call, and the name that selects it.
type Leading = (&'static str, &'static str, &'static str);

const POOLS: Leading = ("targetPools", "targetPools.aggregatedList", "target_pools");
const TARGETS: Leading = ("targetInstances", "targetInstances.aggregatedList", "target_instances");
const SSL_PROXIES: Leading = ("targetSslProxies", "targetSslProxies.list", "target_ssl_proxies");
const TCP_PROXIES: Leading = ("targetTcpProxies", "targetTcpProxies.aggregatedList", "target_tcp_proxies");
const SERVICES: Leading = ("backendServices", "backendServices.aggregatedList", "backend_services");

/// What is behind a link.
#[derive(Debug, Default)]
struct Behind {
    /// Links of instances, groups and backend services.
    links: Vec<String>,
    /// Whether a call for them failed.
    is_unknown: bool,
}

async fn values_of<'a>(context: HookContext<'a>, items: &'a [&'a Tree<'a>]) -> Result<Vec<HookValue>, Failure> {
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        values.push(value_of(context, item).await?);
    }
    Ok(values)
}

async fn value_of(context: HookContext<'_>, rule: &Tree<'_>) -> Result<HookValue, Failure> {
    let leading = ["target", "backendService"].into_iter().filter_map(|member| rule.get(member)?.text());
    let mut open: Vec<String> = leading.map(str::to_owned).collect();
    let (mut names, mut is_unknown, mut followed) = (BTreeSet::new(), false, HashSet::new());
    while let Some(link) = open.pop() {
        if !followed.insert(link.clone()) {
            continue;
        }
        match collection(&link) {
            "instances" => {
                names.insert(name_in(&link).to_owned());
            }
            _ if is_foreign(context, &link) => is_unknown = true,
            "instanceGroups" if context.run.is_wanted(INSTANCE_GROUPS) => match members(context, &link).await? {
                Some(links) => open.extend(links.iter().cloned()),
                None => is_unknown = true,
            },
            collection => {
                let behind = behind(context, collection, &link).await;
                is_unknown |= behind.is_unknown;
                open.extend(behind.links);
            }
        }
    }
    let names = names.into_iter().map(|name| Tree::Text(name.into())).collect();
    Ok(HookValue { value: Tree::Map(vec![("instances".into(), Tree::List(names))]), is_unknown })
}

/// Returns what the item with a link leads to. Lists are shared with the kinds of their items, which report failures.
async fn behind(context: HookContext<'_>, collection: &str, link: &str) -> Behind {
    let all = [POOLS, TARGETS, SSL_PROXIES, TCP_PROXIES, SERVICES];
    let Some((_, operation, name)) = all.into_iter().find(|(known, ..)| *known == collection) else {
        return Behind::default();
    };
    if !context.run.is_wanted(name) {
        return Behind::default();
    }
    let Some(list) = Listed::get(context, (operation, collection), next).await else {
        return Behind { links: Vec::new(), is_unknown: true };
    };
    match list.find(link) {
        Some(links) => Behind { links: links.clone(), is_unknown: false },
        None => Behind { links: Vec::new(), is_unknown: list.may_lack(link) },
    }
}

/// Returns the links of a pool, a target instance, a proxy or a backend service that lead on to instances.
fn next(item: &Tree<'_>) -> Vec<String> {
    let single = ["instance", "service"].into_iter().filter_map(|member| item.get(member)?.text());
    let groups = item.path("backends[].group").into_iter().filter_map(Tree::text);
    links(item, "instances").chain(single).chain(groups).map(str::to_owned).collect()
}

/// Returns the collection of a link, such as `instances`.
fn collection(link: &str) -> &str {
    link.rsplit('/').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn proxies_services_and_targets_lead_on() {
        let of = |text: &str| next(&serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"service":"s"}"#), ["s"]);
        assert_eq!(of(r#"{"backends":[{"group":"g"},{"group":"h"}]}"#), ["g", "h"]);
        assert_eq!(of(r#"{"instance":"i"}"#), ["i"]);
        assert_eq!(of(r#"{"urlMap":"u"}"#), [""; 0]);
        assert_eq!(collection("https://x/regions/r/targetPools/a"), "targetPools");
    }
}
