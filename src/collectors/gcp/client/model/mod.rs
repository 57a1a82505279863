//! The service models: methods, their parameters and responses.
//!
//! The models are text embedded in the binary (`../../models`, with a README that describes the format). The methods of
//! a service are parsed when it is first needed, its structures one by one, and each once per process.

mod kind;
mod template;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

pub use kind::{Kind, Structure, StructureRef};
pub use template::{Template, Values, decoded, encoded};
pub use walk::PathError;

use crate::engine::Path;

macro_rules! models {
    ($($name:literal)*) => {
        /// The embedded models, ordered by name.
        const MODELS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../models/", $name, ".txt")))),*];
    };
}

models! {
    "cloudbilling"
    "cloudresourcemanager"
    "cloudresourcemanager.v3"
    "compute"
    "sqladmin"
    "storage"
}

/// A service.
#[derive(Debug)]
pub struct Service {
    /// The name, such as `compute`.
    pub name: &'static str,
    /// The version of its API, such as `v1`.
    pub version: &'static str,
    /// The host. It may have the location of the call in it, as `{region}`.
    pub host: &'static str,
    /// The path before those of the methods; empty, or with a slash at its end.
    pub path: &'static str,
    method_lines: &'static str,
    structure_lines: &'static str,
    methods: OnceLock<BTreeMap<&'static str, Method>>,
    structures: OnceLock<HashMap<&'static str, LazyStructure>>,
}

/// The line of a structure, and the parsed structure.
#[derive(Debug)]
struct LazyStructure {
    line: &'static str,
    parsed: OnceLock<Option<Structure>>,
}

/// A method of a service.
#[derive(Debug)]
pub struct Method {
    /// The method's service.
    pub service: &'static Service,
    /// The name with that of its collection, such as `instances.aggregatedList`.
    pub name: &'static str,
    /// The HTTP method.
    pub verb: &'static str,
    /// The path below that of the service.
    pub path: Template,
    /// The structure of the body.
    pub request: Option<StructureRef>,
    /// The structure of the response.
    pub response: Option<StructureRef>,
    /// The query parameters that are required.
    pub required: Vec<&'static str>,
    /// The other query parameters.
    pub query: Vec<&'static str>,
    /// How to follow pages; `None` if there is one page.
    pub pages: Option<Pages>,
    /// Whether it begins an operation, which its response describes.
    pub begins_operation: bool,
}

/// How to follow the pages of a method.
#[derive(Debug)]
pub struct Pages {
    /// The parameter for the token of a page.
    pub token: &'static str,
    /// The member with the token of the next page.
    pub next: &'static str,
    /// The path to the items of a page.
    pub items: Path,
    /// The parameter for the page size.
    pub limit: Option<&'static str>,
    /// The largest page size, at most 1000; `None` if it is unknown.
    pub size: Option<u32>,
}

/// The services by name, each parsed when it is first needed.
fn parsed_services() -> &'static BTreeMap<&'static str, OnceLock<Option<Service>>> {
    static PARSED: OnceLock<BTreeMap<&'static str, OnceLock<Option<Service>>>> = OnceLock::new();
    PARSED.get_or_init(|| MODELS.iter().map(|(name, _)| (*name, OnceLock::new())).collect())
}

/// Iterates over the names of all services.
pub fn services() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, _)| *name)
}

/// Returns the service with this name.
#[must_use]
pub fn service(name: &str) -> Option<&'static Service> {
    let parse = || MODELS.iter().find(|(known, _)| *known == name).and_then(|(_, text)| Service::parse(text));
    parsed_services().get(name)?.get_or_init(parse).as_ref()
}

/// Returns the method of a service by name.
#[must_use]
pub fn method(service_name: &str, name: &str) -> Option<&'static Method> {
    service(service_name)?.method(name)
}

impl Service {
    pub(super) fn parse(text: &'static str) -> Option<Self> {
        let (head, rest) = text.split_once("\n\n")?;
        let (method_lines, structure_lines) = rest.split_once("\n\n")?;
        let value = |key: &str| {
            let values = head.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
            values.filter(|(known, _)| *known == key).map(|(_, value)| value).next()
        };
        Some(Self {
            name: value("service")?,
            version: value("version")?,
            host: value("host")?,
            path: value("path")?,
            method_lines,
            structure_lines,
            methods: OnceLock::new(),
            structures: OnceLock::new(),
        })
    }

    fn all_methods(&'static self) -> &'static BTreeMap<&'static str, Method> {
        let parsed = || self.method_lines.lines().filter_map(|line| Method::parse(self, line));
        self.methods.get_or_init(|| parsed().map(|method| (method.name, method)).collect())
    }

    /// Returns the method with this name.
    #[must_use]
    pub fn method(&'static self, name: &str) -> Option<&'static Method> {
        self.all_methods().get(name)
    }

    /// Iterates over all methods.
    pub fn methods(&'static self) -> impl Iterator<Item = &'static Method> {
        self.all_methods().values()
    }

    /// Returns the structure with this name.
    #[must_use]
    pub fn structure(&'static self, name: &str) -> Option<&'static Structure> {
        let lines = || self.structure_lines.lines().map(|line| (line.split(' ').next().unwrap_or(line), line));
        let lazy = |line| LazyStructure { line, parsed: OnceLock::new() };
        let structures = self.structures.get_or_init(|| lines().map(|(name, line)| (name, lazy(line))).collect());
        let found = structures.get(name)?;
        found.parsed.get_or_init(|| Structure::parse(self, found.line)).as_ref()
    }
}

impl Method {
    fn parse(service: &'static Service, line: &'static str) -> Option<Self> {
        let mut fields = line.split('\t');
        let (name, verb, path) = (fields.next()?, fields.next()?, Template::parse(fields.next()?)?);
        let request = StructureRef::of(service, fields.next()?);
        let response = StructureRef::of(service, fields.next()?);
        let values: HashMap<&str, &'static str> = fields.filter_map(|field| field.split_once('=')).collect();
        let names = |key| values.get(key).map(|names| names.split(',').collect()).unwrap_or_default();
        let (required, query) = (names("need"), names("query"));
        let pages = match (values.get("in"), values.get("out")) {
            (Some(token), Some(next)) => Some(Pages {
                token,
                next,
                items: Path::parse(values.get("items")?).ok()?,
                limit: values.get("limit").copied(),
                size: values.get("size").and_then(|size| size.parse().ok()),
            }),
            _ => None,
        };
        let begins_operation = values.contains_key("operation");
        Some(Self { service, name, verb, path, request, response, required, query, pages, begins_operation })
    }

    /// Returns the name without that of its collection, such as `delete`.
    #[must_use]
    pub fn action(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// Returns whether it has a query parameter of this name.
    #[must_use]
    pub fn has_query(&self, name: &str) -> bool {
        self.required.iter().chain(&self.query).any(|known| *known == name)
    }

    /// Returns whether the response's structure has a member of this name.
    #[must_use]
    pub fn responds_with(&self, member: &str) -> bool {
        self.response.is_some_and(|response| response.get().member(member).is_some())
    }
}
