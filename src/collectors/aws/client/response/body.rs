//! The body of a response. It is checked for UTF-8 once, although it is parsed several times.

use std::sync::Arc;

use bytes::Bytes;

/// The body of a response.
#[derive(Clone, Debug)]
pub(in super::super) enum Body {
    /// A string.
    Text(Arc<String>),
    /// Bytes in any format.
    Bytes(Bytes),
}

impl Body {
    /// Returns the bytes.
    pub(in super::super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Returns the string.
    ///
    /// # Errors
    /// If the bytes are not UTF-8.
    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|error| format!("the body is not UTF-8: {error}")),
        }
    }
}
