//! Prices of types from a short price list.

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
