//! The list of repositories: those that options name, each once, with an ID that no other one has.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::{
    collector_api::BoxFuture,
    engine::{CallError, CallErrorKind, Partial},
    rest::code::{Caller, Composed},
};

/// Entries that are asked for at the same time. GitHub dislikes more.
const AT_ONCE: usize = 4;

/// The end of an entry that means all repositories of an owner.
const ALL: &str = "/*";

/// An entry, and its repositories.
type Asked<'a> = BoxFuture<'a, (&'a str, Result<Composed, CallError>)>;

/// Lists the repositories of `--github-repo`.
pub(super) fn list(caller: Caller<'_>) -> BoxFuture<'_, Result<Composed, CallError>> {
    Box::pin(async move {
        let entries = caller.list("repo");
        // Boxed, so that the stream need not hold for all lifetimes.
        let asked = entries
            .into_iter()
            .map(|entry| -> Asked<'_> { Box::pin(async move { (entry, of_entry(caller, entry).await) }) });
        let answers: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (entry, answer) in answers {
            match answer {
                Ok(Composed { items, missing: hidden }) => {
                    found.extend(items);
                    missing.extend(hidden.into_iter().map(|part| Partial { id: entry.to_owned(), ..part }));
                }
                Err(error) if error.kind == CallErrorKind::Credentials => return Err(error),
                Err(error) => missing.push(absent(entry, &error)),
            }
        }
        let unseen: Vec<&str> = missing.iter().map(|part| part.id.as_str()).collect();
        Ok(Composed { items: identified(found, &unseen), missing })
    })
}

/// Returns the repositories of an entry.
async fn of_entry(caller: Caller<'_>, entry: &str) -> Result<Composed, CallError> {
    let Some(owner) = entry.strip_suffix(ALL) else {
        return caller.items("GET /repos/{+repo}", &[("repo", entry)]).await;
    };
    match caller.items("GET /orgs/{org}/repos", &[("org", owner)]).await {
        Err(error) if error.kind == CallErrorKind::NotFound => {
            caller.items("GET /users/{user}/repos", &[("user", owner)]).await
        }
        answer => answer,
    }
}

/// An entry without an answer. It may exist, as GitHub does not say what a token may not see.
fn absent(entry: &str, error: &CallError) -> Partial {
    Partial {
        scope: None,
        id: entry.to_owned(),
        code: error.code.clone(),
        message: error.message.to_string(),
        is_alone: false,
    }
}

/// Returns each repository once, with its ID as `_id`.
///
/// A repository that was renamed or moved answers by its old name too: its number decides. The ID is the short name, as
/// in the Python worker; of several with the same one, all but the first by full name have their full name. Where that
/// depends on an entry without an answer, a repository is left out: it would get the ID of another one, and the core
/// keeps what it has of all.
fn identified(found: Vec<Value>, unseen: &[&str]) -> Vec<Value> {
    let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let mut by_name: BTreeMap<(String, String), Value> = BTreeMap::new();
    let mut numbers = BTreeMap::new();
    for item in found {
        let names = (text(&item, "name"), text(&item, "full_name"));
        if let Some(other) = item["id"].as_i64().and_then(|number| numbers.insert(number, names.1.clone())) {
            tracing::debug!(repository = names.1, "two entries lead to the same repository, {other}");
            continue;
        }
        by_name.insert(names, item);
    }
    let mut last: Option<String> = None;
    let items = by_name.into_iter().filter_map(|((name, full_name), mut item)| {
        let is_taken = last.as_ref() == Some(&name);
        if !is_taken && unseen.iter().any(|entry| may_precede(entry, &full_name)) {
            return None;
        }
        last = Some(name.clone());
        if is_taken {
            tracing::warn!(repository = full_name, "another repository has the same name; its full name is its ID");
        }
        item["_id"] = Value::from(if is_taken { full_name } else { name });
        Some(item)
    });
    items.collect()
}

/// Returns whether an entry may have a repository of the same name that is before this one.
fn may_precede(entry: &str, full_name: &str) -> bool {
    let Some((owner, name)) = full_name.split_once('/') else { return false };
    match entry.strip_suffix(ALL) {
        Some(other) => other < owner,
        // The old name of a repository may lead to any.
        None => entry.rsplit('/').next() == Some(name) && entry < full_name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ids(repositories: &[(i64, &str)], unseen: &[&str]) -> Vec<String> {
        let of = |(number, full_name): &(i64, &str)| json!({"id": number, "full_name": full_name, "name": full_name.rsplit('/').next()});
        let found = identified(repositories.iter().map(of).collect(), unseen);
        found.iter().map(|item| item["_id"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn short_name_belongs_to_the_first_by_full_name() {
        for order in [[(1, "a/x"), (2, "b/x"), (3, "a/y")], [(3, "a/y"), (2, "b/x"), (1, "a/x")]] {
            assert_eq!(ids(&order, &[]), ["x", "b/x", "y"]);
        }
    }

    #[test]
    fn repository_with_two_names_is_one() {
        assert_eq!(ids(&[(1, "a/x"), (1, "a/x"), (2, "a/z")], &[]), ["x", "z"]);
    }

    #[test]
    fn repository_is_left_out_if_an_unseen_one_may_have_its_id() {
        let found = [(2, "b/x"), (3, "b/y"), (4, "c/x")];
        assert_eq!(ids(&found, &["a/*"]), [""; 0]);
        assert_eq!(ids(&found, &["a/x"]), ["y"]);
        assert_eq!(ids(&found, &["c/*", "a/z", "d/x"]), ["x", "c/x", "y"]);
    }
}
