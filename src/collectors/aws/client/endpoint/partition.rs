//! Partitions of AWS and their regions, from the table `../models/partitions.txt`.

use super::value::Value;

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

/// A line of the table that begins with `partition`, without that word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Partition(&'static str);

impl Partition {
    /// The word at a position, or an empty text.
    fn word(self, position: usize) -> &'static str {
        self.0.split(' ').nth(position).unwrap_or_default()
    }

    fn name(self) -> &'static str {
        self.word(0)
    }

    /// Whether a region has the form that the regions of the partition have.
    fn fits(self, region: &str) -> bool {
        self.word(5).split(',').any(|prefix| belongs(region, prefix))
    }

    /// Returns an attribute by its name in the endpoint rules.
    pub(super) fn attribute(self, name: &str) -> Value<'static> {
        match name {
            "name" => Value::text(self.name()),
            "dnsSuffix" => Value::text(self.word(1)),
            "dualStackDnsSuffix" => Value::text(self.word(2)),
            "implicitGlobalRegion" => Value::text(self.word(3)),
            "supportsFIPS" | "supportsDualStack" => self.word(4).split(',').any(|flag| flag == name).into(),
            _ => Value::Absent,
        }
    }
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
    by_pattern(region).map(Partition::name)
}

/// Returns the partition that the endpoint rules take for a region, whatever its name.
pub(super) fn of_rules(region: &str) -> Option<Partition> {
    let listed = self::region(region).and_then(|region| named(region.partition));
    let global = || region.strip_suffix("-global").and_then(named);
    listed.or_else(global).or_else(|| by_pattern(region)).or_else(|| named(FALLBACK))
}

fn named(name: &str) -> Option<Partition> {
    partitions().find(|partition| partition.name() == name)
}

fn by_pattern(region: &str) -> Option<Partition> {
    partitions().find(|partition| partition.fits(region))
}

fn partitions() -> impl Iterator<Item = Partition> {
    TABLE.lines().filter_map(|line| line.strip_prefix("partition ").map(Partition))
}

/// Whether a region is a prefix, a word and a number joined by dashes.
fn belongs(region: &str, prefix: &str) -> bool {
    let rest = region.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    rest.and_then(|rest| rest.split_once('-'))
        .is_some_and(|(name, number)| word(name) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}
