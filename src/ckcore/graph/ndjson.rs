//! The lines of a streamed response, whose chunks may end anywhere.

use crate::ckcore::{CoreError, error::bounded};

/// The length limit of a line, in bytes. Stored nodes are a little larger than the lines that were sent.
const LINE_LIMIT: usize = 16 * 1024 * 1024;

/// The size limit of a response, in bytes of lines.
const TOTAL_LIMIT: usize = 512 * 1024 * 1024;

/// Splits a response into lines while it arrives. Omits empty lines.
pub struct LineReader {
    what: &'static str,
    rest: Vec<u8>,
    bytes: usize,
}

impl LineReader {
    /// Creates a reader. `what` is the name of the request in errors.
    pub fn new(what: &'static str) -> Self {
        Self { what, rest: Vec::new(), bytes: 0 }
    }

    /// Reads the next bytes and passes on each line that they complete.
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

    /// Passes on the last line, if it did not end with a newline.
    pub fn finish(&mut self, take: impl FnOnce(&[u8]) -> Result<(), CoreError>) -> Result<(), CoreError> {
        let line = std::mem::take(&mut self.rest);
        if line.trim_ascii().is_empty() { Ok(()) } else { take(&line) }
    }

    /// Returns the error of an invalid response.
    pub fn unusable(&self, why: &str) -> CoreError {
        CoreError::permanent(self.what, &format!("the core's answer cannot be used: {}", bounded(why)))
    }
}
