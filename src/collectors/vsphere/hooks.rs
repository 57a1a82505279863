//! What a machine may lack: its configuration while it is created or out of reach, and what the user may not read. The
//! core keeps what it has of that.

use worker_proto::Failure;

use super::client::{SERVICE, fault, operation};
use crate::engine::{CallError, CallErrorKind, FunctionHook, Hook, HookContext, HookValue, HookValues, Tree, no_input};

/// The hooks of collection.
pub(super) const ALL: &[&dyn Hook] = &[
    // Without its name, a machine would be another node.
    &hook("identity", &["name"], |context, items| Box::pin(parts(context, items, "identity", None))),
    &hook("configuration", &["cores", "memory", "created"], |context, items| {
        Box::pin(parts(context, items, "config", None))
    }),
    &hook("attributes", &["tags"], |context, items| Box::pin(parts(context, items, "attributes", None))),
    &hook("guest", &["state"], |context, items| Box::pin(parts(context, items, "guest", Some("guest.")))),
];

type Values = for<'a> fn(HookContext<'a>, &'a [&'a Tree<'a>]) -> HookValues<'a>;

const fn hook(name: &'static str, values: &'static [&'static str], values_of: Values) -> FunctionHook {
    FunctionHook { name, values, kinds: &[], collectors: &[], parents: &[], check: no_input, values_of }
}

/// Returns a part of each item, unknown where the item lacks it. With a prefix, it is unknown only if a property whose
/// path begins so could not be read. A lacking privilege is reported.
async fn parts<'a>(
    context: HookContext<'a>,
    items: &'a [&'a Tree<'a>],
    part: &'static str,
    prefix: Option<&'static str>,
) -> Result<Vec<HookValue>, Failure> {
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let found = item.get(part).and_then(|part| serde_json::to_value(part).ok());
        if found.is_none() {
            report(context, item).await?;
        }
        let is_unreadable = |prefix: &str| unreadable(item).any(|(path, _)| path.starts_with(prefix));
        let is_unknown = found.is_none() && prefix.is_none_or(is_unreadable);
        values.push(HookValue { value: found.map_or(Tree::Null, Tree::from), is_unknown });
    }
    Ok(values)
}

/// Iterates over the properties of an item that could not be read, with the code of the reason.
fn unreadable<'t>(item: &'t Tree<'_>) -> impl Iterator<Item = (&'t str, &'t str)> {
    let missing = item.path("missing[]").into_iter();
    missing.filter_map(|missing| Some((missing.get("path")?.text()?, missing.get("code")?.text()?)))
}

async fn report(context: HookContext<'_>, item: &Tree<'_>) -> Result<(), Failure> {
    let Some((path, code)) = unreadable(item).find(|(_, code)| *code == fault::NO_PERMISSION) else { return Ok(()) };
    let id = item.get("id").and_then(Tree::text).unwrap_or_default();
    let message = format!("the property {path} of machines such as {id} cannot be read");
    let error = CallError::new(CallErrorKind::Denied, code, message);
    let error = error.of(SERVICE, operation::LIST, context.run.account_id());
    context.run.report_failure(&context.location.label, "instances", &error).await
}
