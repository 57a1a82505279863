//! A definition file: a service, its kinds, and the calls that several of them share.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{
    Definition, Identity, Input, ItemLocation, Mistake, Reference, ResourceCall, Source, TagCall, WaitDeleted, is_set,
};

/// A definition file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The service's name in the API.
    pub service: String,
    /// The call that sets a tag on resources of the kinds with `tagging`.
    pub tag: Option<TagCall>,
    /// The call that removes a tag from them.
    pub untag: Option<TagCall>,
    /// Why the tags of all other kinds cannot be changed, such as `resources of this kind have no labels`.
    pub no_tags: Option<String>,
    /// The call that deletes resources of the kinds with `deletable`.
    pub delete: Option<Box<ResourceCall>>,
    /// How to distinguish them from later resources with the same names.
    pub identity: Option<Box<Identity>>,
    /// How to wait until they are deleted.
    pub wait_deleted: Option<Box<WaitDeleted>>,
    /// The call that describes all resources of several kinds.
    pub details: Option<DetailsCall>,
    /// What applies to all kinds of the file that do not say it themselves.
    #[serde(default)]
    pub defaults: Defaults,
    /// The kinds, parents before their children.
    #[serde(rename = "kind", default)]
    pub kinds: Vec<Definition>,
}

/// A call that describes all items of several kinds, so that they need no calls of their own. If it is denied or fails,
/// the kinds are listed and completed by their own calls, which is no gap.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetailsCall {
    /// The operation's name.
    pub operation: Spanned<String>,
    /// The operation's parameters.
    pub input: Spanned<Input>,
    /// Members that are dropped to save memory: responses are kept until all kinds have used them.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// Values of a file's kinds that most of them share. Properties apply one by one, and references to all kinds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// The ID.
    pub id: Option<Spanned<Source>>,
    /// The name.
    pub name: Option<Spanned<Source>>,
    /// The tags.
    pub tags: Option<Spanned<Source>>,
    /// The scope.
    pub scope: Option<Spanned<String>>,
    /// See [`SourceTable::nulls`](super::SourceTable): for all properties.
    #[serde(default)]
    pub nulls: bool,
    /// See [`Definition::unnamed`].
    #[serde(default)]
    pub unnamed: bool,
    /// Where an item may belong.
    #[serde(default)]
    pub location: Vec<ItemLocation>,
    /// The fields.
    #[serde(default)]
    pub properties: BTreeMap<Spanned<String>, Spanned<Source>>,
    /// Edges from other nodes, beside those of each kind.
    #[serde(default)]
    pub predecessors: Vec<Reference>,
}

impl Service {
    /// Parses a definition file, and applies its defaults.
    ///
    /// # Errors
    /// The line of a mistake.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str::<Service>(text)
            .map_err(|error| error.to_string())?
            .with_defaults()
            .map_err(|mistake| mistake.what)
    }

    /// Applies the defaults of the file to its kinds.
    ///
    /// # Errors
    /// A kind that lacks a value which the defaults do not have either.
    pub fn with_defaults(mut self) -> Result<Self, Mistake> {
        for kind in &mut self.kinds {
            kind.apply(&self.defaults).map_err(|what| Mistake { at: kind.kind.span().start, what })?;
        }
        self.kinds.shrink_to_fit();
        Ok(self)
    }

    /// Notes the file and line of each kind.
    #[must_use]
    pub fn from_file(mut self, file: &str, text: &str) -> Self {
        let (mut line, mut counted) = (1, 0);
        for definition in &mut self.kinds {
            let start = definition.kind.span().start;
            let passed = text.as_bytes().get(counted..start).unwrap_or_default();
            line += passed.iter().filter(|byte| **byte == b'\n').count();
            counted = start;
            definition.origin = format!("{file}:{line}");
        }
        self
    }

    /// Returns the call that sets a tag on resources of a kind.
    #[must_use]
    pub fn tag_of(&self, definition: &Definition) -> Option<&TagCall> {
        self.tag.as_ref().filter(|_| definition.tagging)
    }

    /// Returns the call that removes a tag from them.
    #[must_use]
    pub fn untag_of(&self, definition: &Definition) -> Option<&TagCall> {
        self.untag.as_ref().filter(|_| definition.tagging)
    }

    /// Returns the call that deletes resources of a kind.
    #[must_use]
    pub fn delete_of<'d>(&'d self, definition: &'d Definition) -> Option<&'d ResourceCall> {
        own_or(definition, &definition.delete, &self.delete)
    }

    /// Returns how to distinguish them from later resources with the same names.
    #[must_use]
    pub fn identity_of<'d>(&'d self, definition: &'d Definition) -> Option<&'d Identity> {
        own_or(definition, &definition.identity, &self.identity)
    }

    /// Returns how to wait until they are deleted.
    #[must_use]
    pub fn wait_deleted_of<'d>(&'d self, definition: &'d Definition) -> Option<&'d WaitDeleted> {
        own_or(definition, &definition.wait_deleted, &self.wait_deleted)
    }
}

impl Definition {
    /// Applies the defaults of its file.
    fn apply(&mut self, defaults: &Defaults) -> Result<(), String> {
        let missing = |what: &str| format!("{} has no {what}, and neither have the defaults", self.kind.get_ref());
        if !is_set(&self.id) {
            self.id = defaults.id.clone().ok_or_else(|| missing("id"))?;
        }
        if !is_set(&self.scope) {
            self.scope = defaults.scope.clone().ok_or_else(|| missing("scope"))?;
        }
        self.name = self.name.take().or_else(|| defaults.name.clone());
        self.tags = self.tags.take().or_else(|| defaults.tags.clone());
        if self.location.is_empty() {
            self.location.clone_from(&defaults.location);
        }
        for (field, source) in &defaults.properties {
            self.properties.entry(field.clone()).or_insert_with(|| source.clone());
        }
        self.unnamed |= defaults.unnamed;
        if defaults.nulls {
            self.properties.values_mut().for_each(|source| source.as_mut().0.nulls = true);
        }
        self.predecessors.extend(defaults.predecessors.iter().cloned());
        Ok(())
    }
}

/// Returns what a kind has of its own, or if it is `deletable` what its service has.
fn own_or<'d, T>(definition: &Definition, own: &'d Option<Box<T>>, of_service: &'d Option<Box<T>>) -> Option<&'d T> {
    own.as_deref().or_else(|| of_service.as_deref().filter(|_| definition.deletable))
}
