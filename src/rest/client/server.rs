//! What all calls of a process to one server share: the accounts of a collector have the same credentials, so that the
//! server counts their calls together.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use reqwest::Url;

use super::pacer::Pacer;

/// The servers by collector, and so by credentials, and by address.
type Servers = HashMap<(&'static str, Url), Arc<Server>>;

static SERVERS: LazyLock<Mutex<Servers>> = LazyLock::new(Mutex::default);

/// A server, as one collector calls it.
#[derive(Default)]
pub(super) struct Server {
    /// Spreads the calls.
    pub(super) pacer: Pacer,
    is_reached: AtomicBool,
    /// Operations about which something was said.
    mentioned: Mutex<BTreeSet<String>>,
}

impl Server {
    /// Returns the server at an address, as a collector calls it. A process has one address for each collector.
    pub(super) fn of(collector: &'static str, base: &Url) -> Arc<Self> {
        let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(servers.entry((collector, base.clone())).or_default())
    }

    /// Returns whether nothing was said about an operation yet. What is said once is enough.
    pub(super) fn is_new(&self, operation: &str) -> bool {
        let mut mentioned = self.mentioned.lock().unwrap_or_else(PoisonError::into_inner);
        mentioned.insert(operation.to_owned())
    }

    /// Returns whether it has ever answered.
    pub(super) fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Relaxed)
    }

    /// Notes that it has answered.
    pub(super) fn set_reached(&self) {
        self.is_reached.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn server_is_shared_by_collector_and_address() {
        let url = |text| Url::parse(text).unwrap();
        let one = Server::of("one", &url("https://api.test/v1"));
        for (collector, address, is_same) in [
            ("one", "https://api.test/v1", true),
            ("two", "https://api.test/v1", false),
            ("one", "https://api.test/v2", false),
            ("one", "https://api.test:444/v1", false),
        ] {
            assert_eq!(Arc::ptr_eq(&one, &Server::of(collector, &url(address))), is_same, "{collector} {address}");
        }
        one.set_reached();
        assert!(one.is_new("GET /a") && one.is_new("GET /b") && !one.is_new("GET /a"));
        assert!(Server::of("one", &url("https://api.test/v1")).is_reached());
        assert!(!Server::of("two", &url("https://api.test/v1")).is_reached());
    }
}
