//! The interface of collectors, and everything that a collector sees.
//!
//! A collector is a plugin for one cloud. It sees its settings, its credentials and a [`CollectContext`], and neither
//! the supervisor, nor its process, nor the core. It must not write to standard output, read secrets from the environment
//! while it collects, or wait without a deadline. A process that it spawns stays in the worker's process group, and is
//! killed when its owner is dropped.

mod context;
mod credentials;
mod lease;
pub mod shared_values;
mod target;
mod unit_graph;
mod waits;

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

pub use context::{CollectContext, Request, SentFrames, SharedTable};
pub use credentials::CredentialSource;
pub use lease::{Lease, Shared, SharedWaiter};
use serde_json::{Map, Value};
pub use target::{ParentNode, Target};
use tracing::level_filters::LevelFilter;
pub use unit_graph::{EdgeReport, End, NamedAttributes, UnitGraph};
pub use waits::{TICK, UnitWaits, Waiting, Waits};
use worker_proto::{Credentials, Failure, FailureKind, Operation, Outcome, Plan, Unit};

use crate::{
    graph::{KindSpec, SchemaError},
    settings::{OptionSpec, Settings},
    telemetry::Announced,
};

/// A boxed future, for methods of trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The concurrency of a collector's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// Whether each unit gets a process of its own.
    pub fork: bool,
    /// The number of units that run at the same time, at least one.
    pub pool: usize,
}

/// Kinds and regions that settings exclude from each collected account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncollected {
    /// The kinds.
    pub kinds: BTreeSet<String>,
    /// The IDs of the collected regions; `None` means all.
    pub regions: Option<BTreeSet<String>>,
}

impl Uncollected {
    /// Whether a region is collected.
    #[must_use]
    pub fn has_region(&self, id: &str) -> bool {
        self.regions.as_ref().is_none_or(|regions| regions.contains(id))
    }
}

/// The end of an edge whose kind declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeOwner {
    /// The predecessor.
    From,
    /// The successor.
    To,
}

/// Codes of ckworker's own limits, for [`Collector::advice`]. The advice is a list of options that completes "such as
/// by".
pub mod limits {
    /// A worker ran out of memory.
    pub const WORKER_MEMORY: &str = "WorkerMemory";
    /// The results of one worker take too much memory or disk in the supervisor.
    pub const RESULT_SIZE: &str = "ResultSize";
    /// More workers than the system has descriptors for.
    pub const POOL_SIZE: &str = "PoolSize";
}

/// The account and the region of a node, as far as its fields tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeOrigin<'n> {
    /// The account's ID.
    pub account: Option<&'n str>,
    /// The region's ID.
    pub region: Option<&'n str>,
    /// Whether calls are addressed by these fields, so that the account counts more than what the core says is above
    /// the node.
    pub is_address: bool,
}

/// A plugin that collects one cloud.
///
/// Its graph hangs below a node of kind `cloud` with the collector's name as id, which the supervisor makes; each
/// unit of the plan sends exactly one account node, found through [`Unit::kind`] and [`Unit::id`], and everything
/// below it.
pub trait Collector: Send + Sync {
    /// Returns the name on the command line, which is also the ID of the cloud node.
    fn name(&self) -> &'static str;

    /// Returns the options that it adds to the command line, all named `<name>-…`.
    fn options(&self) -> &'static [OptionSpec];

    /// Checks settings that no single option can check, before anything is contacted.
    ///
    /// # Errors
    /// A message that names the options and the remedy.
    fn check(&self, settings: &Settings) -> Result<(), String>;

    /// Returns the concurrency of its units with these settings.
    fn concurrency(&self, settings: &Settings) -> Concurrency;

    /// Returns the end that declares edges between nodes of these kinds, if only one does. Where a part of an account
    /// is carried over from the core, such an edge is carried over only with the end that declares it.
    fn edge_owner(&self, _from: &str, _to: &str) -> Option<EdgeOwner> {
        None
    }

    /// Returns the attributes by which references from other accounts find nodes, by kind; `None` if there are no such
    /// references. Nodes that are carried over from the core are found by the values that it has of these attributes.
    fn named(&self) -> Option<&'static NamedAttributes> {
        None
    }

    /// Returns the kinds and regions that these settings exclude from each collected account.
    fn uncollected(&self, _settings: &Settings) -> Uncollected {
        Uncollected::default()
    }

    /// Returns the kinds of its nodes.
    ///
    /// # Errors
    /// A mistake in the kinds, with its file.
    fn kinds(&self) -> Result<Vec<KindSpec>, SchemaError> {
        Ok(Vec::new())
    }

    /// Returns names and texts of the definition files that a user has given for it; empty for a collector that is a
    /// part of the program. Workers get them with their job.
    fn definitions(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Returns the metrics that are shown before anything was measured.
    fn metrics(&self) -> Vec<Announced> {
        Vec::new()
    }

    /// Returns the most verbose levels at which the cloud's libraries are logged, by prefix of their log targets.
    fn library_levels(&self) -> &'static [(&'static str, LevelFilter)] {
        &[]
    }

    /// Returns where a node belongs, as far as its fields tell.
    fn locate<'n>(&self, _reported: &'n Map<String, Value>) -> Option<NodeOrigin<'n>> {
        None
    }

    /// Returns the remedy for an error code of the cloud, or for one of [`limits`], where the general one does not do.
    fn advice(&self, _code: &str) -> Option<&'static str> {
        None
    }

    /// Returns the broker of its units' credentials, if they need any. It runs in the supervisor's process.
    fn broker(&self, settings: &Settings) -> Option<Arc<dyn Broker>>;

    /// Lists the units.
    fn plan<'a>(&'a self, context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>>;

    /// Collects one unit. A part that cannot be collected is sent as a gap; an error discards the whole unit.
    fn collect<'a>(&'a self, context: &'a CollectContext, unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>>;

    /// Returns the unit whose credentials operations on this resource need. One worker serves all operations of a unit.
    ///
    /// # Errors
    /// Why operations on the resource are impossible: its kind, account or region.
    fn operator(&self, _settings: &Settings, target: &Target) -> Result<Unit, Failure> {
        let message = format!("the collector {} changes nothing: {} stays as it is", self.name(), target.label());
        Err(Failure { kind: FailureKind::Configuration, message })
    }

    /// Returns the kinds that can be deleted only after all resources of this kind in the same account, where the graph
    /// has no edge for that, or one that says the opposite: in the same region, or if one of both is in no region.
    fn delete_before(&self, _kind: &str) -> &'static [String] {
        &[]
    }

    /// Returns the kinds that are deleted together with a resource of this kind, if an edge connects them. A protected
    /// resource among them prevents the deletion.
    fn cascades_to(&self, _kind: &str) -> &'static [String] {
        &[]
    }

    /// Returns why the cloud never deletes a resource, as far as its node tells.
    fn undeletable(&self, _target: &Target) -> Option<&'static str> {
        None
    }

    /// Executes one operation, idempotently: after a worker's crash another one repeats it.
    ///
    /// # Errors
    /// The failed call, its place, and the remedy.
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

/// The holder of a collector's base credentials, which issues each unit its own.
pub trait Broker: Send + Sync {
    /// Returns credentials for one unit, or for planning if `unit` is `None`.
    ///
    /// # Errors
    /// [`FailureKind::NoCredentials`] only if no source of credentials is configured: it skips a collector that
    /// `--collector` does not name. Credentials that are rejected, have expired or cannot be read are
    /// [`FailureKind::Credentials`].
    fn credentials<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>>;

    /// Returns other credentials than the last ones, which the cloud has rejected before their expiry. Many units may
    /// ask at the same time. A broker that keeps no credentials has nothing else to do than to issue new ones.
    ///
    /// # Errors
    /// As for [`Broker::credentials`].
    fn renewed<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>> {
        self.credentials(unit)
    }

    /// Takes note that a worker to which credentials of this unit were issued has ended, however it ended; of all units
    /// of a collection if `unit` is `None`. A broker whose credentials do not end by themselves ends them. The worker's
    /// results wait for that, so it takes a few seconds at most.
    fn ended<'a>(&'a self, _unit: Option<&'a Unit>) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}
