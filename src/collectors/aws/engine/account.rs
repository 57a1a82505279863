//! The account's own node and its regions. The first call shows whether the credentials work.
//!
//! The node's id is made of the account's name, so that an account whose alias is not known would be another one in the
//! core, without a history. A refusal is a state that stays, and the account goes by its number then; anything else may
//! be over in a moment, and fails the unit, which is tried again.

use std::time::Instant;

use worker_proto::{Failure, Why};

use super::{
    super::{
        client::{CallError, CallErrorKind, Reply, Tree},
        definitions::{Call, Definition, Service},
        plan::ACCOUNT_KIND,
        regions,
        selection::global_region,
    },
    CLOUD, Run, call_failure,
    eval::{Item, Named},
    internal,
    kind::KindCollection,
    location::{GLOBAL, Location},
    unseen::UnknownParts,
};
use crate::graph::{NodeId, Scope as Ancestors, UNDEFINED};

/// What the account's node is called in gaps and metrics.
const LABEL: &str = "account";

impl Run<'_> {
    /// Makes the account's calls and sends its node.
    ///
    /// # Errors
    /// `Credentials` if they are refused, `Unavailable` if what the node is called cannot be told.
    pub(super) async fn account(&mut self) -> Result<NodeId, Failure> {
        let tree = self.account_item();
        let item = Item::plain(&tree);
        let mut failed = Vec::new();
        let answers = self.account_answers(&item, &mut failed).await?;
        let location = self.account_location();
        let collection =
            KindCollection::new(self, &location, self.account_definition()?.0, self.account_definition()?.1)?;
        let trees = collection.trees(&answers, &mut failed).await?;
        let named =
            trees.iter().map(|(call, pages)| Named { name: &call.name, take: Some(call.result.get_ref()), pages });
        let item = Item { tree: &tree, named: named.collect(), failed };
        let definition = self.account_definition()?.1;
        let mut parts = UnknownParts::of(definition, &item);
        // Where its name cannot be told, it stays the node that the core knows.
        parts.add_name(definition, &item);
        let Some((resource, name)) = collection.resource(&item).await? else {
            return Err(internal("the definition of the account has no id"));
        };
        let scope = Ancestors { cloud: CLOUD, account: &self.payload.account, region: UNDEFINED, zone: UNDEFINED };
        let node = resource.finish(&scope).map_err(internal)?;
        let node = self.graph.add(node, Vec::new()).await?;
        self.unseen_parts(node, parts);
        let id = &self.payload.account;
        self.display = if name == *id { name } else { format!("{name} ({id})") };
        Ok(node)
    }

    /// The regions to collect: those that were chosen, or all that are enabled for the account.
    ///
    /// What was planned are the regions of the base credentials' account. They stand in where a role must not ask.
    ///
    /// # Errors
    /// `Unavailable` if there is no answer: with other regions than last time, the core would lose what is in them.
    pub(super) async fn regions(&self, account: NodeId) -> Result<Vec<String>, Failure> {
        let planned = &self.payload.regions;
        let is_own = self.payload.role.is_none();
        if is_own || !self.options.regions.is_empty() {
            return Ok(planned.clone());
        }
        // Where the plan could ask: an organization may forbid calls in other regions, the global one among them.
        let asked = planned.first().map_or(global_region(&self.payload.partition), String::as_str);
        match regions::enabled(&self.client, asked).await {
            Ok(regions) => Ok(regions),
            Err(error) if error.kind == CallErrorKind::Denied => {
                self.lost(GLOBAL, LABEL, &error).await?;
                // The account may have enabled more of them.
                self.unseen_regions(account, Why::Unseen);
                Ok(planned.clone())
            }
            Err(error) => Err(call_failure(&self.what("its regions cannot be listed"), &error)),
        }
    }

    fn what(&self, what: &str) -> String {
        format!("AWS account {}: {what}", self.payload.account)
    }

    fn account_location(&self) -> Location {
        Location::global(global_region(&self.payload.partition))
    }

    fn account_definition(&self) -> Result<(&'static Service, &'static Definition), Failure> {
        let mut all = self.definitions.iter();
        all.find(|(_, definition)| definition.kind.get_ref() == ACCOUNT_KIND)
            .ok_or_else(|| internal("there is no definition of the account"))
    }

    fn account_item(&self) -> Tree<'static> {
        let mut members = vec![("account".into(), Tree::Text(self.payload.account.clone().into()))];
        members.extend(self.payload.role.clone().map(|role| ("role".into(), Tree::Text(role.into()))));
        Tree::Map(members)
    }

    /// The answers to the account's calls. Failed ones are gaps, but for refused credentials and what its name hangs on.
    async fn account_answers(
        &self,
        item: &Item<'_>,
        failed: &mut Vec<&'static str>,
    ) -> Result<Vec<(&'static Call, Vec<Reply>)>, Failure> {
        let (service, definition) = self.account_definition()?;
        let location = self.account_location();
        let collection = KindCollection::new(self, &location, service, definition)?;
        let started = Instant::now();
        let mut answers = Vec::with_capacity(definition.calls.len());
        for call in &definition.calls {
            if call.collector().is_some_and(|collector| !self.is_wanted(collector)) {
                continue;
            }
            match collection.answer(call, item).await.and_then(readable) {
                Ok(replies) => answers.push((call, replies)),
                Err(error) if error.has_code(&call.not_found_codes) => {}
                Err(error) if error.kind == CallErrorKind::Credentials => {
                    let what = self.what("its credentials are refused; check the role and its trust policy");
                    return Err(call_failure(&what, &error));
                }
                Err(error) if error.kind != CallErrorKind::Denied && definition.is_named_by(call) => {
                    return Err(call_failure(&self.what("what it is called cannot be told"), &error));
                }
                Err(error) => {
                    failed.push(&call.name);
                    self.lost(&location.label, call.collector().unwrap_or(LABEL), &error).await?;
                }
            }
        }
        self.context.duration("plugin_aws_collect_iam_account_summary", started.elapsed()).await?;
        Ok(answers)
    }
}

/// Replies that can be read, all of them.
fn readable(replies: Vec<Reply>) -> Result<Vec<Reply>, CallError> {
    for reply in &replies {
        reply.tree()?;
    }
    Ok(replies)
}
