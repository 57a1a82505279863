//! The selection of projects: a pure function of what the credentials see and of the options.

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;
use worker_proto::{Failure, FailureKind, Gap};

use super::options::Options;

/// The service of the gaps.
pub(crate) const RESOURCE_MANAGER: &str = "cloudresourcemanager";

/// The operation that lists projects.
pub(crate) const LIST: &str = "projects.list";

/// The operation that lists folders.
pub(crate) const SEARCH: &str = "folders.search";

/// The states of projects that are about to be deleted. What is not known of a project is no reason to leave it out.
const DELETED: [&str; 2] = ["DELETE_REQUESTED", "DELETE_IN_PROGRESS"];

/// The longest chain of folders. Google allows ten levels.
const MAX_DEPTH: usize = 100;

/// What one of the credentials sees.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// The account's name.
    pub(crate) account: String,
    /// The project to which the account belongs, as far as its credentials tell.
    pub(crate) own: Option<String>,
    /// The projects, in the order of the list.
    pub(crate) projects: Result<Vec<Project>, Unlisted>,
    /// The folders, with their parents; nothing if options do not need them.
    pub(crate) folders: Result<BTreeMap<String, String>, Unlisted>,
}

/// Why there is no list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unlisted {
    /// The gap.
    pub(crate) gap: Gap,
    /// The failure of the plan, if there is nothing else.
    pub(crate) failure: Failure,
    /// Whether the credentials are valid and must not list anything.
    pub(crate) is_denied: bool,
}

/// A project.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Project {
    /// The ID.
    pub(crate) id: String,
    /// The number.
    pub(crate) number: Option<String>,
    /// Whether it can be collected: one that is about to be deleted rejects every call.
    pub(crate) is_active: bool,
    /// The folder or organization in which it is, such as `folders/12`.
    pub(crate) parent: Option<String>,
    /// The project as it was listed.
    pub(crate) item: Value,
}

impl Project {
    /// Reads an item of `projects.list`.
    pub(crate) fn of(item: Value) -> Option<Self> {
        let text = |name: &str| item[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let id = text("projectId")?;
        let parent = (item["parent"]["type"].as_str()).zip(item["parent"]["id"].as_str());
        Some(Self {
            number: text("projectNumber"),
            is_active: text("lifecycleState").is_none_or(|state| !DELETED.contains(&state.as_str())),
            parent: parent.map(|(kind, id)| format!("{kind}s/{id}")),
            id,
            item,
        })
    }

    /// Returns a project of which only the ID is known.
    pub(crate) fn known_by_id(id: &str) -> Self {
        let (number, parent) = Default::default();
        let item = serde_json::json!({ "projectId": id });
        Self { id: id.to_owned(), number, is_active: true, parent, item }
    }
}

/// The selected projects.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Selection {
    /// The projects to collect, at least one, with the number of their credentials.
    pub(crate) projects: Vec<(Project, usize)>,
    /// Projects that are skipped because they are not active.
    pub(crate) inactive: Vec<Project>,
    /// What is not known.
    pub(crate) gaps: Vec<Gap>,
    /// Whether these are all projects that the credentials see.
    pub(crate) is_whole: bool,
}

/// Selects projects. Of several credentials that see a project, the first ones collect it.
///
/// # Errors
/// `Configuration` if options leave none; otherwise why there is none.
pub(crate) fn select(seen: &[Seen], options: &Options) -> Result<Selection, Failure> {
    let mut selection = all(seen)?;
    if options.selects_folders() {
        keep_in_folders(&mut selection, seen, options);
    }
    let found: BTreeSet<&str> = selection.projects.iter().map(|(project, _)| project.id.as_str()).collect();
    let inactive: BTreeSet<&str> = selection.inactive.iter().map(|project| project.id.as_str()).collect();
    let missing = options.projects.iter().filter(|id| !found.contains(id.as_str())).collect::<BTreeSet<_>>();
    let missing: Vec<Gap> = missing.into_iter().map(|id| not_found(id, inactive.contains(id.as_str()))).collect();
    selection.gaps.extend(missing);
    let is_selected = |id: &String| options.projects.is_empty() || options.projects.contains(id);
    selection.projects.retain(|(project, _)| is_selected(&project.id) && !options.excludes(&project.id));
    if selection.projects.is_empty() {
        return Err(nothing_left(&selection.gaps));
    }
    selection.is_whole = !options.selects_projects() && selection.gaps.is_empty();
    Ok(selection)
}

/// Returns all active projects.
fn all(seen: &[Seen]) -> Result<Selection, Failure> {
    let (mut selection, mut ids, mut failures) = (Selection::default(), HashSet::new(), Vec::new());
    let (mut listed, mut unlisted) = (Vec::new(), Vec::new());
    for (credential, seen) in seen.iter().enumerate() {
        let own = || seen.own.as_deref().map(Project::known_by_id);
        let projects = match &seen.projects {
            Ok(projects) if projects.is_empty() => {
                let Unlisted { gap, failure, .. } = empty(&seen.account);
                selection.gaps.push(gap);
                failures.push(failure);
                Vec::new()
            }
            Ok(projects) => projects.clone(),
            Err(Unlisted { gap, failure, is_denied }) => {
                selection.gaps.push(gap.clone());
                failures.push(failure.clone());
                unlisted.extend(own().filter(|_| *is_denied).map(|project| (project, credential)));
                Vec::new()
            }
        };
        listed.extend(projects.into_iter().map(|project| (project, credential)));
    }
    // What is known of a listed project is more than its ID.
    for (project, credential) in listed.into_iter().chain(unlisted) {
        if !ids.insert(project.id.clone()) {
            continue;
        }
        match project.is_active {
            true => selection.projects.push((project, credential)),
            false => selection.inactive.push(project),
        }
    }
    // One that may be transient is retried.
    let worst = failures.iter().find(|failure| failure.kind == FailureKind::Unavailable).or(failures.first());
    match worst {
        Some(failure) if selection.projects.is_empty() => Err(failure.clone()),
        _ => Ok(selection),
    }
}

/// Keeps the projects in the folders and organizations of the options.
fn keep_in_folders(selection: &mut Selection, seen: &[Seen], options: &Options) {
    let wanted: HashSet<String> = (options.folders.iter().map(|id| format!("folders/{id}")))
        .chain(options.organizations.iter().map(|id| format!("organizations/{id}")))
        .collect();
    let mut parents: BTreeMap<&str, &str> = BTreeMap::new();
    for folders in seen.iter().filter_map(|seen| seen.folders.as_ref().ok()) {
        parents.extend(folders.iter().map(|(folder, parent)| (folder.as_str(), parent.as_str())));
    }
    let mut missing: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let all = selection.projects.iter().map(|(project, _)| project).chain(&selection.inactive);
    let seen_parents = all.filter_map(|project| project.parent.as_deref());
    for container in parents.iter().flat_map(|(folder, parent)| [*folder, *parent]).chain(seen_parents) {
        missing.remove(container);
    }
    let missing: Vec<Gap> = missing.into_iter().map(unknown_folder).collect();
    let mut unseen = BTreeMap::<String, usize>::new();
    selection.projects.retain(|(project, _)| match ancestry(project, &parents, &wanted) {
        Ancestry::Inside => true,
        Ancestry::Outside => false,
        Ancestry::Unseen(folder) => {
            *unseen.entry(folder).or_default() += 1;
            false
        }
    });
    if unseen.is_empty() && missing.is_empty() {
        return;
    }
    let denied: Vec<Gap> =
        seen.iter().filter_map(|seen| seen.folders.as_ref().err()).map(|error| error.gap.clone()).collect();
    if denied.is_empty() {
        selection.gaps.extend(unseen.iter().map(|(folder, projects)| unseen_folder(folder, *projects)));
        selection.gaps.extend(missing);
    }
    selection.gaps.extend(denied);
}

/// Where a project is.
enum Ancestry {
    Inside,
    Outside,
    /// Unknown, because this folder is not seen, or because nothing of the project but its ID is known.
    Unseen(String),
}

fn ancestry(project: &Project, parents: &BTreeMap<&str, &str>, wanted: &HashSet<String>) -> Ancestry {
    let is_listed = project.number.is_some() || project.parent.is_some();
    let Some(mut ancestor) = project.parent.as_deref() else {
        return if is_listed { Ancestry::Outside } else { Ancestry::Unseen(format!("projects/{}", project.id)) };
    };
    for _ in 0..MAX_DEPTH {
        if wanted.contains(ancestor) {
            return Ancestry::Inside;
        }
        if !ancestor.starts_with("folders/") {
            return Ancestry::Outside;
        }
        match parents.get(ancestor) {
            Some(parent) => ancestor = parent,
            None => return Ancestry::Unseen(ancestor.to_owned()),
        }
    }
    Ancestry::Unseen(ancestor.to_owned())
}

fn gap(account: &str, operation: &str, code: &str, message: String) -> Gap {
    Gap {
        account: account.to_owned(),
        region: String::new(),
        service: RESOURCE_MANAGER.to_owned(),
        operation: operation.to_owned(),
        code: code.to_owned(),
        message,
    }
}

/// Returns the gap of a list without projects. It is implausible, as credentials that see nothing are of no use: more
/// likely they have lost their roles, and their projects must not be deleted from the core.
fn empty(account: &str) -> Unlisted {
    let message = format!("{account} sees no GCP project; grant it a role such as roles/viewer in each project");
    let gap = gap(account, LIST, "MissingProjects", message.clone());
    Unlisted { gap, failure: Failure { kind: FailureKind::Unavailable, message }, is_denied: false }
}

fn not_found(id: &str, is_inactive: bool) -> Gap {
    let message = match is_inactive {
        true => format!("project {id} of --gcp-project is about to be deleted; remove it from the option"),
        false => format!(
            "no credentials see project {id} of --gcp-project, or it is not where --gcp-folder and \
                          --gcp-organization say"
        ),
    };
    gap(id, LIST, "MissingProject", message)
}

fn unknown_folder(folder: &str) -> Gap {
    let message = format!(
        "no credentials see {folder}, which --gcp-folder or --gcp-organization names; correct the option, or grant \
         roles/resourcemanager.folderViewer there"
    );
    gap(folder, SEARCH, "MissingFolder", message)
}

fn unseen_folder(folder: &str, projects: usize) -> Gap {
    let message = format!(
        "{projects} projects are below {folder}, which no credentials see, so that it is unknown whether they are selected; \
         grant roles/resourcemanager.folderViewer in the organization"
    );
    gap(folder, SEARCH, "MissingFolder", message)
}

fn nothing_left(gaps: &[Gap]) -> Failure {
    let reasons: Vec<&str> = gaps.iter().take(3).map(|gap| gap.message.as_str()).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let message = format!(
        "no GCP project is left to collect{reasons}: check --gcp-project, --gcp-exclude-project, --gcp-folder and \
         --gcp-organization"
    );
    Failure { kind: FailureKind::Configuration, message }
}
