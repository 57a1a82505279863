//! Selectors: edges to the pods that have all labels of a selector, in its namespace. Pods and selectors come in any
//! order, so that both are kept until all lists are complete.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use toml::{Table, Value};
use worker_proto::Failure;

use crate::{
    collector_api::End,
    engine::{FunctionHook, HookContext, Path, Tree, collect::Run, no_input},
    graph::{ANY_KIND, Key},
};

/// Keeps the labels of pods.
pub(super) static SELECTED: FunctionHook = FunctionHook {
    name: "selected",
    values: &[],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check: no_input,
    values_of: |context, items| {
        Box::pin(async move {
            keep(
                context.run,
                items.iter().filter_map(|item| Some((item, labels(item.at("metadata.labels")?)))),
                Side::Pod,
            );
            Ok(Vec::new())
        })
    },
};

/// Keeps the selectors of items, whose path is the input `selector`.
pub(super) static SELECTS: FunctionHook = FunctionHook {
    name: "selects",
    values: &[],
    kinds: &[],
    collectors: &[],
    parents: &[],
    check,
    values_of: |context, items| {
        Box::pin(async move {
            let path = selector(context)?;
            let selecting = items.iter().filter_map(|item| Some((item, labels(path.values(item).into_iter().next()?))));
            // A service without selector has endpoints that others make, and not all pods.
            keep(context.run, selecting.filter(|(_, labels)| !labels.is_empty()), Side::Selector);
            Ok(Vec::new())
        })
    },
};

type Labels = Vec<(String, String)>;

/// An item with its labels, or those that it selects by.
struct Labelled {
    uid: String,
    labels: Labels,
}

#[derive(Clone, Copy)]
enum Side {
    Pod,
    Selector,
}

/// Pods and selectors by namespace.
#[derive(Default)]
struct Kept(Mutex<HashMap<String, [Vec<Labelled>; 2]>>);

fn check(input: &Table) -> Result<(), String> {
    match input.get("selector") {
        Some(Value::String(path)) if input.len() == 1 => Path::parse(path).map(drop),
        _ => Err("selector is the path to the labels".to_owned()),
    }
}

fn selector(context: HookContext<'_>) -> Result<Path, Failure> {
    let path = context.input.get("selector").and_then(Value::as_str).unwrap_or_default();
    Path::parse(path).map_err(|error| context.run.internal(error))
}

fn labels(tree: &Tree<'_>) -> Labels {
    let entries = tree.entries().iter();
    entries.filter_map(|(key, value)| Some((key.to_string(), value.text()?.to_owned()))).collect()
}

fn keep<'t>(run: &Run<'_>, items: impl Iterator<Item = (&'t &'t Tree<'t>, Labels)>, side: Side) {
    let kept = run.slots.get::<Kept>();
    let mut kept = kept.0.lock().unwrap_or_else(PoisonError::into_inner);
    for (item, labels) in items {
        let text = |path| item.at(path).and_then(Tree::text);
        if let (Some(namespace), Some(uid)) = (text("metadata.namespace"), text("metadata.uid")) {
            let sides = kept.entry(namespace.to_owned()).or_default();
            sides[side as usize].push(Labelled { uid: uid.to_owned(), labels });
        }
    }
}

/// Declares the edges from selectors to pods, when all lists are complete.
pub(in super::super) fn connect(run: &Run<'_>) {
    let kept = run.slots.get::<Kept>();
    let kept = std::mem::take(&mut *kept.0.lock().unwrap_or_else(PoisonError::into_inner));
    for [pods, selectors] in kept.values() {
        for selector in selectors {
            let has_all = |pod: &&Labelled| selector.labels.iter().all(|label| pod.labels.contains(label));
            for pod in pods.iter().filter(has_all) {
                run.graph.edge(object(&selector.uid), object(&pod.uid));
            }
        }
    }
}

/// Returns the end of an edge at an object of any kind.
pub(in super::super) fn object(uid: &str) -> End {
    End::Ref(key(uid))
}

/// Returns the key by which references find an object of any kind.
pub(in super::super) fn key(uid: &str) -> Key {
    Key { scope: String::new(), kind: ANY_KIND.into(), attribute: "id".into(), value: uid.to_owned() }
}
