//! The address of a service in a region, and the region in the signature of its requests.
//!
//! AWS's own endpoint rules decide (`rules`, `functions`, `partition`); the user's settings are their parameters. Both
//! the collector's client and the clients of the official crates get their addresses here.

mod functions;
mod partition;
mod rules;
#[cfg(test)]
mod tests;
mod value;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

pub use partition::{Region, partition, region, regions};
use rules::Parameters;
use serde::{Deserialize, Serialize};
use value::Value;

/// What the user's settings say about addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSettings {
    /// Whether only endpoints with validated cryptography (FIPS 140) may be used.
    pub use_fips: bool,
    /// Whether endpoints with IPv4 and IPv6 are used.
    pub use_dual_stack: bool,
    /// The URL for all services, instead of AWS's own.
    pub all: Option<String>,
    /// The URL for one service, by botocore's name of it.
    pub services: BTreeMap<String, String>,
    /// Whether STS is called at `sts.amazonaws.com` in the regions that it served first.
    pub sts_global: bool,
    /// What holds for S3 only.
    pub s3: S3Settings,
}

/// What the user's settings say about addresses of S3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct S3Settings {
    /// Where the name of a bucket goes.
    pub addressing: S3Addressing,
    /// [`EndpointSettings::use_dual_stack`] for S3, if that is set on its own.
    pub use_dual_stack: Option<bool>,
    /// Whether S3 in us-east-1 is called at `s3.amazonaws.com`.
    pub us_east_1_global: bool,
}

/// Where the name of a bucket goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum S3Addressing {
    /// Into the host at AWS, into the path at a URL of the settings.
    #[default]
    Auto,
    /// Into the path.
    Path,
    /// Into the host.
    Virtual,
}

impl EndpointSettings {
    /// Settings that lead all services to one URL.
    #[must_use]
    pub fn all(url: &str) -> Self {
        Self { all: Some(url.to_owned()), ..Self::default() }
    }

    /// Returns the URL that the settings give for a service.
    pub(in crate::collectors::aws) fn url(&self, service: &str) -> Option<&str> {
        self.services.get(service).or(self.all.as_ref()).map(String::as_str)
    }

    /// The parameters of the endpoint rules, without URL.
    fn parameters<'a>(&self, service: &str, region: &'a str) -> Parameters<'a> {
        let dual_stack = self.s3.use_dual_stack.filter(|_| service == "s3").unwrap_or(self.use_dual_stack);
        let mut parameters: Parameters<'a> = Vec::with_capacity(PARAMETERS);
        parameters.push(("Region", Value::text(region)));
        parameters.push(("UseFIPS", self.use_fips.into()));
        parameters.push(("UseDualStack", dual_stack.into()));
        match service {
            "sts" => parameters.push(("UseGlobalEndpoint", self.sts_global.into())),
            "s3" => parameters.push(("UseGlobalEndpoint", self.s3.us_east_1_global.into())),
            _ => {}
        }
        parameters
    }
}

/// Room for the parameters and for the names that rules assign.
const PARAMETERS: usize = 24;

/// Where a request goes, and for which region it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::collectors::aws) struct Endpoint {
    /// Scheme, host and maybe port, and a path if the settings or the rules give one; no slash at the end.
    pub url: String,
    /// The region in the signature.
    pub signing_region: String,
    /// Whether settings gave it.
    pub overridden: bool,
    /// Whether the host is that of one bucket. There may be many.
    pub is_bucket_host: bool,
}

/// Decides endpoints by the settings of one user, and keeps what it decided for a service in a region.
#[derive(Debug)]
pub(super) struct Endpoints {
    settings: EndpointSettings,
    /// By service and region.
    known: Mutex<HashMap<&'static str, HashMap<String, Arc<Endpoint>>>>,
}

impl Endpoints {
    /// Decides nothing yet.
    pub(super) fn new(settings: EndpointSettings) -> Self {
        Self { settings, known: Mutex::default() }
    }

    /// Returns the endpoint of a service in a region, decided once.
    ///
    /// # Errors
    /// As [`resolve`].
    pub(super) fn of(&self, service: &'static str, region: &str) -> Result<Arc<Endpoint>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let regions = known.entry(service).or_default();
        if let Some(endpoint) = regions.get(region) {
            return Ok(Arc::clone(endpoint));
        }
        let endpoint = Arc::new(resolve(service, region, &self.settings)?);
        regions.insert(region.to_owned(), Arc::clone(&endpoint));
        Ok(endpoint)
    }

    /// Returns the endpoint of a bucket. Its URL contains the name of the bucket. With `in_path` it is in the path.
    ///
    /// # Errors
    /// As [`resolve`], and for buckets that need another kind of signature.
    pub(super) fn of_bucket(&self, bucket: &str, region: &str, in_path: bool) -> Result<Endpoint, String> {
        let url = self.settings.url("s3");
        let in_path = match self.settings.s3.addressing {
            S3Addressing::Path => true,
            S3Addressing::Virtual => in_path,
            S3Addressing::Auto => in_path || url.is_some(),
        };
        let mut parameters = self.settings.parameters("s3", region);
        parameters.push(("Bucket", Value::text(bucket)));
        parameters.push(("ForcePathStyle", in_path.into()));
        match url {
            Some(url) => {
                let service = self.of("s3", region)?;
                parameters.push(("Endpoint", Value::text(url.trim_end_matches('/'))));
                let found = rules::resolve("s3", parameters)?;
                Ok(endpoint(&found.url, service.signing_region.clone(), true))
            }
            None => of_aws("s3", region, parameters),
        }
    }
}

/// Returns the endpoint of a service in a region.
///
/// # Errors
/// What cannot be: no endpoint with these settings, a region of no known partition, or a URL that is none.
pub(in crate::collectors::aws) fn resolve(
    service: &str,
    region: &str,
    settings: &EndpointSettings,
) -> Result<Endpoint, String> {
    let mut parameters = settings.parameters(service, region);
    let Some(url) = settings.url(service) else { return of_aws(service, region, parameters) };
    check_url(url)?;
    parameters.push(("Endpoint", Value::text(url.trim_end_matches('/'))));
    let found = rules::resolve(service, parameters)?;
    Ok(endpoint(&found.url, usual_region(service, region), true))
}

/// The endpoint at AWS.
fn of_aws(service: &str, region: &str, parameters: Parameters<'_>) -> Result<Endpoint, String> {
    if partition(region).is_none() {
        return Err(format!("the region {region:?} belongs to no known partition"));
    }
    let found = rules::resolve(service, parameters)?;
    let signing_region = signing_region(&found.properties)?.unwrap_or(region).to_owned();
    Ok(endpoint(&found.url, signing_region, false))
}

fn endpoint(url: &str, signing_region: String, overridden: bool) -> Endpoint {
    Endpoint { url: url.trim_end_matches('/').to_owned(), signing_region, overridden, is_bucket_host: false }
}

/// The region that AWS's own endpoint of a service wants in signatures. A server of the user's own needs no known
/// region.
fn usual_region(service: &str, region: &str) -> String {
    let parameters = EndpointSettings::default().parameters(service, region);
    let found = partition(region).and_then(|_| rules::resolve(service, parameters).ok());
    let signing = found.as_ref().and_then(|found| signing_region(&found.properties).ok().flatten());
    signing.unwrap_or(region).to_owned()
}

/// The region that the rules name for signatures.
fn signing_region(properties: &serde_json::Value) -> Result<Option<&str>, String> {
    let Some(scheme) = properties["authSchemes"].get(0) else { return Ok(None) };
    match scheme["name"].as_str() {
        Some("sigv4") => Ok(scheme["signingRegion"].as_str().filter(|region| !region.is_empty())),
        other => Err(format!("the endpoint wants signatures of the kind {}", other.unwrap_or("without a name"))),
    }
}

/// Checks a URL that a setting gives for services.
///
/// # Errors
/// A part of a sentence that says what is wrong with it.
pub(in crate::collectors::aws) fn check_url(url: &str) -> Result<(), String> {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if host.is_none_or(|host| host.is_empty() || url.contains(['?', '#']) || url.parse::<http::Uri>().is_err()) {
        return Err("it is no URL such as http://127.0.0.1:5000".to_owned());
    }
    if host.is_some_and(|host| host.split('/').next().is_some_and(|authority| authority.contains('@'))) {
        return Err("it has a user or a password, which no service of AWS takes".to_owned());
    }
    Ok(())
}
