//! The states of all action websockets as one state for the dispatcher: connected if all are.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::SubscriberId;
use crate::ckcore::{event::CoreEvent, outbox::Outbox};

/// The state of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Not tried yet.
    Unknown,
    /// Connected.
    Connected,
    /// Lost or not made, with the reason.
    Lost(String),
}

/// The states of all connections. Sends a change of the common state to the dispatcher.
#[derive(Debug)]
pub struct Connections {
    states: Mutex<(BTreeMap<SubscriberId, ConnectionState>, ConnectionState)>,
    outbox: Outbox,
}

impl Connections {
    /// Connections of these subscribers that were not tried yet.
    pub fn new(subscribers: impl Iterator<Item = SubscriberId>, outbox: Outbox) -> Self {
        let states = subscribers.map(|subscriber| (subscriber, ConnectionState::Unknown)).collect();
        Self { states: Mutex::new((states, ConnectionState::Unknown)), outbox }
    }

    /// Records the state of one connection.
    pub fn set(&self, subscriber: SubscriberId, state: ConnectionState) {
        let mut guard = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let (states, common) = &mut *guard;
        states.insert(subscriber, state);
        let is_lost = |state: &&ConnectionState| matches!(state, ConnectionState::Lost(_));
        let next = states
            .values()
            .find(is_lost)
            .or_else(|| states.values().min_by_key(|state| **state != ConnectionState::Unknown));
        let Some(next) = next.filter(|next| *next != common).cloned() else { return };
        match &next {
            ConnectionState::Unknown => {}
            ConnectionState::Connected => self.outbox.push(CoreEvent::Connected),
            ConnectionState::Lost(reason) => self.outbox.push(CoreEvent::Disconnected { reason: reason.clone() }),
        }
        *common = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIN: SubscriberId = SubscriberId::Plugin("actions-cleanup_plan-CleanupExpiredPlugin");

    #[test]
    fn connection_counts_once_all_subscribers_are_connected() {
        let outbox = Outbox::default();
        let connections = Connections::new([SubscriberId::Worker, PLUGIN].into_iter(), outbox.clone());
        let lost = |reason: &str| ConnectionState::Lost(reason.to_owned());
        let said = |subscriber, state| {
            connections.set(subscriber, state);
            outbox.pop()
        };
        let disconnected = |reason: &str| Some(CoreEvent::Disconnected { reason: reason.to_owned() });
        assert_eq!(said(SubscriberId::Worker, ConnectionState::Connected), None, "the other one was not tried yet");
        assert_eq!(said(PLUGIN, lost("refused")), disconnected("refused"));
        assert_eq!(said(SubscriberId::Worker, ConnectionState::Connected), None);
        assert_eq!(said(PLUGIN, ConnectionState::Connected), Some(CoreEvent::Connected));
        assert_eq!(said(SubscriberId::Worker, lost("gone")), disconnected("gone"));
        assert_eq!(said(PLUGIN, lost("gone")), None, "the same reason");
    }
}
