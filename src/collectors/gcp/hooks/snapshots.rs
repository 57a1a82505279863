//! The source disk of snapshots: its name, as long as the disk exists.

use worker_proto::Failure;

use super::{is_foreign, listed::Listed, name_in};
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
    let is_wanted = context.run.is_wanted(DISKS);
    let disks = match is_wanted && sources.iter().any(Option::is_some) {
        true => Listed::get(context, ("disks.aggregatedList", "disks"), |_| ()).await,
        false => None,
    };
    let value = |source: Option<&str>| {
        let Some(link) = source else { return HookValue::known(Tree::Null) };
        let (exists, is_unknown) = match &disks {
            // Without a list that has the disk, the link is all that is known.
            _ if !is_wanted || is_foreign(context, link) => (true, false),
            Some(disks) => (disks.find(link).is_some(), disks.may_lack(link)),
            None => (false, true),
        };
        match exists {
            true => HookValue::known(Tree::Map(vec![("name".into(), Tree::Text(name_in(link).to_owned().into()))])),
            false => HookValue { value: Tree::Null, is_unknown },
        }
    };
    Ok(sources.into_iter().map(value).collect())
}
