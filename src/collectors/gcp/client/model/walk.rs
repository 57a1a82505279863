//! Paths through the model, so that the paths of definitions can be checked before a call is made.

use super::{Kind, Method, Structure};
use crate::engine::path::{Path, Step};

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The method has no response.
    #[error("{method} has nothing there")]
    Nothing {
        /// The method.
        method: &'static str,
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

impl Method {
    /// Returns the kind at a path in the response.
    ///
    /// # Errors
    /// The step that the model does not have.
    pub fn output_kind(&self, path: &Path) -> Result<&'static Kind, PathError> {
        let nothing = PathError::Nothing { method: self.name };
        let (Some(output), Some((first, rest))) = (self.response, path.steps.split_first()) else {
            return Err(nothing);
        };
        rest.iter().try_fold(output.get().step(first)?, Kind::step)
    }
}

impl Structure {
    /// Returns the kind one step below.
    ///
    /// # Errors
    /// The step, if it is to no member.
    pub fn step(&'static self, step: &Step) -> Result<&'static Kind, PathError> {
        let Step::Member(name) = step else { return Err(unfit(step, "structure")) };
        self.member(name).ok_or_else(|| PathError::NoMember { structure: self.name, member: name.to_string() })
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
            (Self::Map(value), Step::Member(_) | Step::Values) => Ok(value),
            (Self::Document, _) => Ok(self),
            (Self::List(item), Step::Each | Step::Index(_)) => Ok(item),
            (Self::List(item), Step::Where(wanted)) => {
                item.step(&Step::Member(wanted.0.as_str().into())).map(|_| &**item)
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
            Self::Long => "long",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Time => "time",
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
