//! The services: the files of each, which are part of the program. A service is named here and in no other list.

/// The files of a service.
#[derive(Debug)]
pub(super) struct ServiceFiles {
    /// The service's name in `botocore`, which is also that of its files.
    pub(super) name: &'static str,
    /// The definitions of its kinds: the name of the file, and its text.
    pub(super) definitions: Option<(&'static str, &'static str)>,
    /// The model, unless only the official crates call the service.
    pub(super) model: Option<&'static str>,
    /// The endpoint rules.
    pub(super) rules: Option<&'static str>,
}

impl ServiceFiles {
    const fn of(name: &'static str) -> Self {
        Self { name, definitions: None, model: None, rules: None }
    }

    const fn definitions(self, file: (&'static str, &'static str)) -> Self {
        Self { definitions: Some(file), ..self }
    }

    const fn model(self, text: &'static str) -> Self {
        Self { model: Some(text), ..self }
    }

    const fn rules(self, text: &'static str) -> Self {
        Self { rules: Some(text), ..self }
    }
}

macro_rules! file {
    (definitions $name:literal) => {
        (concat!($name, ".toml"), include_str!(concat!("definitions/", $name, ".toml")))
    };
    (model $name:literal) => {
        include_str!(concat!("models/", $name, ".txt"))
    };
    (rules $name:literal) => {
        include_str!(concat!("models/rules/", $name, ".txt"))
    };
}

macro_rules! services {
    ($($name:literal: $($part:ident)+;)*) => {
        /// All services, ordered by name.
        pub(super) const SERVICES: &[ServiceFiles] =
            &[$(ServiceFiles::of($name)$(.$part(file!($part $name)))+),*];
    };
}

services! {
    "account": definitions;
    "autoscaling": definitions model rules;
    "cloudformation": definitions model rules;
    "cloudwatch": definitions model rules;
    "ec2": definitions model rules;
    "eks": definitions model rules;
    "elb": definitions model rules;
    "elbv2": definitions model rules;
    "iam": definitions model rules;
    "organizations": rules;
    "pricing": model rules;
    "rds": definitions model rules;
    "s3": definitions model rules;
    "service-quotas": model rules;
    "sts": model rules;
}

/// Iterates over the definition files: name and text.
pub(super) fn definition_files() -> impl Iterator<Item = (&'static str, &'static str)> {
    SERVICES.iter().filter_map(|service| service.definitions)
}

/// Returns the endpoint rules of a service.
pub(super) fn rules(name: &str) -> Option<&'static str> {
    SERVICES.iter().find(|service| service.name == name)?.rules
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{collections::BTreeSet, path::Path};

    use super::*;

    /// The names of the services that have a file in this directory.
    fn on_disk(directory: &str, extension: &str) -> BTreeSet<String> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/collectors/aws").join(directory);
        let paths = directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let files = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
        let names = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
        names.filter(|name| name != "partitions").collect()
    }

    fn named(has: impl Fn(&ServiceFiles) -> bool) -> BTreeSet<String> {
        SERVICES.iter().filter(|service| has(service)).map(|service| service.name.to_owned()).collect()
    }

    #[test]
    fn every_file_is_part_of_the_program() {
        assert!(SERVICES.is_sorted_by_key(|service| service.name));
        assert_eq!(on_disk("definitions", "toml"), named(|service| service.definitions.is_some()));
        assert_eq!(on_disk("models", "txt"), named(|service| service.model.is_some()));
        assert_eq!(on_disk("models/rules", "txt"), named(|service| service.rules.is_some()));
        assert_eq!(named(|service| service.model.is_some() && service.rules.is_none()), BTreeSet::new());
    }
}
