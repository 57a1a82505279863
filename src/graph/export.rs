//! The merged graph as ndjson: all nodes, then all edges.

use std::{
    io::{self, Write},
    sync::Arc,
};

use bytes::Bytes;

use super::{MergedGraph, NodeId, json};

/// The size of a chunk in bytes; the last chunk of the nodes and the last one of the edges are smaller.
pub const CHUNK: usize = 512 * 1024;

/// The size of an edge with two node IDs and its line feed, in bytes.
const EDGE: usize = 68;

/// The chunks of an export, readable once. Reading the chunks again requires another export of the same graph.
pub struct Export {
    graph: Arc<MergedGraph>,
    segment: usize,
    /// The bytes of the current segment that were exported.
    offset: u64,
    node: usize,
    /// The edges of the current node that were exported.
    edge: usize,
}

impl MergedGraph {
    /// Starts an export, which may run on another thread. Reading may wait for the disk.
    #[must_use]
    pub fn export(self: &Arc<Self>) -> Export {
        Export { graph: self.clone(), segment: 0, offset: 0, node: 0, edge: 0 }
    }

    /// Writes the whole export.
    ///
    /// # Errors
    /// If the spool cannot be read or `out` cannot be written.
    pub fn write_to(self: &Arc<Self>, out: &mut impl Write) -> io::Result<()> {
        for chunk in self.export() {
            out.write_all(&chunk?)?;
        }
        out.flush()
    }
}

impl Iterator for Export {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut chunk = Vec::with_capacity(CHUNK);
        if let Err(error) = self.push_nodes(&mut chunk) {
            // The export ends here: a chunk after the error would be incomplete.
            self.segment = self.graph.segments.len();
            self.node = self.graph.edges.nodes();
            return Some(Err(error));
        }
        if chunk.is_empty() {
            self.push_edges(&mut chunk);
        }
        (!chunk.is_empty()).then(|| Ok(chunk.into()))
    }
}

impl Export {
    fn push_nodes(&mut self, chunk: &mut Vec<u8>) -> io::Result<()> {
        while let Some((lines, range)) = self.graph.segments.get(self.segment)
            && chunk.len() < CHUNK
        {
            let start = range.start + self.offset;
            let end = range.end.min(start + (CHUNK - chunk.len()) as u64);
            let lines = self.graph.lines.get(*lines).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            lines.read(start, end, chunk)?;
            self.offset += end - start;
            if end == range.end {
                self.segment += 1;
                self.offset = 0;
            }
        }
        Ok(())
    }

    fn push_edges(&mut self, chunk: &mut Vec<u8>) {
        while self.node < self.graph.edges.nodes() {
            let from = self.graph.id(self.node);
            let targets = self.graph.edges.targets(self.node);
            while let Some(to) = targets.get(self.edge) {
                if chunk.len() + EDGE > CHUNK {
                    return;
                }
                push_edge(chunk, &from, &self.graph.id(*to as usize));
                self.edge += 1;
            }
            self.node += 1;
            self.edge = 0;
        }
    }
}

impl MergedGraph {
    fn id(&self, node: usize) -> String {
        let text = u32::try_from(node).ok().and_then(|node| self.texts.get(&node));
        text.cloned().unwrap_or_else(|| NodeId(self.ids[node]).to_string())
    }
}

fn push_edge(out: &mut Vec<u8>, from: &str, to: &str) {
    out.extend_from_slice(b"{\"from\":");
    json::push_text(out, from);
    out.extend_from_slice(b",\"to\":");
    json::push_text(out, to);
    out.extend_from_slice(b"}\n");
}
