//! Storage of lines until the upload: in memory, and above a limit in a temporary file.
//!
//! All units of a run share one budget. A unit that would exceed the budget moves its lines to a temporary file. The
//! file has no name and disappears with its last descriptor, however the process ends.

use std::{
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tempfile::{SpooledData, SpooledTempFile};

/// The size of a copied block in bytes.
const COPIED: u64 = 256 * 1024;

/// The memory budget for the lines of a run. Clones share it.
#[derive(Clone, Debug)]
pub struct Spool {
    limit: u64,
    folder: PathBuf,
    used: Arc<AtomicU64>,
}

impl Spool {
    /// Creates a budget in bytes with the system's temporary directory. With 0 every line goes to a file.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self::in_folder(limit, std::env::temp_dir())
    }

    /// Creates a budget in bytes with a directory for the lines above it.
    #[must_use]
    pub fn in_folder(limit: u64, folder: impl Into<PathBuf>) -> Self {
        Self { limit, folder: folder.into(), used: Arc::default() }
    }

    /// Returns the directory of the files.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Creates the storage for the lines of one unit.
    pub(super) fn lines(&self) -> Lines {
        let file = SpooledTempFile::new_in(usize::MAX, &self.folder);
        Lines { file, written: 0, share: Share { spool: self.clone(), bytes: 0 } }
    }

    /// Returns the number of bytes in memory.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// The part of the budget that one unit takes; released when dropped.
#[derive(Debug)]
struct Share {
    spool: Spool,
    bytes: u64,
}

impl Share {
    /// Takes more bytes. Returns whether the budget is then exceeded.
    fn take(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        self.spool.used.fetch_add(bytes, Ordering::Relaxed) + bytes > self.spool.limit
    }

    fn give_back(&mut self) {
        self.spool.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Lines under construction.
#[derive(Debug)]
pub(super) struct Lines {
    file: SpooledTempFile,
    written: u64,
    share: Share,
}

impl Lines {
    /// Appends bytes. In a file each call is a write, so callers should append many bytes at once.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        if !self.file.is_rolled() && self.share.take(length) {
            self.file.roll()?;
            self.share.give_back();
        }
        self.file.write_all(bytes)?;
        self.written += length;
        Ok(())
    }

    /// Returns the number of appended bytes.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Returns the directory of the file, should a file be needed.
    pub(super) fn folder(&self) -> &Path {
        self.share.spool.folder()
    }

    /// Completes the lines.
    pub(super) fn freeze(self) -> FrozenLines {
        FrozenLines { data: self.file.into_inner(), length: self.written, _share: self.share }
    }
}

/// Complete lines, readable at any offset by several readers.
#[derive(Debug)]
pub(super) struct FrozenLines {
    data: SpooledData,
    length: u64,
    _share: Share,
}

impl FrozenLines {
    /// Returns the number of bytes.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// Appends the bytes from `start` up to `end` to other lines.
    pub(super) fn copy(&self, mut start: u64, end: u64, to: &mut Lines) -> io::Result<()> {
        let mut bytes = Vec::new();
        while start < end {
            let next = end.min(start + COPIED);
            bytes.clear();
            self.read(start, next, &mut bytes)?;
            to.append(&bytes)?;
            start = next;
        }
        Ok(())
    }

    /// Appends the bytes from `start` up to `end` to `out`.
    pub(super) fn read(&self, start: u64, end: u64, out: &mut Vec<u8>) -> io::Result<()> {
        let length = usize::try_from(end.min(self.length).saturating_sub(start)).map_err(io::Error::other)?;
        match &self.data {
            SpooledData::InMemory(cursor) => {
                let start = usize::try_from(start).map_err(io::Error::other)?;
                let bytes = cursor.get_ref().get(start..start + length);
                out.extend_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
                Ok(())
            }
            SpooledData::OnDisk(file) => {
                let filled = out.len();
                out.resize(filled + length, 0);
                file.read_exact_at(&mut out[filled..], start)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn filled(spool: &Spool, blocks: usize) -> Lines {
        let mut lines = spool.lines();
        for block in 0..blocks {
            lines.append(format!("line {block:05}\n").as_bytes()).unwrap();
        }
        lines
    }

    fn middle(lines: &FrozenLines) -> String {
        let mut out = b"> ".to_vec();
        lines.read(11, 33, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_the_same_in_memory_and_in_a_file() {
        let (roomy, narrow) = (Spool::new(1 << 20), Spool::new(100));
        let (memory, file) = (filled(&roomy, 100).freeze(), filled(&narrow, 100).freeze());
        assert!(matches!(memory.data, SpooledData::InMemory(_)));
        assert!(matches!(file.data, SpooledData::OnDisk(_)));
        for lines in [&memory, &file] {
            assert_eq!(lines.length, 1100);
            assert_eq!(middle(lines), "> line 00001\nline 00002\n");
        }
        assert_eq!((roomy.used(), narrow.used()), (1100, 0));
    }

    #[test]
    fn units_share_the_budget_and_give_it_back() {
        let spool = Spool::new(1000);
        let first = filled(&spool, 80);
        let second = filled(&spool, 80);
        assert_eq!(spool.used(), 880, "the second went to a file");
        drop(first);
        assert_eq!(spool.used(), 0);
        assert_eq!(filled(&spool, 80).freeze().length, 880);
        drop(second);
    }
}
