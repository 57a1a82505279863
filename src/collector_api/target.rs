//! What an operation is about: a resource as the core has it, and where it lives.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use worker_proto::{Failure, FailureKind};

/// A resource whose tags are to be changed or that is to be deleted.
///
/// It is what the core has stored; what hangs on it in the cloud is asked for when it matters, because the graph may be
/// hours old.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its kind, such as `aws_ec2_volume`.
    pub kind: String,
    /// Its id in the cloud.
    pub id: String,
    /// Its name; the id if it has none.
    pub name: String,
    /// Its fields, tags among them.
    pub reported: Map<String, Value>,
    /// The cloud's id, which is the collector's name.
    pub cloud: String,
    /// The account that it belongs to.
    pub account: ParentNode,
    /// The region that it is in, if that is certain.
    pub region: Option<ParentNode>,
}

/// The account or the region of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParentNode {
    /// Its id in the cloud.
    pub id: String,
    /// Its name, if it is known.
    pub name: Option<String>,
    /// Its fields; may be empty.
    pub reported: Map<String, Value>,
}

impl Target {
    /// Reads the subject of an operation.
    ///
    /// # Errors
    /// `Internal` if it is none.
    pub fn read(json: &str) -> Result<Self, Failure> {
        serde_json::from_str(json).map_err(|error| Failure {
            kind: FailureKind::Internal,
            message: format!("the subject of an operation cannot be read: {error}"),
        })
    }

    /// A field that is a text and not empty.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.reported.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The value of one of its tags.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.reported.get("tags")?.get(key)?.as_str()
    }

    /// Kind, name and id, for people.
    #[must_use]
    pub fn label(&self) -> String {
        if self.name == self.id {
            format!("{} {}", self.kind, self.id)
        } else {
            format!("{} {} ({})", self.kind, self.name, self.id)
        }
    }
}
