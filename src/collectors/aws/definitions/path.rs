//! Paths into an API's answer, and texts with paths in them.
//!
//! `Placement.Tenancy` goes down members; `Tags[]` takes each element of a list; `Tags[Key=Name].Value` takes the first
//! element whose member has that value; `@name…` starts at a named value instead of the item; `.` is the item itself.

use std::ops::ControlFlow;

use serde::Deserialize;

use crate::collectors::aws::client::Tree;

/// A path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Path {
    /// The named value it starts at, without `@`; the item if none.
    pub(crate) root: Option<String>,
    /// The way down.
    pub(crate) steps: Vec<Step>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To a member of a structure.
    Member(String),
    /// To each element of a list.
    Each,
    /// To the first element of a list whose member has this value.
    Where(String, String),
}

impl Path {
    /// Whether it stands for any number of values.
    pub(crate) fn is_list(&self) -> bool {
        self.steps.contains(&Step::Each)
    }

    /// Calls `visit` with each value that the steps lead to from `tree`, until it breaks.
    pub(crate) fn walk<'t>(
        &self,
        tree: &'t Tree<'t>,
        visit: &mut dyn FnMut(&'t Tree<'t>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        walk(&self.steps, tree, visit)
    }
}

fn walk<'t>(
    steps: &[Step],
    tree: &'t Tree<'t>,
    visit: &mut dyn FnMut(&'t Tree<'t>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some((step, rest)) = steps.split_first() else { return visit(tree) };
    match (step, tree) {
        (Step::Member(name), Tree::Map(_)) => {
            member(tree, name).map_or(ControlFlow::Continue(()), |found| walk(rest, found, visit))
        }
        (Step::Each, Tree::List(list)) => {
            for element in list {
                walk(rest, element, visit)?;
            }
            ControlFlow::Continue(())
        }
        (Step::Where(name, value), Tree::List(list)) => {
            let found =
                list.iter().find(|element| matches!(member(element, name), Some(Tree::Text(text)) if text == value));
            found.map_or(ControlFlow::Continue(()), |found| walk(rest, found, visit))
        }
        _ => ControlFlow::Continue(()),
    }
}

/// A member of a structure; a null counts as absent.
pub(crate) fn member<'t>(tree: &'t Tree<'t>, name: &str) -> Option<&'t Tree<'t>> {
    match tree {
        Tree::Map(members) => {
            let found = members.iter().find(|(key, _)| key == name).map(|(_, value)| value);
            found.filter(|value| !matches!(value, Tree::Null))
        }
        _ => None,
    }
}

impl TryFrom<String> for Path {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse(&text)
    }
}

fn parse(text: &str) -> Result<Path, String> {
    let mut rest = text;
    let mut root = None;
    let mut steps = Vec::new();
    if let Some(named) = text.strip_prefix('@') {
        let end = named.find(['.', '[']).unwrap_or(named.len());
        root = Some(named[..end].to_owned()).filter(|name| !name.is_empty());
        if root.is_none() {
            return Err(format!("path {text:?}: a name is missing after @"));
        }
        rest = named[end..].strip_prefix('.').unwrap_or(&named[end..]);
    }
    if rest.is_empty() && root.is_some() || rest == "." {
        return Ok(Path { root, steps });
    }
    while !rest.is_empty() {
        rest = step(rest, &mut steps).ok_or_else(|| format!("path {text:?}: {rest:?} is not understood"))?;
    }
    if steps.is_empty() {
        return Err("a path is empty; the item itself is \".\"".into());
    }
    Ok(Path { root, steps })
}

/// Reads one step and answers what is left.
fn step<'t>(rest: &'t str, steps: &mut Vec<Step>) -> Option<&'t str> {
    if let Some(bracket) = rest.strip_prefix('[') {
        let (inside, after) = bracket.split_once(']')?;
        steps.push(match inside.split_once('=') {
            None if inside.is_empty() => Step::Each,
            Some((name, value)) if is_name(name) => Step::Where(name.to_owned(), value.to_owned()),
            _ => return None,
        });
        return match after.strip_prefix('.') {
            Some(more) if is_name_start(more) => Some(more),
            None if after.is_empty() || after.starts_with('[') => Some(after),
            _ => None,
        };
    }
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    if !is_name(&rest[..end]) {
        return None;
    }
    steps.push(Step::Member(rest[..end].to_owned()));
    match rest[end..].strip_prefix('.') {
        Some(more) if is_name_start(more) => Some(more),
        Some(_) => None,
        None => Some(&rest[end..]),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte))
}

fn is_name_start(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A text with paths in braces, such as `{Endpoint.Address}:{Endpoint.Port}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Template(pub(crate) Vec<Part>);

impl Template {
    /// The paths in it.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|part| if let Part::Path(path) = part { Some(path) } else { None })
    }
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Taken as it is.
    Text(String),
    /// Replaced by the value it leads to.
    Path(Path),
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (path, after) = after.split_once('}').ok_or_else(|| format!("{text:?}: a brace is not closed"))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Path(parse(path)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn texts(path: &str, tree: &Tree<'_>) -> Vec<String> {
        let mut found = Vec::new();
        let _ = parse(path).unwrap().walk(tree, &mut |value| {
            if let Tree::Text(text) = value {
                found.push(text.to_string());
            }
            ControlFlow::Continue(())
        });
        found
    }

    fn text(value: &str) -> Tree<'_> {
        Tree::Text(value.into())
    }

    #[test]
    fn paths_go_down_members_and_lists() {
        let tag = |key, value| Tree::Map(vec![("Key".into(), text(key)), ("Value".into(), text(value))]);
        let tree = Tree::Map(vec![
            ("Id".into(), text("i-1")),
            ("State".into(), Tree::Map(vec![("Name".into(), text("running"))])),
            ("Tags".into(), Tree::List(vec![tag("owner", "me"), tag("Name", "box")])),
            ("None".into(), Tree::Null),
        ]);
        assert_eq!(texts("Id", &tree), ["i-1"]);
        assert_eq!(texts("State.Name", &tree), ["running"]);
        assert_eq!(texts("Tags[].Key", &tree), ["owner", "Name"]);
        assert_eq!(texts("Tags[Key=Name].Value", &tree), ["box"]);
        assert_eq!(texts("Tags[Key=x].Value", &tree), [""; 0]);
        assert_eq!(texts("None.Deeper", &tree), [""; 0]);
        assert_eq!(texts(".", &text("x")), ["x"]);
    }

    #[test]
    fn odd_paths_are_refused() {
        for odd in ["", "A.", ".A", "A..B", "A[", "A[x]", "A[]B", "@", "@.A", "A B", "[=x]"] {
            assert!(parse(odd).is_err(), "{odd}");
        }
        assert_eq!(parse("@user.Name").unwrap().root.as_deref(), Some("user"));
        assert!(parse("@user[].Name").unwrap().is_list());
    }

    #[test]
    fn templates_mix_text_and_paths() {
        let template = Template::try_from("{A.B}:{C}/x".to_owned()).unwrap();
        assert_eq!(template.0.len(), 4);
        assert!(Template::try_from("{A".to_owned()).is_err());
    }
}
