//! Paths into what an operation takes and gives, so that definitions can be checked before they are used.
//!
//! `Reservations[].Instances[].State.Name`: names joined by dots, `[]` behind a list for each of its items, any key
//! behind a map.

use super::{Kind, Operation, Structure};

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The operation takes or gives nothing at all.
    #[error("{operation} has nothing there")]
    Nothing {
        /// The operation.
        operation: &'static str,
    },
    /// A name that the structure does not have.
    #[error("{structure} has no member {member}")]
    NoMember {
        /// The structure.
        structure: &'static str,
        /// The name.
        member: String,
    },
    /// A list without `[]`, or `[]` behind something else, or a member of a scalar.
    #[error("{at} does not fit: {found}")]
    Unfit {
        /// The part of the path.
        at: String,
        /// What the model has there.
        found: &'static str,
    },
}

impl Operation {
    /// What stands at a path in the output.
    ///
    /// # Errors
    /// The part of the path that the model does not have.
    pub fn output_kind(&self, path: &str) -> Result<&'static Kind, PathError> {
        let output = self.output.as_ref().ok_or(PathError::Nothing { operation: self.name })?;
        walk(output.get(), path)
    }

    /// What stands at a path in the input; a parameter's name is the simplest path.
    ///
    /// # Errors
    /// The part of the path that the model does not have.
    pub fn input_kind(&self, path: &str) -> Result<&'static Kind, PathError> {
        let input = self.input.as_ref().ok_or(PathError::Nothing { operation: self.name })?;
        walk(input.get(), path)
    }

    /// The members of the input, if it takes any.
    pub fn parameters(&self) -> impl Iterator<Item = &'static super::Member> + use<> {
        self.input.as_ref().map(super::StructureRef::get).into_iter().flat_map(|structure| &structure.members)
    }
}

impl Structure {
    /// What stands at a path below this structure.
    ///
    /// # Errors
    /// The part of the path that the model does not have.
    pub fn kind_at(&'static self, path: &str) -> Result<&'static Kind, PathError> {
        walk(self, path)
    }
}

impl Kind {
    /// What stands at a path below this kind, such as `State.Name` below an instance. The empty path is the kind.
    ///
    /// # Errors
    /// The part of the path that the model does not have.
    pub fn kind_at(&'static self, path: &str) -> Result<&'static Kind, PathError> {
        path.split('.').filter(|segment| !segment.is_empty()).try_fold(self, step)
    }

    /// A word for people.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Time(_) => "time",
            Self::Blob => "blob",
            Self::Document => "document",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Structure(_) => "structure",
        }
    }
}

fn walk(structure: &'static Structure, path: &str) -> Result<&'static Kind, PathError> {
    let mut segments = path.split('.');
    let first = segments.next().unwrap_or_default();
    segments.try_fold(member(structure, first)?, step)
}

/// One step down from a kind that is not a list any more.
fn step(from: &'static Kind, segment: &str) -> Result<&'static Kind, PathError> {
    match from {
        Kind::Structure(structure) => member(structure.get(), segment),
        Kind::Map(map) => items(&map.value, segment),
        Kind::Document => Ok(from),
        Kind::List(_) if segment.starts_with('[') => items(from, segment),
        other => Err(PathError::Unfit { at: segment.to_owned(), found: other.label() }),
    }
}

fn member(structure: &'static Structure, segment: &str) -> Result<&'static Kind, PathError> {
    let name = segment.split('[').next().unwrap_or(segment);
    let member = structure.member(name);
    let member = member.ok_or_else(|| PathError::NoMember { structure: structure.name, member: name.to_owned() })?;
    items(&member.kind, segment)
}

/// Takes the items of lists as often as brackets stand behind the name.
fn items(mut kind: &'static Kind, segment: &str) -> Result<&'static Kind, PathError> {
    for _ in segment.matches('[') {
        let Kind::List(list) = kind else {
            return Err(PathError::Unfit { at: segment.to_owned(), found: kind.label() });
        };
        kind = &list.item;
    }
    Ok(kind)
}
