//! Names by which references find nodes.

use std::borrow::Cow;

use blake2::{Blake2b, Digest, digest::consts::U16};

/// A name by which nodes of a unit are found. Different nodes may share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The name of the location; empty for the whole unit, and for the whole cloud.
    pub scope: String,
    /// The kind, such as `aws_vpc`.
    pub kind: Cow<'static, str>,
    /// The compared attribute, such as `id`.
    pub attribute: Cow<'static, str>,
    /// The value of the attribute.
    pub value: String,
}

impl Key {
    /// Returns the hash, by which references are compared.
    #[must_use]
    pub fn hash(&self) -> [u8; 16] {
        hash([&self.scope, &self.kind, &self.attribute, &self.value])
    }
}

/// Returns the hash of the name by which other units of a cloud find a node: that of a [`Key`] without a scope.
#[must_use]
pub fn name_hash(kind: &str, attribute: &str, value: &str) -> [u8; 16] {
    hash(["", kind, attribute, value])
}

/// Lengths go first, so that no two keys are the same bytes.
fn hash(parts: [&str; 4]) -> [u8; 16] {
    let mut hasher = Blake2b::<U16>::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}
