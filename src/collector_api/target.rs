//! The target of an operation: a resource as stored in the core, with its account and region.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use worker_proto::{Failure, FailureKind};

/// A resource to be tagged or deleted.
///
/// It has the core's state, which may be hours old. An operation reads the resource's dependencies from the cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The resource's kind.
    pub kind: String,
    /// The resource's ID in the cloud.
    pub id: String,
    /// The resource's name, or its ID if it has none.
    pub name: String,
    /// The resource's fields, including its tags.
    pub reported: Map<String, Value>,
    /// The cloud's ID, which is the collector's name.
    pub cloud: String,
    /// The resource's account.
    pub account: ParentNode,
    /// The resource's region, if it is certain.
    pub region: Option<ParentNode>,
}

/// The account or the region of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParentNode {
    /// The node's ID in the cloud.
    pub id: String,
    /// The node's name, if known.
    pub name: Option<String>,
    /// The node's fields; may be empty.
    pub reported: Map<String, Value>,
}

impl Target {
    /// Reads the target of an operation from JSON.
    ///
    /// # Errors
    /// `Internal` if the JSON is not a target.
    pub fn read(json: &str) -> Result<Self, Failure> {
        serde_json::from_str(json).map_err(|error| Failure {
            kind: FailureKind::Internal,
            message: format!("cannot read the target of an operation: {error}; please report this bug"),
        })
    }

    /// Returns a field that is a non-empty string.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.reported.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Returns the value of a tag.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.reported.get("tags")?.get(key)?.as_str()
    }

    /// Returns kind, name and ID for messages.
    #[must_use]
    pub fn label(&self) -> String {
        if self.name == self.id {
            format!("{} {}", self.kind, self.id)
        } else {
            format!("{} {} ({})", self.kind, self.name, self.id)
        }
    }
}
