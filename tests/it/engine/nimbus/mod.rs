//! An invented cloud on the engine: three levels of locations, lists of several zones in a map, labels, cursors and rate
//! limits. It is laid out as a collector of the program; its kinds are definitions alone.

mod api;

use std::sync::{Arc, OnceLock};

use ckworker::{
    collector_api::{BoxFuture, CollectContext, Target},
    engine::{
        Cloud, Definitions, Level, LevelNode, LocationPart, Timeouts, Tree, call_failure,
        change::{self, Change},
        collect::{Account, LocationSpec, Run, Selection},
    },
    graph::{KindFile, NodeId, Schema},
};
use worker_proto::{Failure, Outcome, Verb};

pub use self::api::NimbusApi;

/// The definition file, by name.
pub const DEFINITIONS: &str = include_str!("definitions.toml");
const KINDS: &str = include_str!("kinds.json");

const REGION: LevelNode = LevelNode { kind: "nimbus_region", part: LocationPart::Region };
const ZONE: LevelNode = LevelNode { kind: "nimbus_zone", part: LocationPart::Zone };

/// The cloud.
pub fn cloud() -> &'static Cloud {
    static CLOUD: OnceLock<Cloud> = OnceLock::new();
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| Schema::read(&[KindFile { plugin: "nimbus", json: KINDS }]).unwrap());
    CLOUD.get_or_init(|| Cloud {
        name: "nimbus",
        title: "Nimbus",
        account: "nimbus_account",
        levels: &[
            Level { scope: "global", node: None },
            Level { scope: "region", node: Some(REGION) },
            Level { scope: "zone", node: Some(ZONE) },
        ],
        definitions: Definitions::read(&[("definitions.toml", DEFINITIONS)]).unwrap(),
        schema,
        hooks: &[],
        change_hooks: change::ChangeHooks::default(),
    })
}

/// An account, with the address of its API.
pub struct NimbusAccount {
    /// The account's ID.
    pub id: String,
    /// The address of the API.
    pub base: String,
    /// The selected regions; all if empty.
    pub regions: Vec<String>,
}

impl NimbusAccount {
    /// Collects the account.
    pub async fn collect(
        &self,
        context: &CollectContext,
        timeouts: Timeouts,
        selection: Selection,
    ) -> Result<(), Failure> {
        let api = Arc::new(NimbusApi::new(&self.base, "token", context.waits().clone(), timeouts));
        Run::new(context, cloud(), self, api, selection).collect().await
    }

    /// Changes a resource of the account.
    pub async fn change(&self, context: &CollectContext, target: Target, verb: &Verb) -> Result<Outcome, Failure> {
        let timeouts = Timeouts::default();
        let api = Arc::new(NimbusApi::new(&self.base, "token", context.waits().clone(), timeouts));
        let limit = std::time::Duration::from_secs(60);
        Change::new(cloud(), api, target, "global".to_owned(), limit)?.perform(verb).await
    }
}

impl Account for NimbusAccount {
    fn id(&self) -> &str {
        &self.id
    }

    fn item(&self) -> Tree<'static> {
        Tree::Map(vec![("id".into(), Tree::Text(self.id.clone().into()))])
    }

    fn own_location(&self) -> LocationSpec {
        LocationSpec { scope: "global", id: "global".to_owned(), label: "global".to_owned(), within: None }
    }

    fn locations<'a>(
        &'a self,
        run: &'a Run<'a>,
        _account: NodeId,
    ) -> BoxFuture<'a, Result<Vec<LocationSpec>, Failure>> {
        Box::pin(async move {
            let mut pages = run.pages(ckworker::engine::Request::new("v1", "regions", "global"));
            let mut locations = vec![self.own_location()];
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| call_failure(&run.message("cannot list its regions"), &error))?;
                let tree =
                    page.tree().map_err(|error| call_failure(&run.message("cannot list its regions"), &error))?;
                for region in tree.path("regions[]") {
                    let Some(id) = region.get("name").and_then(Tree::text) else { continue };
                    if !self.regions.is_empty() && !self.regions.iter().any(|selected| selected == id) {
                        continue;
                    }
                    let (id, zones) = (id.to_owned(), region.path("zones[]"));
                    locations.push(LocationSpec { scope: "region", id: id.clone(), label: id.clone(), within: None });
                    locations.extend(zones.into_iter().filter_map(Tree::text).map(|zone| LocationSpec {
                        scope: "zone",
                        id: zone.to_owned(),
                        label: zone.to_owned(),
                        within: Some(id.clone()),
                    }));
                }
            }
            Ok(locations)
        })
    }
}
