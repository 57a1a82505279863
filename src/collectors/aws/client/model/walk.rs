//! Paths through the model, so that the paths of definitions and paginators can be checked before a call is made.

use super::{Kind, Operation, Structure, StructureRef};
use crate::engine::path::{Path, Step};

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The operation has no input or output.
    #[error("{operation} has nothing there")]
    Nothing {
        /// The operation.
        operation: &'static str,
    },
    /// The structure has no such member.
    #[error("{structure} has no member {member}")]
    NoMember {
        /// The structure.
        structure: &'static str,
        /// The member's name.
        member: String,
    },
    /// The step does not apply to the kind, such as an index to a structure.
    #[error("{step} does not fit: {found}")]
    Unfit {
        /// The step, as a path.
        step: String,
        /// The kind to which it was applied.
        found: &'static str,
    },
}

impl Operation {
    /// Returns the kind at a path in the output.
    ///
    /// # Errors
    /// The step that the model does not have.
    pub fn output_kind(&self, path: &Path) -> Result<&'static Kind, PathError> {
        self.kind_at(self.output.as_ref(), path)
    }

    /// Returns the kind at a path in the input.
    ///
    /// # Errors
    /// The step that the model does not have.
    pub fn input_kind(&self, path: &Path) -> Result<&'static Kind, PathError> {
        self.kind_at(self.input.as_ref(), path)
    }

    /// Returns the kind of a parameter, if the operation has it.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'static Kind> {
        self.input.as_ref()?.get().member(name).map(|member| &member.kind)
    }

    fn kind_at(&self, start: Option<&StructureRef>, path: &Path) -> Result<&'static Kind, PathError> {
        let nothing = PathError::Nothing { operation: self.name };
        let (Some(start), Some((first, rest))) = (start, path.steps.split_first()) else { return Err(nothing) };
        rest.iter().try_fold(start.get().step(first)?, Kind::step)
    }
}

impl Structure {
    /// Returns the kind one step below.
    ///
    /// # Errors
    /// The step, if it is to no member.
    pub fn step(&'static self, step: &Step) -> Result<&'static Kind, PathError> {
        let Step::Member(name) = step else { return Err(unfit(step, "structure")) };
        let member = self.member(name);
        let member = member.ok_or_else(|| PathError::NoMember { structure: self.name, member: name.to_string() })?;
        Ok(&member.kind)
    }
}

impl Kind {
    /// Returns the kind one step below.
    ///
    /// # Errors
    /// The step, if it does not fit.
    pub fn step(&'static self, step: &Step) -> Result<&'static Self, PathError> {
        match (self, step) {
            (Self::Structure(structure), _) => structure.get().step(step),
            (Self::Map(map), Step::Member(_) | Step::Values) => Ok(&map.value),
            (Self::Document, _) => Ok(self),
            (Self::List(list), Step::Each | Step::Index(_)) => Ok(&list.item),
            (Self::List(list), Step::Where(wanted)) => {
                list.item.step(&Step::Member(wanted.0.as_str().into())).map(|_| &list.item)
            }
            _ => Err(unfit(step, self.label())),
        }
    }

    /// Returns the kind's name.
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

fn unfit(step: &Step, found: &'static str) -> PathError {
    let path = Path { root: None, steps: [step.clone()].into(), part: None };
    PathError::Unfit { step: path.to_string(), found }
}
