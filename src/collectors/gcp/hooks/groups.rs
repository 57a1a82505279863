//! The members of instance groups: one call for each group, made once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;
use worker_proto::Failure;

use super::{COMPUTE, name_in, part_of};
use crate::{
    collector_api::BoxFuture,
    engine::{CallError, FunctionHook, HookContext, HookValue, Request, Tree, collect::gather, no_input},
};

/// The name of instance groups in `--gcp-collect`.
pub(super) const INSTANCE_GROUPS: &str = "instance_groups";

/// The groups whose members are requested at the same time.
const GROUPS_AT_ONCE: usize = 4;

/// The links of the instances of each group, as the value `instances`.
pub(super) const GROUP_MEMBERS: FunctionHook = FunctionHook {
    name: "group_members",
    values: &["instances"],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| Box::pin(values_of(context, items)),
};

/// The links of a group's members; `None` if the call failed.
pub(super) type Members = Option<Arc<Vec<String>>>;

/// The groups whose members were requested, by link.
#[derive(Default)]
struct Groups(Mutex<HashMap<String, Arc<OnceCell<Members>>>>);

async fn values_of<'a>(context: HookContext<'a>, items: &'a [&'a Tree<'a>]) -> Result<Vec<HookValue>, Failure> {
    let of_item = |(index, item): (usize, &&'a Tree<'a>)| -> BoxFuture<'a, Result<(usize, HookValue), Failure>> {
        let link = item.get("selfLink").and_then(Tree::text).unwrap_or_default();
        Box::pin(async move { Ok((index, value(members(context, link).await?))) })
    };
    let mut values = gather(GROUPS_AT_ONCE, items.iter().enumerate().map(of_item).collect()).await?;
    values.sort_by_key(|(index, _)| *index);
    Ok(values.into_iter().map(|(_, value)| value).collect())
}

fn value(members: Members) -> HookValue {
    match members {
        Some(links) => {
            let links = links.iter().map(|link| Tree::Text(link.clone().into())).collect();
            HookValue::known(Tree::Map(vec![("instances".into(), Tree::List(links))]))
        }
        None => HookValue { value: Tree::Null, is_unknown: true },
    }
}

/// Returns the links of a group's members. A failed call is reported once.
pub(super) async fn members(context: HookContext<'_>, group: &str) -> Result<Members, Failure> {
    let groups = context.run.slots.get::<Groups>();
    let cell = {
        let mut known = groups.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(group.to_owned()).or_default())
    };
    cell.get_or_try_init(|| async {
        let (operation, scope, place) = match (part_of(group, "zones"), part_of(group, "regions")) {
            (Some(zone), _) => ("instanceGroups.listInstances", "zone", zone),
            (None, Some(region)) => ("regionInstanceGroups.listInstances", "region", region),
            // No group has such a link.
            (None, None) => return Ok(Some(Arc::default())),
        };
        let location = context.find(scope, place).unwrap_or(context.location);
        if !location.allows(COMPUTE, operation, INSTANCE_GROUPS) {
            return Ok(None);
        }
        let request = Request::new(COMPUTE, operation, &location.region);
        match list(context, request.with(scope, place).with("instanceGroup", name_in(group))).await {
            Ok(links) => {
                location.record_success(COMPUTE, operation);
                Ok(Some(Arc::new(links)))
            }
            // The group was deleted after it was listed.
            Err(error) if error.means_deleted() => Ok(Some(Arc::default())),
            Err(error) => {
                location.report_failure(context.run, INSTANCE_GROUPS, &error).await?;
                Ok(None)
            }
        }
    })
    .await
    .cloned()
}

async fn list(context: HookContext<'_>, request: Request<'_>) -> Result<Vec<String>, CallError> {
    let mut pages = context.run.pages(request);
    let mut links = Vec::new();
    while let Some(page) = pages.next_complete().await {
        let page = page?;
        let tree = page.tree()?;
        links.extend(tree.path("items[].instance").into_iter().filter_map(Tree::text).map(str::to_owned));
    }
    Ok(links)
}
