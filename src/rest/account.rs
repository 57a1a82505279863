//! Accounts: their plan, and for the engine the item and the locations of one.

use std::sync::Arc;

use serde_json::Value;
use worker_proto::{Failure, FailureKind, Plan, Unit, Why};

use super::{
    api::Auth,
    client::{Authorized, Client, Config, cut},
    description::{Description, IN_ACCOUNT},
    options::Common,
    source::{LevelTable, Listing},
};
use crate::{
    collector_api::{BoxFuture, CollectContext},
    engine::{
        CallError, CallErrorKind, Level, Request, Tree, call_failure, code,
        collect::{Account, LocationSpec, Run},
        definition::Source,
        eval::{Item, Named},
    },
};

/// The name of the options in paths.
const OPTION: &str = "option";

/// The name of the account's item in paths.
const ACCOUNT: &str = "account";

/// The most accounts, and the most locations of a level.
const MAX_ITEMS: usize = 100_000;

/// The longest ID of an account or a location, and the longest name of an account in messages, in bytes.
const MAX_ID: usize = 1000;
const MAX_LABEL: usize = 200;

/// Finds the accounts.
pub(super) async fn plan(description: &'static Description, context: &CollectContext) -> Result<Plan, Failure> {
    let accounts = &description.accounts;
    let options = description.options.tree(context.settings());
    // First, as the broker explains best why there are no credentials.
    if has_broker(description) {
        context.credentials().get().await?;
    }
    let items = match &accounts.list {
        None => vec![Value::Null],
        Some(list) => {
            let client = client(description, context)?;
            let listed = items(description, &client, list, &[(OPTION, &options)]).await;
            listed.map_err(|error| unlisted(description, &error))?
        }
    };
    let mut units: Vec<Unit> = Vec::with_capacity(items.len());
    for value in items {
        let unit = unit(description, value, &options)?;
        if !units.iter().any(|known| known.id == unit.id) {
            units.push(unit);
        }
    }
    if units.is_empty() {
        let message = format!("{}: the API lists no account", description.cloud.title);
        return Err(Failure { kind: FailureKind::Unavailable, message });
    }
    tracing::info!(cloud = description.cloud.name, accounts = units.len(), "planned collection");
    Ok(Plan { units, gaps: Vec::new(), is_whole: true })
}

fn has_broker(description: &Description) -> bool {
    !matches!(description.api.auth.get_ref(), Auth::None {})
}

fn unlisted(description: &Description, error: &CallError) -> Failure {
    let title = description.cloud.title;
    let advice = description.api.advice.get(&error.code).map(String::as_str);
    let usual = match error.kind {
        CallErrorKind::Credentials | CallErrorKind::Denied => Some("check the credentials and their permissions"),
        _ => None,
    };
    let mut failure = call_failure(&format!("{title}: cannot read the accounts"), error);
    if let Some(remedy) = advice.or(usual) {
        failure.message.push_str(&format!("; {remedy}"));
    }
    failure
}

fn unit(description: &Description, value: Value, options: &Tree<'static>) -> Result<Unit, Failure> {
    let accounts = &description.accounts;
    let payload = value.to_string();
    let tree = Tree::from(value);
    let item = with_options(&tree, options);
    let Some(id) = item.text(accounts.id.get_ref()).filter(|id| !id.is_empty()) else {
        let title = description.cloud.title;
        return Err(match accounts.list {
            Some(_) => {
                let message = format!("{title}: an account that the API lists has no ID");
                Failure { kind: FailureKind::Unavailable, message }
            }
            None => {
                let options: Vec<String> = needed(description, accounts.id.get_ref()).collect();
                let message = format!("{title}: the account has no ID; set {}", options.join(" or "));
                Failure { kind: FailureKind::NoCredentials, message }
            }
        });
    };
    if id.len() > MAX_ID {
        let title = description.cloud.title;
        let message = format!("{title}: an account has an ID of {} bytes: {}", id.len(), cut(&id, MAX_LABEL));
        return Err(Failure { kind: FailureKind::Unavailable, message });
    }
    let label = accounts.name.as_ref().and_then(|name| item.text(name.get_ref())).filter(|name| !name.is_empty());
    Ok(Unit {
        label: cut(&label.unwrap_or_else(|| id.clone()), MAX_LABEL),
        id,
        kind: accounts.kind.get_ref().clone(),
        parts: 0,
        payload,
    })
}

/// Returns the options that a source names.
fn needed<'d>(description: &'d Description, source: &'d Source) -> impl Iterator<Item = String> + 'd {
    let paths = source.tables().into_iter().flat_map(|table| {
        let paths = table.path.iter().chain(table.first.iter().flatten());
        paths.chain(table.template.iter().flat_map(|template| template.paths()))
    });
    let names = paths.filter(|path| path.root.as_deref() == Some(OPTION)).filter_map(|path| path.first_member());
    names
        .filter_map(|name| description.options.defined.iter().find(|one| one.name == name))
        .map(|one| format!("--{}", one.full_name))
}

fn with_options<'t>(tree: &'t Tree<'t>, options: &'t Tree<'t>) -> Item<'t> {
    Item { tree, named: vec![Named::whole(OPTION, options)], failed: Vec::new() }
}

/// Returns the client of a unit.
fn client(description: &'static Description, context: &CollectContext) -> Result<Client, Failure> {
    let base = description.base(context.settings());
    let base = base.map_err(|message| Failure { kind: FailureKind::Configuration, message })?;
    let authorized = match has_broker(description) {
        true => Authorized::ByBroker(context.credentials().clone()),
        false => Authorized::Always,
    };
    let is_unverified = Common::of(&description.cloud, context.settings()).is_unverified;
    let (deadline, waits) = (context.deadline(), context.waits().clone());
    let options = description.options.tree(context.settings());
    Client::new(description, Config { base, is_unverified, authorized, options, deadline, waits })
}

/// Returns the items of all pages of a list.
async fn items(
    description: &Description,
    client: &Client,
    list: &Listing,
    values: &[(&str, &Tree<'static>)],
) -> Result<Vec<Value>, CallError> {
    let null = Tree::Null;
    let named = values.iter().map(|(name, value)| Named::whole(name, value)).collect();
    let input = Item { tree: &null, named, failed: Vec::new() }.input(&list.input);
    let request = Request::new(description.cloud.name, list.operation.get_ref(), IN_ACCOUNT).input(input);
    let mut pages = client.pages(request);
    let mut items = Vec::new();
    while let Some(page) = pages.next_complete().await {
        let page = page?;
        let tree = page.tree()?;
        items.extend(list.items.get_ref().values(&tree).into_iter().filter_map(|item| serde_json::to_value(item).ok()));
        if items.len() > MAX_ITEMS {
            return Err(CallError::unexpected_response(format!("more than {MAX_ITEMS} accounts or locations")));
        }
    }
    Ok(items)
}

/// An account.
struct RestAccount {
    description: &'static Description,
    id: String,
    item: Tree<'static>,
    options: Tree<'static>,
    client: Client,
}

/// Collects one account. All failures but these are gaps.
///
/// # Errors
/// `Credentials` if there are none or they are rejected at the start, `Cancelled` if the session is ending, `Internal`
/// for a bug.
pub(super) async fn collect(
    description: &'static Description,
    context: &CollectContext,
    unit: &Unit,
) -> Result<(), Failure> {
    let item: Value = serde_json::from_str(&unit.payload).map_err(|error| Failure {
        kind: FailureKind::Internal,
        message: format!("cannot read the payload of {}: {error}", unit.label),
    })?;
    if has_broker(description) {
        context.credentials().get().await?;
    }
    let client = client(description, context)?;
    let options = description.options.tree(context.settings());
    let selection = Common::of(&description.cloud, context.settings()).selection;
    let account =
        RestAccount { description, id: unit.id.clone(), item: Tree::from(item), options, client: client.clone() };
    Run::new(context, &description.cloud, &account, Arc::new(client), selection).collect().await
}

impl Account for RestAccount {
    fn id(&self) -> &str {
        &self.id
    }

    fn item(&self) -> Tree<'static> {
        self.item.clone()
    }

    fn constants(&self) -> Vec<(&'static str, Tree<'static>)> {
        vec![(OPTION, self.options.clone()), (ACCOUNT, self.item.clone())]
    }

    fn traces_paths(&self) -> bool {
        self.description.is_users
    }

    fn own_location(&self) -> LocationSpec {
        let name = || IN_ACCOUNT.to_owned();
        LocationSpec { scope: IN_ACCOUNT, id: name(), label: name(), within: None, item: Tree::Null }
    }

    fn locations<'a>(&'a self, run: &'a Run<'a>) -> BoxFuture<'a, Result<Vec<LocationSpec>, Failure>> {
        Box::pin(async move {
            let mut locations = vec![self.own_location()];
            for (level, known) in self.description.levels.iter().zip(self.description.cloud.levels.iter().skip(1)) {
                let found = match &level.list {
                    None => vec![Value::Null],
                    Some(list) => match items(self.description, &self.client, list, &self.values()).await {
                        Ok(found) => found,
                        Err(error) => {
                            without(run, level, &error).await?;
                            continue;
                        }
                    },
                };
                let mut strayed = None;
                for item in found {
                    match self.location(level, known, item, &locations) {
                        Ok(location) => locations.push(location),
                        Err(why) => strayed = Some(why),
                    }
                }
                if let Some(why) = strayed {
                    without(run, level, &CallError::new(CallErrorKind::Unexpected, code::UNKNOWN_LOCATION, why))
                        .await?;
                }
            }
            Ok(locations)
        })
    }
}

impl RestAccount {
    /// Returns what paths of levels find by name.
    fn values(&self) -> [(&'static str, &Tree<'static>); 2] {
        [(OPTION, &self.options), (ACCOUNT, &self.item)]
    }

    /// Returns the location of an item. `before` are the locations before it.
    ///
    /// # Errors
    /// Why the item is no location: it has no ID, the ID of another one, or is in no known location.
    fn location(
        &self,
        table: &LevelTable,
        level: &Level,
        item: Value,
        before: &[LocationSpec],
    ) -> Result<LocationSpec, String> {
        let (scope, item) = (level.scope, Tree::from(item));
        let (id, container) = {
            let named = self.values().map(|(name, value)| Named::whole(name, value)).to_vec();
            let values = Item { tree: &item, named, failed: Vec::new() };
            let container = table.container.as_ref().map(|container| values.text(container.get_ref()));
            (values.text(table.id.get_ref()).filter(|id| !id.is_empty()), container)
        };
        let id = id.ok_or_else(|| format!("a location of the level {scope} has no ID"))?;
        if id.len() > MAX_ID {
            return Err(format!("a location of the level {scope} has an ID of {} bytes", id.len()));
        }
        if before.iter().any(|known| known.scope == scope && known.id == id) {
            return Err(format!("two locations of the level {scope} have the ID {id}, by which items could mean both"));
        }
        let find = |container: String| {
            let known = before.iter().find(|known| Some(known.scope) == level.within && known.id == container);
            known.ok_or_else(|| format!("the {scope} {id} is in {container}, which is not among the locations"))
        };
        let within = match container {
            None => None,
            Some(None) => return Err(format!("the {scope} {id} does not say in which location it is")),
            Some(Some(container)) => Some(find(container)?.label.clone()),
        };
        let is_taken = |label: &str| before.iter().any(|known| known.label == label);
        let label = if is_taken(&id) { format!("{scope} {id}") } else { id.clone() };
        Ok(LocationSpec { scope, label, id, within, item })
    }
}

/// Notes why the locations of a level are unknown: what is in them is not seen, and the rest is collected.
async fn without(run: &Run<'_>, level: &LevelTable, error: &CallError) -> Result<(), Failure> {
    if error.kind == CallErrorKind::Credentials {
        return Err(call_failure(&run.message("its credentials are rejected"), error));
    }
    run.unseen_locations(Why::Unseen);
    let operation = level.list.as_ref().map_or("", |list| list.operation.get_ref());
    let error = error.clone().of(run.cloud.name, operation, IN_ACCOUNT);
    run.report_failure(IN_ACCOUNT, level.scope.get_ref(), &error).await
}
