//! Details of several kinds from one call, made once in a location; members that nothing uses are dropped.
//!
//! A role for an earlier version may lack the permission for this call. Then each kind makes its own calls, which is no
//! gap. The same holds if some locations did not answer: the kinds' own calls tell which.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;
use worker_proto::Failure;

use super::{
    super::{
        api::Request,
        definition::{DetailsCall, FromDetails, Service},
        error::{CallError, CallErrorKind},
        tree::Tree,
    },
    Location, Run,
};

/// The responses in a location by service; `None` where the call failed.
#[derive(Default)]
pub(super) struct DetailsCache(Mutex<HashMap<String, Arc<OnceCell<Option<DetailPages>>>>>);

type DetailPages = Arc<Vec<Tree<'static>>>;

/// The details of one kind.
pub(super) struct KindDetails {
    pages: DetailPages,
    from: &'static FromDetails,
}

/// The details of one kind by the key of its items.
pub(super) struct Lookup<'d> {
    by: &'static str,
    known: HashMap<&'d str, &'d Tree<'d>>,
}

impl KindDetails {
    /// Returns the details of a kind; `None` if it has none, or the call was denied or failed.
    pub(super) async fn of(
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
            match request(run, location, &service.service, details).await {
                Ok(pages) => {
                    location.record_success(&service.service, details.operation.get_ref());
                    Ok(Some(Arc::new(pages)))
                }
                Err(error) if error.kind == CallErrorKind::Credentials => {
                    location.report_failure(run, &service.service, &error).await.map(|()| None)
                }
                Err(error) => {
                    let account = run.account_id();
                    tracing::info!(account, %error, "cannot list details at once, calling for each item");
                    Ok(None)
                }
            }
        });
        Ok(pages.await?.clone().map(|pages| Self { pages, from }))
    }

    /// Returns whether they replace the list.
    pub(super) fn are_the_list(&self) -> bool {
        self.from.key.is_none()
    }

    /// Iterates over the items of each page.
    pub(super) fn pages<'d>(&'d self) -> impl Iterator<Item = Vec<&'d Tree<'d>>> {
        self.pages.iter().map(|page| {
            let mut items = Vec::new();
            let _ = self.from.items.get_ref().walk(page, &mut |item| {
                items.push(item);
                ControlFlow::Continue(())
            });
            items
        })
    }

    /// Indexes the details by the key of the list's items.
    pub(super) fn lookup(&self) -> Option<Lookup<'_>> {
        let by = self.from.key.as_ref()?.get_ref().as_str();
        let items = self.pages().flatten();
        let known = items.filter_map(|item| Some((item.get(by)?.text()?, item))).collect();
        Some(Lookup { by, known })
    }
}

impl<'d> Lookup<'d> {
    /// Returns the details of an item of the list.
    pub(super) fn of(&self, item: &Tree<'_>) -> Option<&'d Tree<'d>> {
        self.known.get(item.get(self.by)?.text()?).copied()
    }
}

async fn request(
    run: &Run<'_>,
    location: &Location,
    service: &str,
    details: &DetailsCall,
) -> Result<Vec<Tree<'static>>, CallError> {
    let nothing = Tree::Null;
    let input = run.item(&nothing).input(details.input.get_ref());
    let request = Request::new(service, details.operation.get_ref(), &location.region).input(input);
    let mut pages = run.pages(request);
    let mut kept = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page?;
        if let Some(part) = page.partial()?.first() {
            return Err(part.error().of(service, details.operation.get_ref(), &location.region));
        }
        kept.push(keep(&page.tree()?, &details.exclude));
    }
    Ok(kept)
}

/// Returns an owned copy without the excluded members.
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
