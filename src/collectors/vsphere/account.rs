//! One server, for the engine: its item, and its one data center.

use std::sync::Arc;

use serde_json::json;
use worker_proto::{Failure, Unit};

use super::{
    client::Client,
    cloud::{DATA_CENTER, IN_DATA_CENTER, cloud},
    options::Options,
};
use crate::{
    collector_api::{BoxFuture, CollectContext},
    engine::{
        Tree,
        collect::{Account, LocationSpec, Run, Selection},
    },
};

/// A server.
struct Server {
    host: String,
}

/// Collects a server. All failures but these are gaps.
///
/// # Errors
/// `Credentials` if there is no session, `Unavailable` if the machines cannot be listed, `Cancelled` if the session is
/// ending, `Internal` for a bug.
pub(crate) async fn collect(context: &CollectContext, unit: &Unit) -> Result<(), Failure> {
    // First, as the broker explains best why there is no session.
    context.credentials().get().await?;
    let options = Options::of(context.settings());
    let client = Arc::new(Client::new(context, &options.address(&unit.id))?);
    let selection =
        Selection { locations_at_once: 1, keep_uncollected: options.keep_uncollected, ..Selection::default() };
    let server = Server { host: unit.id.clone() };
    Run::new(context, cloud()?, &server, client, selection).collect().await
}

impl Account for Server {
    fn id(&self) -> &str {
        &self.host
    }

    fn item(&self) -> Tree<'static> {
        Tree::from(json!({ "id": self.host, "name": self.host }))
    }

    fn own_location(&self) -> LocationSpec {
        let (id, label) = (DATA_CENTER.to_owned(), DATA_CENTER.to_owned());
        LocationSpec { scope: IN_DATA_CENTER, id, label, within: None, item: Tree::Null }
    }

    fn locations<'a>(&'a self, _run: &'a Run<'a>) -> BoxFuture<'a, Result<Vec<LocationSpec>, Failure>> {
        Box::pin(async { Ok(vec![self.own_location()]) })
    }
}
