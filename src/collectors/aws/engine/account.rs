//! The account's own node and its regions. The first call verifies the credentials.
//!
//! The node's ID contains the account's name. With an unknown alias, the core would see another account, without a
//! history. If the alias is denied, which is permanent, the account is named by its number. Any other failure may be
//! transient: it fails the unit, which is retried.

use std::time::Instant;

use worker_proto::{Failure, Why};

use super::{
    super::{
        client::{CallError, CallErrorKind, Response, Tree},
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

/// The name of the account's node in gaps and metrics.
const LABEL: &str = "account";

impl Run<'_> {
    /// Makes the account's calls and sends its node.
    ///
    /// # Errors
    /// `Credentials` if they are rejected, `Unavailable` if the account's name cannot be determined.
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
        // Without a name, it stays the node that the core has.
        parts.add_name(definition, &item);
        let Some((resource, name)) = collection.resource(&item).await? else {
            return Err(internal("the definition of the account has no ID"));
        };
        let scope = Ancestors { cloud: CLOUD, account: &self.payload.account, region: UNDEFINED, zone: UNDEFINED };
        let node = resource.finish(&scope).map_err(internal)?;
        let node = self.graph.add(node, Vec::new()).await?;
        self.unseen_parts(node, parts);
        let id = &self.payload.account;
        self.display = if name == *id { name } else { format!("{name} ({id})") };
        Ok(node)
    }

    /// Returns the regions to collect: the selected ones, or all that are enabled for the account.
    ///
    /// The planned regions are those of the base credentials' account. They are used if the role may not list regions.
    ///
    /// # Errors
    /// `Unavailable` if the list fails: with other regions than last time, the core would delete their resources.
    pub(super) async fn regions(&self, account: NodeId) -> Result<Vec<String>, Failure> {
        let planned = &self.payload.regions;
        let is_own = self.payload.role.is_none();
        if is_own || !self.options.regions.is_empty() {
            return Ok(planned.clone());
        }
        // The region in which the plan has listed them: an organization may forbid calls in other regions, also in the
        // global one.
        let asked = planned.first().map_or(global_region(&self.payload.partition), String::as_str);
        match regions::enabled(&self.client, asked).await {
            Ok(regions) => Ok(regions),
            Err(error) if error.kind == CallErrorKind::Denied => {
                self.report_failure(GLOBAL, LABEL, &error).await?;
                // The account may have enabled more regions.
                self.unseen_regions(account, Why::Unseen);
                Ok(planned.clone())
            }
            Err(error) => Err(call_failure(&self.message("cannot list its regions"), &error)),
        }
    }

    fn message(&self, what: &str) -> String {
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

    /// Makes the account's calls. A failed one is a gap, unless the credentials are rejected or the account's name
    /// depends on it.
    async fn account_answers(
        &self,
        item: &Item<'_>,
        failed: &mut Vec<&'static str>,
    ) -> Result<Vec<(&'static Call, Vec<Response>)>, Failure> {
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
                Ok(responses) => answers.push((call, responses)),
                Err(error) if error.has_code(&call.not_found_codes) => {}
                Err(error) if error.kind == CallErrorKind::Credentials => {
                    let what = self.message("its credentials are rejected; check the role and its trust policy");
                    return Err(call_failure(&what, &error));
                }
                Err(error) if error.kind != CallErrorKind::Denied && definition.is_named_by(call) => {
                    return Err(call_failure(&self.message("cannot read its alias"), &error));
                }
                Err(error) => {
                    failed.push(&call.name);
                    self.report_failure(&location.label, call.collector().unwrap_or(LABEL), &error).await?;
                }
            }
        }
        self.context.duration("plugin_aws_collect_iam_account_summary", started.elapsed()).await?;
        Ok(answers)
    }
}

/// Returns the responses if all of them can be parsed.
fn readable(responses: Vec<Response>) -> Result<Vec<Response>, CallError> {
    for response in &responses {
        response.tree()?;
    }
    Ok(responses)
}
