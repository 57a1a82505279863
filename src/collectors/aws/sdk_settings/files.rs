//! The configuration files of AWS's tools, and the selected profile.

use std::{
    borrow::Cow,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use aws_config::profile::{ProfileSet, load};
use aws_runtime::env_config::{
    file::{EnvConfigFileKind, EnvConfigFiles},
    property::PropertiesKey,
};
use aws_types::os_shim_internal::{Env, Fs};
use futures_util::FutureExt;

use super::Variables;

/// The default profile. It need not exist.
const DEFAULT_PROFILE: &str = "default";

/// The two files: kind, the variable with its path, the default path below the home directory.
const FILES: [(EnvConfigFileKind, &str, &str); 2] = [
    (EnvConfigFileKind::Config, "AWS_CONFIG_FILE", ".aws/config"),
    (EnvConfigFileKind::Credentials, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
];

/// A profile and its related sections. Not `Debug`, as files contain secrets.
pub(super) struct Profile {
    name: String,
    sections: ProfileSet,
    contents: EnvConfigFiles,
    /// Messages to log.
    pub(super) warnings: Vec<String>,
}

impl Profile {
    /// Reads the files and selects the profile.
    ///
    /// # Errors
    /// The file that cannot be read or parsed, or the profile that does not exist.
    pub(super) fn read(variables: &Variables) -> Result<Self, String> {
        let mut builder = EnvConfigFiles::builder();
        let mut warnings = Vec::new();
        let mut paths = Vec::new();
        for (kind, variable, usual) in FILES {
            let (text, path) = content(variables, variable, usual, &mut warnings)?;
            builder = builder.with_contents(kind, text);
            paths.extend(path.map(|path| path.display().to_string()));
        }
        let (source, name) = match ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"].map(|name| (name, variables.get(name))) {
            [(variable, Some(name)), _] | [_, (variable, Some(name))] => (Some(variable), name),
            _ => (None, DEFAULT_PROFILE),
        };
        let contents = builder.build();
        // The contents are given, so that the future is ready at once.
        let loaded = load(&Fs::real(), &Env::real(), &contents, Some(Cow::Owned(name.to_owned()))).now_or_never();
        let places = paths.join(" or ");
        let sections = loaded
            .ok_or_else(|| format!("cannot read {places}"))?
            // The error's message may quote the line.
            .map_err(|_| format!("cannot read {places}: not the format of AWS configuration files"))?;
        if let Some(variable) = source.filter(|_| sections.get_profile(name).is_none() && name != DEFAULT_PROFILE) {
            let place = if places.is_empty() { "the AWS configuration files" } else { &places };
            return Err(format!(
                "cannot find the profile {name:?} ({variable}) in {place}; correct or unset {variable}"
            ));
        }
        Ok(Self { name: name.to_owned(), sections, contents, warnings })
    }

    /// Returns the name of the profile.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the files for the official crates.
    pub(super) fn contents(&self) -> EnvConfigFiles {
        self.contents.clone()
    }

    /// Returns a value of the profile. An empty one counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.sections.get(key).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Returns a value of an indented block of the profile, such as `addressing_style` of `s3`.
    pub(super) fn nested(&self, key: &str, inner: &str) -> Option<&str> {
        let lines = self.get(key)?.lines().filter_map(|line| line.split_once('='));
        let mut values = lines.filter(|(name, _)| name.trim() == inner).map(|(_, value)| value.trim());
        values.rfind(|value| !value.is_empty())
    }

    /// Returns the endpoint of a service in the section that the profile names as its `services`.
    pub(super) fn service_endpoint(&self, service: &str) -> Option<&str> {
        let key = PropertiesKey::builder()
            .section_key("services")
            .section_name(self.get("services")?)
            .property_name(service)
            .sub_property_name("endpoint_url");
        let value = self.sections.other_sections().get(&key.build().ok()?)?;
        Some(value.trim())
    }

    /// Returns whether the profile, or one of its source profiles, has a key.
    pub(super) fn chain_has(&self, key: &str) -> bool {
        let mut seen = Vec::new();
        let mut next = Some(self.name.as_str());
        while let Some(name) = next.filter(|name| !seen.contains(name)) {
            seen.push(name);
            let Some(profile) = self.sections.get_profile(name) else { return false };
            if profile.get(key).is_some_and(|value| !value.trim().is_empty()) {
                return true;
            }
            next = profile.get("source_profile");
        }
        false
    }
}

/// Returns the text of a file, empty if it does not exist, and its path.
fn content(
    variables: &Variables,
    variable: &str,
    usual: &str,
    warnings: &mut Vec<String>,
) -> Result<(String, Option<PathBuf>), String> {
    let named = variables.get(variable).map(|path| variables.expanded(path));
    let Some(path) = named.clone().or_else(|| Some(variables.home()?.join(usual))) else {
        return Ok((String::new(), None));
    };
    let is_named = named.is_some();
    let text = match std::fs::read(&path) {
        Ok(bytes) => {
            String::from_utf8(bytes).map_err(|_| format!("cannot read {}: it is not UTF-8 text", path.display()))?
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if is_named {
                warnings.push(format!("{} does not exist ({variable})", path.display()));
            }
            String::new()
        }
        Err(error) if is_named => {
            return Err(format!("cannot read {} ({variable}): {error}; correct or unset {variable}", path.display()));
        }
        // A service manager may hide the home directory, with the same error.
        Err(error) => {
            warnings.push(format!("ignoring {}: {error}", path.display()));
            String::new()
        }
    };
    Ok((text, Some(path)))
}

impl Variables {
    /// Returns the variables of this process.
    pub(crate) fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// Returns these variables.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        Self(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// Returns a value. An empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    fn home(&self) -> Option<&Path> {
        self.get("HOME").map(Path::new)
    }

    /// Expands `~/` to the home directory.
    pub(super) fn expanded(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), self.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(path),
        }
    }
}
