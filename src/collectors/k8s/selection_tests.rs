//! Which resources and groups options select, and which kinds they have.

use super::*;

fn resource(group: &str, name: &str) -> ApiResource {
    let (group, resource) = (group.to_owned(), name.to_owned());
    ApiResource { group, version: "v1".into(), resource, kind: "X".into(), is_in_namespaces: true }
}

fn options(collect: &[&str], no_collect: &[&str]) -> Options {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Options { collect: list(collect), no_collect: list(no_collect), ..Options::default() }
}

#[test]
fn names_and_groups_select_resources() {
    let (widgets, events) = (resource("ck.test", "widgets"), resource("", "events"));
    for (collect, no_collect, expected) in [
        (&[][..], &[][..], [true, false]),
        (&["events"], &[], [false, true]),
        (&["others"], &[], [true, false]),
        (&["others", "events"], &[], [true, true]),
        (&["widgets.ck.test"], &[], [true, false]),
        (&["ck.test"], &[], [true, false]),
        (&["serving.test"], &[], [false, false]),
        (&[], &["others"], [false, false]),
        (&[], &["ck.test"], [false, false]),
        (&[], &["widgets.ck.test"], [false, false]),
        (&[], &["planets.ck.test"], [true, false]),
    ] {
        let options = options(collect, no_collect);
        let found = [&widgets, &events].map(|resource| is_wanted(resource, &options));
        assert_eq!(found, expected, "{collect:?} {no_collect:?}");
    }
    let in_one = Options { namespaces: vec!["shop".into()], ..Options::default() };
    assert!(!is_wanted(&ApiResource { is_in_namespaces: false, ..widgets }, &in_one));
}

#[test]
fn unknown_names_are_found() {
    let error = CallError::configuration("down");
    let silent = [("metrics.k8s.io".to_owned(), error)];
    let names = ["pods", "widgets.ck.test", "ck.test", "wigdets.ck.test", "pods.metrics.k8s.io", "events", "no.such"];
    let options = options(&names, &["others"]);
    assert_eq!(unknown(&[resource("ck.test", "widgets")], &silent, &options), ["wigdets.ck.test", "no.such"]);
}

#[test]
fn silent_group_is_unseen_or_kept_as_options_say() {
    use Why::{Kept, Unseen};
    for (collect, no_collect, is_kept, expected) in [
        (&[][..], &[][..], false, Some(Unseen)),
        (&[], &[], true, Some(Unseen)),
        (&["pods.metrics.k8s.io"], &[], false, Some(Unseen)),
        (&[], &["pods.metrics.k8s.io"], true, Some(Unseen)),
        (&["ck.test"], &[], false, None),
        (&["ck.test"], &[], true, Some(Kept)),
        (&[], &["metrics.k8s.io"], false, None),
        (&[], &["metrics.k8s.io"], true, Some(Kept)),
        (&["metrics.k8s.io"], &["metrics.k8s.io"], true, Some(Kept)),
        (&[], &["others"], false, None),
        (&[], &["others"], true, Some(Kept)),
    ] {
        let options = Options { keep_uncollected: is_kept, ..options(collect, no_collect) };
        assert_eq!(why_silent("metrics.k8s.io", &options), expected, "{collect:?} {no_collect:?} {is_kept}");
    }
    // What is in other namespaces stays in the core.
    let in_one = Options { namespaces: vec!["shop".into()], ..options(&[], &["metrics.k8s.io"]) };
    assert_eq!(why_silent("metrics.k8s.io", &in_one), Some(Kept));
}

#[test]
fn resources_with_definitions_are_no_others() {
    assert!(
        !is_undefined(&resource("", "pods")) && !is_undefined(&resource("autoscaling", "horizontalpodautoscalers"))
    );
    assert!(is_undefined(&resource("serving.test", "services")) && is_undefined(&resource("", "events")));
}

fn of_kind(group: &str, kind: &str) -> ApiResource {
    ApiResource { kind: kind.to_owned(), ..resource(group, &kind.to_lowercase()) }
}

/// Returns the names of the kinds, and the groups and reasons of what is refused.
fn names_of(resources: &[ApiResource], defined: &[&str]) -> (Vec<String>, Vec<(String, String)>) {
    let defined = defined.iter().map(|name| (*name).to_owned()).collect();
    let Distinct { found, refused } = distinct(resources.iter().collect(), &defined);
    let refused = refused.into_iter().map(|(resource, _, why)| (resource.group.clone(), why)).collect();
    (found.into_keys().collect(), refused)
}

#[test]
fn colliding_names_of_kinds_are_refused_in_any_order() {
    let (dots, dashes) = (of_kind("a.b.test", "Moon"), of_kind("a-b.test", "Moon"));
    let (usual, other) = (of_kind("", "Pod"), of_kind("c.test", "Star"));
    let (star, moon) = ("kubernetes_c_test_star".to_owned(), "kubernetes_a_b_test_moon".to_owned());
    let mut all = vec![dots, dashes, usual, other];
    for _ in 0..all.len() {
        let (found, refused) = names_of(&all, &["kubernetes_pod"]);
        assert_eq!(found, [moon.clone(), star.clone()]);
        let groups: Vec<&str> = refused.iter().map(|(group, _)| group.as_str()).collect();
        // Of both, the first one in the order of names is collected.
        assert_eq!(groups, ["", "a.b.test"]);
        assert!(refused.iter().all(|(_, why)| why.contains("another kind is named kubernetes_")), "{refused:?}");
        all.rotate_left(1);
    }
}

#[test]
fn kinds_beyond_the_limits_are_refused() {
    let room = MAX_NAME - "kubernetes_x_test_".len();
    for (length, is_refused) in [(1, false), (room, false), (room + 1, true), (room + 100, true)] {
        let (found, refused) = names_of(&[of_kind("x.test", &format!("K{}", "k".repeat(length - 1)))], &[]);
        assert_eq!((found.len(), refused.len()), (usize::from(!is_refused), usize::from(is_refused)), "{length}");
        assert!(refused.iter().all(|(_, why)| why.contains("more than 200 characters")), "{refused:?}");
    }
    for (count, expected) in [(MAX_KINDS - 1, 0), (MAX_KINDS, 0), (MAX_KINDS + 1, 1), (MAX_KINDS + 7, 7)] {
        let all: Vec<_> = (0..count).map(|number| of_kind("x.test", &format!("K{number}"))).collect();
        let (found, refused) = names_of(&all, &[]);
        assert_eq!((found.len(), refused.len()), (count - expected, expected));
        assert!(refused.iter().all(|(_, why)| why.contains("more than 2000 kinds")), "{refused:?}");
    }
}
