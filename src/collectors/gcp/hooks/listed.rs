//! The items of lists by link: read once in each location, from the pages that the kinds of the items share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::OnceCell, task::yield_now};

use super::{COMPUTE, part_of};
use crate::engine::{CallError, HookContext, Partial, Response, Tree};

/// What a hook knows of the items of a list.
#[derive(Debug)]
pub(super) struct Listed<T> {
    /// By link.
    items: HashMap<String, T>,
    /// The locations that did not answer.
    silent: Vec<Partial>,
}

/// The lists that were read, by operation; `None` if a list failed, which the kind of its items reports.
struct Lists<T>(Mutex<HashMap<&'static str, Arc<OnceCell<Option<Arc<Listed<T>>>>>>>);

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + Sync + 'static> Listed<T> {
    /// Returns the items of a list of this operation, with what `read` takes from them; `None` if the list failed.
    pub(super) async fn get(
        context: HookContext<'_>,
        (operation, collection): (&'static str, &str),
        read: fn(&Tree<'_>) -> T,
    ) -> Option<Arc<Self>> {
        let lists = context.location.slots.get::<Lists<T>>();
        let cell = {
            let mut known = lists.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(operation).or_default())
        };
        let list = cell.get_or_init(|| async {
            let responses = context.location.shared(context.run, COMPUTE, operation).await.ok()?;
            Self::of(&responses, collection, read).await.ok().map(Arc::new)
        });
        list.await.clone()
    }

    async fn of(responses: &[Response], collection: &str, read: fn(&Tree<'_>) -> T) -> Result<Self, CallError> {
        let (mut items, mut silent) = (HashMap::new(), Vec::new());
        for response in responses {
            let page = response.tree()?;
            let linked = all(&page, collection).filter_map(|item| Some((item.get("selfLink")?.text()?, item)));
            items.extend(linked.map(|(link, item)| (link.to_owned(), read(item))));
            silent.extend(response.partial()?);
            // There may be hundreds of pages, and the rest of the process has to answer meanwhile.
            yield_now().await;
        }
        Ok(Self { items, silent })
    }
}

impl<T> Listed<T> {
    /// Returns what is known of the item with a link.
    pub(super) fn find(&self, link: &str) -> Option<&T> {
        self.items.get(link)
    }

    /// Returns whether the list may lack the item with a link, as its location did not answer.
    pub(super) fn may_lack(&self, link: &str) -> bool {
        self.silent.iter().any(|partial| match partial.scope.as_deref() {
            Some("zone") => part_of(link, "zones") == Some(&partial.id),
            Some("region") => part_of(link, "regions") == Some(&partial.id),
            Some("global") => link.contains("/global/"),
            _ => true,
        })
    }
}

/// Iterates over the items of a page, of an aggregated list or not.
fn all<'t>(page: &'t Tree<'t>, collection: &str) -> impl Iterator<Item = &'t Tree<'t>> {
    let items = page.get("items");
    let scopes = items.map(Tree::entries).unwrap_or_default().iter();
    let scoped = scopes.filter_map(move |(_, scope)| scope.get(collection)).flat_map(Tree::list);
    items.map(Tree::list).unwrap_or_default().iter().chain(scoped)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn items_are_found_in_both_forms_of_lists() {
        for text in [
            r#"{"items":[{"selfLink":"x/targetPools/b"},{"selfLink":"x/targetPools/a"}]}"#,
            r#"{"items":{"regions/r":{"targetPools":[{"selfLink":"b"}, {"selfLink":"a"}], "disks": [{}]}, "global":{}}}"#,
        ] {
            let page: Tree<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(all(&page, "targetPools").count(), 2, "{text}");
        }
        assert_eq!(all(&Tree::Null, "targetPools").count(), 0);
    }

    #[test]
    fn list_may_lack_what_is_in_silent_location() {
        let silent = |scope: Option<&str>, id: &str| {
            let (code, message) = Default::default();
            Partial { scope: scope.map(str::to_owned), id: id.to_owned(), code, message, is_alone: false }
        };
        let lacks =
            |partial: Partial, link: &str| Listed::<()> { items: HashMap::new(), silent: vec![partial] }.may_lack(link);
        let zonal = "https://x/projects/p/zones/us-a-a/disks/d";
        let regional = "https://x/projects/p/regions/us-a/disks/d";
        assert!(lacks(silent(Some("zone"), "us-a-a"), zonal) && !lacks(silent(Some("zone"), "us-a-b"), zonal));
        assert!(lacks(silent(Some("region"), "us-a"), regional) && !lacks(silent(Some("zone"), "us-a-a"), regional));
        assert!(lacks(silent(Some("global"), "global"), "https://x/global/y"));
        assert!(lacks(silent(None, "somewhere"), zonal));
    }
}
