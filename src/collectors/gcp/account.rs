//! One project, for the engine: its item, and its regions and zones.

use std::{collections::HashSet, sync::Arc};

use worker_proto::{Failure, Unit, Why};

use super::{
    broker::Payload,
    cloud::{GLOBAL, IN_REGION, IN_ZONE, cloud},
    options::Options,
    token,
};
use crate::{
    collector_api::{BoxFuture, CollectContext},
    engine::{
        CallError, CallErrorKind, Request, Tree, call_failure, code,
        collect::{Account, LocationSpec, Run},
    },
};

/// The service that lists regions and zones.
const COMPUTE: &str = "compute";

/// A project.
pub(crate) struct GcpProject {
    /// The project's ID.
    pub(crate) id: String,
    /// The project's item of `projects.list`.
    pub(crate) item: Tree<'static>,
}

/// Collects one project. All failures but these are gaps.
///
/// # Errors
/// `Credentials` if there are no credentials or they are rejected at the start, `Unavailable` if the regions or zones
/// cannot be determined, `Cancelled` if the session is ending, `Internal` for a bug.
pub(crate) async fn collect(context: &CollectContext, unit: &Unit) -> Result<(), Failure> {
    let payload = Payload::read(unit)?;
    // First, as the broker explains best why there are no credentials.
    context.credentials().get().await?;
    let client = Arc::new(token::client(context, payload.project())?);
    let selection = Options::of(context.settings()).selection();
    let project = GcpProject { id: payload.project, item: Tree::from(payload.item) };
    Run::new(context, cloud()?, &project, client, selection).collect().await
}

impl Account for GcpProject {
    fn id(&self) -> &str {
        &self.id
    }

    fn item(&self) -> Tree<'static> {
        self.item.clone()
    }

    fn is_known_by_id(&self) -> bool {
        self.item.entries().len() <= 1
    }

    fn own_location(&self) -> LocationSpec {
        LocationSpec { scope: GLOBAL, id: GLOBAL.to_owned(), label: GLOBAL.to_owned(), within: None, item: Tree::Null }
    }

    fn locations<'a>(&'a self, run: &'a Run<'a>) -> BoxFuture<'a, Result<Vec<LocationSpec>, Failure>> {
        Box::pin(async move {
            let mut locations = vec![self.own_location()];
            for (operation, scope) in [("regions.list", IN_REGION), ("zones.list", IN_ZONE)] {
                match list(run, operation).await {
                    Ok(items) => {
                        let found = items.into_iter().filter_map(|item| location(scope, item));
                        let (known, strayed) = within_known(&locations, found);
                        locations.extend(known);
                        report_strayed(run, &strayed).await?;
                    }
                    Err(error) => {
                        without(run, scope, &error).await?;
                        break;
                    }
                }
            }
            Ok(locations)
        })
    }
}

/// Separates locations that are in a known one, or in none, from others.
fn within_known(
    known: &[LocationSpec],
    found: impl Iterator<Item = LocationSpec>,
) -> (Vec<LocationSpec>, Vec<LocationSpec>) {
    let regions: HashSet<&str> = known.iter().map(|location| location.label.as_str()).collect();
    found.partition(|location| location.within.as_deref().is_none_or(|region| regions.contains(region)))
}

/// Reports zones of regions that were not listed: the regions are newer than their list.
async fn report_strayed(run: &Run<'_>, strayed: &[LocationSpec]) -> Result<(), Failure> {
    let Some(first) = strayed.first() else { return Ok(()) };
    run.unseen_locations(Why::Unseen);
    let message = format!(
        "zones (such as {}, {} in all) are in regions that the list of regions lacks; if the regions are new, the next \
         collection has both",
        first.label,
        strayed.len()
    );
    let error = CallError::new(CallErrorKind::Unexpected, code::UNKNOWN_LOCATION, message);
    run.report_failure(GLOBAL, "zones", &error.of(COMPUTE, "zones.list", GLOBAL)).await
}

/// Notes why regions or zones are unknown: what is in them is not seen, and the rest of the project is collected.
async fn without(run: &Run<'_>, scope: &str, error: &CallError) -> Result<(), Failure> {
    match error.kind {
        CallErrorKind::Credentials => {
            let what = run.message("its credentials are rejected; check the service account and its keys");
            Err(call_failure(&what, error))
        }
        // Without the API, the project has neither regions nor zones. Zones are listed after regions were.
        _ if error.facts.is_not_in_use && scope == IN_REGION => {
            run.unseen_locations(error.why());
            Ok(())
        }
        _ => {
            run.unseen_locations(Why::Unseen);
            run.report_failure(GLOBAL, &format!("{scope}s"), error).await
        }
    }
}

async fn list(run: &Run<'_>, operation: &'static str) -> Result<Vec<Tree<'static>>, CallError> {
    let mut pages = run.pages(Request::new(COMPUTE, operation, GLOBAL));
    let mut items = Vec::new();
    while let Some(page) = pages.next_complete().await {
        let page = page?;
        let found = page.tree()?;
        items.extend(
            found.path("items[]").into_iter().filter_map(|item| serde_json::to_value(item).ok()).map(Tree::from),
        );
    }
    Ok(items)
}

/// Returns the location of a region's or a zone's item.
fn location(scope: &'static str, item: Tree<'static>) -> Option<LocationSpec> {
    let name = item.get("name").and_then(Tree::text)?.to_owned();
    let region = item.get("region").and_then(Tree::text).and_then(|link| link.rsplit('/').next());
    let within = (scope == IN_ZONE).then_some(region).flatten().map(str::to_owned);
    Some(LocationSpec { scope, id: name.clone(), label: name, within, item })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn zones_are_within_their_region() {
        let item: Tree<'_> =
            serde_json::from_str(r#"{"name":"eu-a","region":"https://x/projects/p/regions/eu"}"#).unwrap();
        let zone = location(IN_ZONE, item.clone()).unwrap();
        assert_eq!((zone.id.as_str(), zone.label.as_str(), zone.within.as_deref()), ("eu-a", "eu-a", Some("eu")));
        assert_eq!(location(IN_REGION, item).unwrap().within, None);
        assert_eq!(location(IN_ZONE, Tree::Null), None);
    }

    #[test]
    fn zones_of_unlisted_regions_stray() {
        let of = |scope, item| location(scope, Tree::from(item)).unwrap();
        let known = [of(IN_REGION, json!({"name": "eu"}))];
        let zones = ["eu", "us"].map(|region| {
            let link = format!("https://x/projects/p/regions/{region}");
            of(IN_ZONE, json!({"name": format!("{region}-a"), "region": link}))
        });
        let (inside, strayed) = within_known(&known, zones.into_iter());
        let labels = |found: &[LocationSpec]| found.iter().map(|one| one.label.clone()).collect::<Vec<_>>();
        assert_eq!((labels(&inside), labels(&strayed)), (vec!["eu-a".to_owned()], vec!["us-a".to_owned()]));
    }
}
