//! Collectors: what knows a cloud.
//!
//! A collector sees its settings, its credentials and a [`CollectContext`] to send to, and nothing else: not the
//! supervisor, not the process it runs in, not ckcore. It must not spawn processes, write to standard output, read
//! the environment for secrets while it collects, or wait without a deadline.

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
pub use unit_graph::{EdgeReport, End, Key, UnitGraph};
pub use waits::{TICK, UnitWaits, Waiting, Waits};
use worker_proto::{Credentials, Failure, FailureKind, Operation, Outcome, Plan, Unit};

use crate::{
    settings::{OptionSpec, Settings},
    telemetry::Announced,
};

/// A boxed future, as traits that are used as objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How the units of a collector may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// Whether each unit gets a process of its own.
    pub fork: bool,
    /// How many units run at the same time, at least one.
    pub pool: usize,
}

/// What settings leave out of each account that is collected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncollected {
    /// The kinds.
    pub kinds: BTreeSet<String>,
    /// The ids of the only regions that are collected; `None` are all.
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

/// Codes of ckworker's own limits, for [`Collector::advice`]. The advice is a list of options that completes "such as by".
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
}

/// A plugin that collects one cloud.
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

    /// Returns the kinds of its nodes: a JSON list in the form of `src/graph/schema.rs`.
    fn kinds(&self) -> &'static str {
        "[]"
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
    fn deleted_before(&self, _kind: &str) -> &'static [String] {
        &[]
    }

    /// The kinds of what is deleted together with a resource of this kind, where an edge of the graph leads to it or from
    /// it. What is protected among them keeps the resource from being deleted.
    fn takes_along(&self, _kind: &str) -> &'static [String] {
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

/// The holder of a collector's base credentials.
pub trait Broker: Send + Sync {
    /// Credentials for one unit only, or for planning where `unit` is `None`.
    fn credentials<'a>(&'a self, unit: Option<&'a Unit>) -> BoxFuture<'a, Result<Credentials, Failure>>;
}
