//! The graph of a unit: nodes, edges, and the parts that were not seen.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// A node as it is uploaded.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The 16 bytes of the node ID.
    pub id: [u8; 16],
    /// The node's kind.
    pub kind: String,
    /// The resource's ID in the cloud, for deferred edges.
    pub resource: String,
    /// The final ndjson line, without a line feed.
    pub line: ByteBuf,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} {}, {} bytes)", self.kind, self.resource, self.line.len())
    }
}

/// Edges as pairs of node IDs: 32 bytes for each edge, `from` then `to`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeList(ByteBuf);

impl EdgeList {
    /// Adds an edge.
    pub fn push(&mut self, from: [u8; 16], to: [u8; 16]) {
        self.0.extend_from_slice(&from);
        self.0.extend_from_slice(&to);
    }

    /// Returns the number of edges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() / 32
    }

    /// Whether there is no edge.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Whether the bytes are a whole number of edges.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.0.len().is_multiple_of(32)
    }

    /// Returns the edges as (from, to).
    pub fn iter(&self) -> impl Iterator<Item = ([u8; 16], [u8; 16])> + '_ {
        self.0.as_chunks::<32>().0.iter().map(|pair| {
            let (mut from, mut to) = ([0; 16], [0; 16]);
            from.copy_from_slice(&pair[..16]);
            to.copy_from_slice(&pair[16..]);
            (from, to)
        })
    }
}

impl fmt::Debug for EdgeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EdgeList({})", self.len())
    }
}

/// An edge whose ends are resolved when all units are complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deferred {
    /// The predecessor.
    pub from: Selector,
    /// The successor.
    pub to: Selector,
}

/// The selector of a node in a deferred edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Selector {
    /// By the node ID.
    Node([u8; 16]),
    /// By kind and by the resource's ID in the cloud.
    Resource {
        /// The kind.
        kind: String,
        /// The resource's ID.
        id: String,
    },
    /// By kind and by an attribute whose value is unique in the cloud.
    Attribute {
        /// The kind.
        kind: String,
        /// The attribute.
        attribute: String,
        /// The attribute's value.
        value: String,
    },
}

/// A name by which other units of the cloud may select a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// The hash of kind, attribute and value, as of a reference without a scope.
    pub key: [u8; 16],
    /// The ID of the node.
    pub node: [u8; 16],
}

/// A part of a unit that was not seen. The part may exist as it was when it was last seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Missing {
    /// Nodes of a kind directly below a node, because their list was not complete.
    Kind {
        /// The node above them, such as a region's.
        below: [u8; 16],
        /// The name of that region, in which references to the nodes are looked up.
        scope: String,
        /// The nodes' kind.
        kind: String,
        /// Kinds that are listed for each of these nodes, directly or through each other.
        with: Vec<String>,
        /// The reason.
        why: Why,
    },
    /// Properties and edges of nodes that were sent.
    Parts {
        /// The nodes.
        nodes: Vec<[u8; 16]>,
        /// The names of properties. `name` includes the identity of the node.
        properties: Vec<String>,
        /// The edges that result from the missing responses.
        edges: Vec<MissingEdge>,
    },
    /// Edges of nodes that were sent, to or from nodes that were not seen.
    Edges {
        /// The direction and the kind of the other ends.
        edge: MissingEdge,
        /// The attribute by which the other ends are looked up.
        attribute: String,
        /// The nodes, each with the hash of the reference to its other end.
        ends: Vec<([u8; 16], [u8; 16])>,
    },
    /// Nodes of a kind directly below a node, and directly below its children of another kind that were sent, such as
    /// all namespaces of a cluster.
    KindInAll {
        /// The node above all.
        below: [u8; 16],
        /// The kind of these children.
        places: String,
        /// The nodes' kind.
        kind: String,
        /// The reason: unseen, or kept.
        why: Why,
    },
}

/// The reason why nodes of a kind are missing. Of several reasons the first one counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// The nodes could not be seen.
    Unseen,
    /// The service is not in use in the account, by its own answer. Nodes that the core has are kept, which is a gap.
    NotInUse {
        /// The service's name.
        service: String,
        /// The operation that had this answer.
        operation: String,
    },
    /// An option excludes the nodes, and the core keeps them.
    Kept,
    /// An option excludes the nodes, and the core forgets them.
    LeftOut,
}

/// Edges of a node to or from nodes of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MissingEdge {
    /// Whether the edge begins at the node.
    pub outgoing: bool,
    /// The kind of the other end.
    pub kind: String,
}

/// The counts of what was sent for a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The number of nodes.
    pub nodes: u64,
    /// The number of edges, deferred ones not included.
    pub edges: u64,
    /// The number of deferred edges.
    pub deferred: u64,
    /// The number of names.
    pub names: u64,
}
