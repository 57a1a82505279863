//! The operations of an API: the method and path that their names are, and what their responses must have.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{
    api::{Api, Paging, Verb},
    source::{Accounts, LevelTable},
};
use crate::engine::{Definitions, Path, Tree, path::Step};

/// An operation, such as `GET /hosts/{host}`.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) verb: Verb,
    path: Vec<Segment>,
    /// How its list is continued.
    pub(super) pages: Paging,
    /// The most calls in a minute.
    pub(super) per_minute: Option<u32>,
    /// The paths to each item of a list: one, unless several kinds are in the same response.
    pub(super) items: Vec<Path>,
}

/// A part of a path.
#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    /// A parameter, percent-encoded; of several segments if the slashes in its value are kept.
    Parameter {
        name: String,
        has_slashes: bool,
    },
}

/// All operations of a collector, by name.
#[derive(Debug)]
pub(super) struct Operations(HashMap<String, Operation>);

impl Operations {
    /// Returns the operations that the definitions name; without those whose names are none, which are found by the
    /// check.
    pub(super) fn of(api: &Api, accounts: &Accounts, levels: &[LevelTable], definitions: &Definitions) -> Self {
        let mut all = HashMap::new();
        let mut add = |name: &str, items: Option<&Path>| {
            let Ok(operation) = Operation::parse(name, api) else { return };
            let known: &mut Operation = all.entry(name.to_owned()).or_insert(operation);
            known.items.extend(items.filter(|items| !known.items.contains(items)).cloned());
        };
        for list in accounts.list.iter().chain(levels.iter().filter_map(|level| level.list.as_ref())) {
            add(list.operation.get_ref(), Some(list.items.get_ref()));
        }
        for (name, exception) in &api.operations {
            if let Some(items) = &exception.items {
                add(name.get_ref(), Some(items));
            }
        }
        for details in definitions.services.iter().filter_map(|service| service.details.as_ref()) {
            add(details.operation.get_ref(), None);
        }
        for (_, kind) in definitions.iter() {
            if let Some(list) = &kind.list {
                add(list.operation.get_ref(), Some(list.items.get_ref()));
            }
            for call in &kind.calls {
                let result = Some(call.result.get_ref()).filter(|result| result.is_list());
                add(call.operation.get_ref(), result);
            }
        }
        Self(all)
    }

    /// Returns an operation.
    pub(super) fn get(&self, name: &str) -> Option<&Operation> {
        self.0.get(name)
    }

    /// Iterates over the names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Operation {
    /// Parses a name: a path, or a method and a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(name: &str, api: &Api) -> Result<Self, String> {
        let (verb, path) = match name.split_once(' ') {
            None => (api.method, name),
            Some(("GET", path)) => (Verb::Get, path),
            Some(("POST", path)) => (Verb::Post, path),
            Some((verb, _)) => return Err(format!("the method {verb} is neither GET nor POST")),
        };
        if path.is_empty() || path.contains(|c: char| c.is_whitespace() || c == '?' || c == '#') {
            return Err(
                "the path is empty, or has blanks, a query or a fragment: parameters belong in input".to_owned()
            );
        }
        let exception = api.operations.iter().find(|(known, _)| known.get_ref() == name).map(|(_, found)| found);
        let pages = exception.and_then(|one| one.pages.clone()).unwrap_or_else(|| api.pages.clone());
        let per_minute = exception.and_then(|one| one.per_minute).or(api.limits.per_minute);
        Ok(Self { verb, path: segments(path)?, pages, per_minute, items: Vec::new() })
    }

    /// Returns whether its responses are lists, which may have several pages.
    pub(super) fn is_list(&self) -> bool {
        self.items.iter().any(Path::is_list)
    }

    /// Returns the names of the parameters of its path.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.path.iter().filter_map(|segment| match segment {
            Segment::Text(_) => None,
            Segment::Parameter { name, .. } => Some(name.as_str()),
        })
    }

    /// Returns the path with these parameters, without a slash in front.
    ///
    /// # Errors
    /// A sentence that names the parameter.
    pub(super) fn fill<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<String, String> {
        let mut path = String::new();
        for segment in &self.path {
            match segment {
                Segment::Text(text) => path.push_str(text),
                Segment::Parameter { name, has_slashes } => {
                    let value = value(name).ok_or_else(|| format!("the parameter {name} of its path is missing"))?;
                    let parts: Vec<&str> = if *has_slashes { value.split('/').collect() } else { vec![value] };
                    if parts.iter().any(|part| ["", ".", ".."].contains(part)) {
                        return Err(format!("the parameter {name}, {value:?}, would lead to another path"));
                    }
                    let encoded: Vec<String> = parts.into_iter().map(encoded).collect();
                    path.push_str(&encoded.join("/"));
                }
            }
        }
        Ok(path)
    }

    /// Returns the number of elements of the list in a response.
    ///
    /// # Errors
    /// The path at which the response should have a list, or anything.
    pub(super) fn length(&self, response: &Tree<'_>) -> Result<usize, String> {
        let mut length = None;
        for items in &self.items {
            let found = match container(items) {
                Some((path, step)) => path.values(response).into_iter().find_map(|found| elements(found, step)),
                // Null is no item.
                None => {
                    let value = items.values(response).into_iter().find(|found| !matches!(found, Tree::Null));
                    if matches!(value, Some(Tree::List(_))) {
                        return Err(format!("the response has a list at {items}: its elements are {items}[]"));
                    }
                    value.map(|_| 1)
                }
            };
            let found = found.ok_or_else(|| format!("the response has nothing of the right form at {items}"))?;
            length.get_or_insert(found);
        }
        Ok(length.unwrap_or_default())
    }

    /// Returns a hash of the elements of the list in a response.
    pub(super) fn digest(&self, response: &Tree<'_>) -> u64 {
        let lists = self.items.iter().filter_map(|items| Some(container(items)?.0));
        let mut hasher = DefaultHasher::new();
        for list in lists.take(1) {
            let found = list.values(response).into_iter().next();
            found.and_then(|found| serde_json::to_vec(found).ok()).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Returns the part of the path to items that is the list itself, as `data` in `data[].host`, and the step into it.
/// `None` if the path leads to no list.
pub(super) fn container(items: &Path) -> Option<(Path, &Step)> {
    let at = items.steps.iter().position(|step| matches!(step, Step::Each | Step::Values))?;
    Some((Path { root: items.root.clone(), steps: items.steps[..at].into(), part: None }, items.steps.get(at)?))
}

fn elements(found: &Tree<'_>, step: &Step) -> Option<usize> {
    match (found, step) {
        (Tree::List(list), Step::Each) => Some(list.len()),
        (Tree::Map(entries), Step::Values) => Some(entries.len()),
        _ => None,
    }
}

/// Parses a path with parameters in braces.
fn segments(path: &str) -> Result<Vec<Segment>, String> {
    let mut found = Vec::new();
    let mut rest = path.strip_prefix('/').unwrap_or(path);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("a brace is not closed")?;
        let (name, has_slashes) = name.strip_prefix('+').map_or((name, false), |name| (name, true));
        if name.is_empty() {
            return Err("a parameter has no name".to_owned());
        }
        if !before.is_empty() {
            found.push(Segment::Text(before.to_owned()));
        }
        found.push(Segment::Parameter { name: name.to_owned(), has_slashes });
        rest = after;
    }
    if !rest.is_empty() {
        found.push(Segment::Text(rest.to_owned()));
    }
    Ok(found)
}

/// Percent-encodes a part of a path.
fn encoded(part: &str) -> String {
    // A form writes a blank as a plus.
    form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn filled(path: &str, value: &str) -> Result<String, String> {
        let pages = Paging::None;
        let path = segments(path).unwrap();
        Operation { verb: Verb::Get, path, pages, per_minute: None, items: Vec::new() }.fill(|_| Some(value))
    }

    #[test]
    fn parameters_of_paths_are_encoded() {
        assert_eq!(filled("/hosts/{host}", "a/b c+ü"), Ok("hosts/a%2Fb%20c%2B%C3%BC".to_owned()));
        assert_eq!(filled("/repos/{+name}/x", "o/r"), Ok("repos/o/r/x".to_owned()));
        for value in ["", ".", ".."] {
            assert!(filled("/hosts/{host}", value).is_err(), "{value:?}");
        }
        assert!(filled("/repos/{+name}", "a/../b").is_err());
    }

    #[test]
    fn unclosed_and_unnamed_parameters_are_errors() {
        assert!(segments("/a/{b").is_err() && segments("/a/{}").is_err() && segments("/a/{+}").is_err());
    }
}
