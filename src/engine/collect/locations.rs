//! All locations of an account, found by level and ID.

use std::collections::HashMap;

use super::Location;
use crate::engine::definition::Definition;

/// The locations of an account.
#[derive(Default)]
pub(crate) struct Locations {
    all: Vec<Location>,
    /// By scope and ID: the index.
    by_id: HashMap<&'static str, HashMap<String, usize>>,
}

impl Locations {
    /// Adds a location.
    ///
    /// # Errors
    /// The reason, if its label or its ID in the level is taken: nodes of two locations would be mixed up.
    pub(super) fn push(&mut self, location: Location) -> Result<(), String> {
        let of_level = self.by_id.entry(location.scope()).or_default();
        let is_label_taken = self.all.iter().any(|other| other.label == location.label);
        if is_label_taken || of_level.contains_key(&location.region) {
            return Err(format!("there are two locations {} ({})", location.label, location.region));
        }
        of_level.insert(location.region.clone(), self.all.len());
        self.all.push(location);
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Location> {
        self.all.iter()
    }

    /// Returns the location of a level with an ID.
    pub(crate) fn find(&self, scope: &str, id: &str) -> Option<&Location> {
        self.all.get(*self.by_id.get(scope)?.get(id)?)
    }

    /// Returns the location of a level to which references from a location lead: itself, one that contains it, or the
    /// only one of the level.
    pub(super) fn label_from<'l>(&'l self, location: &'l Location, scope: &str) -> Option<&'l str> {
        let above = || location.containing(scope);
        let only = || {
            let of_level = self.by_id.get(scope).filter(|of_level| of_level.len() == 1)?;
            of_level.values().next().and_then(|index| self.all.get(*index)).map(|only| only.label.as_str())
        };
        if location.scope() == scope { Some(&location.label) } else { above().or_else(only) }
    }

    /// Returns the locations to which the items of a listing may belong: the listing's own, and those of the items'
    /// levels that it contains. A location of a level that contains none of them lists for all of them.
    pub(super) fn of_items<'l>(&'l self, kind: &Definition, location: &'l Location) -> Vec<&'l Location> {
        // In a level that contains the items' level, a location lists for those inside it only.
        let contains =
            |place: &Location| place.containing(location.scope()).is_none_or(|containing| containing == location.label);
        let is_of_level = |place: &&Location| kind.location.iter().any(|one| one.scope.get_ref() == place.scope());
        let of_levels = self.all.iter().filter(is_of_level).filter(|place| place.label != location.label);
        of_levels.filter(|place| contains(place)).chain([location]).collect()
    }

    /// Returns the locations of items of a listing that are hidden if a location did not answer: itself if items belong
    /// to it, and those inside it unless they answer for themselves. None if all items belong elsewhere, so that any of
    /// them may be hidden.
    pub(super) fn hidden_by<'l>(
        &'l self,
        (silent, is_alone): (&'l Location, bool),
        kind: &Definition,
        location: &'l Location,
    ) -> Vec<&'l Location> {
        let mut places = self.of_items(kind, location);
        let is_inside = |place: &Location| place.containing(silent.scope()) == Some(&silent.label);
        places.retain(|place| place.label == silent.label || (!is_alone && is_inside(place)));
        places
    }
}
