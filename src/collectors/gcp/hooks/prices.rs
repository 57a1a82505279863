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
mod tests {
    use serde_json::json;

    use super::*;

    fn sku(name: &str, family: &str, group: &str, rates: &[(f64, &str, i64)]) -> Sku {
        let rate = |(from, units, nanos): &(f64, &str, i64)| json!({ "startUsageAmount": from, "unitPrice": { "units": units, "nanos": nanos } });
        Sku::new(json!({
            "description": name,
            "category": { "resourceFamily": family, "resourceGroup": group, "usageType": "OnDemand" },
            "pricingInfo": [{ "pricingExpression": { "tieredRates": rates.iter().map(rate).collect::<Vec<_>>() } }],
        }))
    }

    fn list() -> Vec<Sku> {
        let compute = |name, group, nanos| sku(name, "Compute", group, &[(0.0, "0", nanos)]);
        let storage = |name, group, nanos| sku(name, "Storage", group, &[(0.0, "0", nanos)]);
        vec![
            compute("N1 Predefined Instance Core running in X", "N1Standard", 30),
            compute("N1 Predefined Instance Ram running in X", "N1Standard", 4),
            compute("E2 Instance Core running in X", "CPU", 20),
            compute("E2 Instance Ram running in X", "RAM", 3),
            compute("N2 Instance Core running in X", "CPU", 31),
            compute("N2 Instance Ram running in X", "RAM", 5),
            compute("N2 Custom Instance Core running in X", "CPU", 33),
            compute("N2 Custom Instance Ram running in X", "RAM", 6),
            compute("N2 Custom Extended Instance Ram running in X", "RAM", 9),
            compute("Custom Instance Core running in X", "CPU", 34),
            compute("Custom Instance Ram running in X", "RAM", 7),
            compute("Custom Extended Instance Ram running in X", "RAM", 10),
            sku("Micro Instance running in X", "Compute", "F1Micro", &[(0.0, "0", 0), (720.0, "0", 8)]),
            compute("Nvidia running in X", "GPU", 1),
            storage("SSD backed PD Capacity", "SSD", 170),
            storage("Regional SSD backed PD Capacity", "SSD", 340),
            storage("Balanced PD Capacity", "SSD", 100),
            storage("Regional Balanced PD Capacity", "SSD", 200),
            storage("SSD backed Local Storage", "LocalSSD", 80),
        ]
    }

    fn candidates(class: Class) -> Vec<Sku> {
        list().into_iter().filter(|sku| class.admits(sku)).collect()
    }

    /// The price in nano dollars, and the number of SKUs.
    fn machine(name: &str, cores: f64, memory: f64) -> Option<(i64, usize)> {
        let class = Class::of_machine(name)?;
        let skus = candidates(class);
        let price = of_machine(class, cores, memory, &skus)?;
        #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
        let nanos = (price.cost * 1e9).round() as i64;
        Some((nanos, price.skus.len()))
    }

    fn disk(name: &str, is_regional: bool) -> Option<i64> {
        let skus = candidates(Class::of_disk(name, is_regional)?);
        #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
        let nanos = (of_disk(&skus)?.cost * 1e9).round() as i64;
        Some(nanos)
    }

    #[test]
    fn machine_types_have_the_prices_of_their_series() {
        for (name, cores, memory, expected) in [
            ("n1-standard-2", 2.0, 8.0, Some((92, 2))),
            ("e2-medium", 2.0, 4.0, Some((52, 2))),
            ("n2-standard-2", 2.0, 8.0, Some((102, 2))),
            ("n2-custom-2-8192", 2.0, 8.0, Some((114, 2))),
            ("n2-custom-2-32768-ext", 2.0, 32.0, Some((354, 2))),
            ("custom-2-4096", 2.0, 4.0, Some((96, 2))),
            ("f1-micro", 1.0, 0.6, Some((8, 1))),
            ("a2-highgpu-1g", 12.0, 85.0, None),
            ("c2-standard-4", 4.0, 16.0, None),
        ] {
            assert_eq!(machine(name, cores, memory), expected, "{name}");
        }
    }

    #[test]
    fn regional_disk_types_have_their_own_prices() {
        for (name, zonal, regional) in [
            ("pd-ssd", Some(170), Some(340)),
            ("pd-balanced", Some(100), Some(200)),
            ("local-ssd", Some(80), None),
            ("pd-extreme", None, None),
        ] {
            assert_eq!((disk(name, false), disk(name, true)), (zonal, regional), "{name}");
        }
    }

    #[test]
    fn whole_dollars_count() {
        assert_eq!(sku("x", "Compute", "CPU", &[(0.0, "2", 500_000_000)]).nanos(), Some(2.5e9));
        assert_eq!(sku("x", "Compute", "CPU", &[]).nanos(), None);
    }

    #[test]
    fn classes_have_different_keys() {
        let keys: std::collections::BTreeSet<_> = Class::all().map(Class::key).collect();
        assert_eq!(keys.len(), Class::all().count());
    }
}
