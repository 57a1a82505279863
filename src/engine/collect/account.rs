//! The account's own node. The first call verifies the credentials.
//!
//! The node's ID contains the account's name. With an unknown name, the core would see another account, without a
//! history. If the name is denied, which is permanent, the account is named by its number. Any other failure may be
//! transient: it fails the unit, which is retried.

use std::time::Instant;

use worker_proto::Failure;

use super::{
    super::{
        api::Response,
        definition::{Call, Definition, Service},
        error::{CallError, CallErrorKind, call_failure},
        eval::{Item, Named},
    },
    Location, Run, UnknownParts,
    kind::KindCollection,
    locations::Locations,
};
use crate::graph::{NodeId, Scope as Ancestors, UNDEFINED};

/// The name of the account's node in gaps and metrics.
const LABEL: &str = "account";

impl Run<'_> {
    /// Makes the account's calls and sends its node.
    ///
    /// # Errors
    /// `Credentials` if they are rejected, `Unavailable` if the account's name cannot be determined.
    pub(super) async fn send_account(&mut self) -> Result<NodeId, Failure> {
        let tree = self.account.item();
        let item = self.item(&tree);
        let (service, definition) = self.account_definition()?;
        let none = Locations::default();
        let location = Location::new(self, self.account.own_location(), &none)?;
        let collection = KindCollection::new(self, &location, &none, service, definition)?;
        let mut failed = Vec::new();
        let answers = self.account_answers(&collection, &item, &mut failed).await?;
        let trees = collection.trees(&answers, &mut failed).await?;
        let named =
            trees.iter().map(|(call, pages)| Named { name: &call.name, take: Some(call.result.get_ref()), pages });
        let item = Item { tree: &tree, named: named.chain(self.constants()).collect(), failed };
        let mut parts = UnknownParts::of(definition, &item);
        // Without a name, it stays the node that the core has.
        parts.add_name(definition, &item);
        if self.account.is_known_by_id() {
            parts.add_unset(definition, &item);
        }
        let Some(resource) = collection.resource(&item, None).await? else {
            return Err(self.internal("the definition of the account has no ID"));
        };
        let id = self.account.id();
        let name = resource.name_value().unwrap_or(id).to_owned();
        let scope = Ancestors { cloud: self.cloud.name, account: id, region: UNDEFINED, zone: UNDEFINED };
        let keys = self.keys(&resource, &location);
        let node = resource.finish(&scope).map_err(|error| self.internal(error))?;
        let node = self.graph.add(node, keys).await?;
        self.unseen_parts(node, parts);
        let display = if name == id { name } else { format!("{name} ({id})") };
        self.display = display;
        Ok(node)
    }

    fn account_definition(&self) -> Result<(&'static Service, &'static Definition), Failure> {
        self.cloud.find(self.cloud.account).ok_or_else(|| self.internal("there is no definition of the account"))
    }

    /// Makes the account's calls. A failed one is a gap, unless the credentials are rejected or the account's name
    /// depends on it.
    async fn account_answers(
        &self,
        collection: &KindCollection<'_>,
        item: &Item<'_>,
        failed: &mut Vec<&'static str>,
    ) -> Result<Vec<(&'static Call, Vec<Response>)>, Failure> {
        let (definition, location) = (collection.definition, collection.location);
        let started = Instant::now();
        let mut answers = Vec::with_capacity(definition.calls.len());
        for call in &definition.calls {
            if call.collector().is_some_and(|collector| !self.is_wanted(collector)) {
                continue;
            }
            let answer = collection.answer(call, item).await;
            match answer.and_then(|responses| readable(responses, call, collection)) {
                Ok(responses) => answers.push((call, responses)),
                Err(error) if error.has_code(&call.not_found_codes) => {}
                Err(error) if error.facts.is_not_in_use && !definition.is_named_by(call) => {}
                Err(error) if error.kind == CallErrorKind::Credentials => {
                    let what = self.message("its credentials are rejected; check the role and its trust policy");
                    return Err(call_failure(&what, &error));
                }
                Err(error) if error.kind != CallErrorKind::Denied && definition.is_named_by(call) => {
                    return Err(call_failure(&self.message("cannot read its name"), &error));
                }
                Err(error) => {
                    failed.push(&call.name);
                    self.report_failure(&location.label, call.collector().unwrap_or(LABEL), &error).await?;
                }
            }
        }
        let part = definition.calls.iter().find_map(Call::collector).unwrap_or(LABEL);
        self.context.duration(&format!("plugin_{}_collect_{part}", self.cloud.name), started.elapsed()).await?;
        Ok(answers)
    }
}

/// Returns the responses of a call if all of them can be parsed and nothing is missing in them.
fn readable(
    responses: Vec<Response>,
    call: &Call,
    collection: &KindCollection<'_>,
) -> Result<Vec<Response>, CallError> {
    for response in &responses {
        response.tree()?;
        if let Some(part) = response.partial()?.first() {
            let (service, location) = (&collection.service.service, &collection.location.region);
            return Err(part.error().of(service, call.operation.get_ref(), location));
        }
    }
    Ok(responses)
}
