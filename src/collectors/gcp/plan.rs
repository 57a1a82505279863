//! Planning: the projects that each of the credentials sees.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use serde_json::Value;
use worker_proto::{Failure, Gap, Plan, Unit};

use super::{
    broker::Payload,
    client::Client,
    cloud::{GLOBAL, PROJECT_KIND},
    options::Options,
    selection::{LIST, Project, RESOURCE_MANAGER, SEARCH, Seen, Unlisted, select},
    token::{PlanCredential, PlanSecret, plan_client},
};
use crate::{
    collector_api::CollectContext,
    engine::{CallError, CallErrorKind, Request, code},
};

/// The service that knows folders.
const FOLDERS: &str = "cloudresourcemanager.v3";

/// The size of a page of projects or folders, the largest one that the service allows.
const PAGE_SIZE: u32 = 500;

/// The members of a project that its definition uses, and the number that tells a listed project from one that is known
/// by its ID alone.
const KEPT: [&str; 4] = ["projectId", "projectNumber", "labels", "createTime"];

/// The number of credentials whose projects are listed at the same time.
const CREDENTIALS_AT_ONCE: usize = 5;

/// Finds the projects.
pub(crate) async fn plan(context: &CollectContext) -> Result<Plan, Failure> {
    let options = Options::of(context.settings());
    let credentials = PlanSecret::read(&context.credentials().get().await?)?.0;
    let with_folders = options.selects_folders();
    let seen = credentials.into_iter().enumerate();
    let seen = seen.map(|(number, credential)| seen_by(context, credential, number, with_folders));
    let seen: Vec<Seen> = stream::iter(seen).buffered(CREDENTIALS_AT_ONCE).collect().await;
    let selection = select(&seen, &options)?;
    for project in &selection.inactive {
        tracing::info!(project = project.id, "skipped GCP project that is about to be deleted");
    }
    for gap in &selection.gaps {
        tracing::warn!(account = gap.account, code = gap.code, error = gap.message, "GCP projects may be missing");
    }
    tracing::info!(projects = selection.projects.len(), credentials = seen.len(), "planned GCP collection");
    let units = selection.projects.into_iter().map(|(project, credential)| unit(project, credential));
    Ok(Plan { units: units.collect::<Result<_, _>>()?, gaps: selection.gaps, is_whole: selection.is_whole })
}

/// Returns what one of the credentials sees.
async fn seen_by(context: &CollectContext, credential: PlanCredential, number: usize, with_folders: bool) -> Seen {
    let PlanCredential { account, project: own, token } = credential;
    let client = token.and_then(|_| plan_client(context, number));
    let client = match client {
        Ok(client) => client,
        Err(failure) => {
            let projects = Err(without_token(&account, failure));
            return Seen { account, own, projects, folders: Ok(BTreeMap::new()) };
        }
    };
    let projects = projects(&client).await.map_err(|error| unlisted(&account, "projects", &error));
    let folders = match with_folders {
        true => folders(&client).await.map_err(|error| unlisted(&account, "folders", &error)),
        false => Ok(BTreeMap::new()),
    };
    Seen { account, own, projects, folders }
}

async fn projects(client: &Client) -> Result<Vec<Project>, CallError> {
    let items = items(client, Request::new(RESOURCE_MANAGER, LIST, GLOBAL), "projects[]").await?;
    let unnamed = || CallError::unexpected_response("a project has no ID").of(RESOURCE_MANAGER, LIST, GLOBAL);
    items.into_iter().map(|item| Project::of(item).ok_or_else(unnamed)).collect()
}

/// Returns all folders with their parents.
async fn folders(client: &Client) -> Result<BTreeMap<String, String>, CallError> {
    let items = items(client, Request::new(FOLDERS, SEARCH, GLOBAL), "folders[]").await?;
    let text = |item: &Value, name: &str| item[name].as_str().map(str::to_owned);
    Ok(items.iter().filter_map(|item| Some((text(item, "name")?, text(item, "parent")?))).collect())
}

/// Returns the items of all pages. A part of them is a failure.
async fn items(client: &Client, request: Request<'_>, path: &'static str) -> Result<Vec<Value>, CallError> {
    let mut pages = client.pages(request.with("pageSize", PAGE_SIZE));
    let mut items = Vec::new();
    while let Some(page) = pages.next_complete().await {
        let page = page?;
        let tree = page.tree()?;
        items.extend(tree.path(path).into_iter().filter_map(|item| serde_json::to_value(item).ok()));
    }
    Ok(items)
}

/// Returns why a list is missing.
fn unlisted(account: &str, what: &str, error: &CallError) -> Unlisted {
    let message = format!("cannot list the GCP {what} that {account} sees: {error}{}", remedy(error));
    let gap = Gap {
        account: account.to_owned(),
        region: String::new(),
        service: RESOURCE_MANAGER.to_owned(),
        operation: error.operation.to_string(),
        code: error.code.clone(),
        message: error.message.to_string(),
    };
    let is_denied = matches!(error.kind, CallErrorKind::Denied | CallErrorKind::NotFound);
    Unlisted { gap, failure: Failure { kind: error.kind.setup_failure(), message }, is_denied }
}

fn remedy(error: &CallError) -> &'static str {
    match error.kind {
        CallErrorKind::Denied | CallErrorKind::NotFound => {
            "; enable the Cloud Resource Manager API in the project of the credentials, and allow \
             resourcemanager.projects.get in each project"
        }
        CallErrorKind::Credentials => "; check that the credentials are current, and the clock of this machine",
        _ => "; check the network and --gcp-endpoint-url if it is set",
    }
}

/// Returns why nothing is listed with credentials that have no token.
fn without_token(account: &str, failure: Failure) -> Unlisted {
    let gap = Gap {
        account: account.to_owned(),
        region: String::new(),
        service: "credentials".to_owned(),
        operation: String::new(),
        code: code::NO_CREDENTIALS.to_owned(),
        message: failure.message.clone(),
    };
    Unlisted { gap, failure, is_denied: false }
}

fn unit(project: Project, credential: usize) -> Result<Unit, Failure> {
    let Project { id, number, mut item, .. } = project;
    // The plan is one frame, for tens of thousands of projects too.
    if let Some(members) = item.as_object_mut() {
        members.retain(|member, _| KEPT.contains(&member.as_str()));
    }
    let payload = Payload { project: id.clone(), number, item, credential: Some(credential) };
    // IDs are chosen to be read, and display names need not be unique. The number of regions and zones is not known yet.
    Ok(Unit { id: id.clone(), label: id, kind: PROJECT_KIND.to_owned(), parts: 0, payload: payload.write()? })
}
