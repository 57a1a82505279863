//! Kinds that were not seen in any location of an account: one record for each kind. With one for each kind in each
//! location, thousands of both would be millions.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use worker_proto::{Failure, Missing, Why};

use super::{Location, Run};

/// The node above all, the kind of the places below it, and the kind.
type UnseenInAll = ([u8; 16], &'static str, String);

/// The reasons so far.
#[derive(Default)]
struct InAll(Mutex<BTreeMap<UnseenInAll, Why>>);

impl Run<'_> {
    /// Records that a kind which is known only at run time was not listed completely below a location, and below the nodes
    /// of a kind that are its children. Of several reasons the first one of [`Why`] counts.
    pub(crate) fn unseen_in_all(&self, location: &Location, places: &'static str, kind: &str, why: &Why) {
        let records = self.slots.get::<InAll>();
        let mut records = records.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = records.entry((location.node.0, places, kind.to_owned())).or_insert_with(|| why.clone());
        if why < known {
            *known = why.clone();
        }
    }

    /// Sends the records to the supervisor, and returns their kinds.
    pub(super) async fn send_in_all(&self) -> Result<BTreeSet<Cow<'static, str>>, Failure> {
        let records = self.slots.get::<InAll>();
        let records = std::mem::take(&mut *records.0.lock().unwrap_or_else(PoisonError::into_inner));
        let kinds = records.keys().map(|(_, _, kind)| Cow::Owned(kind.clone())).collect();
        for ((below, places, kind), why) in records {
            let places = places.to_owned();
            self.context.missing(vec![Missing::KindInAll { below, places, kind, why }]).await?;
        }
        Ok(kinds)
    }
}
