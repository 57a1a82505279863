//! What the engine knows about a cloud beforehand: names, levels, definitions, kinds and hooks.

use super::{
    change::ChangeHooks,
    definition::{Definition, Definitions, Mistake, Service},
    hook::Hook,
};
use crate::graph::Schema;

/// A cloud whose kinds are collected and changed by definitions.
pub struct Cloud {
    /// The collector's name, which is the ID of the cloud's node.
    pub name: &'static str,
    /// The name in messages.
    pub title: &'static str,
    /// The kind of an account's node. Its definition completes the item that the cloud gives for the account.
    pub account: &'static str,
    /// The levels of locations, each after the one that contains it.
    pub levels: &'static [Level],
    /// The definitions.
    pub definitions: &'static Definitions,
    /// The kinds.
    pub schema: &'static Schema,
    /// The hooks of collection.
    pub hooks: &'static [&'static dyn Hook],
    /// The hooks of changes.
    pub change_hooks: ChangeHooks,
}

/// A level of locations, such as all regions.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// The name in definitions: a kind with this scope is listed in each location of the level.
    pub scope: &'static str,
    /// The level that contains its locations; the account if `None`.
    pub within: Option<&'static str>,
    /// The nodes of its locations. A level without nodes has one location, and the resources there are children of the
    /// account.
    pub node: Option<LevelNode>,
}

/// The nodes of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelNode {
    /// The kind of the nodes.
    pub kind: &'static str,
    /// The part of the IDs of resources that the location is.
    pub part: LocationPart,
}

/// The part of a resource's ID that a location is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationPart {
    /// The region.
    Region,
    /// The zone.
    Zone,
}

impl Cloud {
    /// Returns the definition of a kind with its service.
    #[must_use]
    pub fn find(&self, kind: &str) -> Option<(&Service, &Definition)> {
        self.definitions.find(kind)
    }

    /// Returns the level with this scope.
    #[must_use]
    pub fn level(&self, scope: &str) -> Option<&'static Level> {
        self.levels.iter().find(|level| level.scope == scope)
    }

    /// Returns whether the nodes of a level are of this kind.
    #[must_use]
    pub fn is_level(&self, kind: &str) -> bool {
        self.levels.iter().filter_map(|level| level.node).any(|node| node.kind == kind)
    }

    /// Returns the hook of this name.
    #[must_use]
    pub fn hook(&self, name: &str) -> Option<&'static dyn Hook> {
        self.hooks.iter().copied().find(|hook| hook.name() == name)
    }

    /// Returns the mistakes of a definition file that need no model of the API: kinds, fields, levels, hooks and
    /// parents that do not exist.
    #[must_use]
    pub fn mistakes(&self, service: &Service) -> Vec<Mistake> {
        super::definition::check(self, service)
    }
}
