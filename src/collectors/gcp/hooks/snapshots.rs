//! The source disk of snapshots: its name, as long as the disk exists.

use std::collections::HashSet;

use worker_proto::Failure;

use super::{COMPUTE, name_in};
use crate::engine::{FunctionHook, HookContext, HookValue, Tree, no_input};

/// The name of disks in `--gcp-collect`.
const DISKS: &str = "disks";

/// The name of each snapshot's source disk, as the value `name`.
pub(super) const SOURCE_DISK: FunctionHook = FunctionHook {
    name: "source_disk",
    values: &["name"],
    kinds: &[],
    collectors: &[],
    check: no_input,
    values_of: |context, items| Box::pin(values_of(context, items)),
};

async fn values_of<'a>(context: HookContext<'a>, items: &'a [&'a Tree<'a>]) -> Result<Vec<HookValue>, Failure> {
    let sources: Vec<Option<&str>> = items.iter().map(|item| item.get("sourceDisk").and_then(Tree::text)).collect();
    let wanted: HashSet<&str> = sources.iter().copied().flatten().collect();
    let existing = match context.run.is_wanted(DISKS) {
        _ if wanted.is_empty() => Some(HashSet::new()),
        true => existing(context, &wanted).await,
        // Without the list of disks, the link is all that is known.
        false => Some(wanted.iter().map(|link| (*link).to_owned()).collect()),
    };
    let value = |source: Option<&str>| match (&existing, source) {
        (Some(existing), Some(link)) if existing.contains(link) => {
            HookValue::known(Tree::Map(vec![("name".into(), Tree::Text(name_in(link).to_owned().into()))]))
        }
        (None, Some(_)) => HookValue { value: Tree::Null, is_unknown: true },
        _ => HookValue::known(Tree::Null),
    };
    Ok(sources.into_iter().map(value).collect())
}

/// Returns which of the disks exist; `None` if their list failed, which the disks report.
async fn existing(context: HookContext<'_>, wanted: &HashSet<&str>) -> Option<HashSet<String>> {
    let responses = context.location.shared(context.run, COMPUTE, "disks.aggregatedList").await.ok()?;
    let mut existing = HashSet::new();
    for response in responses.iter() {
        let tree = response.tree().ok()?;
        let links = tree.path("items[*].disks[].selfLink").into_iter().filter_map(Tree::text);
        existing.extend(links.filter(|link| wanted.contains(link)).map(str::to_owned));
    }
    Some(existing)
}
