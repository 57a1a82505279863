//! A node under construction, and its finished line.

use thiserror::Error;
use worker_proto::{Failure, FailureKind, Node};

use super::{
    id::{Identity, NodeId},
    json,
    model_kind::ModelKind,
    schema::{Field, Kind},
    timestamp,
    value::Value,
};

/// The longest line that both cores read, line feed included, in bytes. Core 2.0 rejects the whole upload for a longer
/// line.
pub const MAX_LINE: usize = 131_072;

/// The tag whose value replaces the time of creation, if the value is a timestamp.
const CTIME_TAG: &str = "cloudkeeper:ctime";

/// The reason why a resource cannot become a node. None of them is retryable; the caller records a gap and continues.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ResourceError {
    /// The kind does not have this field.
    #[error("kind {kind} has no field {field}")]
    UnknownField {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
    },
    /// The value is not of the field's type.
    #[error("field {field} of kind {kind} takes {wanted}, not {given}")]
    WrongType {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
        /// The field's type in the model's notation.
        wanted: String,
        /// The type of the given value.
        given: &'static str,
    },
    /// The value has no JSON form that a core reads: NaN, an infinity, a year outside 1 to 9999.
    #[error("field {field} of kind {kind} was given a number or a time that cannot be written")]
    NotWritable {
        /// The kind.
        kind: String,
        /// The field.
        field: String,
    },
    /// The line exceeds the cores' limit. The node must be omitted, or the core rejects the whole graph.
    #[error("{kind} {id} is {length} bytes long, above the {MAX_LINE} that a core reads")]
    TooLong {
        /// The kind.
        kind: String,
        /// The resource's ID.
        id: String,
        /// The length of the line in bytes, line feed included.
        length: usize,
    },
}

impl From<ResourceError> for Failure {
    /// Treats an invalid resource as a bug of the collector.
    fn from(error: ResourceError) -> Self {
        Failure { kind: FailureKind::Internal, message: error.to_string() }
    }
}

/// The location of a resource: the IDs of its ancestors, [`UNDEFINED`](super::UNDEFINED) for missing ones.
///
/// A resource that is a cloud, an account, a region or a zone replaces the respective ancestor by itself.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The cloud, which is the collector's name.
    pub cloud: &'a str,
    /// The account.
    pub account: &'a str,
    /// The region in which the resource was collected. AWS's global resources have the ID of the region that represents
    /// them.
    pub region: &'a str,
    /// The zone.
    pub zone: &'a str,
}

/// A node under construction.
#[derive(Clone, Debug)]
pub struct Resource<'s> {
    kind: &'s Kind,
    id: String,
    name: Option<String>,
    tags: Vec<(String, Value)>,
    /// Values by the field's place in the kind; `None` for the default.
    values: Vec<Option<Value>>,
    cleaned: bool,
    phantom: bool,
    protected: bool,
    clean: bool,
    replace: bool,
}

impl<'s> Resource<'s> {
    /// Creates a resource with all fields at their defaults, named after its ID.
    #[must_use]
    pub fn new(kind: &'s Kind, id: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            kind,
            name: Some(id.clone()),
            id,
            tags: Vec::new(),
            values: vec![None; kind.fields.len()],
            cleaned: false,
            phantom: kind.phantom,
            protected: false,
            clean: false,
            replace: false,
        }
    }

    /// Returns the resource's kind.
    #[must_use]
    pub fn kind(&self) -> &'s Kind {
        self.kind
    }

    /// Returns the resource's ID in the cloud.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the resource's name.
    #[must_use]
    pub fn name_value(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Sets the name.
    pub fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.name = Some(name.into());
        self
    }

    /// Removes the name.
    pub fn unnamed(&mut self) -> &mut Self {
        self.name = None;
        self
    }

    /// Adds a tag, or replaces the tag with the same key.
    pub fn tag(&mut self, key: impl Into<String>, value: impl Into<String>) -> &mut Self {
        let (key, value) = (key.into(), Value::Text(value.into()));
        match self.tags.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = value,
            None => self.tags.push((key, value)),
        }
        self
    }

    /// Sets a field. [`Value::Null`] omits the field, whatever its default. `id` cannot be set again.
    ///
    /// # Errors
    /// [`ResourceError::UnknownField`], [`ResourceError::WrongType`], [`ResourceError::NotWritable`].
    pub fn set(&mut self, field: &str, value: Value) -> Result<&mut Self, ResourceError> {
        self.put(field, |_| value)
    }

    /// Sets a field like [`Resource::set`], to a value in any notation that [`ModelKind::convert`] knows.
    ///
    /// # Errors
    /// As [`Resource::set`].
    pub fn set_converted(&mut self, field: &str, value: Value) -> Result<&mut Self, ResourceError> {
        self.put(field, |model_kind| model_kind.convert(value))
    }

    fn put(&mut self, field: &str, value: impl FnOnce(&ModelKind) -> Value) -> Result<&mut Self, ResourceError> {
        // Most values are valid, so that names are copied for errors only.
        let named = || (self.kind.fqn.clone(), field.to_owned());
        let position = self.kind.position(field).filter(|_| field != "id");
        let Some((position, known)) = position.and_then(|at| Some((at, self.kind.fields.get(at)?))) else {
            let (kind, field) = named();
            return Err(ResourceError::UnknownField { kind, field });
        };
        let value = value(&known.model_kind);
        if !known.model_kind.accepts(&value) {
            let ((kind, field), wanted, given) = (named(), known.kind.to_owned(), value.type_name());
            return Err(ResourceError::WrongType { kind, field, wanted, given });
        }
        if !value.is_writable() {
            let (kind, field) = named();
            return Err(ResourceError::NotWritable { kind, field });
        }
        match (field, value) {
            ("name", Value::Text(name)) => self.name = Some(name),
            ("name", _) => self.name = None,
            ("tags", Value::Map(tags)) => self.tags = tags,
            ("tags", _) => self.tags.clear(),
            (_, value) => {
                if let Some(slot) = self.values.get_mut(position) {
                    *slot = Some(value);
                }
            }
        }
        Ok(self)
    }

    /// Returns the value of a field, set or default; not for `id`, `name` and `tags`.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        let position = self.kind.position(field)?;
        self.values.get(position)?.as_ref().or_else(|| self.kind.fields.get(position).map(|field| &field.default))
    }

    /// Returns the value of a tag.
    #[must_use]
    pub fn tag_value(&self, key: &str) -> Option<&str> {
        self.tags.iter().find_map(|(known, value)| match value {
            Value::Text(text) if known == key => Some(text.as_str()),
            _ => None,
        })
    }

    /// Sets whether cleanups must not touch the resource.
    pub fn protected(&mut self, protected: bool) -> &mut Self {
        self.protected = protected;
        self
    }

    /// Sets whether the resource stands for nothing that can be deleted; the kind has the default.
    pub fn phantom(&mut self, phantom: bool) -> &mut Self {
        self.phantom = phantom;
        self
    }

    /// Sets whether the resource is already deleted in the cloud.
    pub fn cleaned(&mut self, cleaned: bool) -> &mut Self {
        self.cleaned = cleaned;
        self
    }

    /// Sets whether the next cleanup deletes the resource.
    pub fn clean(&mut self, clean: bool) -> &mut Self {
        self.clean = clean;
        self
    }

    /// Sets whether the core replaces everything that it has below this node.
    pub fn replace(&mut self, replace: bool) -> &mut Self {
        self.replace = replace;
        self
    }

    /// Returns the node ID of the resource in this scope.
    #[must_use]
    pub fn node_id(&self, scope: &Scope<'_>) -> NodeId {
        let own = |base: &str, other| if self.kind.is_a(base) { self.id.as_str() } else { other };
        NodeId::of(&Identity {
            kind: &self.kind.fqn,
            cloud: own("base_cloud", scope.cloud),
            account: own("account", scope.account),
            region: own("region", scope.region),
            zone: own("zone", scope.zone),
            id: &self.id,
            name: self.name.as_deref(),
        })
    }

    /// Computes the node ID and writes the line.
    ///
    /// # Errors
    /// [`ResourceError::TooLong`].
    pub fn finish(self, scope: &Scope<'_>) -> Result<Node, ResourceError> {
        let id = self.node_id(scope);
        let mut line = Vec::with_capacity(768);
        line.extend_from_slice(b"{\"id\":");
        json::push_text(&mut line, &id.to_string());
        self.write_reported(&mut line);
        self.write_metadata(&mut line);
        if self.clean {
            line.extend_from_slice(b",\"desired\":{\"clean\":true}");
        }
        if self.replace {
            line.extend_from_slice(b",\"replace\":true");
        }
        line.push(b'}');
        let length = line.len() + 1;
        let kind = self.kind.fqn.clone();
        if length > MAX_LINE {
            return Err(ResourceError::TooLong { kind, id: self.id, length });
        }
        Ok(Node { id: id.0, kind, resource: self.id, line: line.into() })
    }

    fn write_reported(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(b",\"reported\":{\"kind\":");
        json::push_text(line, &self.kind.fqn);
        for (field, value) in self.kind.fields.iter().zip(&self.values) {
            self.write_field(line, field, value.as_ref().unwrap_or(&field.default));
        }
        line.push(b'}');
    }

    fn write_field(&self, line: &mut Vec<u8>, field: &Field, value: &Value) {
        let key = |line: &mut Vec<u8>| {
            line.push(b',');
            json::push_key(line, &field.name);
        };
        match field.name.as_str() {
            "id" => {
                key(line);
                json::push_text(line, &self.id);
            }
            "name" => {
                let Some(name) = &self.name else { return };
                key(line);
                json::push_text(line, name);
            }
            "tags" => {
                key(line);
                json::push_separated(line, b'{', b'}', &self.tags, |line, (tag, value)| {
                    json::push_key(line, tag);
                    value.write(line);
                });
            }
            "ctime" => match self.tag_value(CTIME_TAG).and_then(timestamp::parse) {
                Some(time) => {
                    key(line);
                    timestamp::push(line, time);
                }
                None => write_unless_null(line, key, value),
            },
            _ => write_unless_null(line, key, value),
        }
    }

    fn write_metadata(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(b",\"metadata\":{");
        if !self.kind.python_type.is_empty() {
            line.extend_from_slice(b"\"python_type\":");
            json::push_text(line, &self.kind.python_type);
            line.push(b',');
        }
        let Self { cleaned, phantom, protected, .. } = self;
        json::push_display(
            line,
            format_args!("\"cleaned\":{cleaned},\"phantom\":{phantom},\"protected\":{protected}}}"),
        );
    }
}

fn write_unless_null(line: &mut Vec<u8>, key: impl FnOnce(&mut Vec<u8>), value: &Value) {
    if *value != Value::Null {
        key(line);
        value.write(line);
    }
}

#[cfg(test)]
#[path = "resource_tests.rs"]
mod tests;
