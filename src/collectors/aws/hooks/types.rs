//! Nodes of instance types and volume types. No call lists them: they are the types of the collected instances and
//! volumes.

use std::collections::{BTreeSet, HashMap};

use tokio::sync::OnceCell;
use worker_proto::Failure;

use super::{
    prices::{self, InstanceType, Price},
    quotas::{self, QuotaValue},
};
use crate::{
    collector_api::{BoxFuture, End},
    engine::{
        CallError, FunctionHook, HookContext, HookValue, Request, Tree,
        collect::{at_most, gather},
        no_input,
    },
    graph::{Resource, Value},
};

const INSTANCE_TYPE: &str = "aws_ec2_instance_type";
const INSTANCE_QUOTA: &str = "aws_ec2_instance_quota";
const VOLUME_TYPE: &str = "aws_ec2_volume_type";

/// The types that are looked up at the same time: a page of instances waits for all of its types.
const TYPES_AT_ONCE: usize = 4;

/// The collector of reservations in `--aws-collect`.
pub(super) const RESERVATIONS: &str = "reserved_instances";

/// The reserved instances of a region by type, once they were listed; `None` if the list failed.
#[derive(Default)]
struct Reservations(OnceCell<Option<HashMap<String, i64>>>);

/// The properties of each instance's type, as the values `cores` and `memory`; sends the nodes of the types.
pub(super) const INSTANCE_TYPES: FunctionHook = FunctionHook {
    name: "instance_type",
    values: &["cores", "memory"],
    kinds: &[INSTANCE_TYPE, INSTANCE_QUOTA],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| Box::pin(instance_types(context, items)),
};

/// Sends the nodes of volume types; adds no values.
pub(super) const VOLUME_TYPES: FunctionHook = FunctionHook {
    name: "volume_type",
    values: &[],
    kinds: &[VOLUME_TYPE],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| Box::pin(volume_types(context, items)),
};

async fn instance_types(context: HookContext<'_>, items: &[&Tree<'_>]) -> Result<Vec<HookValue>, Failure> {
    let lookups = mentioned(items, "InstanceType").into_iter().map(|wanted| -> BoxFuture<'_, Result<_, Failure>> {
        Box::pin(async move { Ok((wanted, instance_type(context, wanted).await?)) })
    });
    let types: HashMap<_, _> = gather(TYPES_AT_ONCE, lookups.collect()).await?.into_iter().collect();
    let facts = |item: &&Tree<'_>| {
        let name = item.get("InstanceType").and_then(Tree::text);
        match name.and_then(|name| types.get(name)) {
            Some(Price::Known(InstanceType { cores, memory, .. })) => HookValue::known(Tree::Map(vec![
                ("cores".into(), Tree::Int(*cores)),
                ("memory".into(), Tree::Float(*memory)),
            ])),
            Some(Price::Failed) => HookValue { value: Tree::Null, is_unknown: true },
            Some(Price::Unlisted) | None => HookValue::default(),
        }
    };
    Ok(items.iter().map(facts).collect())
}

async fn volume_types(context: HookContext<'_>, items: &[&Tree<'_>]) -> Result<Vec<HookValue>, Failure> {
    let lookups = mentioned(items, "VolumeType").into_iter();
    let lookups =
        lookups.map(|wanted| -> BoxFuture<'_, Result<(), Failure>> { Box::pin(volume_type(context, wanted)) });
    at_most(TYPES_AT_ONCE, lookups.collect()).await?;
    Ok(Vec::new())
}

/// Returns the properties of an instance type, and sends its node if the price list has it. If the call failed, the
/// node lacks the properties: the type exists, as an instance has it.
async fn instance_type(context: HookContext<'_>, name: &str) -> Result<Price<InstanceType>, Failure> {
    let price = prices::instance_type(context.run, context.location, name).await?;
    match &price {
        Price::Known(found) => send_instance_type(context, name, Some(found)).await?,
        Price::Failed => send_instance_type(context, name, None).await?,
        Price::Unlisted => {}
    }
    Ok(price)
}

/// Sends the node of a volume type, unless the list has no price for it.
async fn volume_type(context: HookContext<'_>, name: &str) -> Result<(), Failure> {
    let cost = match prices::volume_type(context.run, context.location, name).await? {
        Price::Known(cost) => Some(cost),
        Price::Failed => None,
        Price::Unlisted => return Ok(()),
    };
    let quota = match volume_quotas(name) {
        Some(names) => quotas::value(context.run, context.location, "ebs", &names).await?,
        None => QuotaValue::default(),
    };
    let mut resource = Resource::new(context.run.kind(VOLUME_TYPE)?, name);
    set(
        context,
        &mut resource,
        [("volume_type", Value::from(name)), ("ondemand_cost", Value::from(cost)), ("quota", Value::from(quota.value))],
    )?;
    let unknown = [("ondemand_cost", cost.is_none()), ("quota", quota.is_unknown)];
    context.send(resource, &named(&unknown)).await.map(drop)
}

/// Returns the names of the unknown properties.
fn named<'n>(names: &[(&'n str, bool)]) -> Vec<&'n str> {
    names.iter().filter(|(_, is_unknown)| *is_unknown).map(|(name, _)| *name).collect()
}

fn mentioned<'t>(items: &[&'t Tree<'_>], member: &str) -> BTreeSet<&'t str> {
    items.iter().filter_map(|item| item.get(member).and_then(Tree::text)).collect()
}

fn set<const N: usize>(
    context: HookContext<'_>,
    resource: &mut Resource<'_>,
    fields: [(&str, Value); N],
) -> Result<(), Failure> {
    for (field, value) in fields {
        resource.set(field, value).map_err(|error| context.run.internal(error))?;
    }
    Ok(())
}

async fn send_instance_type(context: HookContext<'_>, name: &str, found: Option<&InstanceType>) -> Result<(), Failure> {
    let reserved = reservations(context, name).await?;
    let mut resource = Resource::new(context.run.kind(INSTANCE_TYPE)?, name);
    set(
        context,
        &mut resource,
        [
            ("instance_type", Value::from(name)),
            ("instance_cores", Value::from(found.map(|found| found.cores))),
            ("instance_memory", Value::from(found.map(|found| found.memory))),
            ("ondemand_cost", Value::from(found.and_then(|found| found.cost))),
            ("reservations", Value::from(reserved.as_ref().and_then(|reserved| *reserved))),
        ],
    )?;
    let facts = ["instance_cores", "instance_memory", "ondemand_cost"].map(|fact| (fact, found.is_none()));
    let unknown = [&facts[..], &[("reservations", reserved.is_none())]].concat();
    context.send(resource, &named(&unknown)).await?;
    let (bucket, names) = instance_quota(name);
    let id = format!("{bucket}_quota");
    let quota = match names {
        Some(names) => quotas::value(context.run, context.location, "ec2", names).await?,
        None => QuotaValue::default(),
    };
    let mut resource = Resource::new(context.run.kind(INSTANCE_QUOTA)?, id.as_str());
    set(
        context,
        &mut resource,
        [
            ("quota", Value::from(quota.value)),
            ("quota_type", Value::from(if names.is_some() { "vcpu" } else { "standard" })),
            ("instance_type", Value::from(id.as_str())),
        ],
    )?;
    context.send(resource, if quota.is_unknown { &["quota"] } else { &[] }).await?;
    let key = |kind: &str, id: &str| End::Ref(context.key(kind, id));
    context.run.graph.edge(key(INSTANCE_QUOTA, &id), key(INSTANCE_TYPE, name));
    Ok(())
}

/// Returns the quota that counts an instance type: its key, and the names that AWS has used for it. Other families have
/// none.
fn instance_quota(name: &str) -> (&str, Option<&'static [&'static str]>) {
    match name.as_bytes().first() {
        Some(b'a' | b'c' | b'd' | b'h' | b'i' | b'm' | b'r' | b't' | b'z') => {
            ("standard_ondemand", Some(&["Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"]))
        }
        Some(b'f') => ("f_ondemand", Some(&["Running On-Demand F instances"])),
        Some(b'g') => ("g_ondemand", Some(&["Running On-Demand G instances", "Running On-Demand G and VT instances"])),
        Some(b'p') => ("p_ondemand", Some(&["Running On-Demand P instances"])),
        Some(b'x') => ("x_ondemand", Some(&["Running On-Demand X instances"])),
        _ => (name, None),
    }
}

/// Returns the names that AWS has used for the quota of a volume type.
fn volume_quotas(name: &str) -> Option<[&'static str; 2]> {
    Some(match name {
        "gp2" => ["General Purpose (SSD) volume storage", "Storage for General Purpose SSD (gp2) volumes, in TiB"],
        "standard" => ["Magnetic volume storage", "Storage for Magnetic (standard) volumes, in TiB"],
        "sc1" => ["Max Cold HDD (SC1) Storage", "Storage for Cold HDD (sc1) volumes, in TiB"],
        "st1" => {
            ["Max Throughput Optimized HDD (ST1) Storage", "Storage for Throughput Optimized HDD (st1) volumes, in TiB"]
        }
        "io1" => ["Provisioned IOPS (SSD) volume storage", "Storage for Provisioned IOPS SSD (io1) volumes, in TiB"],
        _ => return None,
    })
}

/// Returns the number of reserved instances of a type; the inner `None` if there is none or reservations are not
/// selected, the outer `None` if they could not be listed.
async fn reservations(context: HookContext<'_>, name: &str) -> Result<Option<Option<i64>>, Failure> {
    let HookContext { run, location, .. } = context;
    if !run.is_wanted(RESERVATIONS) {
        return Ok(Some(None));
    }
    let reservations = location.slots.get::<Reservations>();
    let known = reservations.0.get_or_try_init(|| async {
        match list_reservations(context).await {
            Ok(known) => Ok(Some(known)),
            Err(error) => location.report_failure(run, RESERVATIONS, &error).await.map(|()| None),
        }
    });
    Ok(known.await?.as_ref().map(|known| known.get(name).copied()))
}

async fn list_reservations(context: HookContext<'_>) -> Result<HashMap<String, i64>, CallError> {
    let mut known = HashMap::new();
    let request = Request::new("ec2", "DescribeReservedInstances", &context.location.region);
    let mut pages = context.run.pages(request);
    while let Some(page) = pages.next().await {
        let page = page?;
        for reservation in page.tree()?.path("ReservedInstances[]") {
            let is_active = reservation.get("State").and_then(Tree::text) == Some("active");
            let name = reservation.get("InstanceType").and_then(Tree::text).filter(|_| is_active);
            if let Some((name, count)) = name.zip(reservation.get("InstanceCount").and_then(Tree::int)) {
                *known.entry(name.to_owned()).or_insert(0) += count;
            }
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_types_are_counted_by_family() {
        assert_eq!(instance_quota("m5.large").0, "standard_ondemand");
        assert_eq!(instance_quota("inf1.xlarge").0, "standard_ondemand");
        assert_eq!(instance_quota("g4dn.xlarge").0, "g_ondemand");
        assert_eq!(instance_quota("u-6tb1.metal"), ("u-6tb1.metal", None));
    }
}
