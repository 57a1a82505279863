//! An invented cloud on the engine: three levels of locations, lists of several zones in a map, labels, cursors and
//! rate limits. It is laid out as a collector of the program; its kinds are definitions alone.

mod api;

use std::sync::{Arc, OnceLock};

use ckworker::{
    collector_api::{BoxFuture, Broker, CollectContext, Collector, Concurrency, EdgeOwner, NamedAttributes, Target},
    engine::{
        Api, Cloud, Definitions, Level, LevelNode, LocationPart, Request, Timeouts, Tree, call_failure,
        change::{self, Change},
        collect::{Account, LocationSpec, Run, Selection},
    },
    graph::{KindFile, KindSpec, Schema, SchemaError},
    settings::{OptionKind, OptionSpec, Settings},
};
use worker_proto::{Failure, FailureKind, Outcome, Plan, Unit, Verb};

pub use self::api::NimbusApi;

/// The definition files, by name.
pub const DEFINITIONS: &str = include_str!("definitions.toml");
const STORAGE: &str = include_str!("storage.toml");
const KINDS: KindFile = KindFile { plugin: "nimbus", json: include_str!("kinds.json") };

const REGION: LevelNode = LevelNode { kind: "nimbus_region", part: LocationPart::Region };
const ZONE: LevelNode = LevelNode { kind: "nimbus_zone", part: LocationPart::Zone };

fn definitions() -> &'static Definitions {
    static READ: OnceLock<Definitions> = OnceLock::new();
    READ.get_or_init(|| {
        let files = [("definitions.toml", DEFINITIONS), ("storage.toml", STORAGE), ("archive.toml", &archive())];
        Definitions::read(&files).unwrap()
    })
}

/// The number of kinds of the service `archive`, more than are collected at the same time.
pub const TAPES: usize = 10;

/// The definitions of a service whose kinds have no nodes. Each collector has two of them, one after the other.
fn archive() -> String {
    let tape = |number: usize| {
        let collector = number / 2;
        format!(
            "[[kind]]\nkind = \"nimbus_tape{number}\"\nschema = {{}}\ncollector = \"tapes{collector}\"\nscope = \"global\"\n\
             list = {{ operation = \"tapes/{number}\", items = \"tapes[]\" }}\nid = \"id\"\n"
        )
    };
    format!("service = \"archive\"\n{}", (0..TAPES).map(tape).collect::<String>())
}

fn kinds() -> Result<Vec<KindSpec>, SchemaError> {
    Ok([KINDS.parse()?, definitions().kinds("nimbus")].concat())
}

/// The cloud.
pub fn cloud() -> &'static Cloud {
    static CLOUD: OnceLock<Cloud> = OnceLock::new();
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| Schema::of(kinds().unwrap()).unwrap());
    CLOUD.get_or_init(|| Cloud {
        name: "nimbus",
        title: "Nimbus",
        account: "nimbus_account",
        levels: &[
            Level { scope: "global", within: None, node: None },
            Level { scope: "region", within: None, node: Some(REGION) },
            Level { scope: "zone", within: Some("region"), node: Some(ZONE) },
        ],
        definitions: definitions(),
        schema,
        hooks: &[],
        change_hooks: change::ChangeHooks::default(),
    })
}

/// The option with the address of the API.
pub const URL: &str = "nimbus-url";

/// The collector.
pub struct Nimbus;

impl Collector for Nimbus {
    fn name(&self) -> &'static str {
        "nimbus"
    }

    fn options(&self) -> &'static [OptionSpec] {
        const HELP: &str = "Address of the API";
        &[OptionSpec {
            name: URL,
            short: None,
            kind: OptionKind::Text { default: None },
            help: HELP,
            secret: false,
            empty: false,
            variable: None,
        }]
    }

    fn kinds(&self) -> Result<Vec<KindSpec>, SchemaError> {
        kinds()
    }

    fn named(&self) -> Option<&'static NamedAttributes> {
        Some(definitions().named())
    }

    fn edge_owner(&self, from: &str, to: &str) -> Option<EdgeOwner> {
        definitions().edge_owner(from, to)
    }

    fn check(&self, _settings: &Settings) -> Result<(), String> {
        Ok(())
    }

    fn concurrency(&self, _settings: &Settings) -> Concurrency {
        Concurrency { fork: false, pool: 2 }
    }

    fn broker(&self, _settings: &Settings) -> Option<Arc<dyn Broker>> {
        None
    }

    fn plan<'a>(&'a self, context: &'a CollectContext) -> BoxFuture<'a, Result<Plan, Failure>> {
        Box::pin(async move {
            let api = NimbusApi::new(&base(context)?, "token-plan", context.waits().clone(), Timeouts::default());
            let what = "cannot list the accounts";
            let answer = api.call(Request::new("v1", "accounts", "global")).await;
            let answer = answer.map_err(|error| call_failure(what, &error))?;
            let tree = answer.tree().map_err(|error| call_failure(what, &error))?;
            let unit = |id: &str| Unit {
                id: id.to_owned(),
                label: id.to_owned(),
                kind: "nimbus_account".to_owned(),
                parts: 0,
                payload: String::new(),
            };
            let units = tree.path("accounts[]").into_iter().filter_map(Tree::text).map(unit).collect();
            Ok(Plan { units, gaps: Vec::new(), is_whole: true })
        })
    }

    fn collect<'a>(&'a self, context: &'a CollectContext, unit: &'a Unit) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let account = NimbusAccount { id: unit.id.clone(), base: base(context)?, regions: Vec::new() };
            let selection = Selection { locations_at_once: 4, ..Selection::default() };
            account.collect(context, Timeouts::default(), selection).await
        })
    }
}

fn base(context: &CollectContext) -> Result<String, Failure> {
    let missing = || Failure { kind: FailureKind::Configuration, message: format!("--{URL} is missing") };
    context.settings().text(URL).map(str::to_owned).ok_or_else(missing)
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
    fn token(&self) -> String {
        format!("token-{}", self.id)
    }

    /// Collects the account.
    pub async fn collect(
        &self,
        context: &CollectContext,
        timeouts: Timeouts,
        selection: Selection,
    ) -> Result<(), Failure> {
        let api = Arc::new(NimbusApi::new(&self.base, &self.token(), context.waits().clone(), timeouts));
        Run::new(context, cloud(), self, api, selection).collect().await
    }

    /// Changes a resource of the account.
    pub async fn change(&self, context: &CollectContext, target: Target, verb: &Verb) -> Result<Outcome, Failure> {
        let timeouts = Timeouts::default();
        let api = Arc::new(NimbusApi::new(&self.base, &self.token(), context.waits().clone(), timeouts));
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
        LocationSpec {
            scope: "global",
            id: "global".to_owned(),
            label: "global".to_owned(),
            within: None,
            item: Tree::Null,
        }
    }

    fn selects(&self, scope: &str, id: &str) -> bool {
        let is_in = |region: &String| id.starts_with(region.as_str());
        scope == "global" || self.regions.is_empty() || self.regions.iter().any(is_in)
    }

    fn locations<'a>(&'a self, run: &'a Run<'a>) -> BoxFuture<'a, Result<Vec<LocationSpec>, Failure>> {
        Box::pin(async move {
            let mut pages = run.pages(Request::new("v1", "regions", "global"));
            let mut locations = vec![self.own_location()];
            while let Some(page) = pages.next().await {
                if let Err(error) = &page
                    && error.facts.is_not_in_use
                {
                    run.unseen_locations(error.why());
                    break;
                }
                let page = page.map_err(|error| call_failure(&run.message("cannot list its regions"), &error))?;
                let tree =
                    page.tree().map_err(|error| call_failure(&run.message("cannot list its regions"), &error))?;
                for region in tree.path("regions[]") {
                    let Some(id) = region.get("name").and_then(Tree::text) else { continue };
                    if !self.regions.is_empty() && !self.regions.iter().any(|selected| selected == id) {
                        continue;
                    }
                    let (id, zones) = (id.to_owned(), region.path("zones[]"));
                    locations.push(LocationSpec {
                        scope: "region",
                        id: id.clone(),
                        label: id.clone(),
                        within: None,
                        item: Tree::Null,
                    });
                    locations.extend(zones.into_iter().filter_map(Tree::text).map(|zone| LocationSpec {
                        scope: "zone",
                        id: zone.to_owned(),
                        label: zone.to_owned(),
                        within: Some(id.clone()),
                        item: Tree::Null,
                    }));
                }
            }
            Ok(locations)
        })
    }
}
