//! Collects one kind in one location: list, fetch details, build nodes and edges.

use std::ops::ControlFlow;

use serde_json::{Map, Value as Json};
use worker_proto::Failure;

use super::{
    super::{
        api::{Request, Response},
        definition::{Batch, Call, Definition, HookUse, ListCall, Service},
        error::CallError,
        eval::{Item, Named},
        hook::{HookContext, HookValue},
        tree::Tree,
    },
    Location, Run,
    batch::BatchTrees,
    build::Built,
    details::{KindDetails, Lookup},
    gather,
    locations::Locations,
    parameters::{Parameters, parameters},
    traced::Part,
};
use crate::{
    collector_api::BoxFuture,
    graph::{Kind, NodeId},
};

/// The items of a kind whose calls are made at the same time.
const ITEMS_AT_ONCE: usize = 4;

/// The name of an item's details in paths.
pub(super) const DETAILS: &str = "details";

/// The collection of one kind in one location.
#[derive(Clone, Copy)]
pub(super) struct KindCollection<'r> {
    pub(super) run: &'r Run<'r>,
    pub(super) location: &'r Location,
    /// All locations of the account.
    pub(super) locations: &'r Locations,
    pub(super) service: &'static Service,
    pub(super) definition: &'static Definition,
    pub(super) kind: &'static Kind,
}

/// The parent of listed items: its item and its node.
#[derive(Clone, Copy)]
pub(super) struct ParentItem<'t> {
    pub(super) item: &'t Item<'t>,
    pub(super) node: NodeId,
}

impl<'t> ParentItem<'t> {
    /// Returns the item as a named value.
    fn named(self) -> Named<'t> {
        Named::whole("parent", self.item.tree)
    }
}

impl<'r> KindCollection<'r> {
    /// Returns a collection that has not started.
    ///
    /// # Errors
    /// `Internal` if the schema does not have the kind.
    pub(super) fn new(
        run: &'r Run<'_>,
        location: &'r Location,
        locations: &'r Locations,
        service: &'static Service,
        definition: &'static Definition,
    ) -> Result<Self, Failure> {
        let kind = run.kind(definition.kind.get_ref())?;
        Ok(Self { run, location, locations, service, definition, kind })
    }

    pub(super) fn collector(&self) -> &'static str {
        self.definition.collector().unwrap_or_default()
    }

    /// Lists the kind and sends its nodes. An incomplete list is recorded as unseen. The future is boxed, as a kind
    /// with a parent is listed inside the parent's listing.
    pub(super) fn list<'a>(self, parent: Option<ParentItem<'a>>) -> BoxFuture<'a, Result<(), Failure>>
    where
        'r: 'a,
    {
        Box::pin(async move {
            if !self.list_pages(parent).await? {
                self.unseen(parent.map_or(self.location.node, |parent| parent.node));
            }
            Ok(())
        })
    }

    /// Notes where the paths of a part of the definition lead, if that is traced.
    pub(super) fn trace(&self, part: Part, item: &Item<'_>) {
        self.run.traced.iter().for_each(|traced| traced.note(self.definition, part, item));
    }

    /// Records that nodes of the kind may be missing below a node.
    pub(super) fn unseen(&self, below: NodeId) {
        self.run.unseen(self.location, self.locations, self.service, self.definition, below);
    }

    /// Returns whether the list is complete.
    async fn list_pages(self, parent: Option<ParentItem<'_>>) -> Result<bool, Failure> {
        let Some(list) = &self.definition.list else { return self.unlisted(parent).await };
        if list.shared {
            return self.list_shared(list).await;
        }
        let mut is_complete = true;
        let from = self.definition.details.as_deref();
        let details = KindDetails::of(self.run, self.location, self.service, from).await?;
        if let Some(details) = details.as_ref().filter(|details| details.are_the_list()) {
            for items in details.pages() {
                is_complete &= self.items(&items, parent, &|item| Some(item)).await?;
            }
            return Ok(is_complete);
        }
        let lookup = details.as_ref().and_then(KindDetails::lookup);
        let nothing = Tree::Null;
        let plain = self.plain(&nothing);
        let item = parent.map_or(&plain, |parent| parent.item);
        self.trace(Part::Parameters, item);
        if list.each.as_ref().is_some_and(|each| !item.has_list(each.get_ref())) {
            // The values are a part of a response that lacks them, or of a call that has failed.
            return Ok(false);
        }
        for Parameters { input, of } in parameters(list, item) {
            // Each skipped call counts.
            if !self.allows(list.operation.get_ref(), None) {
                is_complete = false;
                continue;
            }
            let mut pages = self.run.pages(self.request(list.operation.get_ref(), input));
            while let Some(page) = if self.has_ended() { None } else { pages.next().await } {
                let done = match page {
                    Ok(response) => {
                        self.location.record_success(&self.service.service, list.operation.get_ref());
                        self.page(&response, parent, lookup.as_ref()).await?
                    }
                    Err(error) => Err(error),
                };
                match done {
                    Ok(all) => is_complete &= all,
                    Err(mut error) => {
                        if let Some(value) = of {
                            // Each value is a listing of its own, and so a gap of its own.
                            error.operation = format!("{} {value}", error.operation).into();
                        }
                        is_complete &= self.failed(list, &error).await?;
                        break;
                    }
                }
            }
        }
        // The end of the location or the service may have ended this list too.
        Ok(is_complete && !self.has_ended())
    }

    /// Sends the nodes of items that are parts of the parent's item; without a parent, there is one item.
    async fn unlisted(&self, parent: Option<ParentItem<'_>>) -> Result<bool, Failure> {
        parent.iter().for_each(|parent| self.trace(Part::Parameters, parent.item));
        let items = match (&self.definition.items, parent) {
            (Some(path), Some(parent)) => path.get_ref().values(parent.item.tree),
            _ => vec![&Tree::Null],
        };
        self.items(&items, parent, &|_| None).await
    }

    async fn list_shared(&self, list: &'static ListCall) -> Result<bool, Failure> {
        match self.location.shared(self.run, &self.service.service, list.operation.get_ref()).await {
            Ok(responses) => {
                let mut is_complete = true;
                for response in responses.iter() {
                    is_complete &= match self.page(response, None, None).await? {
                        Ok(all) => all,
                        Err(error) => self.failed(list, &error).await?,
                    };
                }
                Ok(is_complete)
            }
            Err(error) => self.failed(list, &error).await,
        }
    }

    /// Reports a failed list, unless the error means that nothing exists; returns whether it does.
    async fn failed(&self, list: &ListCall, error: &CallError) -> Result<bool, Failure> {
        let is_absent = error.has_code(&list.not_found_codes);
        if is_absent {
            self.location.record_success(&self.service.service, list.operation.get_ref());
        } else {
            // Its service ended while the call was made.
            let ends = error.facts.ends_service || error.facts.is_not_in_use;
            let is_skipped = ends && self.location.has_ended_service(&self.service.service);
            self.location.report_failure(self.run, self.collector(), error).await?;
            if is_skipped {
                self.location.skip_kind(&self.service.service, self.definition);
            }
        }
        Ok(is_absent)
    }

    /// Returns whether a call of this operation may be made here, for the kind or for the call's own collector.
    fn allows(&self, operation: &str, collector: Option<&'static str>) -> bool {
        self.location.allows(&self.service.service, operation, collector.unwrap_or(self.collector()))
    }

    /// Returns whether a call of the definition may be made here.
    pub(super) fn allows_call(&self, call: &'static Call) -> bool {
        self.allows(call.operation.get_ref(), call.collector())
    }

    /// Records a response to a call of the definition, also one that means that nothing exists.
    pub(super) fn record_success(&self, call: &Call) {
        self.location.record_success(&self.service.service, call.operation.get_ref());
    }

    /// Reports a failed call.
    pub(super) async fn report_failure(&self, call: &Call, error: &CallError) -> Result<(), Failure> {
        self.location.report_failure(self.run, call.collector().unwrap_or(self.collector()), error).await
    }

    /// Returns whether a failed call, which was reported, means that nothing exists: its service is not in use.
    pub(super) fn is_absent(&self, error: &CallError) -> bool {
        error.facts.is_not_in_use && self.location.is_not_in_use(&self.service.service)
    }

    /// Iterates over the batch calls of the definition.
    pub(super) fn batch_calls(&self) -> impl Iterator<Item = (&'static Call, &'static Batch)> + use<> {
        self.definition.calls.iter().filter_map(|call| Some((call, call.batch.as_ref()?)))
    }

    /// Returns whether the location or its service has ended.
    fn has_ended(&self) -> bool {
        self.location.has_ended() || self.location.has_ended_service(&self.service.service)
    }

    /// Returns whether the location has ended.
    pub(super) fn is_over(&self) -> bool {
        self.location.has_ended()
    }

    /// Iterates over what paths find by name in every item here.
    fn constants(&self) -> impl Iterator<Item = Named<'r>> {
        self.run.constants().chain([self.location.named()])
    }

    /// Returns an item of which nothing is known yet but the constants.
    pub(super) fn plain<'t>(&self, tree: &'t Tree<'t>) -> Item<'t>
    where
        'r: 't,
    {
        Item { tree, named: self.constants().collect(), failed: Vec::new() }
    }

    pub(super) fn request(&self, operation: &'static str, input: Map<String, Json>) -> Request<'r> {
        Request::new(&self.service.service, operation, &self.location.region).input(input)
    }

    /// Sends the nodes of a page, and returns whether all items have one, but for those of locations that are known to be
    /// missing. The outer error ends the unit, the inner one
    /// this listing.
    async fn page(
        &self,
        response: &Response,
        parent: Option<ParentItem<'_>>,
        details: Option<&Lookup<'_>>,
    ) -> Result<Result<bool, CallError>, Failure> {
        let Some(list) = &self.definition.list else { return Ok(Ok(true)) };
        let tree = match response.tree() {
            Ok(tree) => tree,
            Err(error) => return Ok(Err(error)),
        };
        self.trace(Part::Items, &Item::plain(&tree));
        let mut items = Vec::new();
        let _ = list.items.get_ref().walk(&tree, &mut |item| {
            items.push(item);
            ControlFlow::Continue(())
        });
        let is_complete = self.items(&items, parent, &|item| details?.of(item)).await?;
        Ok(self.missing_of_page(response, parent).await?.map(|is_known| is_complete && is_known))
    }

    /// Sends the nodes of items, with their details if any, and returns whether all items have one.
    async fn items<'t>(
        &self,
        items: &[&'t Tree<'t>],
        parent: Option<ParentItem<'t>>,
        details: &(dyn Fn(&'t Tree<'t>) -> Option<&'t Tree<'t>> + Sync),
    ) -> Result<bool, Failure> {
        let mut added = Vec::with_capacity(self.definition.hooks.len());
        let mut failed: Vec<Vec<&'static str>> = vec![Vec::new(); items.len()];
        for hook in &self.definition.hooks {
            let (name, values) = (hook.hook.get_ref().as_str(), self.hook(hook, items).await?);
            for (failed, _) in failed.iter_mut().zip(&values).filter(|(_, added)| added.is_unknown) {
                failed.push(name);
            }
            added.push((name, values));
        }
        let answers = self.batches(items, &mut failed).await?;
        let trees = self.batch_trees(&answers, &mut failed).await?;
        let parts: Vec<_> = trees.iter().map(BatchTrees::parts).collect();
        let named = |index: usize, item: &'t Tree<'t>| {
            let values =
                added.iter().filter_map(move |(name, values)| Some(Named::whole(name, &values.get(index)?.value)));
            let values = values.chain(parts.iter().map(|parts| parts.of(item)));
            let details = details(item).map(|details| Named::whole(DETAILS, details));
            values.chain(details).chain(parent.map(ParentItem::named)).chain(self.constants()).collect()
        };
        let items = items.iter().zip(failed).enumerate();
        let items = items.map(|(index, (tree, failed))| (index, Item { tree, named: named(index, tree), failed }));
        if self.definition.calls.is_empty() && self.children().next().is_none() {
            let mut is_complete = true;
            for item in items {
                is_complete &= self.item(item, parent).await?;
            }
            return Ok(is_complete);
        }
        let futures = items.map(|item| -> BoxFuture<'_, Result<bool, Failure>> { Box::pin(self.item(item, parent)) });
        let made = gather(ITEMS_AT_ONCE, futures.collect()).await?;
        Ok(made.into_iter().all(|is_made| is_made))
    }

    async fn hook<'t>(&self, hook: &'static HookUse, items: &[&'t Tree<'t>]) -> Result<Vec<HookValue>, Failure> {
        let name = hook.hook.get_ref();
        let found = self.run.cloud.hook(name);
        let found = found.ok_or_else(|| self.run.internal(format!("there is no hook {name}")))?;
        let context =
            HookContext { run: self.run, location: self.location, locations: self.locations, input: &hook.input };
        found.values_of(context, items).await
    }

    /// Iterates over the kinds whose parent this one is.
    fn children(&self) -> impl Iterator<Item = &'static Definition> + use<> {
        let kind = self.definition.kind.get_ref();
        self.service
            .kinds
            .iter()
            .filter(move |child| child.parent.as_ref().is_some_and(|below| below.get_ref() == kind))
    }

    /// Makes the calls for one item, sends its node and edges, and lists its children. Returns `false` if the item has
    /// no node although it exists.
    async fn item(&self, (index, item): (usize, Item<'_>), parent: Option<ParentItem<'_>>) -> Result<bool, Failure> {
        let mut failed = Vec::new();
        let answers = self.answers(&item, &mut failed).await?;
        let trees = self.trees(&answers, &mut failed).await?;
        let mut item = Item { tree: item.tree, named: item.named, failed: item.failed };
        item.failed.extend(failed);
        item.named.extend(trees.iter().map(|(call, pages)| Named {
            name: &call.name,
            take: Some(call.result.get_ref()),
            pages,
        }));
        let (node, location) = match self.node(&item, index, parent).await? {
            Built::Node(node, location) => (node, location),
            Built::Nothing => return Ok(true),
            Built::Unknown => return Ok(false),
        };
        KindCollection { location, ..*self }.list_children(ParentItem { item: &item, node }).await?;
        Ok(true)
    }

    /// Lists the children of a node.
    pub(super) async fn list_children(&self, parent: ParentItem<'_>) -> Result<(), Failure> {
        for child in self.children() {
            if child.collector().is_none_or(|collector| self.run.is_wanted(collector)) {
                let collection = KindCollection::new(self.run, self.location, self.locations, self.service, child)?;
                collection.list(Some(parent)).await?;
            }
        }
        Ok(())
    }
}
