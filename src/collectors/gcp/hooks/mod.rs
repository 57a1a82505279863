//! What definitions cannot express: values that code adds to items, the nodes of types and prices (`ALL`), and changes
//! that take more than a call (`CHANGES`).

mod backends;
mod bucket;
mod groups;
mod labels;
mod listed;
mod price_list;
mod prices;
mod snapshots;
mod type_node;
mod types;

use self::{
    backends::BACKENDS,
    groups::GROUP_MEMBERS,
    snapshots::SOURCE_DISK,
    types::{DISK_TYPE, MACHINE_TYPE},
};
use crate::engine::{Hook, HookContext, Tree, change::ChangeHooks};

/// The hooks of collection.
pub(super) const ALL: &[&dyn Hook] = &[&MACHINE_TYPE, &DISK_TYPE, &GROUP_MEMBERS, &BACKENDS, &SOURCE_DISK];

/// The hooks of changes.
pub(super) const CHANGES: ChangeHooks = ChangeHooks {
    tag: &[
        ("set_labels", |change, key, value| Box::pin(labels::set(change, key, value))),
        ("patch_bucket", |change, key, value| Box::pin(labels::patch_bucket(change, key, value))),
        ("patch_database", |change, key, value| Box::pin(labels::patch_database(change, key, value))),
    ],
    prepare: &[],
    delete: &[("empty_bucket", |change| Box::pin(bucket::delete(change)))],
    revoke: &[],
};

/// The field of a node with the fingerprint of its labels.
const FINGERPRINT: &str = "label_fingerprint";

/// The names that select what hooks do beyond the kinds of their definitions.
pub(super) const SELECTABLE: [&str; 3] = [types::MACHINE_TYPES, types::DISK_TYPES, prices::SERVICES];

/// The service of virtual machines, disks and load balancers.
const COMPUTE: &str = "compute";

/// Returns the last part of a link, which is the name of what it leads to.
fn name_in(link: &str) -> &str {
    link.rsplit('/').next().unwrap_or(link)
}

/// Returns a part of a link by the collection before it, such as the zone in `…/zones/ZONE/…`.
pub(super) fn part_of<'l>(link: &'l str, collection: &str) -> Option<&'l str> {
    let mut parts = link.split('/');
    parts.find(|part| *part == collection)?;
    parts.next()
}

/// Returns the ID of the project in a link, unless the link has its number, or the ID in another notation.
pub(super) fn project_of(link: &str) -> Option<&str> {
    let is_id = |project: &&str| !project.contains('%') && !project.bytes().all(|byte| byte.is_ascii_digit());
    part_of(link, "projects").filter(is_id)
}

/// Returns whether a link leads to another project, of which the lists of this one say nothing.
fn is_foreign(context: HookContext<'_>, link: &str) -> bool {
    part_of(link, "projects").is_some_and(|project| project != context.run.account_id())
}

/// Returns the texts in a member of an item that is a list of links.
fn links<'t>(item: &'t Tree<'_>, member: &str) -> impl Iterator<Item = &'t str> {
    item.get(member).map(Tree::list).unwrap_or_default().iter().filter_map(Tree::text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_taken_apart() {
        let link = "https://www.googleapis.com/compute/v1/projects/example.com:app/zones/z-a/instances/vm";
        assert_eq!((name_in(link), part_of(link, "zones"), part_of(link, "regions")), ("vm", Some("z-a"), None));
        assert_eq!(part_of(link, "projects"), Some("example.com:app"));
    }
}
