//! The target of an operation: a resource as the core has it, and its location.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use worker_proto::{Failure, FailureKind};

/// A resource whose tags are changed or that is deleted.
///
/// Its fields are those that the core has stored. Related resources are listed in the cloud when they are needed,
/// because the graph may be hours old.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The kind, such as `aws_ec2_volume`.
    pub kind: String,
    /// The ID in the cloud.
    pub id: String,
    /// The name; the ID if there is none.
    pub name: String,
    /// The fields, tags among them.
    pub reported: Map<String, Value>,
    /// The cloud's ID, which is the collector's name.
    pub cloud: String,
    /// The account.
    pub account: ParentNode,
    /// The region, if it is certain.
    pub region: Option<ParentNode>,
}

/// The account or the region of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParentNode {
    /// The ID in the cloud.
    pub id: String,
    /// The name, if known.
    pub name: Option<String>,
    /// The fields; may be empty.
    pub reported: Map<String, Value>,
}

impl Target {
    /// Parses the target of an operation.
    ///
    /// # Errors
    /// `Internal` if it is malformed.
    pub fn read(json: &str) -> Result<Self, Failure> {
        serde_json::from_str(json).map_err(|error| Failure {
            kind: FailureKind::Internal,
            message: format!("the target of an operation cannot be read: {error}"),
        })
    }

    /// Returns a field that is a string and not empty.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.reported.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Returns the value of a tag.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.reported.get("tags")?.get(key)?.as_str()
    }

    /// Returns kind, name and ID, as users read them.
    #[must_use]
    pub fn label(&self) -> String {
        if self.name == self.id {
            format!("{} {}", self.kind, self.id)
        } else {
            format!("{} {} ({})", self.kind, self.name, self.id)
        }
    }
}
