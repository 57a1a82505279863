//! The account's own node: alias, counts and password policy. Its first call shows whether the credentials work.

use std::time::Instant;

use worker_proto::Failure;

use super::{
    super::{
        client::{CallErrorKind, Reply, Tree},
        definitions::{Call, Definition, Service},
        plan::ACCOUNT_KIND,
        selection::global_region,
    },
    CLOUD, Run, call_failure,
    eval::{Item, Named},
    internal,
    kind::{Step, is_absence},
    place::Place,
};
use crate::graph::{NodeId, Scope as Ancestors, UNDEFINED};

/// What the account's node is called in gaps and metrics.
const LABEL: &str = "account";

impl Run<'_> {
    /// Makes the account's calls and sends its node.
    ///
    /// # Errors
    /// `Credentials` if they are refused.
    pub(super) async fn account(&mut self) -> Result<NodeId, Failure> {
        let tree = self.account_item();
        let item = Item::plain(&tree);
        let answers = self.account_answers(&item).await?;
        let place = self.account_place();
        let step = Step::new(self, &place, self.account_definition()?.0, self.account_definition()?.1)?;
        let trees = step.trees(&answers).await?;
        let named =
            trees.iter().map(|(call, pages)| Named { name: &call.name, take: Some(call.take.get_ref()), pages });
        let item = Item { tree: &tree, named: named.collect() };
        let Some((resource, name)) = step.resource(&item).await? else {
            return Err(internal("the definition of the account has no id"));
        };
        let scope = Ancestors { cloud: CLOUD, account: &self.payload.account, region: UNDEFINED, zone: UNDEFINED };
        let node = resource.finish(&scope).map_err(internal)?;
        let node = self.graph.add(node, Vec::new()).await?;
        let id = &self.payload.account;
        self.display = if name == *id { name } else { format!("{name} ({id})") };
        Ok(node)
    }

    fn account_place(&self) -> Place {
        Place::global(global_region(&self.payload.partition))
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

    /// The answers to the account's calls. Failed ones are gaps, but for refused credentials.
    async fn account_answers(&self, item: &Item<'_>) -> Result<Vec<(&'static Call, Vec<Reply>)>, Failure> {
        let (service, definition) = self.account_definition()?;
        let place = self.account_place();
        let step = Step::new(self, &place, service, definition)?;
        let started = Instant::now();
        let mut answers = Vec::with_capacity(definition.calls.len());
        for call in &definition.calls {
            if call.collector().is_some_and(|collector| !self.is_wanted(collector)) {
                continue;
            }
            match step.answer(call, item).await {
                Ok(replies) => answers.push((call, replies)),
                Err(error) if is_absence(&error, &call.absent) => {}
                Err(error) if error.kind == CallErrorKind::Credentials => {
                    let id = &self.payload.account;
                    let what =
                        format!("AWS account {id}: its credentials are refused; check the role and its trust policy");
                    return Err(call_failure(&what, &error));
                }
                Err(error) => self.lost(&place.label, call.collector().unwrap_or(LABEL), &error).await?,
            }
        }
        self.context.duration("plugin_aws_collect_iam_account_summary", started.elapsed()).await?;
        Ok(answers)
    }
}
