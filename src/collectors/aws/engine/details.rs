//! The details of several kinds from one call: asked for once in a location, kept without what nothing needs.
//!
//! A role that was made for an earlier version may lack the right to this call. That costs more calls and no more, so it
//! is no gap.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;
use worker_proto::Failure;

use super::{
    super::{
        client::{CallError, CallErrorKind, Request, Tree},
        definitions::{DetailsCall, FromDetails, Service},
    },
    Run,
    eval::Item,
    location::Location,
};

/// The answers in a location by service; none where the call failed.
#[derive(Default)]
pub(crate) struct DetailsCache(Mutex<HashMap<String, Arc<OnceCell<Option<DetailPages>>>>>);

type DetailPages = Arc<Vec<Tree<'static>>>;

/// The details of one kind.
pub(crate) struct KindDetails {
    pages: DetailPages,
    from: &'static FromDetails,
}

/// The details of one kind, where an item of its list finds its own.
pub(crate) struct Lookup<'d> {
    by: &'static str,
    known: HashMap<&'d str, &'d Tree<'d>>,
}

impl KindDetails {
    /// The details of a kind; `None` if it has none, or the call was refused or failed.
    pub(crate) async fn of(
        run: &Run<'_>,
        location: &Location,
        service: &'static Service,
        from: Option<&'static FromDetails>,
    ) -> Result<Option<Self>, Failure> {
        let Some((details, from)) = service.details.as_ref().zip(from) else { return Ok(None) };
        let cell = {
            let mut known = location.details.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(service.service.clone()).or_default())
        };
        let pages = cell.get_or_try_init(|| async {
            match ask(run, location, &service.service, details).await {
                Ok(pages) => Ok(Some(Arc::new(pages))),
                Err(error) if error.kind == CallErrorKind::Credentials => {
                    location.lost(run, &service.service, &error).await.map(|()| None)
                }
                Err(error) => {
                    let account = run.payload.account.as_str();
                    tracing::info!(account, %error, "each item is asked for by itself");
                    Ok(None)
                }
            }
        });
        Ok(pages.await?.clone().map(|pages| Self { pages, from }))
    }

    /// Whether they stand in for the list.
    pub(crate) fn are_the_list(&self) -> bool {
        self.from.key.is_none()
    }

    /// The items of each page.
    pub(crate) fn pages<'d>(&'d self) -> impl Iterator<Item = Vec<&'d Tree<'d>>> {
        self.pages.iter().map(|page| {
            let mut items = Vec::new();
            let _ = self.from.items.get_ref().walk(page, &mut |item| {
                items.push(item);
                ControlFlow::Continue(())
            });
            items
        })
    }

    /// Where an item of the list finds its own.
    pub(crate) fn lookup(&self) -> Option<Lookup<'_>> {
        let by = self.from.key.as_ref()?.get_ref().as_str();
        let items = self.pages().flatten();
        let known = items.filter_map(|item| Some((item.get(by)?.text()?, item))).collect();
        Some(Lookup { by, known })
    }
}

impl<'d> Lookup<'d> {
    /// The details of an item of the list.
    pub(crate) fn of(&self, item: &Tree<'_>) -> Option<&'d Tree<'d>> {
        self.known.get(item.get(self.by)?.text()?).copied()
    }
}

async fn ask(
    run: &Run<'_>,
    location: &Location,
    service: &str,
    details: &DetailsCall,
) -> Result<Vec<Tree<'static>>, CallError> {
    let nothing = Tree::Null;
    let input = Item::plain(&nothing).input(details.input.get_ref());
    let request = Request { service, operation: details.operation.get_ref(), region: &location.region, input };
    let mut pages = run.client.pages(request);
    let mut kept = Vec::new();
    while let Some(page) = pages.next().await {
        kept.push(keep(&page?.tree()?, &details.exclude));
    }
    Ok(kept)
}

/// A copy that lives by itself, without the members that are left out.
fn keep(tree: &Tree<'_>, leave_out: &[String]) -> Tree<'static> {
    match tree {
        Tree::Null => Tree::Null,
        Tree::Bool(value) => Tree::Bool(*value),
        Tree::Int(number) => Tree::Int(*number),
        Tree::Float(number) => Tree::Float(*number),
        Tree::Text(text) => Tree::Text(text.to_string().into()),
        Tree::Time(time) => Tree::Time(*time),
        Tree::Blob(bytes) => Tree::Blob(bytes.clone()),
        Tree::List(items) => Tree::List(items.iter().map(|item| keep(item, leave_out)).collect()),
        Tree::Map(entries) => {
            let wanted = entries.iter().filter(|(name, _)| !leave_out.iter().any(|unwanted| unwanted == name));
            Tree::Map(wanted.map(|(name, value)| (name.to_string().into(), keep(value, leave_out))).collect())
        }
    }
}
