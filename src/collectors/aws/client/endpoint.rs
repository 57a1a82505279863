//! Where a service answers in a region, and how requests to it are signed.
//!
//! The table (`../models/endpoints.txt`) has the partitions with their regions, one pattern per service that deviates
//! from `service.region.suffix`, and single deviations. Settings such as `AWS_ENDPOINT_URL` come first.

use std::{borrow::Cow, collections::BTreeMap};

use super::model::{self, Service};

/// The table as text.
const TABLE: &str = include_str!("../models/endpoints.txt");

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

/// The region of this name, if the table knows it.
#[must_use]
pub fn region(name: &str) -> Option<Region> {
    regions().find(|region| region.name == name)
}

/// The partition that a region belongs to, also of a region newer than the table.
#[must_use]
pub fn partition(region: &str) -> Option<&'static str> {
    section(region).and_then(|lines| lines.split(' ').nth(1))
}

/// Endpoints that settings give instead of the table's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// For all services.
    pub all: Option<String>,
    /// For one service, by its name.
    pub services: BTreeMap<String, String>,
}

impl Overrides {
    /// Reads `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>` through `variable`, unless
    /// `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` says `true`.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        if given("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Self::default();
        }
        let services = model::services().filter_map(|name| {
            let id = model::service(name)?.id.to_uppercase().replace([' ', '-'], "_");
            Some((name.to_owned(), given(&format!("AWS_ENDPOINT_URL_{id}"))?))
        });
        Self { services: services.collect(), all: given("AWS_ENDPOINT_URL") }
    }

    fn of(&self, service: &str) -> Option<&str> {
        self.services.get(service).or(self.all.as_ref()).map(String::as_str)
    }
}

/// Where a request goes, and for which region it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Scheme, host and maybe port, without a path at the end.
    pub url: String,
    /// The region in the signature.
    pub signing_region: String,
    /// Whether settings gave it.
    pub overridden: bool,
}

/// The endpoint of a service in a region.
///
/// # Errors
/// A sentence if the region belongs to no known partition or the override is no URL.
pub(super) fn resolve(service: &Service, region: &str, overrides: &Overrides) -> Result<Endpoint, String> {
    let table = lookup(service, region);
    if let Some(url) = overrides.of(service.name) {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(format!("the endpoint {url:?} does not begin with http:// or https://"));
        }
        // A local server needs no known region.
        let signing_region = table.map_or_else(|| region.to_owned(), |(_, signing)| signing.into_owned());
        return Ok(Endpoint { url: url.trim_end_matches('/').to_owned(), signing_region, overridden: true });
    }
    let (host, signing) = table.ok_or_else(|| format!("the region {region:?} belongs to no known partition"))?;
    Ok(Endpoint { url: format!("https://{host}"), signing_region: signing.into_owned(), overridden: false })
}

/// Host and signing region from the table.
fn lookup(service: &Service, region: &str) -> Option<(String, Cow<'static, str>)> {
    let section = section(region)?;
    let mut usual = None;
    for line in section.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("service"), Some(name)) if name == service.name => usual = Some((words.next()?, words.next()?)),
            (Some("at"), Some(name)) if name == service.name && words.next() == Some(region) => {
                return Some((words.next()?.to_owned(), Cow::Borrowed(words.next()?)));
            }
            _ => {}
        }
    }
    let Some((host, signing)) = usual else {
        let suffix = section.split(' ').nth(2)?;
        return Some((format!("{}.{region}.{suffix}", service.name), Cow::Owned(region.to_owned())));
    };
    let signing = if signing == "{region}" { Cow::Owned(region.to_owned()) } else { Cow::Borrowed(signing) };
    Some((host.replace("{region}", region), signing))
}

/// The lines of the partition of a region: from its `partition` to the next one.
fn section(region: &str) -> Option<&'static str> {
    let mut rest = TABLE.find("partition ").and_then(|at| TABLE.get(at..))?;
    loop {
        let next = rest[1..].find("\npartition ").map(|at| at + 2);
        let (section, after) = rest.split_at(next.unwrap_or(rest.len()));
        let prefixes = section.lines().next()?.split(' ').nth(4)?;
        if prefixes.split(',').any(|prefix| belongs(region, prefix)) {
            return Some(section);
        }
        next?;
        rest = after;
    }
}

/// Whether a region is a prefix, a word and a number joined by dashes.
fn belongs(region: &str, prefix: &str) -> bool {
    let rest = region.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    rest.and_then(|rest| rest.split_once('-'))
        .is_some_and(|(name, number)| word(name) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}
