//! The source disk of snapshots: its name, as long as the disk exists.

use std::collections::HashSet;

use worker_proto::Failure;

use super::{COMPUTE, may_lack, name_in};
use crate::engine::{FunctionHook, HookContext, HookValue, Tree, no_input};

/// The name of disks in `--gcp-collect`.
const DISKS: &str = "disks";

/// The name of each snapshot's source disk, as the value `name`.
pub(super) const SOURCE_DISK: FunctionHook = FunctionHook {
    name: "source_disk",
    values: &["name"],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| Box::pin(values_of(context, items)),
};

async fn values_of<'a>(context: HookContext<'a>, items: &'a [&'a Tree<'a>]) -> Result<Vec<HookValue>, Failure> {
    let sources: Vec<Option<&str>> = items.iter().map(|item| item.get("sourceDisk").and_then(Tree::text)).collect();
    let wanted: HashSet<&str> = sources.iter().copied().flatten().collect();
    let found = match context.run.is_wanted(DISKS) {
        _ if wanted.is_empty() => Found::default(),
        true => find(context, &wanted).await.unwrap_or_else(|| Found { unknown: owned(&wanted), ..Found::default() }),
        // Without the list of disks, the link is all that is known.
        false => Found { existing: owned(&wanted), ..Found::default() },
    };
    let value = |source: Option<&str>| match source {
        Some(link) if found.existing.contains(link) => {
            HookValue::known(Tree::Map(vec![("name".into(), Tree::Text(name_in(link).to_owned().into()))]))
        }
        Some(link) if found.unknown.contains(link) => HookValue { value: Tree::Null, is_unknown: true },
        _ => HookValue::known(Tree::Null),
    };
    Ok(sources.into_iter().map(value).collect())
}

/// The links of disks that exist, and of those of which that is unknown.
#[derive(Default)]
struct Found {
    existing: HashSet<String>,
    unknown: HashSet<String>,
}

fn owned(links: &HashSet<&str>) -> HashSet<String> {
    links.iter().map(|link| (*link).to_owned()).collect()
}

/// Returns which of the disks exist; `None` if their list failed, which the disks report.
async fn find(context: HookContext<'_>, wanted: &HashSet<&str>) -> Option<Found> {
    let responses = context.location.shared(context.run, COMPUTE, "disks.aggregatedList").await.ok()?;
    let mut found = Found::default();
    for response in responses.iter() {
        let tree = response.tree().ok()?;
        let links = tree.path("items[*].disks[].selfLink").into_iter().filter_map(Tree::text);
        found.existing.extend(links.filter(|link| wanted.contains(link)).map(str::to_owned));
    }
    let missing = wanted.iter().filter(|link| !found.existing.contains(**link));
    found.unknown = missing.filter(|link| may_lack(&responses, link)).map(|link| (*link).to_owned()).collect();
    Some(found)
}
