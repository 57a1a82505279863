//! One kind in one place: list, complete, build, connect.

use std::ops::ControlFlow;

use serde_json::{Map, Value as Json};
use worker_proto::{Failure, FailureKind};

use super::{
    super::{
        super::BoxFuture,
        client::{CallError, CallErrorKind, Reply, Request, Tree},
        definitions::{Call, Definition, Hook, Input, List, Reference, Scope, Service},
    },
    Run, at_most, balancers,
    eval::{Item, Named},
    metrics,
    place::{GLOBAL, Place},
    types,
};
use crate::graph::{End, Key, Kind, NodeId, Resource, Value};

/// How many items of a kind are completed with further calls at the same time.
const ITEMS_AT_ONCE: usize = 4;

/// Whether an error means that there is nothing, by its code.
pub(crate) fn is_absence(error: &CallError, codes: &[String]) -> bool {
    codes.iter().any(|code| **code == *error.code)
}

/// One kind in one place.
#[derive(Clone, Copy)]
pub(crate) struct Step<'r> {
    run: &'r Run<'r>,
    place: &'r Place,
    service: &'static Service,
    definition: &'static Definition,
    kind: &'static Kind,
}

/// What a kind hangs below: the item of that node, and the node.
#[derive(Clone, Copy)]
pub(crate) struct Above<'t> {
    item: &'t Item<'t>,
    node: NodeId,
}

impl<'t> Above<'t> {
    /// Its item as a named value.
    fn named(self) -> Named<'t> {
        Named { name: "above", take: None, pages: std::slice::from_ref(self.item.tree) }
    }
}

impl<'r> Step<'r> {
    /// A step that has done nothing yet.
    ///
    /// # Errors
    /// `Internal` if the schema does not have the kind.
    pub(crate) fn new(
        run: &'r Run<'_>,
        place: &'r Place,
        service: &'static Service,
        definition: &'static Definition,
    ) -> Result<Self, Failure> {
        let kind = run.kind(definition.kind.get_ref())?;
        Ok(Self { run, place, service, definition, kind })
    }

    fn collector(&self) -> &'static str {
        self.definition.collector().unwrap_or_default()
    }

    /// Lists the kind and makes nodes of what comes. Boxed, as a kind below a kind is a listing inside a listing.
    pub(crate) fn list<'a>(self, above: Option<Above<'a>>) -> BoxFuture<'a, Result<(), Failure>>
    where
        'r: 'a,
    {
        Box::pin(self.list_pages(above))
    }

    async fn list_pages(self, above: Option<Above<'_>>) -> Result<(), Failure> {
        let Some(list) = &self.definition.list else { return Ok(()) };
        if list.shared {
            return self.list_shared(list).await;
        }
        let nothing = Tree::Null;
        let plain = Item::plain(&nothing);
        let item = above.map_or(&plain, |above| above.item);
        let inputs: Vec<_> = match list.inputs.as_slice() {
            [] => vec![Map::new()],
            inputs => inputs.iter().map(|input| item.input(input.get_ref())).collect(),
        };
        for input in inputs {
            let mut pages = self.run.client.pages(self.request(list.operation.get_ref(), input));
            while !self.place.is_refused()
                && let Some(page) = pages.next().await
            {
                self.go_on()?;
                let done = match page {
                    Ok(reply) => {
                        self.place.answers();
                        self.page(&reply, above).await?
                    }
                    Err(error) => Err(error),
                };
                if let Err(error) = done {
                    self.failed(list, &error).await?;
                    break;
                }
            }
        }
        Ok(())
    }

    async fn list_shared(&self, list: &'static List) -> Result<(), Failure> {
        match self.place.shared(self.run, &self.service.service, list.operation.get_ref()).await {
            Ok(replies) => {
                for reply in replies.iter() {
                    if let Err(error) = self.page(reply, None).await? {
                        self.failed(list, &error).await?;
                    }
                }
                Ok(())
            }
            Err(error) => self.failed(list, &error).await,
        }
    }

    async fn failed(&self, list: &List, error: &CallError) -> Result<(), Failure> {
        match is_absence(error, &list.absent) {
            true => Ok(()),
            false => self.place.lost(self.run, self.collector(), error).await,
        }
    }

    /// # Errors
    /// `Cancelled` if the unit must end.
    fn go_on(&self) -> Result<(), Failure> {
        match self.run.context.is_cancelled() {
            true => Err(Failure { kind: FailureKind::Cancelled, message: "cancelled".into() }),
            false => Ok(()),
        }
    }

    fn request(&self, operation: &'static str, input: Map<String, Json>) -> Request<'r> {
        Request { service: &self.service.service, operation, region: &self.place.region, input }
    }

    /// Makes nodes of a page. The outer error ends the unit, the inner one this listing.
    async fn page(&self, reply: &Reply, above: Option<Above<'_>>) -> Result<Result<(), CallError>, Failure> {
        let Some(list) = &self.definition.list else { return Ok(Ok(())) };
        let tree = match reply.tree() {
            Ok(tree) => tree,
            Err(error) => return Ok(Err(error)),
        };
        let mut items = Vec::new();
        let _ = list.items.get_ref().walk(&tree, &mut |item| {
            items.push(item);
            ControlFlow::Continue(())
        });
        let mut added = Vec::with_capacity(self.definition.hooks.len());
        for hook in &self.definition.hooks {
            added.push((hook.values().0, self.hook(*hook, &items).await?));
        }
        let named = |index: usize| {
            let values = added.iter().filter_map(move |(name, values)| Some((*name, values.get(index)?)));
            let values = values.map(|(name, value)| Named { name, take: None, pages: std::slice::from_ref(value) });
            values.chain(above.map(|above| above.named())).collect()
        };
        let items = items.into_iter().enumerate().map(|(index, tree)| Item { tree, named: named(index) });
        if self.definition.calls.is_empty() && self.children().next().is_none() {
            for item in items {
                self.item(item, above).await?;
            }
        } else {
            let futures = items.map(|item| -> BoxFuture<'_, Result<(), Failure>> { Box::pin(self.item(item, above)) });
            at_most(ITEMS_AT_ONCE, futures.collect()).await?;
        }
        Ok(Ok(()))
    }

    async fn hook(&self, hook: Hook, items: &[&Tree<'_>]) -> Result<Vec<Tree<'static>>, Failure> {
        let (run, place) = (self.run, self.place);
        match hook {
            Hook::InstanceType => types::instance_types(run, place, items).await,
            Hook::VolumeType => types::volume_types(run, place, items).await,
            Hook::VolumeUse => metrics::volume_use(run, place, items).await,
            Hook::DatabaseUse => metrics::database_use(run, place, items).await,
            Hook::Targets => balancers::targets(run, place, items).await,
            Hook::Backends => balancers::backends(run, place, items).await,
        }
    }

    /// The kinds that hang below this one.
    fn children(&self) -> impl Iterator<Item = &'static Definition> + use<> {
        let kind = self.definition.kind.get_ref();
        self.service.kinds.iter().filter(move |child| child.below.as_ref().is_some_and(|below| below.get_ref() == kind))
    }

    /// Completes one item with the calls of its definition, sends its node and edges, and lists what hangs below it.
    async fn item(&self, item: Item<'_>, above: Option<Above<'_>>) -> Result<(), Failure> {
        let answers = self.answers(&item).await?;
        let trees = self.trees(&answers).await?;
        let mut item = Item { tree: item.tree, named: item.named };
        item.named.extend(trees.iter().map(|(call, pages)| Named {
            name: &call.name,
            take: Some(call.take.get_ref()),
            pages,
        }));
        let Some(node) = self.node(&item, above).await? else { return Ok(()) };
        for child in self.children() {
            if child.collector().is_none_or(|collector| self.run.is_wanted(collector)) {
                let step = Step::new(self.run, self.place, self.service, child)?;
                step.list(Some(Above { item: &item, node })).await?;
            }
        }
        Ok(())
    }

    /// The answers to the calls of the definition; failed ones are reported and missing.
    pub(crate) async fn answers(&self, item: &Item<'_>) -> Result<Vec<(&'static Call, Vec<Reply>)>, Failure> {
        let mut answers = Vec::with_capacity(self.definition.calls.len());
        for call in &self.definition.calls {
            if self.place.is_refused() {
                break;
            }
            if call.collector.as_ref().is_some_and(|collector| !self.run.is_wanted(collector.get_ref())) {
                continue;
            }
            self.go_on()?;
            match self.answer(call, item).await {
                Ok(replies) => answers.push((call, replies)),
                Err(error) if is_absence(&error, &call.absent) => {}
                Err(error) => self.place.lost(self.run, call.collector().unwrap_or(self.collector()), &error).await?,
            }
        }
        Ok(answers)
    }

    /// All pages of one call.
    pub(crate) async fn answer(&self, call: &'static Call, item: &Item<'_>) -> Result<Vec<Reply>, CallError> {
        let none = Input::new();
        let input = item.input(call.input.as_ref().map_or(&none, |input| input.get_ref()));
        let mut pages = self.run.client.pages(self.request(call.operation.get_ref(), input));
        let mut replies = Vec::new();
        while let Some(page) = pages.next().await {
            replies.push(page?);
        }
        Ok(replies)
    }

    /// The trees of answers; unreadable ones are reported and missing.
    pub(crate) async fn trees<'a>(
        &self,
        answers: &'a [(&'static Call, Vec<Reply>)],
    ) -> Result<Vec<(&'static Call, Vec<Tree<'a>>)>, Failure> {
        let mut trees = Vec::with_capacity(answers.len());
        for (call, replies) in answers {
            match replies.iter().map(Reply::tree).collect() {
                Ok(pages) => trees.push((*call, pages)),
                Err(error) => self.place.lost(self.run, self.collector(), &error).await?,
            }
        }
        Ok(trees)
    }

    /// Sends the node of an item and declares its edges; an item without id is reported and skipped.
    async fn node(&self, item: &Item<'_>, above: Option<Above<'_>>) -> Result<Option<NodeId>, Failure> {
        let Some((resource, name)) = self.resource(item).await? else { return Ok(None) };
        let keys = self.keys(&resource, &name);
        let node = match resource.finish(&self.place.ancestors(self.run)) {
            Ok(node) => node,
            Err(error) => {
                self.odd("UnfitResource", error.to_string()).await?;
                return Ok(None);
            }
        };
        let node = self.run.graph.add(node, keys).await?;
        let parent = above.map_or(self.place.node, |above| above.node);
        self.run.graph.edge(End::Node(parent), End::Node(node));
        self.connect(item, node);
        Ok(Some(node))
    }

    /// Builds the resource of an item; answers its name too.
    pub(crate) async fn resource(&self, item: &Item<'_>) -> Result<Option<(Resource<'static>, String)>, Failure> {
        let definition = self.definition;
        let Some(id) = item.text(definition.id.get_ref()) else {
            self.odd("NoId", "an item without id".to_owned()).await?;
            return Ok(None);
        };
        let name = definition.name.as_ref().and_then(|name| item.text(name.get_ref())).unwrap_or_else(|| id.clone());
        let mut resource = Resource::new(self.kind, id);
        resource.name(name.as_str());
        if let Some(tags) = &definition.tags {
            item.tags(tags.get_ref(), &mut |key, value| {
                resource.tag(key, value);
            });
        }
        for (field, source) in &definition.properties {
            let Some(value) = item.value(source.get_ref(), self.kind) else { continue };
            if let Err(error) = resource.set(field.get_ref(), value) {
                self.odd("UnfitValue", error.to_string()).await?;
            }
        }
        resource.protected(definition.protected.as_ref().is_some_and(|when| item.holds(when.get_ref())));
        resource.cleaned(definition.cleaned.as_ref().is_some_and(|when| item.holds(when.get_ref())));
        if definition.phantom.as_ref().is_some_and(|when| item.holds(when.get_ref())) {
            resource.phantom(true);
        }
        Ok(Some((resource, name)))
    }

    /// Reports an answer that makes no sense; it costs the item or the field, not the kind.
    async fn odd(&self, code: &str, message: String) -> Result<(), Failure> {
        let operation = self.definition.list.as_ref().map(|list| list.operation.get_ref().clone()).unwrap_or_default();
        let error = CallError {
            service: self.service.service.as_str().into(),
            operation: operation.into(),
            region: self.place.region.as_str().into(),
            code: code.into(),
            message: format!("{}: {message}", self.kind.fqn),
            kind: CallErrorKind::Odd,
        };
        self.place.lost(self.run, self.collector(), &error).await
    }

    /// The keys under which references find a resource.
    fn keys(&self, resource: &Resource<'_>, name: &str) -> Vec<Key> {
        let attributes = self.run.definitions.referenced(self.kind.fqn);
        let value = |attribute: &str| match attribute {
            "id" => Some(resource.id().to_owned()),
            "name" => Some(name.to_owned()),
            other => match resource.get(other) {
                Some(Value::Text(text)) => Some(text.clone()),
                _ => None,
            },
        };
        attributes
            .iter()
            .filter_map(|attribute| Some(self.key(self.kind.fqn, attribute, value(attribute)?, None)))
            .collect()
    }

    fn key(&self, kind: &str, attribute: &str, value: String, scope: Option<Scope>) -> Key {
        let scope = match scope {
            Some(Scope::Global) => GLOBAL,
            _ => &self.place.label,
        };
        Key { scope: scope.to_owned(), kind: kind.to_owned(), attribute: attribute.to_owned(), value }
    }

    fn connect(&self, item: &Item<'_>, node: NodeId) {
        let other = |reference: &Reference, value: String| {
            End::Ref(self.key(reference.kind.get_ref(), reference.by.get_ref(), value, reference.scope))
        };
        for reference in &self.definition.predecessors {
            item.texts(reference.value.get_ref(), &mut |value| {
                self.run.graph.edge(other(reference, value), End::Node(node));
            });
        }
        for reference in &self.definition.successors {
            item.texts(reference.value.get_ref(), &mut |value| {
                self.run.graph.edge(End::Node(node), other(reference, value));
            });
        }
    }
}
