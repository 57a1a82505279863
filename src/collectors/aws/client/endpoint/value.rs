//! The values of AWS's endpoint rules. Texts are borrowed from the rules and from their parameters.

use std::{borrow::Cow, ops::Range};

use super::{functions, partition::Partition};

/// A value of a parameter or of an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// None: a parameter that is not given, or a function that has no result.
    #[default]
    Absent,
    Bool(bool),
    Number(usize),
    Text(Cow<'a, str>),
    Partition(Partition),
    /// A text that is a URL.
    Url(Cow<'a, str>),
    /// A text that is an ARN.
    Arn(Cow<'a, str>),
}

impl<'a> Value<'a> {
    /// Returns a borrowed text as a value.
    pub(super) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Returns the text, if it is one.
    pub(super) fn as_text(&self) -> Option<&Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether a condition with this value holds.
    pub(super) fn holds(&self) -> bool {
        !matches!(self, Self::Absent | Self::Bool(false))
    }

    /// Returns the attribute at a path such as `name` or `resourceId[0]`.
    pub(super) fn attribute(&self, path: &str) -> Self {
        match self {
            Self::Partition(partition) => partition.attribute(path),
            Self::Url(url) => functions::url_attribute(url, path),
            Self::Arn(arn) => functions::arn_attribute(arn, path),
            _ => Self::Absent,
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Returns a part of a text, borrowed from where the text is.
pub(super) fn part<'a>(text: &Cow<'a, str>, range: Range<usize>) -> Option<Cow<'a, str>> {
    match text {
        Cow::Borrowed(text) => text.get(range).map(Cow::Borrowed),
        Cow::Owned(text) => text.get(range).map(|part| Cow::Owned(part.to_owned())),
    }
}
