//! Deletion of buckets, which must be empty: all generations of all objects included.
//!
//! The bucket is deleted before anything in it is removed, so that a bucket that cannot be deleted keeps its objects.
//! What was removed stays so if the time is over; the next cleanup goes on from there.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};
use worker_proto::{Failure, Outcome};

use crate::engine::{CallError, Request, Tree, change::Change};

/// The calls that delete objects at the same time.
const CALLS: usize = 16;
/// The most objects that a message names.
const SHOWN: usize = 3;
/// The time that is left for the deletion of the emptied bucket.
const RESERVE: Duration = Duration::from_secs(5);

/// A generation of an object.
struct Object {
    name: String,
    generation: Option<String>,
}

/// Empties and deletes the bucket.
pub(super) async fn delete(change: &Change) -> Result<Outcome, Failure> {
    let result = match delete_bucket(change).await {
        Err(error) if error.means_in_use() => match empty(change).await? {
            Ok(()) => delete_bucket(change).await,
            Err(error) => Err(error),
        },
        result => result,
    };
    match result {
        Ok(()) => Ok(Outcome::Done),
        Err(error) if error.means_deleted() => Ok(Outcome::Done),
        Err(error) => Err(change.failure(&error)),
    }
}

async fn delete_bucket(change: &Change) -> Result<(), CallError> {
    change.send(request(change, "buckets.delete")).await.map(|_| ())
}

/// Deletes all generations of all objects, page by page.
async fn empty(change: &Change) -> Result<Result<(), CallError>, Failure> {
    let mut pages = change.pages(request(change, "objects.list").with("versions", true));
    let mut deleted = 0_usize;
    while let Some(page) = pages.next().await {
        let objects = match page.and_then(|page| Ok(objects(&page.tree()?))) {
            Ok(objects) => objects,
            Err(error) => return Ok(Err(error)),
        };
        let count = objects.len();
        let calls = objects.into_iter().map(|object| async move { delete_object(change, &object).await });
        let failures: Vec<String> =
            stream::iter(calls).buffer_unordered(CALLS).filter_map(|result| async { result.err() }).collect().await;
        deleted += count - failures.len();
        if !failures.is_empty() {
            let named = failures.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
            let more = failures.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            return Err(change.failed(&format!("cannot delete its objects {named}{more}")));
        }
        if !change.has_time_for(RESERVE) {
            let reason = format!("the time was over after {deleted} objects; run the cleanup again to delete the rest");
            return Err(change.failed(&reason));
        }
    }
    tracing::info!(bucket = change.target.id, objects = deleted, "emptied a bucket");
    Ok(Ok(()))
}

/// Deletes one generation; returns its name with the reason if that fails.
async fn delete_object(change: &Change, object: &Object) -> Result<(), String> {
    let mut call = request(change, "objects.delete").with("object", object.name.as_str());
    if let Some(generation) = &object.generation {
        call = call.with("generation", generation.as_str());
    }
    match change.send(call).await {
        Err(error) if !error.means_deleted() => Err(format!("{}: {}: {}", object.name, error.code, error.message)),
        _ => Ok(()),
    }
}

fn objects(page: &Tree<'_>) -> Vec<Object> {
    let text = |item: &Tree<'_>, name| item.get(name).and_then(Tree::text).map(str::to_owned);
    let object = |item: &Tree<'_>| Some(Object { name: text(item, "name")?, generation: text(item, "generation") });
    page.path("items[]").into_iter().filter_map(object).collect()
}

fn request<'c>(change: &'c Change, operation: &'c str) -> Request<'c> {
    change.request(operation, Map::from_iter([("bucket".to_owned(), Value::from(change.target.id.as_str()))]))
}
