//! LineReader of a streamed answer, whose chunks may end anywhere.

use crate::ckcore::{CoreError, error::bounded};

/// The longest line that is read, in bytes. Stored nodes are a little larger than the lines they came from.
const LINE_LIMIT: usize = 16 * 1024 * 1024;

/// The most that is read of one answer, in bytes of lines.
const TOTAL_LIMIT: usize = 512 * 1024 * 1024;

/// Splits an answer into lines as it arrives. Empty lines are left out.
pub struct LineReader {
    what: &'static str,
    rest: Vec<u8>,
    bytes: usize,
}

impl LineReader {
    /// `what` is the request that is answered.
    pub fn new(what: &'static str) -> Self {
        Self { what, rest: Vec::new(), bytes: 0 }
    }

    /// Takes the next bytes and gives every line that is complete with them.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), CoreError>,
    ) -> Result<(), CoreError> {
        self.bytes += chunk.len();
        if self.bytes > TOTAL_LIMIT {
            return Err(self.unusable("it is too large to be kept in memory"));
        }
        let mut lines = chunk.split(|byte| *byte == b'\n');
        let last = lines.next_back().unwrap_or_default();
        for end in lines {
            let mut line = std::mem::take(&mut self.rest);
            line.extend_from_slice(end);
            if !line.trim_ascii().is_empty() {
                take(&line)?;
            }
        }
        self.rest.extend_from_slice(last);
        if self.rest.len() > LINE_LIMIT {
            return Err(self.unusable("a line is too long"));
        }
        Ok(())
    }

    /// Gives the last line, if it did not end with a newline.
    pub fn finish(&mut self, take: impl FnOnce(&[u8]) -> Result<(), CoreError>) -> Result<(), CoreError> {
        let line = std::mem::take(&mut self.rest);
        if line.trim_ascii().is_empty() { Ok(()) } else { take(&line) }
    }

    /// The error of an answer that cannot be understood.
    pub fn unusable(&self, why: &str) -> CoreError {
        CoreError::permanent(self.what, &format!("the core's answer cannot be used: {}", bounded(why)))
    }
}
