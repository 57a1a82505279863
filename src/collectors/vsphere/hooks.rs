//! What a machine may lack: its configuration while it is created or out of reach, and what the user may not read. The
//! core keeps what it has of that.

use worker_proto::Failure;

use super::client::{SERVICE, fault, operation};
use crate::engine::{CallError, CallErrorKind, FunctionHook, Hook, HookContext, HookValue, HookValues, Tree, no_input};

/// The hooks of collection.
pub(super) const ALL: &[&dyn Hook] = &[&CONFIGURATION, &ATTRIBUTES];

const CONFIGURATION: FunctionHook = FunctionHook {
    name: "configuration",
    values: &["cores", "memory", "created"],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| -> HookValues<'_> { Box::pin(parts(context, items, "config")) },
};

const ATTRIBUTES: FunctionHook = FunctionHook {
    name: "attributes",
    values: &["tags"],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| -> HookValues<'_> { Box::pin(parts(context, items, "attributes")) },
};

/// Returns a part of each item, unknown where the item lacks it. A lacking privilege is reported.
async fn parts<'a>(
    context: HookContext<'a>,
    items: &'a [&'a Tree<'a>],
    part: &'static str,
) -> Result<Vec<HookValue>, Failure> {
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let found = item.get(part).and_then(|part| serde_json::to_value(part).ok());
        if found.is_none() {
            report(context, item).await?;
        }
        let is_unknown = found.is_none();
        values.push(HookValue { value: found.map_or(Tree::Null, Tree::from), is_unknown });
    }
    Ok(values)
}

async fn report(context: HookContext<'_>, item: &Tree<'_>) -> Result<(), Failure> {
    let denied = item.path("missing[]").into_iter().find_map(|missing| {
        let code = missing.get("code")?.text().filter(|code| *code == fault::NO_PERMISSION)?;
        Some((code, missing.get("path")?.text()?))
    });
    let Some((code, path)) = denied else { return Ok(()) };
    let id = item.get("id").and_then(Tree::text).unwrap_or_default();
    let message = format!("the property {path} of machines such as {id} cannot be read");
    let error = CallError::new(CallErrorKind::Denied, code, message);
    let error = error.of(SERVICE, operation::LIST, context.run.account_id());
    context.run.report_failure(&context.location.label, "instances", &error).await
}
