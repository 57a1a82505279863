//! The settings of AWS's own tools, from variables and profile. No other code reads them.
//!
//! The supervisor reads them once. All but secrets goes to workers as [`SdkSettings`] inside the credentials. The
//! collector's client and those of the official crates use nothing else. `tests/table.rs` lists every setting and its
//! treatment; `docs/aws.md` has the same table for users.

mod files;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf};

use aws_runtime::env_config::file::EnvConfigFiles;
use files::Profile;
use serde::{Deserialize, Serialize};

use super::{
    client::{EndpointSettings, S3Addressing, check_url, model, resolve},
    http,
};

/// The region if no setting names one.
pub(crate) const DEFAULT_REGION: &str = "us-east-1";

/// The service that only the official crates call: name and official ID.
pub(crate) const ORGANIZATIONS: (&str, &str) = ("organizations", "Organizations");

/// The prefix of the variables with endpoints.
const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT_URL";

/// The services that sources of credentials call, by their names in the endpoint section of a profile.
const CREDENTIAL_SERVICES: [&str; 2] = ["sso", "sso_oidc"];

/// The longest application name in bytes.
const MAX_APP_ID: usize = 50;

/// Environment variables.
pub(crate) struct Variables(BTreeMap<String, String>);

/// The settings of clients. Contains no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SdkSettings {
    /// The region of calls that belong to no other region.
    pub(crate) region: String,
    /// The endpoint settings.
    pub(crate) endpoints: EndpointSettings,
    /// The absolute path of the file with certificates that are trusted instead of the system's.
    pub(crate) ca_bundle: Option<PathBuf>,
    /// The user's name for this application.
    pub(crate) app_id: Option<String>,
}

impl Default for SdkSettings {
    fn default() -> Self {
        Self {
            region: DEFAULT_REGION.to_owned(),
            endpoints: EndpointSettings::default(),
            ca_bundle: None,
            app_id: None,
        }
    }
}

/// The settings, and the sources of credentials.
pub(crate) struct ReadSettings {
    /// The settings.
    pub(crate) settings: SdkSettings,
    /// The name of the profile.
    pub(crate) profile: String,
    /// The parsed configuration files. They contain secrets.
    pub(crate) files: EnvConfigFiles,
    /// Messages to log.
    pub(crate) warnings: Vec<String>,
}

/// Reads and checks all settings. `has_key` means that options give the credentials.
///
/// # Errors
/// The rejected setting, and the remedy.
pub(crate) fn read(variables: &Variables, has_key: bool) -> Result<ReadSettings, String> {
    let profile = Profile::read(variables)?;
    let reader = Reader { variables, profile: &profile };
    let settings = SdkSettings {
        region: reader.region(),
        endpoints: reader.endpoints()?,
        ca_bundle: reader.ca_bundle()?,
        app_id: reader.value("AWS_SDK_UA_APP_ID", "sdk_ua_app_id").map(|given| app_id(given.value)),
    };
    reader.check_sources(has_key)?;
    check_endpoints(&settings)?;
    let (name, files) = (profile.name().to_owned(), profile.contents());
    Ok(ReadSettings { settings, profile: name, files, warnings: profile.warnings })
}

/// Checks that every service has an endpoint in the region of the settings.
fn check_endpoints(settings: &SdkSettings) -> Result<(), String> {
    for service in model::services().chain([ORGANIZATIONS.0]) {
        resolve(service, &settings.region, &settings.endpoints).map_err(|error| {
            format!(
                "cannot call {service} in {} with these AWS settings: {error}; change the region, the endpoint URLs, or \
                 AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT (or the same in the profile)",
                settings.region
            )
        })?;
    }
    Ok(())
}

/// The services accept these characters only.
fn app_id(given: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character);
    given.chars().take(MAX_APP_ID).map(|character| if fits(character) { character } else { '-' }).collect()
}

/// A value and its place, for messages.
struct Given<'a> {
    value: &'a str,
    place: String,
}

/// Reads single settings: a variable overrides the profile.
struct Reader<'a> {
    variables: &'a Variables,
    profile: &'a Profile,
}

impl<'a> Reader<'a> {
    fn variable(&self, name: &str) -> Option<Given<'a>> {
        self.variables.get(name).map(|value| Given { value, place: name.to_owned() })
    }

    fn of_profile(&self, value: Option<&'a str>, key: &str) -> Option<Given<'a>> {
        value.map(|value| Given { value, place: format!("{key} of the AWS profile {}", self.profile.name()) })
    }

    fn value(&self, variable: &str, key: &str) -> Option<Given<'a>> {
        self.variable(variable).or_else(|| self.of_profile(self.profile.get(key), key))
    }

    fn s3(&self, key: &str) -> Option<Given<'a>> {
        self.of_profile(self.profile.nested("s3", key), &format!("s3.{key}"))
    }

    fn region(&self) -> String {
        let given = self.variable("AWS_REGION").or_else(|| self.value("AWS_DEFAULT_REGION", "region"));
        given.map_or(DEFAULT_REGION, |given| given.value).to_owned()
    }

    fn endpoints(&self) -> Result<EndpointSettings, String> {
        let flag = |variable, key| self.value(variable, key).map_or(Ok(false), |given| boolean(&given));
        let mut settings = EndpointSettings {
            use_fips: flag("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")?,
            use_dual_stack: flag("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint")?,
            ..EndpointSettings::default()
        };
        if !flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls")? {
            self.urls(&mut settings)?;
        }
        if let Some(given) = self.value("AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints") {
            settings.sts_global = is_legacy(&given)?;
        }
        let s3 = &mut settings.s3;
        let (variable, key) = ("AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "us_east_1_regional_endpoint");
        if let Some(given) = self.value(variable, &format!("s3_{key}")).or_else(|| self.s3(key)) {
            s3.us_east_1_global = is_legacy(&given)?;
        }
        if let Some(given) = self.s3("use_dualstack_endpoint") {
            s3.use_dual_stack = Some(boolean(&given)?);
        }
        if let Some(given) = self.s3("addressing_style") {
            let styles = [S3Addressing::Auto, S3Addressing::Path, S3Addressing::Virtual];
            s3.addressing = one_of(&given, ["auto", "path", "virtual"], styles)?;
        }
        Ok(settings)
    }

    /// Returns the URLs of services: from the service's variable, the variable for all, the profile's section, the
    /// profile's key.
    fn urls(&self, settings: &mut EndpointSettings) -> Result<(), String> {
        // The official crates, which the sources of credentials use, fail with an empty one.
        for (name, value) in self.variables.0.range(ENDPOINT_VARIABLE.to_owned()..) {
            if !name.starts_with(ENDPOINT_VARIABLE) {
                break;
            }
            url(&Given { value, place: name.clone() })?;
        }
        for service in CREDENTIAL_SERVICES {
            self.of_profile(self.profile.service_endpoint(service), service).map_or(Ok(()), |given| url(&given))?;
        }
        let all = self.variable(ENDPOINT_VARIABLE);
        let services = model::services().filter_map(|name| Some((name, model::service(name)?.id)));
        for (name, id) in services.chain([ORGANIZATIONS]) {
            let id = id.replace([' ', '-'], "_");
            let own = self.variable(&format!("{ENDPOINT_VARIABLE}_{}", id.to_uppercase()));
            let id = id.to_lowercase();
            let of_profile =
                || self.of_profile(self.profile.service_endpoint(&id), &format!("services.{id}.endpoint_url"));
            let given = if all.is_some() { own } else { own.or_else(of_profile) };
            if let Some(given) = given {
                url(&given)?;
                settings.services.insert(name.to_owned(), given.value.to_owned());
            }
        }
        if let Some(given) = all.or_else(|| self.of_profile(self.profile.get("endpoint_url"), "endpoint_url")) {
            url(&given)?;
            settings.all = Some(given.value.to_owned());
        }
        Ok(())
    }

    fn ca_bundle(&self) -> Result<Option<PathBuf>, String> {
        let given = self.value("AWS_CA_BUNDLE", "ca_bundle").or_else(|| self.variable("REQUESTS_CA_BUNDLE"));
        let Some(given) = given else { return Ok(None) };
        let refused = |error: String| format!("{error}; correct or unset {}", given.place);
        let path = self.variables.expanded(given.value);
        let path = std::path::absolute(&path).map_err(|error| refused(format!("cannot find {path:?}: {error}")))?;
        http::trusted(&path).map_err(refused)?;
        Ok(Some(path))
    }

    /// Rejects sources of credentials that a daemon cannot use.
    fn check_sources(&self, has_key: bool) -> Result<(), String> {
        if has_key || self.variables.get("AWS_ACCESS_KEY_ID").is_some() {
            return Ok(());
        }
        let name = self.profile.name();
        let remedy = "give credentials by an option or a variable, or choose another AWS_PROFILE";
        if self.variables.get("AWS_CREDENTIAL_FILE").is_some() {
            return Err(
                "cannot use AWS_CREDENTIAL_FILE: its format is no longer read; use AWS_SHARED_CREDENTIALS_FILE".into(),
            );
        }
        if self.profile.chain_has("mfa_serial") {
            return Err(format!(
                "cannot use the AWS profile {name}: its role wants a code of an MFA device (mfa_serial), which ckworker \
                 cannot ask for; {remedy}"
            ));
        }
        if self.profile.chain_has("login_session") {
            return Err(format!(
                "cannot use the AWS profile {name}: sessions of `aws login` (login_session) are not supported; {remedy}"
            ));
        }
        Ok(())
    }
}

fn url(given: &Given<'_>) -> Result<(), String> {
    check_url(given.value).map_err(|error| format!("cannot use {}: {error}; correct or unset it", given.place))
}

fn boolean(given: &Given<'_>) -> Result<bool, String> {
    one_of(given, ["true", "false"], [true, false])
}

/// Returns whether a choice between regional and legacy endpoints is for the legacy ones.
fn is_legacy(given: &Given<'_>) -> Result<bool, String> {
    one_of(given, ["legacy", "regional"], [true, false])
}

/// Returns the meaning of a word in any case.
fn one_of<T: Copy, const N: usize>(given: &Given<'_>, words: [&str; N], meanings: [T; N]) -> Result<T, String> {
    let found = words.iter().position(|word| word.eq_ignore_ascii_case(given.value.trim()));
    found
        .and_then(|at| meanings.get(at).copied())
        .ok_or_else(|| format!("cannot use {}: it is {:?}; set it to {}", given.place, given.value, words.join(" or ")))
}
