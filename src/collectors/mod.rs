//! The registry of collectors, and the kinds of all clouds.

pub mod aws;
pub mod example;
mod lease;
mod registry;
mod target;
mod waits;

use std::sync::OnceLock;

pub use context::{CollectContext, Request, SentFrames, SharedTable};
pub use credentials::CredentialSource;
pub use lease::{Lease, Shared, SharedWaiter};
pub use registry::{all, find};
pub use target::{ParentNode, Target};
pub use waits::{TICK, UnitWaits, Waiting, Waits};
use worker_proto::{Credentials, Failure, FailureKind, Operation, Outcome, Plan, Unit};

use self::{aws::Aws, example::Example};
use crate::{
    collector_api::{Collector, NodeOrigin},
    graph::{KindFile, Schema, SchemaError},
};

/// Collectors of the Python worker that ckworker does not have.
pub const UNAVAILABLE: &[&str] = &["gcp", "slack", "onelogin", "k8s", "github", "onprem", "vsphere", "remote"];

/// The kinds of clouds without a collector. The core gets them nevertheless, as it does from the Python worker.
const OTHER_KINDS: [KindFile; 7] = [
    KindFile { plugin: "gcp", json: include_str!("kinds/gcp.json") },
    KindFile { plugin: "github", json: include_str!("kinds/github.json") },
    KindFile { plugin: "k8s", json: include_str!("kinds/k8s.json") },
    KindFile { plugin: "onelogin", json: include_str!("kinds/onelogin.json") },
    KindFile { plugin: "onprem", json: include_str!("kinds/onprem.json") },
    KindFile { plugin: "slack", json: include_str!("kinds/slack.json") },
    KindFile { plugin: "vsphere", json: include_str!("kinds/vsphere.json") },
];

/// Returns all collectors, in the order in which they are listed to users.
#[must_use]
pub fn all() -> &'static [&'static dyn Collector] {
    &[&Aws, &Example]
}

/// Returns the collector of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Collector> {
    all().iter().copied().find(|collector| collector.name() == name)
}

/// Returns the kinds of all clouds, parsed at the first call.
///
/// Its graph hangs below a node of kind `cloud` with the collector's name as id, which the supervisor makes; each
/// unit of the plan sends exactly one account node, found through [`Unit::kind`] and [`Unit::id`], and everything
/// below it.
pub trait Collector: Send + Sync {
    /// The name on the command line and the id of the cloud node.
    fn name(&self) -> &'static str;

    /// The options that it adds to the command line, all named `<name>-…`.
    fn options(&self) -> &'static [OptionSpec];

    /// Checks settings that no single option can check, before anything is contacted.
    ///
    /// # Errors
    /// A sentence that names the options and says what to do.
    fn check(&self, settings: &Settings) -> Result<(), String>;

    /// How its units run under these settings.
    fn concurrency(&self, settings: &Settings) -> Concurrency;

    /// Which end declares an edge between nodes of these kinds, if only one does. Where a part of an account is kept as
    /// the core has it, such an edge is kept only with the end that declares it.
    fn edge_owner(&self, _from: &str, _to: &str) -> Option<EdgeOwner> {
        None
    }

    /// What these settings leave out of each account that is collected.
    fn uncollected(&self, _settings: &Settings) -> Uncollected {
        Uncollected::default()
    }

    /// What gives credentials to its units, if they need any. Runs in the supervisor's process and alone sees secrets.
    fn broker(&self, settings: &Settings) -> Option<Arc<dyn Broker>>;

    /// Finds the units of work.
    fn plan<'a>(&'a self, context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>>;

    /// Collects one unit. What it cannot collect it sends as gap and goes on; an error discards the whole unit.
    fn collect<'a>(&'a self, context: &'a CollectContext, unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>>;

    /// The unit whose credentials operations on this resource need; one worker serves all operations of equal units.
    ///
    /// # Errors
    /// Why the resource cannot be operated on: the kind, the account or the region cannot be.
    fn operator(&self, _settings: &Settings, target: &Target) -> Result<Unit, Failure> {
        let message = format!("the collector {} changes nothing: {} stays as it is", self.name(), target.label());
        Err(Failure { kind: FailureKind::Configuration, message })
    }

    /// The kinds that can be deleted only when all resources of this kind in the same account and region are gone, where no
    /// edge of the graph says so.
    fn delete_before(&self, _kind: &str) -> &'static [String] {
        &[]
    }

    /// The kinds of what is deleted together with a resource of this kind, where an edge of the graph leads to it or from
    /// it. What is protected among them keeps the resource from being deleted.
    fn cascades_to(&self, _kind: &str) -> &'static [String] {
        &[]
    }

    /// Why the cloud never deletes a resource, as far as its node shows that.
    fn undeletable(&self, _target: &Target) -> Option<&'static str> {
        None
    }

    /// Carries out one operation. It must bear being done twice: a worker that dies half-way is followed by another.
    ///
    /// # Errors
    /// What failed, where, and what to do.
    fn operate<'a>(
        &'a self,
        _context: &'a CollectContext,
        _unit: &'a Unit,
        _operation: &'a Operation,
    ) -> BoxFuture<'a, Result<Outcome, Failure>> {
        let nothing = format!("the collector {} changes nothing", self.name());
        Box::pin(async { Ok(Outcome::Nothing(nothing)) })
    }
}

/// Returns where a node belongs, as far as its fields tell: the answer of the first collector that has one.
#[must_use]
pub fn locate(reported: &Map<String, Value>) -> Option<NodeOrigin<'_>> {
    all().iter().find_map(|collector| collector.locate(reported))
}

#[cfg(test)]
mod tests;
