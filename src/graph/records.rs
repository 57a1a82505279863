//! The nodes of a unit in columns: IDs, kinds, resource IDs and the lengths of their lines.

use std::collections::BTreeMap;

/// A node's ID, or the hash of an ID that is not a node ID.
pub(super) type NodeKey = [u8; 16];

/// The nodes of a unit in columns, in the order of their lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) ids: Vec<NodeKey>,
    /// The numbers of kinds.
    pub(super) kinds: Vec<u32>,
    /// The length of each line in bytes, line feed included.
    pub(super) lengths: Vec<u32>,
    /// All resource IDs, concatenated, and the end of each.
    resources: String,
    ends: Vec<usize>,
    /// The kinds by number, and the numbers by kind.
    pub(super) names: Vec<String>,
    numbers: BTreeMap<String, u32>,
    /// The size of all names in bytes.
    named: usize,
}

impl Records {
    pub(super) fn push(&mut self, id: NodeKey, kind: &str, resource: &str, length: usize) {
        let number = match self.numbers.get(kind) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
                self.names.push(kind.to_owned());
                self.numbers.insert(kind.to_owned(), number);
                self.named += kind.len();
                number
            }
        };
        self.ids.push(id);
        self.kinds.push(number);
        // A frame, and so a line, is far below 4 GiB.
        self.lengths.push(u32::try_from(length).unwrap_or(u32::MAX));
        self.resources.push_str(resource);
        self.ends.push(self.resources.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns the number of kinds.
    pub(super) fn kind_count(&self) -> usize {
        self.names.len()
    }

    /// Returns the memory of the columns in bytes.
    pub(super) fn memory(&self) -> usize {
        let columns = self.ids.capacity() * size_of::<NodeKey>()
            + (self.kinds.capacity() + self.lengths.capacity()) * size_of::<u32>()
            + self.ends.capacity() * size_of::<usize>();
        // Each name is stored twice: by number, and as a key.
        let names = 2 * (self.named + self.names.len() * size_of::<(String, u32)>());
        columns + self.resources.capacity() + names
    }

    /// Frees reserved capacity.
    pub(super) fn shrink(&mut self) {
        self.ids.shrink_to_fit();
        self.kinds.shrink_to_fit();
        self.lengths.shrink_to_fit();
        self.resources.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Returns the kind of a node.
    pub(super) fn kind(&self, record: usize) -> &str {
        let number = self.kinds.get(record).and_then(|number| usize::try_from(*number).ok());
        number.and_then(|number| self.names.get(number)).map_or("", String::as_str)
    }

    /// Returns the resource ID of a node.
    pub(super) fn resource(&self, record: usize) -> &str {
        let start = record.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(record).copied().unwrap_or(start);
        self.resources.get(start..end).unwrap_or("")
    }

    /// Returns the first node of this kind and resource ID.
    pub(super) fn find(&self, kind: &str, resource: &str) -> Option<usize> {
        let number = *self.numbers.get(kind)?;
        (0..self.len()).find(|record| self.kinds.get(*record) == Some(&number) && self.resource(*record) == resource)
    }
}
