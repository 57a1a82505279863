//! The selection of projects, with every kind of list.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

fn project(id: &str, parent: Option<&str>) -> Project {
    let parent = parent.map(|parent| {
        let (kind, id) = parent.split_once('/').unwrap();
        json!({ "type": kind.trim_end_matches('s'), "id": id })
    });
    Project::of(json!({ "projectId": id, "projectNumber": "1", "lifecycleState": "ACTIVE", "parent": parent })).unwrap()
}

fn plain(ids: &[&str]) -> Vec<Project> {
    ids.iter().map(|id| project(id, None)).collect()
}

fn seen(account: &str, projects: Vec<Project>) -> Seen {
    Seen {
        account: account.into(),
        own: Some(format!("own-{account}")),
        projects: Ok(projects),
        folders: Ok(BTreeMap::new()),
    }
}

fn failed(account: &str, kind: FailureKind, is_denied: bool) -> Seen {
    let failure = Failure { kind, message: format!("{account} failed") };
    let gap = gap(account, LIST, "403", failure.message.clone());
    Seen { projects: Err(Unlisted { gap, failure, is_denied }), ..seen(account, Vec::new()) }
}

fn list(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn ids(selection: &Selection) -> Vec<(&str, usize)> {
    selection.projects.iter().map(|(project, credential)| (project.id.as_str(), *credential)).collect()
}

fn codes(selection: &Selection) -> Vec<(&str, &str)> {
    selection.gaps.iter().map(|gap| (gap.account.as_str(), gap.code.as_str())).collect()
}

#[test]
fn item_of_list_is_a_project() {
    let item = json!({
        "projectId": "example.com:app", "projectNumber": "12", "name": "App", "lifecycleState": "DELETE_REQUESTED",
        "labels": {"a": "b"}, "createTime": "2020-01-01T00:00:00.123456789Z", "parent": {"type": "folder", "id": "7"}
    });
    let project = Project::of(item.clone()).unwrap();
    assert_eq!(project.id, "example.com:app");
    assert_eq!((project.number.as_deref(), project.parent.as_deref()), (Some("12"), Some("folders/7")));
    assert_eq!((project.is_active, project.item), (false, item));
    for (state, is_active) in [
        (None, true),
        (Some("ACTIVE"), true),
        (Some("LIFECYCLE_STATE_UNSPECIFIED"), true),
        (Some("NEW_STATE"), true),
        (Some("DELETE_REQUESTED"), false),
        (Some("DELETE_IN_PROGRESS"), false),
    ] {
        let project = Project::of(json!({ "projectId": "a", "lifecycleState": state })).unwrap();
        assert_eq!(project.is_active, is_active, "{state:?}");
    }
    assert_eq!(Project::of(json!({ "name": "a" })), None);
}

#[test]
fn first_credentials_that_see_a_project_collect_it() {
    let seen = [seen("a", plain(&["p2", "p1"])), seen("b", plain(&["p1", "p3"]))];
    let selection = select(&seen, &Options::default()).unwrap();
    assert_eq!(ids(&selection), [("p2", 0), ("p1", 0), ("p3", 1)]);
    assert!(selection.is_whole && selection.gaps.is_empty());
}

#[test]
fn inactive_projects_are_left_out_and_plan_stays_whole() {
    let mut projects = plain(&["p1", "p2"]);
    projects[1].is_active = false;
    let selection = select(&[seen("a", projects.clone())], &Options::default()).unwrap();
    assert_eq!(ids(&selection), [("p1", 0)]);
    assert!(selection.is_whole && selection.inactive.len() == 1);
    let options = Options { projects: list(&["p2"]), ..Options::default() };
    let failure = select(&[seen("a", projects)], &options).unwrap_err();
    assert!(failure.message.contains("p2 of --gcp-project is about to be deleted"), "{}", failure.message);
}

#[test]
fn denied_list_leaves_the_project_of_the_credentials() {
    let both = [failed("a", FailureKind::Configuration, true), seen("b", plain(&["p1"]))];
    let selection = select(&both, &Options::default()).unwrap();
    assert_eq!(ids(&selection), [("p1", 1), ("own-a", 0)]);
    let listed = [failed("a", FailureKind::Configuration, true), seen("b", plain(&["own-a"]))];
    let listed = select(&listed, &Options::default()).unwrap();
    assert_eq!(ids(&listed), [("own-a", 1)], "what a list says of a project is more");
    assert_eq!((codes(&selection), selection.is_whole), (vec![("a", "403")], false));
    let without = Seen { own: None, ..failed("a", FailureKind::Configuration, true) };
    assert_eq!(select(&[without], &Options::default()).unwrap_err().message, "a failed");
}

#[test]
fn failed_credentials_lose_their_projects_only() {
    let both = [failed("a", FailureKind::Credentials, false), seen("b", plain(&["p1"]))];
    let selection = select(&both, &Options::default()).unwrap();
    assert_eq!(ids(&selection), [("p1", 1)]);
    assert_eq!((codes(&selection), selection.is_whole), (vec![("a", "403")], false));
    let none = [failed("a", FailureKind::Credentials, false), failed("b", FailureKind::Unavailable, false)];
    assert_eq!(select(&none, &Options::default()).unwrap_err().kind, FailureKind::Unavailable, "which is retried");
}

#[test]
fn empty_list_is_no_empty_cloud() {
    let failure = select(&[seen("a", Vec::new())], &Options::default()).unwrap_err();
    assert!(failure.kind == FailureKind::Unavailable && failure.message.contains("a sees no GCP project"));
    let selection = select(&[seen("a", Vec::new()), seen("b", plain(&["p1"]))], &Options::default()).unwrap();
    assert_eq!((codes(&selection), selection.is_whole), (vec![("a", "MissingProjects")], false));
}

#[test]
fn options_select_and_exclude_projects() {
    let seen = [seen("a", plain(&["p1", "sys-1", "sys-2", "p2"]))];
    let chosen = |projects: &[&str], excluded: &[&str]| {
        let options = Options { projects: list(projects), excluded_projects: list(excluded), ..Options::default() };
        select(&seen, &options)
    };
    let some = chosen(&["p2", "p1", "p1"], &[]).unwrap();
    assert_eq!((ids(&some), some.is_whole), (vec![("p1", 0), ("p2", 0)], false));
    let others = chosen(&[], &["sys-*", "p2"]).unwrap();
    assert_eq!((ids(&others), others.is_whole, others.gaps.len()), (vec![("p1", 0)], false, 0));
    let unknown = chosen(&["p1", "p9"], &[]).unwrap();
    assert_eq!((ids(&unknown), codes(&unknown)), (vec![("p1", 0)], vec![("p9", "MissingProject")]));
    let failure = chosen(&["p9"], &[]).unwrap_err();
    assert!(failure.kind == FailureKind::Configuration && failure.message.contains("p9"), "{}", failure.message);
}

/// An organization 1 with folders 10 / 11 / 12, and another organization 2.
fn tree() -> Seen {
    let projects = vec![
        project("deep", Some("folders/12")),
        project("flat", Some("organizations/1")),
        project("other", Some("organizations/2")),
        project("lone", None),
    ];
    let parents = [("folders/12", "folders/11"), ("folders/11", "folders/10"), ("folders/10", "organizations/1")];
    Seen { folders: Ok(parents.map(|(folder, parent)| (folder.into(), parent.into())).into()), ..seen("a", projects) }
}

#[test]
fn projects_in_folders_of_any_depth_are_selected() {
    let chosen = |folders: &[&str], organizations: &[&str]| {
        let options = Options { folders: list(folders), organizations: list(organizations), ..Options::default() };
        let selection = select(&[tree()], &options).unwrap();
        assert!(!selection.is_whole && selection.gaps.is_empty());
        selection.projects.into_iter().map(|(project, _)| project.id).collect::<Vec<_>>()
    };
    assert_eq!(chosen(&["10"], &[]), ["deep"]);
    assert_eq!(chosen(&["12"], &[]), ["deep"]);
    assert_eq!(chosen(&[], &["1"]), ["deep", "flat"]);
    assert_eq!(chosen(&["11"], &["2"]), ["deep", "other"]);
}

#[test]
fn unseen_folders_are_gaps() {
    let options = Options { organizations: list(&["1"]), ..Options::default() };
    let mut seen = tree();
    seen.folders.as_mut().unwrap().remove("folders/11");
    let selection = select(&[seen.clone()], &options).unwrap();
    assert_eq!((ids(&selection), codes(&selection)), (vec![("flat", 0)], vec![("folders/11", "MissingFolder")]));
    // Others see them.
    let other = Seen { projects: Ok(plain(&["p"])), ..tree() };
    let selection = select(&[seen, other], &options).unwrap();
    assert_eq!((ids(&selection), selection.gaps.len()), (vec![("deep", 0), ("flat", 0)], 0));
    let denied =
        Seen { folders: failed("a", FailureKind::Configuration, true).projects.map(|_| BTreeMap::new()), ..tree() };
    let selection = select(&[denied], &options).unwrap();
    assert_eq!((ids(&selection), codes(&selection)), (vec![("flat", 0)], vec![("a", "403")]));
}

#[test]
fn folders_and_organizations_that_nobody_sees_are_gaps() {
    for (folders, organizations, missing) in [
        (&["10", "99"][..], &[][..], "folders/99"),
        (&["12"], &["1", "99"], "organizations/99"),
        // Its ID is that of a folder.
        (&["12"], &["10"], "organizations/10"),
    ] {
        let options = Options { folders: list(folders), organizations: list(organizations), ..Options::default() };
        let selection = select(&[tree()], &options).unwrap();
        assert_eq!(codes(&selection), [(missing, "MissingFolder")]);
        assert!(selection.projects.iter().any(|(project, _)| project.id == "deep"));
    }
}

#[test]
fn denied_folders_are_no_gap_if_all_projects_have_their_place() {
    let options = Options { organizations: list(&["2"]), ..Options::default() };
    let mut denied =
        Seen { folders: failed("a", FailureKind::Configuration, true).projects.map(|_| BTreeMap::new()), ..tree() };
    let selection = select(&[denied.clone(), tree()], &options).unwrap();
    assert_eq!((ids(&selection), codes(&selection)), (vec![("other", 0)], vec![]));
    denied.projects.as_mut().unwrap().retain(|project| project.id != "deep");
    let selection = select(&[denied], &options).unwrap();
    assert_eq!((ids(&selection), codes(&selection)), (vec![("other", 0)], vec![]));
}

#[test]
fn place_of_project_that_is_not_listed_is_unknown() {
    let options = Options { organizations: list(&["1"]), ..Options::default() };
    let selection = select(&[failed("b", FailureKind::Configuration, true), tree()], &options).unwrap();
    assert_eq!(ids(&selection), [("deep", 1), ("flat", 1)]);
    assert_eq!(codes(&selection), [("b", "403"), ("projects/own-b", "MissingFolder")]);
}

#[test]
fn circle_of_folders_ends() {
    let mut seen = tree();
    seen.folders.as_mut().unwrap().insert("folders/10".into(), "folders/12".into());
    let options = Options { organizations: list(&["1"]), ..Options::default() };
    assert_eq!(select(&[seen], &options).unwrap().gaps.len(), 1);
}
