//! Lines of nodes, changed without a change of the values that stay.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A section of a line: names and values as they were sent.
type Section = BTreeMap<String, Box<RawValue>>;

/// A node's line, parsed as far as it is changed.
pub(super) struct Line {
    pub(super) id: Box<RawValue>,
    pub(super) reported: Section,
    rest: Section,
}

impl Line {
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let unusable = |error: serde_json::Error| format!("a node's line cannot be read: {error}");
        let mut rest: Section = serde_json::from_slice(line).map_err(unusable)?;
        let (id, reported) = (rest.remove("id"), rest.remove("reported"));
        let (Some(id), Some(reported)) = (id, reported) else {
            return Err("a node's line has no id or nothing reported".to_owned());
        };
        Ok(Self { id, reported: serde_json::from_str(reported.get()).map_err(unusable)?, rest })
    }

    pub(super) fn text(&self, attribute: &str) -> Option<String> {
        serde_json::from_str(self.reported.get(attribute)?.get()).ok()
    }

    pub(super) fn write(mut self) -> Result<Vec<u8>, String> {
        let reported = serde_json::value::to_raw_value(&self.reported).map_err(|error| error.to_string())?;
        self.rest.insert("id".to_owned(), self.id);
        self.rest.insert("reported".to_owned(), reported);
        serde_json::to_vec(&self.rest).map_err(|error| error.to_string())
    }
}

pub(super) fn raw(text: &str) -> Result<Box<RawValue>, String> {
    serde_json::value::to_raw_value(text).map_err(|error| error.to_string())
}
