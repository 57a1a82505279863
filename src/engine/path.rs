//! Paths into an API's response.
//!
//! `Placement.Tenancy` goes down members; `Tags[]` takes each element of a list, `Tags[0]` the first and `Tags[-1]` the
//! last; `Tags[Key=Name].Value` takes the first element whose member has that value; `items[*]` takes the value of each
//! key of a map; `@name…` starts at a named value instead of the item; `.` is the item itself. A list without brackets
//! stays whole. `zone|last_part` takes a part of the string at the path.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    ops::ControlFlow,
    sync::{LazyLock, PoisonError, RwLock},
};

use serde::Deserialize;

use super::Tree;

/// A path.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Path {
    /// The named value at which the path starts, without `@`; the item if `None`.
    pub root: Option<Box<str>>,
    /// The steps down.
    pub steps: Box<[Step]>,
    /// The part that is taken of a string at the end.
    pub part: Option<TextPart>,
}

/// A part of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextPart {
    /// `last_part`: what follows the last slash or colon, as in a URL; all of it if there is none.
    LastPart,
    /// `after_slash`: what follows the first slash; nothing if there is none.
    AfterSlash,
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// To a member of a structure.
    Member(Box<str>),
    /// To each element of a list.
    Each,
    /// To the value of each key of a map.
    Values,
    /// To the element of a list at an index; a negative one counts from the end.
    Index(isize),
    /// To the first element of a list whose member has this value.
    Where(Box<(String, String)>),
}

/// A function that receives the values at a path. It breaks to end the walk.
pub type Visit<'v, 't> = &'v mut dyn FnMut(&'t Tree<'t>) -> ControlFlow<()>;

/// The path literals of the code, parsed once.
static LITERALS: LazyLock<RwLock<HashMap<&'static str, &'static Path>>> = LazyLock::new(RwLock::default);

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// The part that is malformed.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text)
    }

    /// Returns the path of a literal in the code, parsed on first use. A test parses all literals; a malformed one
    /// would be the item itself.
    pub(super) fn literal(text: &'static str) -> &'static Self {
        if let Some(known) = LITERALS.read().unwrap_or_else(PoisonError::into_inner).get(text) {
            return known;
        }
        let path = parse(text).unwrap_or_default();
        let mut literals = LITERALS.write().unwrap_or_else(PoisonError::into_inner);
        // Never freed: there are only as many as the code has literals.
        literals.entry(text).or_insert_with(|| Box::leak(Box::new(path)))
    }

    /// Returns whether it leads to any number of values.
    pub(crate) fn is_list(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Each | Step::Values))
    }

    /// Takes the path's part of a string to which it leads; `None` if the string does not have it.
    pub(crate) fn take<'t>(&self, text: Cow<'t, str>) -> Option<Cow<'t, str>> {
        let Some(part) = self.part else { return Some(text) };
        let of = |text: &str| match part {
            TextPart::LastPart => Some(text.rfind(['/', ':']).map_or(0, |at| at + 1)),
            TextPart::AfterSlash => text.find('/').map(|at| at + 1),
        };
        let from = of(&text)?;
        Some(match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[from..]),
            Cow::Owned(mut text) => Cow::Owned(text.split_off(from)),
        })
        .filter(|part| !part.is_empty())
    }

    /// Returns the member of the item with which the path starts.
    pub(crate) fn first_member(&self) -> Option<&str> {
        match self.steps.first() {
            Some(Step::Member(name)) => Some(name),
            _ => None,
        }
    }

    /// Calls `visit` with each value to which the steps lead from `tree`, until it breaks.
    pub(crate) fn walk<'t>(&self, tree: &'t Tree<'t>, visit: Visit<'_, 't>) -> ControlFlow<()> {
        walk(&self.steps, tree, visit)
    }

    /// Returns all values to which the steps lead from `tree`.
    pub(crate) fn values<'t, 'a>(&self, tree: &'t Tree<'a>) -> Vec<&'t Tree<'a>> {
        let mut found = vec![tree];
        for step in &*self.steps {
            found = found.into_iter().flat_map(|tree| step.all(tree)).collect();
        }
        found
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Some(root) => write!(f, "@{root}")?,
            None if self.steps.is_empty() => f.write_str(".")?,
            None => {}
        }
        for (number, step) in self.steps.iter().enumerate() {
            match step {
                Step::Member(name) if number == 0 && self.root.is_none() => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Each => f.write_str("[]")?,
                Step::Values => f.write_str("[*]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Where(wanted) => write!(f, "[{}={}]", wanted.0, wanted.1)?,
            }
        }
        match self.part {
            Some(TextPart::LastPart) => f.write_str("|last_part"),
            Some(TextPart::AfterSlash) => f.write_str("|after_slash"),
            None => Ok(()),
        }
    }
}

impl Step {
    /// Returns the values one step below `tree`, those of a map too.
    pub(super) fn all<'t, 'a>(&self, tree: &'t Tree<'a>) -> Vec<&'t Tree<'a>> {
        match self {
            Self::Values => tree.entries().iter().map(|(_, value)| value).collect(),
            _ => self.values(tree).iter().collect(),
        }
    }

    /// Returns the values one step below `tree`, apart from those of a map. Null counts as absent.
    fn values<'t, 'a>(&self, tree: &'t Tree<'a>) -> &'t [Tree<'a>] {
        let found = match self {
            Self::Member(name) => tree.get(name),
            Self::Each => return tree.list(),
            Self::Values => None,
            Self::Index(index) => {
                let index = if *index < 0 {
                    tree.list().len().checked_sub(index.unsigned_abs())
                } else {
                    Some(index.unsigned_abs())
                };
                index.and_then(|index| tree.list().get(index))
            }
            Self::Where(wanted) => {
                let (name, value) = &**wanted;
                tree.list().iter().find(|element| element.get(name).and_then(Tree::text) == Some(value))
            }
        };
        found.map(std::slice::from_ref).unwrap_or_default()
    }
}

fn walk<'t>(steps: &[Step], tree: &'t Tree<'t>, visit: Visit<'_, 't>) -> ControlFlow<()> {
    let Some((step, rest)) = steps.split_first() else { return visit(tree) };
    if *step == Step::Values {
        return tree.entries().iter().try_for_each(|(_, value)| walk(rest, value, visit));
    }
    for value in step.values(tree) {
        walk(rest, value, visit)?;
    }
    ControlFlow::Continue(())
}

impl TryFrom<String> for Path {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse(&text)
    }
}

fn parse(text: &str) -> Result<Path, String> {
    let (steps, part) = match text.split_once('|') {
        None => (text, None),
        Some((steps, "last_part")) => (steps, Some(TextPart::LastPart)),
        Some((steps, "after_slash")) => (steps, Some(TextPart::AfterSlash)),
        Some((_, other)) => {
            return Err(format!("path {text:?}: no part {other:?} of a string; there are last_part and after_slash"));
        }
    };
    Ok(Path { part, ..parse_steps(steps)? })
}

fn parse_steps(text: &str) -> Result<Path, String> {
    let mut rest = text;
    let mut root = None;
    let mut steps = Vec::new();
    if let Some(named) = text.strip_prefix('@') {
        let end = named.find(['.', '[']).unwrap_or(named.len());
        root = (end > 0).then(|| named[..end].into());
        if root.is_none() {
            return Err(format!("path {text:?}: the name after @ is missing"));
        }
        rest = named[end..].strip_prefix('.').unwrap_or(&named[end..]);
    }
    if rest.is_empty() && root.is_some() || rest == "." {
        return Ok(Path { root, steps: steps.into(), part: None });
    }
    while !rest.is_empty() {
        rest = step(rest, &mut steps).ok_or_else(|| format!("path {text:?}: invalid at {rest:?}"))?;
    }
    if steps.is_empty() {
        return Err("a path is empty; \".\" is the item itself".into());
    }
    Ok(Path { root, steps: steps.into(), part: None })
}

/// Parses one step, and returns the rest of the path.
fn step<'t>(rest: &'t str, steps: &mut Vec<Step>) -> Option<&'t str> {
    if let Some(bracket) = rest.strip_prefix('[') {
        let (inside, after) = bracket.split_once(']')?;
        steps.push(match inside.split_once('=') {
            None if inside.is_empty() => Step::Each,
            None if inside == "*" => Step::Values,
            None => Step::Index(inside.parse().ok()?),
            Some((name, value)) if is_name(name) => Step::Where(Box::new((name.to_owned(), value.to_owned()))),
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
    steps.push(Step::Member(rest[..end].into()));
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

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
