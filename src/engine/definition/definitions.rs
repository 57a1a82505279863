//! All definitions of a cloud, and the attributes by which their references find nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, Definition, Reference, Service};
use crate::{
    collector_api::{EdgeOwner, NamedAttributes},
    graph::{ANY_KIND, KindSpec},
};

/// The definitions of one cloud.
#[derive(Debug, Default)]
pub struct Definitions {
    /// By file, in the order in which they were given.
    pub services: Vec<Service>,
    /// The attributes of each kind that references use, and whether from anywhere. Nodes are indexed by these only.
    referenced: BTreeMap<String, BTreeSet<(String, bool)>>,
    /// The attributes of each kind that references from other accounts use.
    named: NamedAttributes,
}

impl Definitions {
    /// Parses the definition files of a cloud, each with its name.
    ///
    /// # Errors
    /// The file and line of a mistake.
    pub fn read(files: &[(&str, &str)]) -> Result<Self, String> {
        let mut services = Vec::with_capacity(files.len());
        for (file, text) in files {
            let service = Service::parse(text).map_err(|error| format!("{file}: {error}"))?;
            services.push(service.from_file(file, text));
        }
        Ok(Self::of(services))
    }

    /// Returns the definitions of parsed files.
    #[must_use]
    pub fn of(services: Vec<Service>) -> Self {
        let mut referenced: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
        for reference in services.iter().flat_map(|service| &service.kinds).flat_map(Definition::references) {
            let attributes = referenced.entry(reference.kind.get_ref().clone()).or_default();
            attributes.insert((reference.attribute.get_ref().clone(), reference.is_from_anywhere()));
        }
        let mut named = NamedAttributes::new();
        let references = services.iter().flat_map(|service| &service.kinds).flat_map(Definition::references);
        for reference in references.filter(|reference| reference.is_from_any_account()) {
            let attributes = named.entry(reference.kind.get_ref().clone()).or_default();
            attributes.insert(reference.attribute.get_ref().clone());
        }
        Self { services, referenced, named }
    }

    /// Iterates over the definitions with their services.
    pub fn iter(&self) -> impl Iterator<Item = (&Service, &Definition)> {
        self.services.iter().flat_map(|service| service.kinds.iter().map(move |definition| (service, definition)))
    }

    /// Returns the kinds that have their schema beside their definition.
    #[must_use]
    pub fn kinds(&self, cloud: &str) -> Vec<KindSpec> {
        let kinds = self.iter().filter_map(|(_, definition)| Some((definition, definition.schema.as_ref()?)));
        kinds.map(|(definition, schema)| schema.spec(cloud, definition)).collect()
    }

    /// Iterates over the names that select kinds and calls, in the order of the definitions; some occur repeatedly.
    pub fn collectors(&self) -> impl Iterator<Item = &str> {
        self.iter().flat_map(|(_, definition)| {
            let of_calls = definition.calls.iter().filter_map(Call::collector);
            definition.collector().into_iter().chain(of_calls)
        })
    }

    /// Iterates over the names of the collectors that run only if they are named.
    pub fn only_if_named(&self) -> impl Iterator<Item = &str> {
        self.iter()
            .filter(|(_, definition)| definition.only_if_named)
            .filter_map(|(_, definition)| definition.collector())
    }

    /// Returns the names that select kinds and calls: the given ones first, in their order, then those of the definitions
    /// and of hooks.
    #[must_use]
    pub fn names(&self, first: &[&'static str], of_hooks: &[&'static str]) -> Vec<&str> {
        let mut names: Vec<&str> = first.to_vec();
        for name in self.collectors().chain(of_hooks.iter().copied()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Returns the definition of a kind with its service.
    pub fn find(&self, kind: &str) -> Option<(&Service, &Definition)> {
        self.iter().find(|(_, definition)| definition.kind.get_ref() == kind)
    }

    /// Returns the attributes by which references from other accounts find nodes, by kind.
    #[must_use]
    pub fn named(&self) -> &NamedAttributes {
        &self.named
    }

    /// Returns the end that declares edges between nodes of these kinds, if only one does.
    #[must_use]
    pub fn edge_owner(&self, from: &str, to: &str) -> Option<EdgeOwner> {
        let names = |references: &[Reference], kind: &str| {
            references.iter().any(|one| one.kind.get_ref() == kind || one.kind.get_ref() == ANY_KIND)
        };
        let by_from = self.find(from).is_some_and(|(_, from)| names(&from.successors, to));
        let by_to = self.find(to).is_some_and(|(_, to)| names(&to.predecessors, from));
        match (by_from, by_to) {
            (true, false) => Some(EdgeOwner::From),
            (false, true) => Some(EdgeOwner::To),
            _ => None,
        }
    }

    /// Iterates over the names by which nodes of this kind are indexed: the kind that references use, which may be that
    /// of all nodes, the attribute, and whether references from anywhere use it.
    pub fn referenced<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a str, bool)> {
        [kind, ANY_KIND].into_iter().flat_map(|kind| {
            let attributes = self.referenced.get(kind).into_iter().flatten();
            attributes.map(move |(attribute, is_from_anywhere)| (kind, attribute.as_str(), *is_from_anywhere))
        })
    }
}
