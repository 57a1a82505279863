//! Selectors: edges to the pods that have all labels of a selector, in its namespace. Pods and selectors come in any
//! order, so that both are kept until all lists are complete.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use toml::{Table, Value};
use worker_proto::{Failure, MissingEdge};

use crate::{
    collector_api::End,
    engine::{
        CallError, CallErrorKind, FunctionHook, HookContext, Path, Tree,
        collect::{Run, UnknownParts},
        no_input,
    },
    graph::{ANY_KIND, Key},
};

/// The most edges of a cluster from selectors to pods. Each selector may select each pod of its namespace.
const MAX_EDGES: usize = 500_000;

/// The code of selectors whose edges exceed the limit.
pub(in super::super) const TOO_MANY_EDGES: &str = "TooManyEdges";

/// The kind of the selected objects.
const POD: &str = "kubernetes_pod";

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
type ByNamespace = BTreeMap<String, [Vec<Labelled>; 2]>;

#[derive(Default)]
struct Kept(Mutex<ByNamespace>);

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

/// Declares the edges from selectors to pods, when all lists are complete. A selector whose edges exceed the limit has none,
/// which is a gap: the core keeps those that it has.
pub(in super::super) async fn connect(context: HookContext<'_>) -> Result<(), Failure> {
    let run = context.run;
    let kept = run.slots.get::<Kept>();
    let kept = std::mem::take(&mut *kept.0.lock().unwrap_or_else(PoisonError::into_inner));
    let Selected { edges, cut } = select(&kept, MAX_EDGES);
    for (selector, pod) in edges {
        run.graph.edge(object(selector), object(pod));
    }
    if cut.is_empty() {
        return Ok(());
    }
    let mut parts = UnknownParts::default();
    parts.add_edges(vec![MissingEdge { outgoing: true, kind: POD.to_owned() }]);
    for selector in &cut {
        run.graph.find(&key(selector)).into_iter().for_each(|node| run.unseen_parts(node, parts.clone()));
    }
    let message = format!(
        "services select more than {MAX_EDGES} pods in all: {} of them, such as {}, have no edges to their pods",
        cut.len(),
        cut[0]
    );
    let error = CallError::new(CallErrorKind::Unexpected, TOO_MANY_EDGES, message);
    let error = error.of("v1", "list services", &context.location.region);
    run.report_failure(&context.location.label, "services", &error).await
}

/// The pods that are selected in all namespaces.
#[derive(Debug, Default, PartialEq)]
struct Selected<'k> {
    /// The UIDs of selectors and pods.
    edges: Vec<(&'k str, &'k str)>,
    /// The UIDs of the selectors whose edges exceed the limit.
    cut: Vec<&'k str>,
}

/// Returns the edges from selectors to pods. A selector has all its edges or, if there would be more than `most`, none.
fn select(kept: &ByNamespace, most: usize) -> Selected<'_> {
    let mut selected = Selected::default();
    for [pods, selectors] in kept.values() {
        let pods = Pods::new(pods);
        let mut selectors: Vec<&Labelled> = selectors.iter().collect();
        // The same ones are cut in each run. A list that was begun anew has some twice.
        selectors.sort_by_key(|selector| &selector.uid);
        selectors.dedup_by_key(|selector| &selector.uid);
        for selector in selectors {
            match pods.selected(selector, most - selected.edges.len()) {
                Some(pods) => selected.edges.extend(pods.into_iter().map(|pod| (selector.uid.as_str(), pod))),
                None => selected.cut.push(&selector.uid),
            }
        }
    }
    selected
}

/// The pods of a namespace, by each of their labels.
struct Pods<'p> {
    pods: &'p [Labelled],
    by_label: HashMap<&'p (String, String), Vec<usize>>,
}

impl<'p> Pods<'p> {
    fn new(pods: &'p [Labelled]) -> Self {
        let mut by_label: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, pod) in pods.iter().enumerate() {
            pod.labels.iter().for_each(|label| by_label.entry(label).or_default().push(index));
        }
        Self { pods, by_label }
    }

    /// Returns the UIDs of the pods that have all labels of a selector; `None` if these are more than `most`.
    fn selected(&self, selector: &Labelled, most: usize) -> Option<Vec<&'p str>> {
        let having = |label| self.by_label.get(label).map_or(&[][..], Vec::as_slice);
        // Only pods with the rarest label can have all of them.
        let rarest = selector.labels.iter().map(having).min_by_key(|pods| pods.len()).unwrap_or_default();
        let pods = rarest.iter().filter_map(|index| self.pods.get(*index));
        let has_all = |pod: &&Labelled| selector.labels.iter().all(|label| pod.labels.contains(label));
        let found: Vec<&str> = pods.filter(has_all).map(|pod| pod.uid.as_str()).take(most.saturating_add(1)).collect();
        (found.len() <= most).then_some(found)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled(uid: &str, labels: &[(&str, &str)]) -> Labelled {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Labelled { uid: uid.to_owned(), labels }
    }

    #[test]
    fn selector_selects_pods_that_have_all_its_labels() {
        let pods = [
            labelled("a", &[("app", "shop"), ("tier", "web")]),
            labelled("b", &[("app", "shop"), ("tier", "db")]),
            labelled("c", &[("app", "other"), ("tier", "web")]),
            labelled("d", &[]),
        ];
        let pods = Pods::new(&pods);
        for (labels, most, expected) in [
            (&[("app", "shop")][..], 9, Some(vec!["a", "b"])),
            (&[("app", "shop"), ("tier", "web")], 9, Some(vec!["a"])),
            (&[("app", "none")], 9, Some(vec![])),
            (&[("app", "shop"), ("none", "x")], 9, Some(vec![])),
            (&[("app", "shop")], 2, Some(vec!["a", "b"])),
            (&[("app", "shop")], 1, None),
            (&[("app", "other")], 0, None),
            (&[("app", "none")], 0, Some(vec![])),
        ] {
            assert_eq!(pods.selected(&labelled("s", labels), most), expected, "{labels:?} {most}");
        }
    }

    #[test]
    fn selectors_beyond_the_limit_have_no_edges() {
        let pods = |names: &[&str]| names.iter().map(|name| labelled(name, &[("app", "x")])).collect::<Vec<_>>();
        let selectors = pods;
        let kept = ByNamespace::from([
            ("one".to_owned(), [pods(&["a", "b"]), selectors(&["t", "s", "s"])]),
            ("two".to_owned(), [pods(&["c"]), selectors(&["u"])]),
            ("void".to_owned(), [pods(&[]), selectors(&["v"])]),
        ]);
        let all = [("s", "a"), ("s", "b"), ("t", "a"), ("t", "b"), ("u", "c")];
        for (most, edges, cut) in [
            (9, &all[..], &[][..]),
            (5, &all, &[]),
            (4, &all[..4], &["u"]),
            (3, &[all[0], all[1], all[4]], &["t"]),
            (2, &all[..2], &["t", "u"]),
            (1, &all[4..], &["s", "t"]),
            (0, &[], &["s", "t", "u"]),
        ] {
            assert_eq!(select(&kept, most), Selected { edges: edges.to_vec(), cut: cut.to_vec() }, "{most}");
        }
    }
}
