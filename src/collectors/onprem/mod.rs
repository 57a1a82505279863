//! The onprem collector: machines that are reached over SSH. A location is a unit, with all its servers.
//!
//! `options` and `server` say which servers there are, `plan` groups them by location. `broker` holds what only the
//! supervisor has: the passphrase of the key, and the part of the environment that SSH needs. `collect` collects the
//! servers of a location; `facts` asks one for what the Python worker knew of it, `system` for what is new. `ssh` runs
//! commands through the system's OpenSSH client. `kinds` has the kinds.

mod broker;
mod collect;
mod facts;
mod kinds;
mod options;
mod plan;
mod server;
mod ssh;
mod system;

use std::sync::Arc;

use worker_proto::{Failure, FailureKind, Plan, Unit};

use self::{broker::OnpremBroker, options::Options};
use crate::{
    collector_api::{BoxFuture, Broker, CollectContext, Collector, Concurrency, Target, limits},
    graph::{KindSpec, SchemaError},
    settings::{OptionSpec, Settings},
};

/// The onprem collector.
pub struct Onprem;

impl Collector for Onprem {
    fn name(&self) -> &'static str {
        "onprem"
    }

    fn options(&self) -> &'static [OptionSpec] {
        options::OPTIONS
    }

    fn kinds(&self) -> Result<Vec<KindSpec>, SchemaError> {
        kinds::kinds()
    }

    fn advice(&self, code: &str) -> Option<&'static str> {
        match code {
            ssh::code::AUTHENTICATION_FAILED => Some(
                "add the public key to authorized_keys of the user on the server, and name the private key with \
                 --onprem-ssh-key, ssh_config or an agent; its passphrase may be wrong or missing: --onprem-ssh-key-pass",
            ),
            ssh::code::HOST_KEY => Some(
                "check the server's host key, and add it to ~/.ssh/known_hosts of the user that runs ckworker; unknown keys \
                 are never accepted",
            ),
            limits::POOL_SIZE => Some("--onprem-pool-size"),
            limits::WORKER_MEMORY | limits::RESULT_SIZE => Some("--onprem-fork if it had all locations"),
            _ => None,
        }
    }

    fn check(&self, settings: &Settings) -> Result<(), String> {
        Options::of(settings).check()
    }

    fn concurrency(&self, settings: &Settings) -> Concurrency {
        let options = Options::of(settings);
        Concurrency { fork: options.fork, pool: options.pool }
    }

    fn broker(&self, settings: &Settings) -> Option<Arc<dyn Broker>> {
        Some(Arc::new(OnpremBroker::new(settings)))
    }

    fn plan<'a>(&'a self, context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        Box::pin(plan::plan(context))
    }

    fn collect<'a>(&'a self, context: &'a CollectContext, unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(collect::collect(context, unit))
    }

    fn operator(&self, _settings: &Settings, target: &Target) -> Result<Unit, Failure> {
        let message = format!(
            "cannot change {}: the collector onprem only reads; on-premises machines have no tags, and are not deleted",
            target.label()
        );
        Err(Failure { kind: FailureKind::Configuration, message })
    }
}
