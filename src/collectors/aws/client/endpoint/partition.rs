//! Partitions of AWS and their regions, from the table `../models/partitions.txt`.

use serde_json::{Value, json};

/// The table as text.
const TABLE: &str = include_str!("../../models/partitions.txt");

/// The partition of regions that match no pattern, as AWS's endpoint rules define it.
const FALLBACK: &str = "aws";

/// A region of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name, such as `eu-central-1`.
    pub name: &'static str,
    /// Its name for people, such as `Europe (Frankfurt)`.
    pub description: &'static str,
    /// The partition, such as `aws` or `aws-cn`.
    pub partition: &'static str,
}

/// One line of the table that begins with `partition`.
#[derive(Clone, Copy)]
struct Partition {
    name: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
    global_region: &'static str,
    flags: &'static str,
    prefixes: &'static str,
}

/// All regions of all partitions, in the table's order.
pub fn regions() -> impl Iterator<Item = Region> {
    TABLE
        .lines()
        .scan("", |partition, line| {
            let mut words = line.splitn(3, ' ');
            let found = match (words.next(), words.next(), words.next()) {
                (Some("partition"), Some(name), _) => {
                    *partition = name;
                    None
                }
                (Some("region"), Some(name), Some(description)) => Some(Region { name, description, partition }),
                _ => None,
            };
            Some(found)
        })
        .flatten()
}

/// Returns the region of this name, if the table has it.
#[must_use]
pub fn region(name: &str) -> Option<Region> {
    regions().find(|region| region.name == name)
}

/// Returns the partition that a region belongs to, also of a region newer than the table.
#[must_use]
pub fn partition(region: &str) -> Option<&'static str> {
    by_pattern(region).map(|partition| partition.name)
}

/// Returns the attributes of a region's partition as the endpoint rules name them.
pub(super) fn attributes(region: &str) -> Value {
    let listed = self::region(region).and_then(|region| named(region.partition));
    let global = || region.strip_suffix("-global").and_then(named);
    let found = listed.or_else(global).or_else(|| by_pattern(region)).or_else(|| named(FALLBACK));
    let Some(partition) = found else { return Value::Null };
    let has = |flag: &str| partition.flags.split(',').any(|known| known == flag);
    json!({
        "name": partition.name,
        "dnsSuffix": partition.suffix,
        "dualStackDnsSuffix": partition.dual_stack_suffix,
        "implicitGlobalRegion": partition.global_region,
        "supportsFIPS": has("supportsFIPS"),
        "supportsDualStack": has("supportsDualStack"),
    })
}

fn named(name: &str) -> Option<Partition> {
    partitions().find(|partition| partition.name == name)
}

fn by_pattern(region: &str) -> Option<Partition> {
    partitions().find(|partition| partition.prefixes.split(',').any(|prefix| belongs(region, prefix)))
}

fn partitions() -> impl Iterator<Item = Partition> {
    TABLE.lines().filter_map(|line| {
        let mut words = line.strip_prefix("partition ")?.split(' ');
        Some(Partition {
            name: words.next()?,
            suffix: words.next()?,
            dual_stack_suffix: words.next()?,
            global_region: words.next()?,
            flags: words.next()?,
            prefixes: words.next()?,
        })
    })
}

/// Whether a region is a prefix, a word and a number joined by dashes.
fn belongs(region: &str, prefix: &str) -> bool {
    let rest = region.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    rest.and_then(|rest| rest.split_once('-'))
        .is_some_and(|(name, number)| word(name) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}
