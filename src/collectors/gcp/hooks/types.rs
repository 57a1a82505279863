//! Nodes of machine types and disk types: those that the collected instances and disks have, with their prices.
//!
//! Each project has some ten thousand machine types, and uses few. So the machine types of a page are fetched one by
//! one, or by the list of a zone if several of its types are needed; custom ones are in no list. Disk types are few: one
//! list has those of all zones and regions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tokio::sync::Mutex;
use worker_proto::Failure;

use super::{
    COMPUTE, name_in, part_of,
    prices::SERVICES,
    type_node::{SERVICE, SKU, Type, is_custom},
};
use crate::{
    collector_api::BoxFuture,
    engine::{CallError, FunctionHook, HookContext, HookValue, Request, Response, Tree, collect::gather, no_input},
};

/// The names of the types in `--gcp-collect`.
pub(super) const MACHINE_TYPES: &str = "machine_types";
pub(super) const DISK_TYPES: &str = "disk_types";

const MACHINE_TYPE_KIND: &str = "gcp_machine_type";
const DISK_TYPE_KIND: &str = "gcp_disk_type";

/// The number of types of a page from which the list of their zone or region is fetched.
const LIST_FROM: usize = 3;

/// The types that are fetched at the same time.
const TYPES_AT_ONCE: usize = 4;

/// The cores and the memory in GiB of each instance's type, as the values `cores` and `memory`; sends the nodes of the
/// types, and those of their prices.
pub(super) const MACHINE_TYPE: FunctionHook = FunctionHook {
    name: "machine_type",
    values: &["cores", "memory"],
    kinds: &[MACHINE_TYPE_KIND, SKU, SERVICE],
    collectors: &[(MACHINE_TYPE_KIND, MACHINE_TYPES), (SKU, SERVICES), (SERVICE, SERVICES)],
    parents: &[(SKU, SERVICE)],
    check: no_input,
    values_of: |context, items| {
        Box::pin(async move { context.run.slots.get::<Machines>().0.values_of(&MACHINES, context, items).await })
    },
};

/// Sends the nodes of the types of disks, and those of their prices.
pub(super) const DISK_TYPE: FunctionHook = FunctionHook {
    name: "disk_type",
    values: &[],
    kinds: &[DISK_TYPE_KIND, SKU, SERVICE],
    collectors: &[(DISK_TYPE_KIND, DISK_TYPES), (SKU, SERVICES), (SERVICE, SERVICES)],
    parents: &[(SKU, SERVICE)],
    check: no_input,
    values_of: |context, items| {
        Box::pin(async move { context.run.slots.get::<Disks>().0.values_of(&DISKS, context, items).await })
    },
};

#[derive(Default)]
struct Machines(Types);

#[derive(Default)]
struct Disks(Types);

/// What distinguishes machine types and disk types.
struct Family {
    kind: &'static str,
    collector: &'static str,
    /// The member of an item with the link of its type.
    member: &'static str,
    /// The parameter of a call for one type.
    parameter: &'static str,
    list: List,
    /// The call for one type in a zone, and in a region.
    get: [&'static str; 2],
}

/// The list from which types are fetched.
enum List {
    /// That of a zone.
    OfZone(&'static str),
    /// That of all zones and regions, with the path to its items.
    OfAll(&'static str, &'static str),
}

const MACHINES: Family = Family {
    kind: MACHINE_TYPE_KIND,
    collector: MACHINE_TYPES,
    member: "machineType",
    parameter: "machineType",
    list: List::OfZone("machineTypes.list"),
    // There are none in regions.
    get: ["machineTypes.get", "machineTypes.get"],
};

const DISKS: Family = Family {
    kind: DISK_TYPE_KIND,
    collector: DISK_TYPES,
    member: "type",
    parameter: "diskType",
    list: List::OfAll("diskTypes.aggregatedList", "items[*].diskTypes[]"),
    get: ["diskTypes.get", "regionDiskTypes.get"],
};

/// The types of one account that were needed so far.
#[derive(Default)]
struct Types(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// By link.
    types: HashMap<String, Type>,
    /// The links of types whose calls failed.
    failed: HashSet<String>,
    /// The links of types that do not exist, and of those whose nodes were sent.
    done: HashSet<String>,
    /// The zones whose lists were fetched; empty for the list of all.
    listed: HashSet<String>,
}

/// A zone or a region, with the links of the types that are needed there.
struct Place<'a> {
    scope: &'static str,
    id: &'a str,
    links: BTreeSet<&'a str>,
}

impl Types {
    async fn values_of<'a>(
        &self,
        family: &'static Family,
        context: HookContext<'a>,
        items: &'a [&'a Tree<'a>],
    ) -> Result<Vec<HookValue>, Failure> {
        let link = |item: &'a Tree<'a>| item.get(family.member).and_then(Tree::text);
        if !context.run.is_wanted(family.collector) {
            return Ok(Vec::new());
        }
        // Pages come one after the other, so that nothing waits here.
        let mut known = self.0.lock().await;
        for place in places(items.iter().copied().filter_map(link)) {
            known.fetch(family, context, &place).await?;
            known.send(family, context, &place).await?;
        }
        let value = |item: &&'a Tree<'a>| match link(item) {
            Some(link) if known.failed.contains(link) => HookValue { value: Tree::Null, is_unknown: true },
            Some(link) => HookValue::known(known.types.get(link).map_or(Tree::Null, Type::value)),
            None => HookValue::default(),
        };
        Ok(items.iter().map(value).collect())
    }
}

/// Returns the zones and regions of types, with their links.
fn places<'a>(links: impl Iterator<Item = &'a str>) -> Vec<Place<'a>> {
    let mut places: BTreeMap<(&'static str, &'a str), BTreeSet<&'a str>> = BTreeMap::new();
    for link in links {
        let zone = part_of(link, "zones").map(|zone| ("zone", zone));
        if let Some(place) = zone.or_else(|| part_of(link, "regions").map(|region| ("region", region))) {
            places.entry(place).or_default().insert(link);
        }
    }
    places.into_iter().map(|((scope, id), links)| Place { scope, id, links }).collect()
}

impl Known {
    fn is_missing(&self, link: &str) -> bool {
        !self.types.contains_key(link) && !self.failed.contains(link) && !self.done.contains(link)
    }

    /// Fetches the types of a place that are not known.
    async fn fetch(
        &mut self,
        family: &'static Family,
        context: HookContext<'_>,
        place: &Place<'_>,
    ) -> Result<(), Failure> {
        self.list(family, context, place).await?;
        let get = family.get[usize::from(place.scope == "region")];
        let missing: Vec<&str> = place.links.iter().copied().filter(|link| self.is_missing(link)).collect();
        let location = context.find(place.scope, place.id).unwrap_or(context.location);
        let one = |link| -> BoxFuture<'_, Result<_, Failure>> {
            Box::pin(async move {
                if !location.allows(COMPUTE, get, family.collector) {
                    return Ok((link, None));
                }
                let request = Request::new(COMPUTE, get, place.id).with(place.scope, place.id);
                let found = fetched(context, request.with(family.parameter, name_in(link))).await;
                match &found {
                    Ok(_) => location.record_success(COMPUTE, get),
                    Err(error) if error.means_deleted() => {}
                    Err(error) => report(family, context, place, error).await?,
                }
                Ok((link, Some(found)))
            })
        };
        for (link, found) in gather(TYPES_AT_ONCE, missing.into_iter().map(one).collect()).await? {
            match found {
                Some(Ok(found)) => {
                    // The item names its type by this link, whatever the type names itself.
                    self.types.insert(link.to_owned(), Type { link: link.to_owned(), ..found });
                }
                Some(Err(error)) if error.means_deleted() => {
                    self.done.insert(link.to_owned());
                }
                Some(Err(_)) | None => {
                    self.failed.insert(link.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Fetches the list that has types of the place, if several of them are not known.
    async fn list(
        &mut self,
        family: &'static Family,
        context: HookContext<'_>,
        place: &Place<'_>,
    ) -> Result<(), Failure> {
        let is_listed = |link: &&&str| self.is_missing(link) && !is_custom(name_in(link));
        let missing = place.links.iter().filter(is_listed).count();
        let (operation, items, request, least, key) = match family.list {
            List::OfZone(operation) => {
                let request = Request::new(COMPUTE, operation, place.id).with(place.scope, place.id);
                (operation, "items[]", request, LIST_FROM, place.id)
            }
            List::OfAll(operation, items) => {
                (operation, items, Request::new(COMPUTE, operation, &context.location.region), 1, "")
            }
        };
        if missing < least || !self.listed.insert(key.to_owned()) {
            return Ok(());
        }
        match listed(context, request, items).await {
            Ok(types) => {
                context.location.record_success(COMPUTE, operation);
                self.types.extend(types.into_iter().map(|found| (found.link.clone(), found)));
            }
            Err(error) => {
                report(family, context, place, &error).await?;
                self.failed.extend(place.links.iter().map(|link| (*link).to_owned()));
            }
        }
        Ok(())
    }

    /// Sends the nodes of a place's types, once.
    async fn send(
        &mut self,
        family: &'static Family,
        context: HookContext<'_>,
        place: &Place<'_>,
    ) -> Result<(), Failure> {
        // Without the location, the items have no nodes either.
        let Some(location) = context.find(place.scope, place.id) else { return Ok(()) };
        let here = context.at(location);
        if place.links.iter().any(|link| self.failed.contains(*link)) {
            here.unseen(family.kind, COMPUTE);
            // The prices of the types are not looked up either.
            context.unseen(SERVICE, COMPUTE);
        }
        let region = location.containing("region").unwrap_or(place.id);
        for link in &place.links {
            if let Some(found) = self.types.get(*link).filter(|_| !self.done.contains(*link)) {
                found.send(family.kind, family.kind == MACHINE_TYPE_KIND, context, here, region).await?;
                self.done.insert((*link).to_owned());
            }
        }
        Ok(())
    }
}

async fn report(
    family: &Family,
    context: HookContext<'_>,
    place: &Place<'_>,
    error: &CallError,
) -> Result<(), Failure> {
    let location = context.find(place.scope, place.id).unwrap_or(context.location);
    location.report_failure(context.run, family.collector, error).await
}

async fn listed(context: HookContext<'_>, request: Request<'_>, items: &'static str) -> Result<Vec<Type>, CallError> {
    let mut pages = context.run.pages(request);
    let mut types = Vec::new();
    while let Some(page) = pages.next().await {
        let page: Response = page?;
        let tree = page.tree()?;
        types.extend(tree.path(items).into_iter().filter_map(Type::read));
    }
    Ok(types)
}

async fn fetched(context: HookContext<'_>, request: Request<'_>) -> Result<Type, CallError> {
    let (service, operation, region) = (request.service, request.operation, request.region);
    let response = context.run.call(request).await?;
    let found = Type::read(&response.tree()?);
    found
        .ok_or_else(|| CallError::unexpected_response("a type without ID, name or link").of(service, operation, region))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn types_are_grouped_by_zone_and_region() {
        let links = ["p/zones/a/machineTypes/x", "p/zones/a/machineTypes/y", "p/regions/r/diskTypes/x", "p/global/x"];
        let found = places(links.into_iter().chain(links));
        let found: Vec<_> = found.iter().map(|place| (place.scope, place.id, place.links.len())).collect();
        assert_eq!(found, [("region", "r", 1), ("zone", "a", 2)]);
    }

    #[test]
    fn memory_is_in_gib() {
        let item = serde_json::from_str(
            r#"{"id":"1","name":"t","selfLink":"l","guestCpus":2,"memoryMb":1740,"creationTimestamp":"c"}"#,
        );
        let found = Type::read(&item.unwrap()).unwrap();
        assert_eq!((found.cores, found.memory, found.created.as_deref()), (2.0, 1.699_218_75, Some("c")));
    }
}
