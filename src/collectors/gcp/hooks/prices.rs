//! The prices of machine and disk types: which SKUs of the price list make up the price of a type. Pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name of services and SKUs in `--gcp-collect`.
pub(super) const SERVICES: &str = "services";

/// The memory for each core above which a custom machine type pays for extended memory, in GiB.
const EXTENDED_FROM: f64 = 8.0;

/// The parts of a US dollar in which SKUs have their prices.
const NANOS: f64 = 1e9;

/// A SKU of the price list, as the API gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sku(Value);

impl Sku {
    /// Returns a SKU of the price list.
    pub(super) fn new(item: Value) -> Self {
        Self(item)
    }

    /// Returns a part of the item.
    pub(super) fn get(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// Returns a text of the item, empty if there is none.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.get(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Iterates over the regions in which it is sold.
    pub(super) fn regions(&self) -> impl Iterator<Item = &str> {
        self.get("/geoTaxonomy/regions").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    fn name(&self) -> &str {
        self.text("/description")
    }

    fn is_sold(&self, family: &str, groups: &[&str]) -> bool {
        self.text("/category/resourceFamily") == family
            && self.text("/category/usageType") == "OnDemand"
            && groups.contains(&self.text("/category/resourceGroup"))
    }

    /// Returns the price of a unit in billionths of a US dollar: that of the only rate, or of the first one after a free
    /// amount.
    fn nanos(&self) -> Option<f64> {
        let rates = self.get("/pricingInfo/0/pricingExpression/tieredRates")?.as_array()?;
        let is_paid =
            |rate: &&Value| rate.get("startUsageAmount").and_then(Value::as_f64).is_some_and(|from| from > 0.0);
        let rate = match rates.as_slice() {
            [only] => only,
            several => several.iter().find(is_paid)?,
        };
        let price = rate.get("unitPrice")?;
        let whole = price.get("units").and_then(|units| units.as_str()?.parse::<f64>().ok()).unwrap_or_default();
        Some(whole * NANOS + price.get("nanos").and_then(Value::as_f64).unwrap_or_default())
    }
}

/// The types among whose prices the same SKUs are candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// Machine types of a series.
    Machine {
        /// The start of the names; empty for custom types without a series.
        series: &'static str,
        /// Whether cores and memory are chosen freely.
        is_custom: bool,
    },
    /// Disk types.
    Disk {
        /// The name.
        name: &'static str,
        /// Whether the disks are in two zones.
        is_regional: bool,
    },
}

/// The series of machine types with prices.
const SERIES: [&str; 8] = ["g1-small", "f1-micro", "n2d-", "n2-", "m1-", "c2-", "n1-", "e2-"];

/// The series whose SKUs are in a group of their own.
const GROUPS: [(&str, &str); 3] = [("g1-small", "G1Small"), ("f1-micro", "F1Micro"), ("n1-", "N1Standard")];

/// The series whose SKUs, and no others, begin with these words.
const LEADS: [(&str, &str); 4] =
    [("n2d-", "N2D AMD "), ("n2-", "N2 "), ("m1-", "Memory-optimized "), ("c2-", "Compute optimized ")];

/// The groups of SKUs for machine types.
const MACHINES: [&str; 5] = ["G1Small", "F1Micro", "N1Standard", "CPU", "RAM"];

/// The disk types with prices, and the groups of their SKUs.
const DISKS: [(&str, &str); 4] =
    [("local-ssd", "LocalSSD"), ("pd-balanced", "SSD"), ("pd-ssd", "SSD"), ("pd-standard", "PDStandard")];

impl Class {
    /// Returns the class of a machine type; `None` if no SKUs are known to make up its price.
    pub(super) fn of_machine(name: &str) -> Option<Self> {
        let is_custom = name.contains("custom");
        match SERIES.into_iter().find(|series| name.starts_with(series)) {
            Some(series) => Some(Self::Machine { series, is_custom }),
            None => is_custom.then_some(Self::Machine { series: "", is_custom }),
        }
    }

    /// Returns the class of a disk type; `None` if no SKU is known to be its price.
    pub(super) fn of_disk(name: &str, is_regional: bool) -> Option<Self> {
        let (name, _) = DISKS.into_iter().find(|(known, _)| *known == name)?;
        Some(Self::Disk { name, is_regional })
    }

    /// Iterates over all classes.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let machines = SERIES.into_iter().chain([""]);
        let machines = machines.flat_map(|series| [true, false].map(|is_custom| Self::Machine { series, is_custom }));
        let disks = DISKS.into_iter().flat_map(|(name, _)| [true, false].map(|is_regional| (name, is_regional)));
        machines.chain(disks.map(|(name, is_regional)| Self::Disk { name, is_regional }))
    }

    /// Returns the name in keys of shared values.
    pub(super) fn key(self) -> String {
        match self {
            Self::Machine { series, is_custom } => format!("machine {series}{}", if is_custom { "*" } else { "" }),
            Self::Disk { name, is_regional } => format!("disk {name}{}", if is_regional { "*" } else { "" }),
        }
    }

    /// Returns whether a SKU is a candidate.
    pub(super) fn admits(self, sku: &Sku) -> bool {
        let name = sku.name();
        match self {
            Self::Machine { series, is_custom } => {
                sku.is_sold("Compute", &MACHINES)
                    && name.contains("Custom") == is_custom
                    && GROUPS.iter().all(|(of, group)| *of != series || sku.text("/category/resourceGroup") == *group)
                    && LEADS.iter().all(|(of, lead)| (*of == series) == name.starts_with(lead))
                    && (is_custom || (series == "e2-") == name.starts_with("E2 "))
            }
            Self::Disk { name: disk, is_regional } => {
                let group = DISKS.iter().find(|(known, _)| *known == disk).map_or("", |(_, group)| group);
                let (regional, plain) = match name.strip_prefix("Regional ") {
                    Some(plain) => (true, plain),
                    None => (false, name),
                };
                sku.is_sold("Storage", &[group])
                    && regional == is_regional
                    && plain.starts_with("Balanced") == (disk == "pd-balanced")
            }
        }
    }
}

/// A price in US dollars, with the SKUs that make it up.
#[derive(Debug, PartialEq)]
pub(super) struct Price<'s> {
    pub(super) cost: f64,
    pub(super) skus: Vec<&'s Sku>,
}

/// Returns the price of an hour of a machine type with so many cores and GiB of memory. `skus` are those of its class
/// in its region.
pub(super) fn of_machine<'s>(class: Class, cores: f64, memory: f64, skus: &'s [Sku]) -> Option<Price<'s>> {
    let Class::Machine { series, is_custom } = class else { return None };
    if let ("g1-small" | "f1-micro", [only]) = (series, skus) {
        return paid(only.nanos()?, vec![only]);
    }
    if !(skus.len() == 2 || is_custom && skus.len() == 3) {
        return None;
    }
    let is_extended = is_custom && memory / cores > EXTENDED_FROM;
    let (mut nanos, mut used) = (0.0, Vec::new());
    for sku in skus {
        let amount = match sku.name() {
            name if name.contains("Core") => cores,
            name if name.contains("Ram") && name.contains("Extended") == is_extended => memory,
            _ => continue,
        };
        nanos += amount * sku.nanos()?;
        used.push(sku);
    }
    paid(nanos, used)
}

/// Returns the price of a GiB of a disk type for a month. `skus` are those of its class in its region.
pub(super) fn of_disk(skus: &[Sku]) -> Option<Price<'_>> {
    match skus {
        [only] => Some(Price { cost: only.nanos()? / NANOS, skus: vec![only] }),
        _ => None,
    }
}

fn paid(nanos: f64, skus: Vec<&Sku>) -> Option<Price<'_>> {
    (nanos > 0.0).then_some(Price { cost: nanos / NANOS, skus })
}

#[cfg(test)]
#[path = "prices_tests.rs"]
mod tests;
